"""Whether what we mean to do is allowed, as far as the cluster tells without being written to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from stream_lineage.agents.faust_app import changelog_topic
from stream_lineage.collect.watch import compiled
from stream_lineage.doctor.acls import Role, grants, literal_name, needed
from stream_lineage.doctor.check import Check, fail, ok, warn
from stream_lineage.errors import KafkaUnavailable, SettingsError, StreamLineageError
from stream_lineage.provenance.topics import OBSERVATIONS, OWN_TOPICS
from stream_lineage.settings import Settings
from stream_lineage.wire.cluster_probe import ClusterProbe, WantedTopic

DEFAULT_ROLES: tuple[Role, ...] = ("collector", "agents")
MEND = "Grant these ACLs: `stream-lineage doctor --print-acls` prints the commands (docs/security.md)."
_MOST_TOPICS = 200


@dataclass(slots=True)
class Permissions:
    """What was found out. ``lacking``, ``unknown`` and ``unanswered`` are empty when all is well."""

    lacking: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unanswered: list[KafkaUnavailable] = field(default_factory=list)
    """Groups whose coordinator did not answer, as happens while a broker starts again."""
    topics: int = 0
    groups: list[str] = field(default_factory=list)


def find_permissions(
    probe: ClusterProbe,
    settings: Settings,
    roles: Collection[Role],
    *,
    visible: Collection[str],
    watched: Iterable[str],
    named: Collection[str] = (),
    most_topics: int = _MOST_TOPICS,
) -> Permissions:
    """What these roles lack. ``visible`` are all topics that we may see, ``watched`` those of them that are watched,
    ``named`` those that somebody asks for by their name, seen or not.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    mine = [grant for grant in grants(settings) if grant.role in roles]
    found = Permissions()
    needs: dict[str, frozenset[str]] = {}
    if "collector" in roles or "reader" in roles:
        needs |= {name: frozenset({"READ"}) for name in list(watched)[:most_topics]}
    own = {grant.name for grant in mine if grant.resource == "topic" and not (grant.watched or grant.prefixed)}
    own |= {changelog_topic(settings.agents.agents_id)} if "agents" in roles else set()
    needs |= {name: operations for name in own & set(visible) if (operations := needed(mine, "topic", name))}
    found.topics = len(needs)
    _compare(probe.topic_operations(needs), needs, found)
    found.lacking += _unseen_own(probe, settings, roles, visible)
    needs_by_name = {name: frozenset({"READ"}) for name in named if name in visible}
    _compare(probe.topic_operations(needs_by_name), needs_by_name, found)
    if "collector" in roles:
        named = {*named, *filter(None, map(literal_name, settings.collect.include))}
    found.lacking += _unseen(probe, set(named) - set(visible))
    if "tap" in roles:
        _ask_tap(probe, settings, visible, found)
    asked = [grant for grant in mine if grant.resource == "group" and not grant.optional]
    groups = [grant.name for grant in asked if not grant.prefixed]
    helpers = [f"{grant.name}reader" for grant in asked if grant.prefixed]
    for group in dict.fromkeys([*groups, *helpers]):
        _ask_group(probe, group, needed(mine, "group", group), found)
    return found


def check_permissions(
    probe: ClusterProbe,
    settings: Settings,
    roles: Collection[Role],
    *,
    visible: Collection[str],
    watched: Iterable[str],
) -> Check:
    """The check ``permissions``: topics, groups and transactional ids, for these roles.

    Raises:
        KafkaUnavailable: no broker answered, or no coordinator.
    """
    found = find_permissions(probe, settings, roles, visible=visible, watched=watched)
    if found.unanswered:
        raise found.unanswered[0]
    if "collector" in roles:
        _ask_transactions(probe, settings.collect.group_id, found)
    if found.lacking:
        return fail("permissions", f"not allowed: {'; '.join(found.lacking)}", MEND)
    if found.unknown:
        return warn("permissions", "; ".join(found.unknown), "Ask for DESCRIBE on these topics.")
    return ok("permissions", f"{found.topics} topics may be used; {'; '.join(found.groups)}")


def _compare(
    found: Mapping[str, frozenset[str] | StreamLineageError | None],
    needs: Mapping[str, frozenset[str]],
    into: Permissions,
) -> None:
    for name, operations in found.items():
        if isinstance(operations, StreamLineageError):
            into.unknown.append(operations.message)
        elif operations is not None and "ALL" not in operations:
            missing = needs[name] - operations
            if missing:
                into.lacking.append(f"{' and '.join(sorted(missing))} on topic {name}")


def _unseen(probe: ClusterProbe, names: Collection[str]) -> list[str]:
    """Topics that are hidden from us. Without Describe a topic looks as if it were not there, but for those who ask
    for it by its name."""
    answers = probe.topic_operations(sorted(names))
    return [
        f"READ on topic {name}" for name, answer in answers.items() if isinstance(answer, SettingsError)
    ]  # no such topic is another error


def _unseen_own(
    probe: ClusterProbe, settings: Settings, roles: Collection[Role], visible: Collection[str]
) -> list[str]:
    """Our own topics that are there and hidden from us. They would seem to have to be created, at each start."""
    log = settings.kafka.topic(OBSERVATIONS)
    names = [name for topic in OWN_TOPICS if (name := settings.kafka.topic(topic.name)) not in visible]
    if not {"collector", "agents", "baseline", "metric", "serve", "token"} & set(roles):
        names = [log] if "reader" in roles and log not in visible else []
    answers = probe.topic_operations(names)
    hidden = [name for name, answer in answers.items() if isinstance(answer, SettingsError)]
    if hidden == [log]:
        return [f"READ on topic {log}"]
    return [f"DESCRIBE on topics that start with {settings.kafka.topic_prefix} ({', '.join(hidden)})"] if hidden else []


def _ask_group(probe: ClusterProbe, group: str, operations: frozenset[str], into: Permissions) -> None:
    wanted = " and ".join(sorted(operations))
    try:
        state, members, allowed = probe.group(group)
    except SettingsError:
        into.lacking.append(f"{wanted} on consumer group {group}")
        return
    except KafkaUnavailable as error:
        into.unanswered.append(error)
        return
    if allowed is not None and "ALL" not in allowed and not operations <= allowed:
        into.lacking.append(f"{wanted} on consumer group {group}")
    elif "READ" in operations:
        there = f"{state} with {members} members" if state != "dead" else "new"
        into.groups.append(f"consumer group {group} is {there}")


def _ask_tap(probe: ClusterProbe, settings: Settings, visible: Collection[str], into: Permissions) -> None:
    """Traced topics may be written, or created where they are not there."""
    patterns = [compiled(pattern) for pattern in settings.collect.tap]
    suffix = settings.collect.tap_suffix
    sources = [name for name in visible if not name.endswith(suffix) and any(p.match(name) for p in patterns)]
    traced = [f"{name}{suffix}" for name in sources[:_MOST_TOPICS]]
    needs = {name: frozenset({"WRITE"}) for name in traced if name in visible}
    _compare(probe.topic_operations(needs), needs, into)
    absent = [name for name in traced if name not in visible]
    # Without Describe the brokers do not even say whether it is there.
    hidden = {name for name, found in probe.topic_operations(absent).items() if isinstance(found, SettingsError)}
    wanted = [WantedTopic(name, 1, settings.kafka.replication_factor, {}) for name in absent if name not in hidden]
    refused = {name for name, error in probe.would_create(wanted).items() if isinstance(error, SettingsError)}
    into.lacking += [f"CREATE and WRITE on topic {name}" for name in sorted(hidden)]
    into.lacking += [f"CREATE on topic {name}" for name in sorted(refused)]


def _ask_transactions(probe: ClusterProbe, group_id: str, into: Permissions) -> None:
    error = probe.may_transact(f"{group_id}-doctor")
    if isinstance(error, SettingsError):
        into.lacking.append(f"WRITE on transactional ids that start with {group_id}-")
    elif error is not None:
        into.unknown.append(error.message)

"""Whether what we mean to do is allowed, as far as the cluster tells without being written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_lineage.doctor.check import Check, fail, ok, warn
from stream_lineage.errors import StreamLineageError
from stream_lineage.wire.cluster_probe import ClusterProbe

_MOST_TOPICS = 200


def check_permissions(probe: ClusterProbe, watched: Iterable[str], own: Iterable[str], group_id: str) -> Check:
    """The check ``permissions``: READ on watched topics and on the group, READ and WRITE on our own topics.

    A transactional id's permission shows only when it is used.
    """
    needs: dict[str, frozenset[str]] = {name: frozenset({"READ"}) for name in list(watched)[:_MOST_TOPICS]}
    needs |= {name: frozenset({"READ", "WRITE"}) for name in own}
    lacking, unknown = _lacking(probe.topic_operations(needs), needs)
    try:
        state, members, operations = probe.group(group_id)
    except StreamLineageError as error:
        return fail("permissions", error.message, error.hint or f"Ask for READ on the consumer group {group_id}.")
    if operations is not None and not operations & {"READ", "ALL"}:
        lacking.append(f"READ on consumer group {group_id}")
    if lacking:
        return fail("permissions", f"not allowed: {'; '.join(lacking)}", "Ask for these permissions (ACLs).")
    if unknown:
        return warn("permissions", "; ".join(unknown), "Ask for DESCRIBE on these topics.")
    there = f"{state} with {members} members" if state != "dead" else "new"
    return ok("permissions", f"{len(needs)} topics may be used; consumer group {group_id} is {there}")


def _lacking(
    found: Mapping[str, frozenset[str] | StreamLineageError | None], needs: Mapping[str, frozenset[str]]
) -> tuple[list[str], list[str]]:
    """What is not allowed, and what is not known."""
    lacking, unknown = [], []
    for name, operations in found.items():
        if isinstance(operations, StreamLineageError):
            unknown.append(operations.message)
        elif operations is not None and "ALL" not in operations:
            missing = needs[name] - operations
            if missing:
                lacking.append(f"{' and '.join(sorted(missing))} on topic {name}")
    return lacking, unknown

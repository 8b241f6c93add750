"""Before a command starts its work: may it come in, and is it allowed what it is about to do?

What is not allowed shows late otherwise, in the middle of the work or as records that never come.
"""

from __future__ import annotations

from collections.abc import Collection

from stream_lineage.doctor.acls import Role
from stream_lineage.doctor.permissions import MEND, find_permissions
from stream_lineage.doctor.topics import watched_topics
from stream_lineage.errors import SettingsError
from stream_lineage.logs import get_logger
from stream_lineage.settings import Settings
from stream_lineage.wire.cluster_probe import ClusterProbe

_MOST_TOPICS = 1_000
_log = get_logger("stream_lineage.preflight")


def preflight(settings: Settings, role: Role, *, named: Collection[str] = (), timeout_seconds: float = 10.0) -> None:
    """Return when nothing stands in the way of ``role``, nor of reading the topics ``named``: in a tenth of a second.

    A coordinator that does not answer stands in nobody's way: one that is needed is waited for.

    Raises:
        KafkaRefused: somebody answers and does not let us in; says who, and what to change.
        KafkaUnavailable: nobody answers.
        SettingsError: an ACL is missing; says which.
    """
    probe = ClusterProbe(settings.kafka, timeout_seconds=timeout_seconds)
    probe.describe()
    visible = probe.topics()
    watched = watched_topics(visible, settings.kafka, settings.collect) if role == "collector" else ()
    roles: tuple[Role, ...] = ("collector", "tap") if role == "collector" and settings.collect.tap else (role,)
    found = find_permissions(
        probe, settings, roles, visible=visible, watched=watched, named=named, most_topics=_MOST_TOPICS
    )
    for error in found.unanswered:
        _log.warning("permissions not known yet", reason=error.message)
    if found.lacking:
        raise SettingsError(f"not allowed: {'; '.join(found.lacking)}", hint=MEND)

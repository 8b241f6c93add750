"""Schema drift on the wire: records under another schema version than the one that was there.

Per partition the detector knows which version is on the wire and since which offset. A version that was never seen is
drift; one that was seen before and comes back is a return; several returns in a short time are a mix of writers, which
is told once. A finding is made at first sight and again, with the same fingerprint and all first offsets so far, when
further partitions follow.

An id that the registry says it does not know is told as such, with the offsets where it stands; one that it just does
not answer for is not. In a topic that has a subject of its own, a version that is registered for something else only
is a wrong subject: one for which neither ``<topic>-value`` nor a name of its record stands.

Bytes that carry no schema (tombstones, garbage) are no version. A schema that is registered anew under another id is
the same version, for versions are told apart by the fingerprint of their canonical schema.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.drift_findings import DriftFindings
from stream_lineage.detect.drift_state import Line, is_news
from stream_lineage.detect.epoch import entered, turn
from stream_lineage.detect.schema_sightings import Sightings, stays, untold
from stream_lineage.detect.schema_versions import is_version, sightings_of, version_key, wire_id_of
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference

ROLES = ("value", "key")


class SchemaDrift:
    """``schema-drift``, ``schema-version-returned``, ``mixed-versions``, ``subject-added``, ``wrong-subject``,
    ``unknown-schema``; for keys ``key-`` and that.

    State: the topic's epoch and, per role, a ``Line``.
    """

    name = "schema-drift"
    channel: Channel = "drift"

    def initial(self) -> State:
        return {"epoch": None, "past_epochs": [], **{role: Line().dump() for role in ROLES}}

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        where = turn(state, observation.topic_id)
        if where == "past":
            return state, ()
        changed: dict[str, Any] = {}
        if where == "new":
            changed |= entered(state, observation.topic_id)
        elif state["epoch"] is None and observation.topic_id is not None:
            changed["epoch"] = observation.topic_id
        findings: list[Finding] = []
        for role, reference in zip(ROLES, (observation.value_schema, observation.key_schema), strict=True):
            now_ms = int(now.timestamp() * 1000)
            if where == "same" and _settled(state[role], role, reference, observation, now_ms):
                continue
            line = Line.load(state[role])
            if where == "new":
                line.start_over()
            sightings = Sightings(line, role, observation, now_ms, schemas)
            sightings.see(reference)
            sightings.ask()
            findings += DriftFindings(line, role, observation, schemas, sightings.noticed).all()
            line.bound()
            changed[role] = line.dump()
        if all(state[name] == value for name, value in changed.items()):
            return state, tuple(findings)
        return {**state, **changed}, tuple(findings)


def _settled(
    line: dict[str, Any], role: str, reference: SchemaReference, observation: Observation, now_ms: int
) -> bool:
    """Whether nothing can change: each partition is on this version already. Nearly every observation is settled."""
    if observation.kind is ObservationKind.RESOLUTION or reference.unresolved:
        return False
    if untold(role, bool(line["versions"]), line["pending"], line["unknown"]):
        return False
    if not is_version(reference, role):
        return True
    key, wire_id = version_key(reference), wire_id_of(reference)
    version = line["versions"].get(key)
    if version is None or is_news(version.get("producers", ()), (each.name for each in observation.producers)):
        return False
    if wire_id in line["pending"] or (wire_id is not None and wire_id not in line["ids"]):
        return False
    group = line["groups"][version["group"]]
    runs = group["runs"]
    mixed = len(line["versions"]) > 1 and key not in group["lasting"]
    if mixed and stays(group["split"], group["since_ms"], {run[0] for run in runs.values()}, now_ms):
        return False
    return all(
        runs.get(str(partition), ("", 0))[0] == key and offset >= version["first"].get(str(partition), 0)
        for partition, offset in sightings_of(observation.spans)
    )

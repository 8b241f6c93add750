"""Schema drift where there is no schema: JSON whose structure changes.

What is usual at each field path is learned from the first records: which types, and, for longer, whether it is always
there and ever null. Flushes are looked at from time to time meanwhile, since each look is written down. Then a flush
that differs opens a suspicion, and enough of it is drift, told once for all paths that it concerns, in the words that
changes of schemas have. What is told, or turns out to be rare, is usual from then on: each change is told once.

Not told: fields that are in few records, fields that come back, keys of maps, anything that a path has not been seen
often enough for. A flush in which old and new records meet decides nothing by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.epoch import entered, turn
from stream_lineage.detect.payload_paths import declared_maps, tallies
from stream_lineage.detect.payload_state import Structure
from stream_lineage.detect.payload_watch import FAMILIAR, RARE, USUAL, Watch, fold
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import Framing
from stream_lineage.profile.paths import ROOT


class PayloadStructure:
    """``structure-drift``. State: the topic's epoch and a ``Structure``."""

    name = "payload-structure"
    channel: Channel = "drift"

    def initial(self) -> State:
        return {"epoch": None, "past_epochs": [], "structure": Structure().dump()}

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        where = turn(state, observation.topic_id)
        profile = observation.profile
        if (
            where == "past"
            or observation.kind is ObservationKind.RESOLUTION
            or observation.value_schema.framing is not Framing.PLAIN_JSON
            or profile is None
            or profile.decoder is not Decoder.JSON
            or profile.decoded <= 0
        ):
            return state, ()
        if where == "same" and state["epoch"] in (None, observation.topic_id) and _settled(state["structure"], profile):
            return state, ()
        structure = Structure.load(state["structure"])
        epochs = {name: state[name] for name in ("epoch", "past_epochs")}
        if where == "new":
            epochs = entered(state, observation.topic_id)
            structure.through, structure.suspects = {}, {}
        elif observation.topic_id is not None:
            epochs["epoch"] = observation.topic_id
        if all(span.last_offset <= structure.through.get(span.partition, -1) for span in observation.spans):
            return state, ()
        fold(structure, [path for path in declared_maps(profile) if path not in structure.maps])
        seen = tallies(profile, (*structure.paths, *structure.suspected_paths()), structure.maps)
        watch = Watch(structure, seen, observation, int(now.timestamp() * 1000))
        findings = tuple(watch.compare() if structure.ready else watch.learn())
        if not watch.changed and structure.maps == state["structure"]["maps"] and epochs["epoch"] == state["epoch"]:
            return state, findings
        structure.bound()
        for span in observation.spans:
            known = structure.through.get(span.partition, -1)
            structure.through[span.partition] = max(known, span.last_offset)
        after = {**epochs, "structure": structure.dump()}
        return (state if after == state else after), findings


def _settled(structure: dict[str, Any], profile: Profile) -> bool:
    """Whether all is as usual, so that nothing can change. Nearly every flush is."""
    if not structure["settled"] or structure["suspects"]:
        return False
    paths: dict[str, list[Any]] = structure["paths"]
    there = set()
    for one in profile.fields:
        row = paths.get(one.path)
        if row is None or row[0] < FAMILIAR or (one.missing and not row[1]) or (one.nulls and not row[2]):
            return False
        if one.missing < one.slots:
            there.add(one.path)
        types, enough = row[3], RARE * sum(row[3].values())
        if any(types.get(count.type, 0) < enough or count.type not in types for count in one.types):
            return False
    return not any(
        path not in there and path != ROOT and row[0] - row[1] >= USUAL * row[0] for path, row in paths.items()
    )

"""Schema drift where there is no schema: JSON whose structure changes.

What is usual at each field path is learned from the first records: which types, and, for longer, whether it is always
there and ever null. Flushes are looked at from time to time meanwhile, since each look is written down. Then a flush
that differs opens a suspicion, and enough of it is drift, told once for all paths that it concerns, in the words that
changes of schemas have. What is told, or turns out to be rare, is usual from then on: each change is told once.

Not told: fields that are in few records, fields that come back, keys of maps, anything that a path has not been seen
often enough for. A flush in which old and new records meet decides nothing by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.epoch import entered, turn
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.payload_paths import Tally, declared_maps, is_inside, maps_among, parent_of, tallies
from stream_lineage.detect.payload_state import MAX_PATHS, MAX_SUSPECTS, Structure, Suspect
from stream_lineage.detect.schema_change import changes_text, common_path, offsets_text, severity, verdict_text
from stream_lineage.detect.schema_delta import SchemaDiff
from stream_lineage.model.finding import Compatibility, Finding, SchemaChange
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import Framing
from stream_lineage.profile.paths import ROOT

WARM_UP_RECORDS = 300
WARM_UP_SECONDS = 60
PRESENCE_SECONDS = 600
PRESENCE_LOOKS = 10
"""So much is seen before types are usual, and before it is usual that a field is there. Larger: what comes and goes is
known by then, and drift in the first minutes goes unnoticed."""
EARLY_GAP_MS, LATE_GAP_MS = 2_000, 15_000
"""Between two looks, once there are enough records, and once types are usual. Smaller: more is learned and written."""
FAMILIAR = 300
"""Slots of a path after which what never happened there is unusual; until then it is learned."""
ENOUGH = 50
"""Slots, or values of another type, that make a suspicion drift. Larger: later and surer."""
MIXED_RATIO = 0.05
"""The share of values that are missing, null or of another type, beside usual ones, that is drift. Smaller values tell
of single producers, and of every oddity."""
MIXED_FLUSHES = 3
FEW = 10
DENSE = 0.5
USUAL = 0.9
"""A field that was in so much of the slots, and is in none, is removed; a new one in ``DENSE`` of them is added."""
PATIENCE = 1000
PATIENCE_FLUSHES = 60
"""A suspicion that is none after so many slots and flushes was something rare, which is usual from then on. Larger:
what comes by and by is told all the same, and what is rare is written down more often."""
SURE = 20
"""Values in a row that are all of other types than before are no oddity."""
RARE = 0.01
BOTH = ("backward", "forward")


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
        watch = _Watch(structure, seen, observation, int(now.timestamp() * 1000))
        findings = tuple(watch.compare() if structure.ready else watch.learn())
        if not watch.changed and structure.maps == state["structure"]["maps"] and epochs["epoch"] == state["epoch"]:
            return state, findings
        structure.bound()
        for span in observation.spans:
            known = structure.through.get(span.partition, -1)
            structure.through[span.partition] = max(known, span.last_offset)
        after = {**epochs, "structure": structure.dump()}
        return (state if after == state else after), findings


class _Watch:
    """One flush held against what is usual."""

    def __init__(self, structure: Structure, seen: dict[str, Tally], observation: Observation, now_ms: int) -> None:
        self.structure = structure
        self.now_ms = now_ms
        self.seen = seen
        self.observation = observation
        self.changed = False
        self._told: list[tuple[SchemaChange, dict[int, int]]] = []
        self._adopted: set[str] = set()

    def learn(self) -> Iterable[Finding]:
        """Take all of it for usual."""
        structure = self.structure
        if structure.records < WARM_UP_RECORDS or self.now_ms - structure.last_ms >= EARLY_GAP_MS:
            self._look()
            for path, tally in self.seen.items():
                if path in structure.paths:
                    structure.paths[path].add(tally)
            structure.ready = structure.records >= WARM_UP_RECORDS and self._age() >= WARM_UP_SECONDS
        return ()

    def compare(self) -> Iterable[Finding]:
        """Look at each path; what there is to tell is told at once."""
        structure = self.structure
        looks = not structure.settled and self.now_ms - structure.last_ms >= LATE_GAP_MS
        if looks:
            self._look()
        for path, tally in self.seen.items():
            usual = structure.paths.get(path)
            if not tally.slots or path in self._adopted:
                continue
            if usual is None:
                if structure.settled:
                    self._appeared(path, tally)
                continue
            if self._type_changed(path, usual, tally):
                continue
            if not structure.settled:
                if looks:
                    usual.add(_known_types(usual, tally))
                continue
            if "{}" not in path and path != ROOT:
                self._vanished(path, usual, tally)
                self._optional(path, usual, tally)
            self._null(path, usual, tally)
            if usual.slots < FAMILIAR and not self._suspected(path):
                usual.add(tally)
                self.changed = True
        if looks:
            structure.settled = self._age() >= PRESENCE_SECONDS and structure.looks >= PRESENCE_LOOKS
        if self._told:
            yield self._finding()

    def _age(self) -> float:
        return (self.now_ms - (self.structure.since_ms or 0)) / 1000

    def _look(self) -> None:
        """Count a flush that is learned from, and take in the paths that are new: they were in no object so far."""
        structure = self.structure
        before, records = structure.records, self.seen[ROOT].slots if ROOT in self.seen else 0
        objects = {path: tally.types.get("object", 0) for path, tally in structure.paths.items()}
        for path in self.seen:
            if path not in structure.paths and len(structure.paths) < MAX_PATHS:
                earlier = 0
                if not path.endswith(("[]", "{}")) and path != ROOT:
                    parent = parent_of(path)
                    earlier = objects.get(parent, 0) if parent else before
                structure.paths[path] = Tally(earlier, missing=earlier)
        fold(structure, maps_among(structure.paths, structure.maps))
        structure.since_ms = self.now_ms if structure.since_ms is None else structure.since_ms
        structure.last_ms = max(structure.last_ms, self.now_ms)
        structure.records += records
        structure.looks += 1
        self.changed = True

    def _appeared(self, path: str, tally: Tally) -> None:
        parent = parent_of(path)
        if len(self.structure.paths) >= MAX_PATHS or ("type", parent) in self:
            return
        if parent and parent not in self.structure.paths:
            return  # below something new: that is told, and this is learned with it
        suspect = self._suspect("added", path, tally)
        if suspect is None:
            return
        named = "{}" not in path and not path.endswith("[]")
        suspect.pure = suspect.pure + tally.present if tally.present >= DENSE * tally.slots else 0
        if named and suspect.pure >= ENOUGH and suspect.flushes >= MIXED_FLUSHES:
            self._tell("added", path, SchemaChange("field-added", path, None, _types(suspect.seen.types)))
            self._adopt(path, tally)
        elif _is_over(suspect, suspect.seen.slots) or (not named and suspect.seen.slots >= ENOUGH):
            self._drop("added", path)
            self._adopt(path, suspect.seen)

    def _adopt(self, path: str, tally: Tally) -> None:
        """A path that is usual from now on, with what is below it."""
        self.structure.paths[path] = tally.copy()
        self._adopted.add(path)
        self._drop("added", path)
        self._adopt_inside(path)

    def _adopt_inside(self, path: str) -> None:
        """What is new below a path is no change of its own."""
        paths = self.structure.paths
        for each in self.seen:
            if is_inside(each, path) and each not in paths:
                if len(paths) < MAX_PATHS:
                    paths[each] = self.seen[each].copy()
                    self._adopted.add(each)
                self._drop("added", each)
        fold(self.structure, maps_among(self.structure.paths, self.structure.maps))

    def _vanished(self, path: str, usual: Tally, tally: Tally) -> None:
        if tally.present or usual.slots < ENOUGH or usual.present < USUAL * usual.slots:
            self._drop("removed", path)
            return
        suspect = self._suspect("removed", path, tally)
        if suspect is None:
            return
        began = self.structure.suspects.get(_name("optional", path))  # in a flush that had some still
        flushes = suspect.flushes if began is None else max(began.flushes + 1, suspect.flushes)
        if suspect.seen.slots >= ENOUGH and flushes >= MIXED_FLUSHES:
            if began is not None:
                suspect.first = {**suspect.first, **began.first}
            change = SchemaChange("field-removed", path, _types(usual.types), None, ("forward",))
            self._tell("removed", path, change)
            usual.missing += usual.slots  # rare from now on: that it comes back is no news
            usual.slots *= 2
            self._drop("optional", path)

    def _optional(self, path: str, usual: Tally, tally: Tally) -> None:
        if usual.missing or usual.slots < FAMILIAR:
            return
        suspect = self._mixed("optional", path, tally, tally.missing)
        if suspect is not None and tally.present and _is_mixed(suspect, suspect.seen.missing, suspect.seen.slots):
            change = SchemaChange("required-removed", path, "required", "optional", ("forward",))
            self._tell("optional", path, change)
            usual.add(suspect.seen)
        elif suspect is not None and tally.present and _is_over(suspect, suspect.seen.slots):
            self._drop("optional", path)
            usual.add(suspect.seen)

    def _null(self, path: str, usual: Tally, tally: Tally) -> None:
        if usual.nulls or usual.slots < FAMILIAR:
            return
        suspect = self._mixed("null", path, tally, tally.nulls)
        if suspect is None:
            return
        only = suspect.seen.nulls == suspect.seen.present >= ENOUGH
        if only or _is_mixed(suspect, suspect.seen.nulls, suspect.seen.present):
            types = _types(usual.types)
            change = SchemaChange("nullability-added", path, types, f"{types}, null", ("forward",))
            self._tell("null", path, change)
            usual.add(suspect.seen)
        elif _is_over(suspect, suspect.seen.slots):
            self._drop("null", path)
            usual.add(suspect.seen)

    def _type_changed(self, path: str, usual: Tally, tally: Tally) -> bool:
        """Whether the values are all of other types by now, so that nothing else is to be said of them."""
        main = {name for name, count in usual.types.items() if count >= RARE * usual.values}
        if usual.values < ENOUGH or not main or not tally.types:
            return False
        if "number" in main:
            main.add("integer")  # 20 is as good a number as 20.5
        strange = set(tally.types) - main
        pure = strange == set(tally.types)
        if not pure and not (strange - set(usual.types)) and ("type", path) not in self:
            return False
        suspect = self._suspect("type", path, tally)
        if suspect is None:
            return False
        suspect.pure = suspect.pure + tally.values if pure else 0
        odd = sum(count for name, count in suspect.seen.types.items() if name not in main)
        old, both = _types(usual.types, main), _types({**suspect.seen.types, **dict.fromkeys(main, 1)})
        promoted = set(suspect.seen.types) - main == {"number"} and main == {"integer"}
        what: tuple[str, tuple[str, ...]]
        if suspect.pure >= SURE:
            what = ("type-promoted", ()) if promoted else ("type-changed", BOTH)
            self._tell("type", path, SchemaChange(what[0], path, old, _types(tally.types), what[1]))
            for below in [below for below in self.structure.paths if is_inside(below, path)]:
                del self.structure.paths[below]
            self._adopt(path, Tally(usual.slots, usual.missing, usual.nulls, tally.types))
        elif not pure and _is_mixed(suspect, odd, suspect.seen.values):
            what = ("type-promoted", ()) if promoted else ("type-widened", ("forward",))
            self._tell("type", path, SchemaChange(what[0], path, old, both, what[1]))
            usual.add(suspect.seen)
            self._adopt_inside(path)
        elif not pure and _is_over(suspect, suspect.seen.values):
            self._drop("type", path)
            usual.add(suspect.seen)
            self._adopt_inside(path)
        return pure

    def __contains__(self, key: tuple[str, str]) -> bool:
        return _name(*key) in self.structure.suspects

    def _suspected(self, path: str) -> bool:
        return any((what, path) in self for what in ("removed", "optional", "null", "type"))

    def _mixed(self, what: str, path: str, tally: Tally, strange: int) -> Suspect | None:
        """The suspicion, if there is reason for one, or one already."""
        return self._suspect(what, path, tally) if strange or (what, path) in self else None

    def _suspect(self, what: str, path: str, tally: Tally) -> Suspect | None:
        """Count a flush in; null where there are too many suspicions already."""
        name, suspects = _name(what, path), self.structure.suspects
        if name not in suspects and len(suspects) >= MAX_SUSPECTS:
            return None
        suspect = suspects.setdefault(name, Suspect())
        suspect.seen.add(tally)
        suspect.flushes += 1
        for span in self.observation.spans:
            if span.count:
                suspect.first.setdefault(span.partition, span.first_record_offset)
        self.changed = True
        return suspect

    def _drop(self, what: str, path: str) -> None:
        if self.structure.suspects.pop(_name(what, path), None) is not None:
            self.changed = True

    def _tell(self, what: str, path: str, change: SchemaChange) -> None:
        if path == ROOT:
            change = replace(change, path="")
        self._told.append((change, self.structure.suspects[_name(what, path)].first))
        self._drop(what, path)

    def _finding(self) -> Finding:
        changes = tuple(change for change, _ in sorted(self._told, key=lambda told: told[0].path))
        first: dict[int, int] = {}
        for _, offsets in self._told:
            for partition, offset in offsets.items():
                first[partition] = min(offset, first.get(partition, offset))
        broken = {way for change in changes for way in change.breaks}
        difference = SchemaDiff(Compatibility("backward" not in broken, "forward" not in broken), changes)
        topic, reference = self.observation.topic, self.observation.value_schema
        what = [text for change in changes for text in (change.kind, change.path, change.new)]
        return Finding(
            kind="structure-drift",
            severity=severity(difference),
            topic=topic,
            field_path=common_path(changes),
            summary=f"{topic}: the JSON of the values changed: {changes_text(changes)}; "
            f"{verdict_text(difference.compatibility)}; {offsets_text(first)}",
            fingerprint=finding_fingerprint("structure-drift", self.observation.cluster, topic, *what),
            first_offsets=dict(sorted(first.items())),
            before=reference,
            after=reference,
            compatibility=difference.compatibility,
            changes=changes,
        )


def fold(structure: Structure, maps: Collection[str]) -> None:
    """Objects that turn out to be maps are seen as such from now on: nothing is known of their entries."""
    structure.maps += maps
    for parent in maps:
        for path in [path for path in structure.paths if path != ROOT and (not parent or is_inside(path, parent))]:
            del structure.paths[path]
        for name in list(structure.suspects):
            if not parent or is_inside(name.partition("\n")[2], parent):
                del structure.suspects[name]


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


def _known_types(usual: Tally, tally: Tally) -> Tally:
    """Without values of types that are strange there: those are for the comparison of types to judge."""
    if usual.values < ENOUGH:
        return tally
    return replace(tally, types={name: count for name, count in tally.types.items() if name in usual.types})


def _is_mixed(suspect: Suspect, strange: int, among: int) -> bool:
    """Whether it goes on beside what is usual, which a change from one to the other does for a flush or two."""
    return (
        suspect.flushes >= MIXED_FLUSHES
        and among >= ENOUGH
        and strange >= FEW
        and MIXED_RATIO * among <= strange < among
    )


def _is_over(suspect: Suspect, slots: int) -> bool:
    return slots >= PATIENCE and suspect.flushes >= PATIENCE_FLUSHES


def _types(types: dict[str, int], among: set[str] | None = None) -> str:
    """``integer, string``."""
    return ", ".join(sorted(name for name in types if among is None or name in among)) or "null"


def _name(what: str, path: str) -> str:
    return f"{what}\n{path}"

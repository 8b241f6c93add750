"""One flush of JSON records held against what is usual: what is learned from it, suspected, told."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from stream_lineage.detect.payload_finding import Told, structure_finding
from stream_lineage.detect.payload_paths import Tally, is_inside, maps_among, parent_of
from stream_lineage.detect.payload_state import MAX_PATHS, Structure
from stream_lineage.detect.payload_suspects import ENOUGH, MIXED_FLUSHES, Suspects, is_mixed, is_over
from stream_lineage.detect.schema_delta import BOTH
from stream_lineage.model.finding import Finding, SchemaChange
from stream_lineage.model.observation import Observation
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
DENSE = 0.5
USUAL = 0.9
"""A field that was in so much of the slots, and is in none, is removed; a new one in ``DENSE`` of them is added."""
SURE = 20
"""Values in a row that are all of other types than before are no oddity."""
RARE = 0.01
"""A type that a smaller share of the values has is not a usual one."""


class Watch:
    """One flush held against what is usual."""

    def __init__(self, structure: Structure, seen: dict[str, Tally], observation: Observation, now_ms: int) -> None:
        self._structure = structure
        self._now_ms = now_ms
        self._seen = seen
        self._observation = observation
        self._suspects = Suspects(structure.suspects, observation.spans)
        self._learned = False
        self._told: list[Told] = []
        self._adopted: set[str] = set()

    @property
    def changed(self) -> bool:
        """Whether anything is known now that was not, or no longer."""
        return self._learned or self._suspects.changed

    def learn(self) -> Iterable[Finding]:
        """Take all of it for usual."""
        structure = self._structure
        if structure.records < WARM_UP_RECORDS or self._now_ms - structure.last_ms >= EARLY_GAP_MS:
            self._look()
            for path, tally in self._seen.items():
                if path in structure.paths:
                    structure.paths[path].add(tally)
            structure.ready = structure.records >= WARM_UP_RECORDS and self._age() >= WARM_UP_SECONDS
        return ()

    def compare(self) -> Iterable[Finding]:
        """Look at each path; what there is to tell is told at once."""
        structure = self._structure
        looks = not structure.settled and self._now_ms - structure.last_ms >= LATE_GAP_MS
        if looks:
            self._look()
        for path, tally in self._seen.items():
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
            if usual.slots < FAMILIAR and not self._suspects.at(path):
                usual.add(tally)
                self._learned = True
        if looks:
            structure.settled = self._age() >= PRESENCE_SECONDS and structure.looks >= PRESENCE_LOOKS
        if self._told:
            yield structure_finding(self._observation, self._told)

    def _age(self) -> float:
        return (self._now_ms - (self._structure.since_ms or 0)) / 1000

    def _look(self) -> None:
        """Count a flush that is learned from, and take in the paths that are new: they were in no object so far."""
        structure = self._structure
        before = structure.records
        objects = {path: tally.types.get("object", 0) for path, tally in structure.paths.items()}
        for path in self._seen:
            if path not in structure.paths and len(structure.paths) < MAX_PATHS:
                earlier = 0
                if not path.endswith(("[]", "{}")) and path != ROOT:
                    parent = parent_of(path)
                    earlier = objects.get(parent, 0) if parent else before
                structure.paths[path] = Tally(earlier, missing=earlier)
        fold(structure, maps_among(structure.paths, structure.maps))
        structure.since_ms = self._now_ms if structure.since_ms is None else structure.since_ms
        structure.last_ms = max(structure.last_ms, self._now_ms)
        structure.records += self._seen[ROOT].slots
        structure.looks += 1
        self._learned = True

    def _appeared(self, path: str, tally: Tally) -> None:
        parent = parent_of(path)
        if len(self._structure.paths) >= MAX_PATHS or ("type", parent) in self._suspects:
            return
        if parent and parent not in self._structure.paths:
            return  # below something new: that is told, and this is learned with it
        suspect = self._suspects.count("added", path, tally)
        if suspect is None:
            return
        named = "{}" not in path and not path.endswith("[]")
        suspect.pure = suspect.pure + tally.present if tally.present >= DENSE * tally.slots else 0
        if named and suspect.pure >= ENOUGH and suspect.flushes >= MIXED_FLUSHES:
            self._tell("added", path, SchemaChange("field-added", path, None, _types(suspect.seen.types)))
            self._adopt(path, tally)
        elif is_over(suspect, suspect.seen.slots) or (not named and suspect.seen.slots >= ENOUGH):
            self._suspects.drop("added", path)
            self._adopt(path, suspect.seen)

    def _adopt(self, path: str, tally: Tally) -> None:
        """A path that is usual from now on, with what is below it."""
        self._structure.paths[path] = tally.copy()
        self._adopted.add(path)
        self._suspects.drop("added", path)
        self._adopt_inside(path)

    def _adopt_inside(self, path: str) -> None:
        """What is new below a path is no change of its own."""
        paths = self._structure.paths
        for each in self._seen:
            if is_inside(each, path) and each not in paths:
                if len(paths) < MAX_PATHS:
                    paths[each] = self._seen[each].copy()
                    self._adopted.add(each)
                self._suspects.drop("added", each)
        fold(self._structure, maps_among(self._structure.paths, self._structure.maps))

    def _vanished(self, path: str, usual: Tally, tally: Tally) -> None:
        if tally.present or usual.slots < ENOUGH or usual.present < USUAL * usual.slots:
            self._suspects.drop("removed", path)
            return
        suspect = self._suspects.count("removed", path, tally)
        if suspect is None:
            return
        began = self._suspects.get("optional", path)  # in a flush that had some still
        flushes = suspect.flushes if began is None else max(began.flushes + 1, suspect.flushes)
        if suspect.seen.slots >= ENOUGH and flushes >= MIXED_FLUSHES:
            if began is not None:
                suspect.first = {**suspect.first, **began.first}
            change = SchemaChange("field-removed", path, _types(usual.types), None, ("forward",))
            self._tell("removed", path, change)
            usual.missing += usual.slots  # rare from now on: that it comes back is no news
            usual.slots *= 2
            self._suspects.drop("optional", path)

    def _optional(self, path: str, usual: Tally, tally: Tally) -> None:
        if usual.missing or usual.slots < FAMILIAR:
            return
        suspect = self._suspects.count_if("optional", path, tally, tally.missing)
        if suspect is not None and tally.present and is_mixed(suspect, suspect.seen.missing, suspect.seen.slots):
            change = SchemaChange("required-removed", path, "required", "optional", ("forward",))
            self._tell("optional", path, change)
            usual.add(suspect.seen)
        elif suspect is not None and tally.present and is_over(suspect, suspect.seen.slots):
            self._suspects.drop("optional", path)
            usual.add(suspect.seen)

    def _null(self, path: str, usual: Tally, tally: Tally) -> None:
        if usual.nulls or usual.slots < FAMILIAR:
            return
        suspect = self._suspects.count_if("null", path, tally, tally.nulls)
        if suspect is None:
            return
        only = suspect.seen.nulls == suspect.seen.present >= ENOUGH
        if only or is_mixed(suspect, suspect.seen.nulls, suspect.seen.present):
            types = _types(usual.types)
            change = SchemaChange("nullability-added", path, types, f"{types}, null", ("forward",))
            self._tell("null", path, change)
            usual.add(suspect.seen)
        elif is_over(suspect, suspect.seen.slots):
            self._suspects.drop("null", path)
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
        if not pure and not (strange - set(usual.types)) and ("type", path) not in self._suspects:
            return False
        suspect = self._suspects.count("type", path, tally)
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
            for below in [below for below in self._structure.paths if is_inside(below, path)]:
                del self._structure.paths[below]
            self._adopt(path, Tally(usual.slots, usual.missing, usual.nulls, tally.types))
        elif not pure and is_mixed(suspect, odd, suspect.seen.values):
            what = ("type-promoted", ()) if promoted else ("type-widened", ("forward",))
            self._tell("type", path, SchemaChange(what[0], path, old, both, what[1]))
            usual.add(suspect.seen)
            self._adopt_inside(path)
        elif not pure and is_over(suspect, suspect.seen.values):
            self._suspects.drop("type", path)
            usual.add(suspect.seen)
            self._adopt_inside(path)
        return pure

    def _tell(self, what: str, path: str, change: SchemaChange) -> None:
        if path == ROOT:
            change = replace(change, path="")
        self._told.append((change, self._suspects.first(what, path)))
        self._suspects.drop(what, path)


def fold(structure: Structure, maps: Collection[str]) -> None:
    """Objects that turn out to be maps are seen as such from now on: nothing is known of their entries."""
    structure.maps += maps
    for parent in maps:
        for path in [path for path in structure.paths if path != ROOT and (not parent or is_inside(path, parent))]:
            del structure.paths[path]
        for name in list(structure.suspects):
            if not parent or is_inside(name.partition("\n")[2], parent):
                del structure.suspects[name]


def _known_types(usual: Tally, tally: Tally) -> Tally:
    """Without values of types that are strange there: those are for the comparison of types to judge."""
    if usual.values < ENOUGH:
        return tally
    return replace(tally, types={name: count for name, count in tally.types.items() if name in usual.types})


def _types(types: dict[str, int], among: set[str] | None = None) -> str:
    """``integer, string``."""
    return ", ".join(sorted(name for name in types if among is None or name in among)) or "null"

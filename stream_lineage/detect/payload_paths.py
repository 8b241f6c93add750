"""What a flush of JSON says of each field path, with the keys of maps folded into one path.

Objects that are used as maps have keys that are data: numbers, dates, identifiers. Each of them would be a field that
comes and goes, so that such a name stands as ``{}``, and all entries count as values of one path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from stream_lineage.model.profile import Profile
from stream_lineage.profile.paths import OBJECT_TYPES, ROOT, absent_slots, is_top_level

MAX_PATH_CHARACTERS = 200
SPARSE_RATIO = 0.2
MAP_CHILDREN = 30
"""An object with so many names, nearly all of them in few of its values, is a map. Larger: maps with few keys raise
alerts on keys; smaller: objects of many optional fields are taken for maps."""
_GENERATED = re.compile(r"\d{4,}|^\d|^[0-9a-f]{8,}$|^[0-9a-f]{8}-[0-9a-f-]{13,}$|.@.|/", re.IGNORECASE)

_STEP = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^."])+')
"""One name of a path with what stands for items; in quotes where it could be mistaken for several."""


@dataclass(slots=True)
class Tally:
    """Counts at one path: ``slots`` where there could be a value, ``missing`` without one, ``nulls``, and values by
    type."""

    slots: int = 0
    missing: int = 0
    nulls: int = 0
    types: dict[str, int] = field(default_factory=dict)

    @property
    def values(self) -> int:
        """Neither missing nor null."""
        return sum(self.types.values())

    @property
    def present(self) -> int:
        return self.slots - self.missing

    def copy(self) -> Tally:
        return Tally(self.slots, self.missing, self.nulls, dict(self.types))

    def add(self, other: Tally) -> None:
        self.slots += other.slots
        self.missing += other.missing
        self.nulls += other.nulls
        for name, count in other.types.items():
            self.types[name] = self.types.get(name, 0) + count


def tallies(profile: Profile, known: Collection[str], maps: Collection[str]) -> dict[str, Tally]:
    """What a profile says of each path, and of the ``known`` ones that it does not mention: they are missing there,
    unless it left paths out. ``maps`` are the paths of objects that are known to be maps."""
    found: dict[str, Tally] = {}
    mentioned = {one.path for one in profile.fields}
    objects = {
        one.path: sum(count.count for count in one.types if count.type in OBJECT_TYPES) for one in profile.fields
    }
    for one in profile.fields:
        path = folded(one.path, maps)
        if len(path) > MAX_PATH_CHARACTERS:
            continue
        tally = Tally(one.slots, one.missing, one.nulls, {count.type: count.count for count in one.types})
        if path != one.path:  # of a map's values none is missing
            tally.slots, tally.missing = tally.slots - tally.missing, 0
        found.setdefault(path, Tally()).add(tally)
    if ROOT not in mentioned:
        found[ROOT] = Tally(profile.decoded, types={"object": profile.decoded} if profile.decoded else {})
    if not profile.truncated_fields:
        every = mentioned | set(known)
        for path in known:
            if path not in found and "{}" not in path and path != ROOT:
                slots = absent_slots(path, profile.decoded, every, objects)
                if slots:
                    found[path] = Tally(slots, missing=slots)
    outside = found[ROOT].slots - found[ROOT].types.get("object", 0)
    if outside > 0:  # what is no object has no place for fields
        for path, tally in found.items():
            if path != ROOT and is_top_level(path):
                less = min(outside, tally.missing)
                tally.slots, tally.missing = tally.slots - less, tally.missing - less
    return found


def folded(path: str, maps: Collection[str]) -> str:
    """The path with ``{}`` in place of names that are keys of a map."""
    if path == ROOT:
        return path
    out = ""
    for name in _STEP.findall(path):
        bare = name.rstrip("[]{}")
        items = name[len(bare) :]
        if out in maps or (bare and _GENERATED.search(bare)):
            out = f"{out}{{}}{items}"
        else:
            out = f"{out}.{name}" if out else name
    return out


def declared_maps(profile: Profile) -> list[str]:
    """Paths of objects that the decoder took for maps, which it may do at any time."""
    return [folded(one.path, ())[:-2] for one in profile.fields if one.path.endswith("{}")]


def maps_among(paths: Mapping[str, Tally], known: Collection[str]) -> list[str]:
    """Paths of objects that turn out to be maps (the empty path is the record itself)."""
    children: dict[str, list[Tally]] = {}
    for path, tally in paths.items():
        if path != ROOT and not path.endswith(("[]", "{}")):
            children.setdefault(parent_of(path), []).append(tally)
    return [
        parent
        for parent, tally_of in children.items()
        if parent not in known
        and len(tally_of) >= MAP_CHILDREN
        and sum(tally.present < SPARSE_RATIO * tally.slots for tally in tally_of) >= 0.8 * len(tally_of)
    ]


def parent_of(path: str) -> str:
    """The path of what holds a path; empty for a record's own fields."""
    if path.endswith(("[]", "{}")):
        return path[:-2]
    *above, _ = _STEP.findall(path) or [""]
    return ".".join(above)


def is_inside(path: str, other: str) -> bool:
    """Whether a path is somewhere below another."""
    return path.startswith((f"{other}.", f"{other}[]", f"{other}{{}}"))

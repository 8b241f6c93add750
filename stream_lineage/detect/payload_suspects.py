"""What is not as usual in JSON records, counted until it is drift, or turns out to be rare."""

from __future__ import annotations

from collections.abc import Sequence

from stream_lineage.detect.payload_paths import Tally
from stream_lineage.detect.payload_state import MAX_SUSPECTS, Suspect
from stream_lineage.model.span import OffsetSpan

ENOUGH = 50
"""Slots, or values of another type, that make a suspicion drift. Larger: later and surer."""
MIXED_RATIO = 0.05
"""The share of values that are missing, null or of another type, beside usual ones, that is drift. Smaller values tell
of single producers, and of every oddity."""
MIXED_FLUSHES = 3
FEW = 10
PATIENCE = 1000
PATIENCE_FLUSHES = 60
"""A suspicion that is none after so many slots and flushes was something rare, which is usual from then on. Larger:
what comes by and by is told all the same, and what is rare is written down more often."""


class Suspects:
    """Of one topic, while one flush is looked at: ``added``, ``removed``, ``optional``, ``null`` or ``type`` at a path.

    ``changed`` says whether one was counted or dropped.
    """

    def __init__(self, known: dict[str, Suspect], spans: Sequence[OffsetSpan]) -> None:
        self._known = known
        self._spans = spans
        self.changed = False

    def __contains__(self, key: tuple[str, str]) -> bool:
        return _name(*key) in self._known

    def at(self, path: str) -> bool:
        """Whether there is one of what is there already."""
        return any((what, path) in self for what in ("removed", "optional", "null", "type"))

    def count_if(self, what: str, path: str, tally: Tally, strange: int) -> Suspect | None:
        """The suspicion, if there is reason for one, or one already."""
        return self.count(what, path, tally) if strange or (what, path) in self else None

    def count(self, what: str, path: str, tally: Tally) -> Suspect | None:
        """Count a flush in; null where there are too many suspicions already."""
        name, known = _name(what, path), self._known
        if name not in known and len(known) >= MAX_SUSPECTS:
            return None
        suspect = known.setdefault(name, Suspect())
        suspect.seen.add(tally)
        suspect.flushes += 1
        for span in self._spans:
            if span.count:
                suspect.first.setdefault(span.partition, span.first_record_offset)
        self.changed = True
        return suspect

    def first(self, what: str, path: str) -> dict[int, int]:
        """Where one that is there began."""
        return self._known[_name(what, path)].first

    def get(self, what: str, path: str) -> Suspect | None:
        """One as it is, without this flush."""
        return self._known.get(_name(what, path))

    def drop(self, what: str, path: str) -> None:
        if self._known.pop(_name(what, path), None) is not None:
            self.changed = True


def is_mixed(suspect: Suspect, strange: int, among: int) -> bool:
    """Whether it goes on beside what is usual, which a change from one to the other does for a flush or two."""
    return (
        suspect.flushes >= MIXED_FLUSHES
        and among >= ENOUGH
        and strange >= FEW
        and MIXED_RATIO * among <= strange < among
    )


def is_over(suspect: Suspect, slots: int) -> bool:
    """Whether it was looked at for long enough."""
    return slots >= PATIENCE and suspect.flushes >= PATIENCE_FLUSHES


def _name(what: str, path: str) -> str:
    return f"{what}\n{path}"

"""What is known of one node or edge: all its evidence, merged in any order to the same.

A piece of evidence is one class, one source and one stretch of time from its first sight on. Events about the same
piece widen the stretch; what they say beside it counts as it was said last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

from stream_lineage.model.graph import Detail, Evidence, EvidenceClass

LOW = 0.5
"""Below this confidence something is a candidate that nothing is concluded from."""
HIGHEST = {EvidenceClass.GROUP: 0.95, EvidenceClass.TRANSACTION: 0.95, EvidenceClass.VALUES: 0.4}
"""Confidence that evidence of a class may give at most. Values may match by chance, whatever they look like."""
MOST_SAID = 100
"""So many different things are kept of one piece, the newest: which run has started a job is another one each time."""

_RANK = {by: rank for rank, by in enumerate(EvidenceClass)}
_Piece = tuple[EvidenceClass, str, datetime]
_Said = dict[tuple[float, Detail], tuple[datetime, datetime]]


class Known:
    """``take`` in evidence. Pieces are few; all that is asked is worked out from them.

    ``first`` and ``newest`` are when the earliest and the latest piece was seen first. ``steady``: none was ever
    withdrawn, and each said one thing, so that what holds is the same from ``newest`` on. ``shared``: several graphs
    have it, and none may take in more.
    """

    __slots__ = ("_said", "_span", "first", "newest", "shared", "steady")

    def __init__(self) -> None:
        self._span: dict[_Piece, tuple[datetime, datetime | None]] = {}  # last seen, withdrawn
        self._said: dict[_Piece, _Said] = {}
        self.first: datetime | None = None
        self.newest: datetime | None = None
        self.steady = True
        self.shared = False

    def copied(self) -> Known:
        """The same, of one's own."""
        copy = Known()
        copy._span = dict(self._span)
        copy._said = {piece: dict(said) for piece, said in self._said.items()}
        copy.first, copy.newest, copy.steady = self.first, self.newest, self.steady
        return copy

    def take(self, evidence: Evidence) -> None:
        piece = (evidence.by, evidence.source, evidence.first_seen)
        self.first = min(self.first or evidence.first_seen, evidence.first_seen)
        self.newest = max(self.newest or evidence.first_seen, evidence.first_seen)
        last, withdrawn = self._span.get(piece, (evidence.last_seen, None))
        if evidence.withdrawn_at is not None:
            withdrawn = max(withdrawn or evidence.withdrawn_at, evidence.withdrawn_at)
        self._span[piece] = max(last, evidence.last_seen), withdrawn
        said = self._said.setdefault(piece, {})
        content = (evidence.confidence, evidence.detail)
        first, until = said.get(content, (evidence.last_seen, evidence.last_seen))
        said[content] = min(first, evidence.last_seen), max(until, evidence.last_seen)
        if len(said) > MOST_SAID:
            del said[min(said, key=lambda each: (said[each][1], each))]
        self.steady = self.steady and withdrawn is None and len(said) == 1

    def evidence(self, at: datetime | None = None) -> list[Evidence]:
        """All pieces, those of the surest class first; with ``at``, as they were then."""
        found = [self._piece(piece, at) for piece in self._span if at is None or piece[2] <= at]
        return sorted(found, key=lambda each: (_RANK[each.by], each.source, each.first_seen))

    def holds(self, at: datetime | None = None) -> bool:
        """Whether there is any that was not withdrawn."""
        for (_, _, first_seen), (last, withdrawn) in self._span.items():
            if at is not None and first_seen > at:
                continue
            gone = withdrawn if at is None or withdrawn is None or withdrawn <= at else None
            if gone is None or (last if at is None else min(last, at)) > gone:
                return True
        return False

    def _piece(self, piece: _Piece, at: datetime | None) -> Evidence:
        by, source, first_seen = piece
        last, withdrawn = self._span[piece]
        said = self._said[piece]
        if at is None:
            confidence, detail = max(said, key=lambda content: (said[content][1], content))
        else:
            last = min(last, at)
            withdrawn = withdrawn if withdrawn is not None and withdrawn <= at else None
            before = [content for content in said if said[content][0] <= at]
            if before:
                confidence, detail = max(before, key=lambda each: (min(said[each][1], at), said[each][0], each))
            else:
                confidence, detail = min(said, key=lambda each: (said[each][0], each))
        return Evidence(by, source, first_seen, last, confidence, detail, withdrawn)


def confidence(evidence: Iterable[Evidence]) -> float:
    """How sure it is, from 0 to 1: each class as its surest piece says, classes as if they knew nothing of each other.

    What only values say stays below ``LOW``.
    """
    surest: dict[EvidenceClass, float] = {}
    for each in evidence:
        if each.holds:
            said = min(each.confidence, HIGHEST.get(each.by, 1.0))
            surest[each.by] = max(surest.get(each.by, 0.0), said)
    # In a fixed order: the last digits of a product depend on it.
    return round(1.0 - math.prod(1.0 - surest[by] for by in sorted(surest)), 4)

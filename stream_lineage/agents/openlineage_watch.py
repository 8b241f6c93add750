"""What others send as OpenLineage's events, as events of the lineage graph.

The worker that has the first partition of the observation log reads ``lineage.openlineage``, from a little before what
the graph knows from such events last. What is read twice is known by then, and changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from stream_lineage.agents.message_time import message_time
from stream_lineage.errors import DecodeError, StreamLineageError
from stream_lineage.graph.claim import Claim
from stream_lineage.graph.codec import milliseconds
from stream_lineage.graph.from_openlineage import claims_of_event, subject_of
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.logs import get_logger
from stream_lineage.model.graph import Detail, Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, Subject, detail
from stream_lineage.wire.openlineage import PRODUCER

if TYPE_CHECKING:
    from confluent_kafka import Message

MOST_CLAIMS = 5_000
"""What one event may say: a wide table of which each column is made of many."""
MOST_FOUND = 20_000
"""Graph events of one look, but for what its last event adds: the next look goes on there."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_KNOWN = 100_000
_PORTIONS = 20
_EMPTY_PORTIONS = 10
"""A reader that begins gets nothing at first."""
_FAILED = ("FAIL", "ABORT")
_OF_A_RUN = ("parent", "root", "run")
_log = get_logger("stream_lineage.agents")
_Key = tuple[Subject, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """An event, and the time that it is of: its own, unless it has none or says one to come."""

    event: Mapping[str, Any]
    at: datetime


def sent(message: Message) -> Sent:
    """What a message of the topic says.

    Raises:
        DecodeError: it is no event.
    """
    try:
        event = orjson.loads(message.value() or b"")
    except orjson.JSONDecodeError as error:
        raise DecodeError("not an event of OpenLineage: it is no JSON") from error
    if not isinstance(event, dict) or subject_of(event) is None:
        raise DecodeError("not an event of OpenLineage: neither a job nor a dataset")
    written = message_time(message)
    return Sent(event, min(_time(event.get("eventTime")) or written, written))


class Feed(Protocol):
    """One partition of a topic of ours."""

    def end(self) -> int:
        """The offset that the next message will have."""
        ...

    def read(self, start: int) -> tuple[list[tuple[int, Sent]], int]:
        """What comes from here on, a portion of it, with offsets, and where to go on."""
        ...


class OpenLineageWatch:
    """``look``, write what it gives, then say that it is ``written``.

    ``first_at`` gives the first offset that is not older than a time.
    """

    def __init__(self, feed: Feed, first_at: Callable[[datetime], int], naming: Naming, refresh: timedelta) -> None:
        self._feed = feed
        self._first_at = first_at
        self._naming = naming
        self._refresh = refresh
        self._offset: int | None = None
        self._read = 0
        self.skipped = 0
        self._known: OrderedDict[_Key, Evidence] = OrderedDict()
        self._shown_by: dict[_Key, str] = {}  # which run alone has shown an edge, as long as it has not ended

    def look(self, ask: Callable[[Callable[[Graph], Any]], Any]) -> list[GraphEvent]:
        """What the graph does not know yet of what was sent. ``ask`` asks the graph, which was read to its end.

        Raises:
            KafkaUnavailable: the topic cannot be read.
        """
        end = self._feed.end()
        if self._offset is None or self._offset > end:  # or the topic was made anew
            since = ask(_last_seen)
            back = 2 * self._refresh
            self._offset = 0 if since is None or since < _EPOCH + back else self._first_at(since - back)
        self._read = self._offset
        found: list[GraphEvent] = []
        empty = 0
        for _ in range(_PORTIONS):
            if self._read >= end or empty >= _EMPTY_PORTIONS:
                break
            portion, reached = self._feed.read(self._read)
            empty = empty + 1 if reached == self._read else 0
            self._read = reached
            for offset, each in portion:
                found += self._taken(offset, each, lambda subject: ask(lambda graph: graph.known(subject)))
                if len(found) >= MOST_FOUND:
                    self._read = offset + 1
                    return found
        return found

    def _taken(self, offset: int, each: Sent, known: Callable[[Subject], list[Evidence]]) -> list[GraphEvent]:
        try:
            return self.take(each, known)
        except StreamLineageError:
            raise
        except Exception as error:  # noqa: BLE001 - it would be read again after each start
            self.skipped += 1
            _log.warning(
                "an event of OpenLineage is skipped", offset=offset, error=type(error).__name__, skipped=self.skipped
            )
            return []

    def written(self) -> None:
        """What ``look`` gave last is in the graph's topic."""
        self._offset = self._read

    def drop(self) -> None:
        """Another worker may look now."""
        self._offset = None
        self._known.clear()
        self._shown_by.clear()

    def take(self, each: Sent, known: Callable[[Subject], list[Evidence]]) -> list[GraphEvent]:
        """What one event tells that is news."""
        if each.event.get("producer") == PRODUCER:
            return []  # what we have told others is no news, nor does it make anything surer
        at, found = milliseconds(each.at), []
        kind, run = each.event.get("eventType"), _run(each.event)
        claims = list(islice(claims_of_event(each.event, self._naming), MOST_CLAIMS + 1))
        if len(claims) > MOST_CLAIMS:
            _log.warning("an event of OpenLineage says more than is believed of one", most=MOST_CLAIMS)
        for claim in claims[:MOST_CLAIMS]:
            key = (claim.subject, claim.source)
            before = self._piece(key, known)
            if before is None and _over(key, at, known):
                continue
            if before is None and run is not None and isinstance(claim.subject, GraphEdge):
                self._shown_by[key] = run
            elif kind == "COMPLETE" or self._shown_by.get(key) not in (None, run):
                self._shown_by.pop(key, None)
            said = self._said(claim, before, at, run)
            if said is not None:
                self._remember(key, said)
                found.append(GraphEvent(claim.subject, said))
        if kind in _FAILED and run is not None:
            found += self._undone(run, {claim.subject for claim in claims}, at, known)
        elif kind == "COMPLETE" and run is not None:
            self._shown_by = {key: by for key, by in self._shown_by.items() if by != run}
        return found

    def _said(self, claim: Claim, before: Evidence | None, at: datetime, run: str | None) -> Evidence | None:
        if before is None:
            return Evidence(claim.by, claim.source, at, at, claim.confidence, claim.detail)
        known = claim.detail or before.detail
        if isinstance(claim.subject, Node):
            known = _joined(before.detail, claim.detail, run)
        changed = at >= before.last_seen and known != before.detail
        if changed and _of_any_run(known) == _of_any_run(before.detail):
            changed = False  # the same job starts it again and again: it is told of which run as often as that it lives
        if not changed and at - before.last_seen < self._refresh:
            return None
        return replace(before, last_seen=at, confidence=claim.confidence, detail=known)

    def _undone(
        self, run: str, still: set[Subject], at: datetime, known: Callable[[Subject], list[Evidence]]
    ) -> list[GraphEvent]:
        """A run that failed had said what it was going to write: nobody knows whether it did."""
        found = []
        for key in [key for key, by in self._shown_by.items() if by == run]:
            del self._shown_by[key]
            before = self._piece(key, known)
            if before is not None and key[0] not in still:
                self._known.pop(key, None)
                found.append(GraphEvent(key[0], replace(before, withdrawn_at=max(at, before.last_seen))))
        return found

    def _piece(self, key: _Key, known: Callable[[Subject], list[Evidence]]) -> Evidence | None:
        """The youngest piece that holds, as told here or as the graph has it."""
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        subject, source = key
        pieces = [
            piece
            for piece in known(subject)
            if piece.holds and piece.by is EvidenceClass.OPENLINEAGE and piece.source == source
        ]
        found = max(pieces, key=lambda piece: piece.first_seen, default=None)
        if found is not None:
            self._remember(key, found)
        return found

    def _remember(self, key: _Key, piece: Evidence) -> None:
        self._known[key] = piece
        self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN:
            forgotten, _ = self._known.popitem(last=False)
            self._shown_by.pop(forgotten, None)


def _joined(before: Detail, said: Detail, run: str | None) -> Detail:
    """Its owner and its parent are not said in each event. What started another run has not started this one."""
    known = dict(before)
    if run is not None and known.get("run") not in (None, run):
        known = {name: value for name, value in known.items() if name not in _OF_A_RUN}
    return detail(**known | dict(said))


def _of_any_run(known: Detail) -> Detail:
    """Without the ids of runs."""
    return tuple((name, value.rpartition("/")[0] if name in _OF_A_RUN else value) for name, value in known)


def _over(key: _Key, at: datetime, known: Callable[[Subject], list[Evidence]]) -> bool:
    """Whether what is said of a time was withdrawn after it: then it was read before."""
    subject, source = key
    return any(
        piece.by is EvidenceClass.OPENLINEAGE
        and piece.source == source
        and piece.withdrawn_at is not None
        and piece.first_seen <= at <= piece.withdrawn_at
        for piece in known(subject)
    )


def _last_seen(graph: Graph) -> datetime | None:
    """When events of OpenLineage showed anything last."""
    of_ours = (event.evidence for event in graph.events() if event.evidence.by is EvidenceClass.OPENLINEAGE)
    return max((piece.last_seen for piece in of_ours), default=None)


def _run(event: Mapping[str, Any]) -> str | None:
    run = event.get("run")
    found = run.get("runId") if isinstance(run, dict) else None
    return found if isinstance(found, str) else None


def _time(text: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
        return at if at >= _EPOCH else None
    except (TypeError, ValueError, OverflowError):
        return None

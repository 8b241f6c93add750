"""What consumers and producers of one pipeline share: the message in hand, windows, the run, what was counted."""

from __future__ import annotations

import os
from contextvars import ContextVar, Token
from dataclasses import dataclass
from operator import methodcaller
from types import TracebackType
from typing import Any, Final

from confluent_kafka import Message

from stream_lineage.sdk.guard import Notices
from stream_lineage.sdk.hand import Hand
from stream_lineage.sdk.parents import add_parent, named
from stream_lineage.wire.lineage_headers import (
    DEFAULT_MOST_BYTES,
    LARGEST_HEADER,
    LEAST_MOST_BYTES,
    PARENTS_HEADER,
    RUN_HEADER,
    TRACEPARENT_HEADER,
    TRACESTATE_HEADER,
    encode_parents,
    one_parent_prefix,
    run_id,
    varint,
)
from stream_lineage.wire.parent_ranges import ParentRanges
from stream_lineage.wire.record_headers import readable_headers

RUN_VARIABLE = "LINEAGE_RUN_ID"
"""The environment variable that names the run where the application does not."""
Headers = list[tuple[str, bytes | None]]


class _Automatic:
    def __repr__(self) -> str:
        return "AUTOMATIC"


AUTOMATIC: Final = _Automatic()
"""The parents of a record whose parents are not named: those of the window that is open, else the message in hand."""
_LOW = tuple(bytes((number | 128,)) for number in range(128))
_ONLY = tuple(bytes((number,)) for number in range(128))
_headers = methodcaller("headers")  # which notices where the client returns something and raises; see record_headers
_TRACE = (TRACEPARENT_HEADER, TRACESTATE_HEADER)


@dataclass(slots=True)
class Counts:
    """What happened since the start, about; several threads may count at once.

    ``written``: records with their parents. ``missing``: records whose parents are not known, since none was named and
    not exactly one message was in hand. ``refused``: what was named as a parent and is none. ``stale``: headers with
    other records' parents, that were about to be copied. ``too_large``: records that had no room for their parents.
    ``failed``: errors of ours, whose records were written without.
    """

    written: int = 0
    missing: int = 0
    refused: int = 0
    stale: int = 0
    too_large: int = 0
    failed: int = 0


class Window:
    """Records that one or more records are made from. Adding never fails: what is no record is counted as refused.

    As a context manager: records that are written inside, whose parents are not named, have those of the window.
    """

    __slots__ = ("_lineage", "_open", "_tokens", "ranges")

    def __init__(self, lineage: Lineage, parents: Any = ()) -> None:
        self._lineage = lineage
        self._tokens: list[Token[Window | None]] = []
        self._open = 0
        self.ranges = ParentRanges()
        self.add(*parents)

    def add(self, *parents: Any) -> None:
        """Add messages or coordinates; see ``stream_lineage.sdk.parents.add_parent``."""
        for parent in parents:
            self._lineage.add(self.ranges, parent)

    def clear(self) -> None:
        """Begin anew."""
        self.ranges = ParentRanges()

    @property
    def is_open(self) -> bool:
        return self._open > 0

    def __enter__(self) -> Window:
        self._open += 1
        self._tokens.append(self._lineage.enter(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open -= 1
        if self._tokens:
            self._lineage.leave(self._tokens.pop())


class Lineage:
    """Made by a ``LineageConsumer`` and given to the producers that write what is made from its messages.

    Args:
        run_id: of this run of the application, on every record that it writes; else the environment's
            ``LINEAGE_RUN_ID``, else none.
        most_header_bytes: what ``lineage-parents`` may take. Less widens earlier.
        cluster: name of the cluster that is consumed from, where producers write to another one.
    """

    def __init__(
        self, *, run_id: str | None = None, most_header_bytes: int = DEFAULT_MOST_BYTES, cluster: str | None = None
    ) -> None:
        self.counts = Counts()
        self._notices = Notices()
        self._most = max(LEAST_MOST_BYTES, min(most_header_bytes, LARGEST_HEADER))
        self._cluster = cluster
        self._hands: list[Hand] = []
        self._windows: ContextVar[Window | None] = ContextVar("stream_lineage_window", default=None)
        self._entered = False
        self._expected = False  # whether records are made from others at all
        self._prefix: tuple[tuple[str, str, int, int], bytes, tuple[bytes, ...], bytes] | None = None
        self._run = _run_headers(os.environ.get(RUN_VARIABLE) if run_id is None else run_id)

    # For applications

    def window(self, *parents: Any) -> Window:
        """A set of parents, to be filled and then entered, or named: ``parents=window``."""
        return Window(self, parents)

    # For the clients

    def hand(self) -> Hand:
        """That of a new consumer. With two of them there is never just one message in hand."""
        hand = Hand()
        self._hands.append(hand)
        self._expected = True
        return hand

    def close(self, hand: Hand) -> None:
        hand.release()
        if hand in self._hands:
            self._hands.remove(hand)

    def enter(self, window: Window) -> Token[Window | None]:
        self._entered = self._expected = True
        return self._windows.set(window)

    def leave(self, token: Token[Window | None]) -> None:
        try:
            self._windows.reset(token)
        except (ValueError, RuntimeError):  # it is left in another task than it was entered in
            self._windows.set(None)

    def add(self, ranges: ParentRanges, parent: Any) -> None:
        """Add a parent, or note that there is one that cannot be named."""
        try:
            add_parent(ranges, parent, self._cluster)
        except Exception as error:  # noqa: BLE001  (it is the application's object)
            ranges.incomplete = True
            self.counts.refused += 1
            self._notices.tell("refused", "something was named as a parent that has no coordinates", error)

    def window_of(self, parents: Any) -> Window:
        """What was named as the parents of one record; never fails."""
        window = Window(self)
        try:
            window.add(*(() if parents is None else named(parents)))
        except Exception as error:  # noqa: BLE001  (it is the application's object)
            window.ranges.incomplete = True
            self.failed(error)
        return window

    def unnamed(self, records: int) -> None:
        """So many records are written whose parents nobody names."""
        if self._expected:
            self.counts.missing += records
            self._notices.tell("missing", "records are written whose parents are not known: name them (parents=)")

    def headers(self, topic: str, parents: Any = AUTOMATIC) -> Headers:
        """The headers of a record that is written to a topic.

        May raise anything where it is given what nobody can be asked for; clients catch it.
        """
        if parents is AUTOMATIC:
            window = self._windows.get() if self._entered else None
            if window is not None and window.is_open:
                return self._many(topic, window.ranges)
            hands = self._hands
            message = hands[0].held() if len(hands) == 1 else None
            if message is not None:
                return self._one(topic, message)
            self.unnamed(1)
            return self._run
        if parents is None:
            return self._run
        several = list(named(parents))
        ranges = ParentRanges()
        for parent in several:
            self.add(ranges, parent)
        found = self._many(topic, ranges)
        return found if len(several) != 1 else found + _trace(several[0])

    def failed(self, error: BaseException) -> None:
        """An error of ours that did not get out."""
        self.counts.failed += 1
        self._notices.tell("failed", "lineage of a record could not be written", error)

    def too_large(self) -> None:
        self.counts.too_large += 1
        self._notices.tell("too_large", "a record had no room for its lineage")

    def _many(self, topic: str, ranges: ParentRanges) -> Headers:
        if not len(ranges) and not ranges.incomplete:
            return self._run
        value = encode_parents(ranges, topic, most_bytes=self._most)
        self.counts.written += 1
        return [(PARENTS_HEADER, value), *self._run]

    def _one(self, topic: str, message: Message) -> Headers:
        """All but the lowest bits of the offset is mostly as it was for the record before."""
        offset: int = message.offset()
        key = (topic, message.topic(), message.partition(), offset >> 7)
        known = self._prefix
        if known is None or known[0] != key:
            prefix = one_parent_prefix(topic, key[1], key[2], self._cluster)
            # Below 128 an offset is one byte, which is not followed by others.
            low, high = (_ONLY, b"") if offset < 128 else (_LOW, varint(offset >> 7))
            known = (key, prefix, low, high + b"\0")
            self._prefix = known
        self.counts.written += 1
        found: Headers = [(PARENTS_HEADER, known[1] + known[2][offset & 127] + known[3])]
        if self._run:
            found += self._run
        return found if _headers(message) is None else found + _trace(message)


def _run_headers(text: str | None) -> Headers:
    value = None if text is None else text.encode(errors="replace")
    return [] if run_id(value) is None else [(RUN_HEADER, value)]


def _trace(message: Any) -> Headers:
    """The trace context that came with the only parent goes on with what is made from it."""
    if not isinstance(message, Message):
        return []
    return [header for header in readable_headers(message) or () if header[0] in _TRACE and header[1]]

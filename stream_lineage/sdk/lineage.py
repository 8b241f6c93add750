"""What consumers and producers of one pipeline share: the message in hand, windows, the run, what was counted."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from operator import call
from threading import get_ident
from types import TracebackType
from typing import Any, Final

from confluent_kafka import Message

from stream_lineage.sdk.guard import Notices
from stream_lineage.sdk.hand import CHANGING, SERVING, WORKING, Hand
from stream_lineage.sdk.parents import add_parent, named
from stream_lineage.sdk.trace_context import Headers, trace_context
from stream_lineage.wire.lineage_headers import (
    DEFAULT_MOST_BYTES,
    LARGEST_HEADER,
    LEAST_MOST_BYTES,
    PARENTS_HEADER,
    RUN_HEADER,
    encode_parents,
    one_parent_prefix,
    run_id,
    unknown_parents,
    varint,
)
from stream_lineage.wire.parent_ranges import ParentRanges

RUN_VARIABLE = "LINEAGE_RUN_ID"
"""The environment variable that names the run where the application does not."""


class _Automatic:
    def __repr__(self) -> str:
        return "AUTOMATIC"


AUTOMATIC: Final = _Automatic()
"""The parents of a record whose parents are not named: those of the window that is open, else the message in hand."""
_BLOCK = 128
"""Offsets whose headers differ in one byte."""
_LOW = tuple(bytes((number | 128,)) for number in range(_BLOCK))
_ONLY = tuple(bytes((number,)) for number in range(_BLOCK))
_headers = Message.headers
_NONE = (None, None, -1, 0, b"", (), b"")


@dataclass(slots=True)
class Counts:
    """What happened since the start, about; several threads may count at once.

    ``written``: records with their parents. ``missing``: records whose parents are not known, since none was named and
    not exactly one message was in hand. ``refused``: what was named as a parent and is none. ``stale``: headers with
    other records' parents, that were about to be copied. ``too_large``: records that had no room for their parents.
    ``failed``: errors of ours. Records whose parents are missing, too large or failed say that they have some.
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

    __slots__ = ("_entries", "_lineage", "_named", "only", "ranges")

    def __init__(self, lineage: Lineage, parents: Any = ()) -> None:
        self._lineage = lineage
        self._entries: list[Entry] = []
        self._named = 0
        self.only: Any = None
        """What was added, where it was one thing."""
        self.ranges = ParentRanges()
        self.add(*parents)

    def add(self, *parents: Any) -> None:
        """Add messages or coordinates; see ``stream_lineage.sdk.parents.add_parent``."""
        for parent in parents:
            self._named += 1
            self.only = parent if self._named == 1 else None
            self._lineage.add(self.ranges, parent)

    def clear(self) -> None:
        """Begin anew."""
        self.ranges = ParentRanges()
        self._named = 0
        self.only = None

    @property
    def is_open(self) -> bool:
        return bool(self._entries)

    def __enter__(self) -> Window:
        self._entries.append(self._lineage.enter(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self._entries:
            self._entries.remove(self._lineage.leave(self, self._entries[-1]))


@dataclass(eq=False, slots=True)
class Entry:
    """That a window was entered: inside of which other, and while which delivery reports were served."""

    window: Window
    outer: Entry | None
    serving: object
    open: bool = True


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
        self._hands: dict[object, Hand] = {}  # by consumer
        self._only: Hand | None = None  # of one consumer; null where there is none, or are several
        self._outputs: set[str] = set()  # topics that are written to; only where ``cluster`` is another one
        self._windows: ContextVar[Entry | None] = ContextVar("stream_lineage_window", default=None)
        self._special = cluster is not None  # or a window was entered: it takes more than a look at the message in hand
        self._expected = False  # whether records are made from others at all
        self._last: tuple[Any, Any, int, int, bytes, tuple[bytes, ...], bytes] = _NONE  # see headers
        self._run = _run_headers(os.environ.get(RUN_VARIABLE) if run_id is None else run_id)

    # For applications

    def window(self, *parents: Any) -> Window:
        """A set of parents, to be filled and then entered, or named: ``parents=window``."""
        return Window(self, parents)

    # For the clients

    def hand(self, seat: object) -> Hand:
        """That of a consumer, in the thread and task that ask. With two consumers there is never just one message."""
        with CHANGING:
            hand = self._hands.get(seat)
            if hand is None or not hand.fits():
                if hand is not None:
                    hand.release()
                hand = self._hands[seat] = Hand()
                self._only = hand if len(self._hands) == 1 else None
                self._expected = True
            return hand

    def close(self, seat: object) -> None:
        """Of a consumer that is no more."""
        with CHANGING:
            hand = self._hands.pop(seat, None)
            if hand is not None:
                hand.release()
            self._only = next(iter(self._hands.values())) if len(self._hands) == 1 else None

    def enter(self, window: Window) -> Entry:
        self._special = self._expected = True
        outer = self._windows.get()
        while outer is not None and not outer.open:
            outer = outer.outer
        entry = Entry(window, outer, SERVING.get(get_ident()))
        self._windows.set(entry)
        return entry

    def leave(self, window: Window, last: Entry) -> Entry:
        """The entry that is over: the one of this task, else ``last``. A window may be left in another task than it
        was entered in, and by the collector of garbage anywhere."""
        found = innermost = self._windows.get()
        while found is not None and not (found.window is window and found.open):
            found = found.outer
        if found is None:
            found = last
        found.open = False
        if found is innermost:
            self._windows.set(found.outer)
        return found

    def _window(self) -> Window | None:
        """The innermost one that is open here. Delivery reports are about other records than the windows around the
        call that serves them."""
        entry = self._windows.get()
        while entry is not None and not entry.open:
            entry = entry.outer
        if entry is None:
            return None
        serving = SERVING.get(get_ident()) if SERVING else None
        return None if serving is not None and entry.serving is not serving else entry.window

    def add(self, ranges: ParentRanges, parent: Any) -> None:
        """Add a parent, or note that there is one that cannot be named."""
        try:
            add_parent(ranges, parent, self._cluster, written=self._outputs)
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
        if parents is not AUTOMATIC or self._special:
            found = self._chosen(topic, parents)
            if found is not None:
                return found
        hand = self._only
        message = None if hand is None else hand.message
        if hand is None or message is None:
            return self._missing(topic)
        # Nearly always that is all that ``held`` would say, and a call of it costs as much again.
        if WORKING or SERVING or len(hand.peers) > 1 or not hand.owner._is_owned() or message.error() is not None:
            message = hand.held()
            if message is None:
                return self._missing(topic)
        # What the last record had, of which one byte differs mostly. All of it at once: another thread may write too.
        for_topic, of_topic, of_partition, of_offset, prefix, lowest, rest = self._last
        number = message.offset() - of_offset
        if (
            not 0 <= number < _BLOCK
            or message.partition() != of_partition
            or message.topic() != of_topic
            or topic != for_topic
        ):
            number, prefix, lowest, rest = self._next(topic, message)
        self.counts.written += 1
        own: Headers = [(PARENTS_HEADER, prefix + lowest[number] + rest)]
        if self._run:
            own += self._run
        try:
            # ``call`` notices where the client returns something and raises, as a call that is compiled for that
            # method does not: see ``wire.record_headers``.
            return own if call(_headers, message) is None else own + trace_context(message)
        except (SystemError, UnicodeDecodeError):
            return own + self._trace(message)

    def _chosen(self, topic: str, parents: Any) -> Headers | None:
        """The headers of a record whose parents are named or those of a window; null: neither."""
        if self._cluster is not None:
            self._outputs.add(topic)
        if parents is AUTOMATIC:
            window = self._window()
            if window is None:
                return None
            found = self._many(topic, window.ranges)
            return found if window.only is None else found + self._trace(window)
        if parents is None:
            return self._run
        several = list(named(parents))
        ranges = ParentRanges()
        for parent in several:
            self.add(ranges, parent)
        found = self._many(topic, ranges)
        return found if len(several) != 1 else found + self._trace(several[0])

    def _missing(self, topic: str) -> Headers:
        self.unnamed(1)
        return [*self.unknown(topic), *self._run]

    def _next(self, topic: str, message: Message) -> tuple[int, bytes, tuple[bytes, ...], bytes]:
        """Where in its block of offsets a message is, and what the headers of a block have in common."""
        parent, partition, (block, number) = message.topic(), message.partition(), divmod(message.offset(), _BLOCK)
        prefix = one_parent_prefix(topic, parent, partition, self._cluster)
        # Below 128 an offset is one byte, which is not followed by others.
        lowest, rest = (_LOW, varint(block) + b"\0") if block else (_ONLY, b"\0")
        self._last = topic, parent, partition, block * _BLOCK, prefix, lowest, rest
        return number, prefix, lowest, rest

    def unknown(self, topic: str, parents: Any = AUTOMATIC) -> Headers:
        """The header of a record whose parents cannot be told, where some were named or records are made from others at
        all: without any it would pass for a source."""
        expected = self._expected if parents is AUTOMATIC else parents is not None
        return [(PARENTS_HEADER, unknown_parents(topic))] if expected else []

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

    def _trace(self, parent: Any) -> Headers:
        """The trace context that came with the only parent goes on with what is made from it."""
        try:
            while isinstance(parent, Window):
                parent = parent.only
            return trace_context(parent)
        except Exception as error:  # noqa: BLE001  (it is the application's object; its parents are known)
            self.failed(error)
            return []


def _run_headers(text: str | None) -> Headers:
    value = None if text is None else text.encode(errors="replace")
    return [] if run_id(value) is None else [(RUN_HEADER, value)]

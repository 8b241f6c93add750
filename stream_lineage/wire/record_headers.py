"""Headers of consumed messages, whatever somebody wrote into them.

A header's name is text by Kafka's protocol, but brokers look at no byte of it. confluent-kafka (seen in 2.12) reports a
name that is not UTF-8 by returning a result together with a raised exception; from then on the message's headers hold
tuples with nothing, not even None, in the place of the name: to touch it ends the process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence

from confluent_kafka import Message

Headers = list[tuple[str, bytes | None]]


def headers_of(messages: Sequence[Message]) -> list[Headers | None]:
    """The headers of each message, in order; null where it has none. Those whose name is no text are left out."""
    out: list[Headers | None] = []
    # ``map`` calls in the one way that checks for a result with an exception; it can be read on after that.
    reading = map(Message.headers, messages)
    while True:
        try:
            out.extend(reading)
        except (SystemError, UnicodeDecodeError):
            out.append(readable_headers(messages[len(out)]))
        else:
            return out


def unreadable(message: Message, readable: Headers | None) -> int:
    """How many headers of a message are not among the ``readable`` ones."""
    return len(_held(message) or ()) - len(readable or ())


def _held(message: Message) -> Headers | None:
    """What the client holds, of which nothing may be touched."""
    found: Headers | None
    for _ in range(2):  # only the first call raises
        try:
            (found,) = map(Message.headers, (message,))
        except (SystemError, UnicodeDecodeError):
            continue
        return found
    return None


def readable_headers(message: Message) -> Headers | None:
    """The headers of one message, which may have been read before. Slower than ``headers_of``, which is for the first
    reading only: from the second one on the client says nothing of names that are no text."""
    found = _held(message)
    return [pair for header in found or () if (pair := _pair(header)) is not None]


def _pair(header: tuple[str, bytes | None]) -> tuple[str, bytes | None] | None:
    # Asks for what is there without touching what is not. Order is not promised.
    held: Iterable[object] = gc.get_referents(header)
    names = [part for part in held if isinstance(part, str)]
    if not names:
        return None
    value = next((part for part in held if isinstance(part, bytes)), None)
    return names[0], value

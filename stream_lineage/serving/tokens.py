"""The API's tokens in ``lineage.tokens``: made, listed, revoked, and followed by whoever lets people in.

The topic is theirs alone: whoever may write mutes or labels must not be able to make tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

from confluent_kafka import Message

from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.connections import log_reader
from stream_lineage.errors import NotFound, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.provenance.log import read_messages
from stream_lineage.provenance.topics import TOKENS, ensure_topics
from stream_lineage.serve.tokens import Role, Token, issued, token_from
from stream_lineage.settings import Settings
from stream_lineage.wire import acknowledged, kafka

_RETRY_SECONDS = 5.0
_log = get_logger("stream_lineage.serve")


def create_token(settings: Settings, name: str, role: Role, expires_at: datetime | None = None) -> tuple[Token, str]:
    """Make a token and keep its hash; the text is nowhere else.

    Raises:
        KafkaUnavailable, SettingsError: it could not be kept, or may not be.
    """
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    token, text = issued(name, role, datetime.now(UTC), expires_at)
    acknowledged.write(settings.kafka, settings.kafka.topic(TOKENS), [(token.key, token.to_bytes())])
    return token, text


def read_tokens(settings: Settings) -> list[Token]:
    """All that were not revoked, the oldest first.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    known: dict[str, Token] = {}
    with closing(log_reader(settings)) as reader:
        try:
            for message in read_messages(reader, settings.kafka.topic(TOKENS)):
                _apply(known, _token(message))
        except NotFound:
            return []  # nobody has ever kept anything
    return sorted(known.values(), key=lambda each: (each.created_at, each.id))


def revoke_token(settings: Settings, id_: str) -> Token:
    """Have a token be none any more.

    Raises:
        NotFound: there is none with this id.
        KafkaUnavailable, SettingsError: it cannot be read or written.
    """
    found = next((each for each in read_tokens(settings) if each.id == id_), None)
    if found is None:
        raise NotFound(f"there is no token {id_}", hint="`stream-lineage token list` shows those that there are.")
    acknowledged.write(settings.kafka, settings.kafka.topic(TOKENS), [(found.key, None)])
    return found


class FollowedTokens:
    """The tokens as they are now, within a second. ``start`` after what there is was read with ``read_tokens``."""

    def __init__(self, settings: Settings, known: list[Token]) -> None:
        self._settings = settings
        self._tokens = {each.id: each for each in known}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tokens", daemon=True)

    @property
    def tokens(self) -> Mapping[str, Token]:
        return self._tokens

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except StreamLineageError as error:
                _log.warning("tokens cannot be read: those known before hold", error=error.message)
            except Exception:  # noqa: BLE001  (whatever it is, revocations must be seen again once it is over)
                _log.exception("tokens cannot be read: those known before hold")
            self._stop.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        """From the beginning: who was away may have missed what compaction has since removed of a revoked token."""
        known: dict[str, Token] = {}
        offset = 0
        with closing(log_reader(self._settings)) as reader:
            feed = OnePartition(reader, self._settings.kafka.topic(TOKENS), _token)
            end = feed.end()
            while not self._stop.is_set():
                found, offset = feed.read(offset)
                for _, each in found:
                    _apply(known, each)
                if offset >= end:
                    self._tokens = dict(known)


def _token(message: Message) -> tuple[str, Token | None] | None:
    return token_from(message.key(), message.value())


def _apply(known: dict[str, Token], found: tuple[str, Token | None] | None) -> None:
    if found is None:
        return
    id_, token = found
    if token is None:
        known.pop(id_, None)
    else:
        known[id_] = token

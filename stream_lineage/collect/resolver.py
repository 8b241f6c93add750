"""Turning the schema ids on the wire into references, without ever waiting long for the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from stream_lineage.collect.schema_key import SchemaKey
from stream_lineage.errors import ConnectionFailed, NotFound, SchemaError, UnknownSchema
from stream_lineage.logs import get_logger
from stream_lineage.model.schema import Framing
from stream_lineage.wire.registered_schema import RegisteredSchema, Role

_log = get_logger("stream_lineage.collect")
_THREADS = 2
UNKNOWN_IDS_OF_OPAQUE = 32
"""A topic with this many unknown ids and no known one holds bytes that merely look framed."""


class Registry(Protocol):
    """What is needed of the schema registry."""

    def by_id(self, id: int, *, topic: str, role: Role) -> RegisteredSchema: ...

    def by_guid(self, guid: str, *, topic: str, role: Role) -> RegisteredSchema: ...

    def latest(self, subject: str) -> RegisteredSchema: ...


@dataclass(frozen=True, slots=True)
class Question:
    """The schema of a topic's keys or values (``role``) that is written under this key."""

    topic: str
    role: Role
    key: SchemaKey


@dataclass(slots=True)
class _State:
    answer: RegisteredSchema | None = None
    unknown: bool = False  # the registry has said that it does not know it
    asked_again_at: float = 0.0
    pending: Future[None] | None = None


@dataclass(slots=True)
class _TopicRole:
    known: int = 0
    unknown: int = 0
    framed: bool | None = None
    asking: bool = False
    asked_again_at: float = 0.0


@dataclass(slots=True)
class _Shared:
    states: dict[Question, _State] = field(default_factory=dict)
    topics: dict[tuple[str, str], _TopicRole] = field(default_factory=dict)
    healthy: bool = True


class SchemaResolver:
    """Asks in its own threads. ``answer`` never blocks; ``settle`` waits a little while the registry is well."""

    def __init__(
        self, registry: Registry | None, *, negative_ttl_seconds: float, retry_seconds: float, wait_seconds: float = 2.0
    ) -> None:
        self._registry = registry
        self._negative_ttl = negative_ttl_seconds
        self._retry = retry_seconds
        self._wait = wait_seconds
        self._lock = threading.Lock()
        self._shared = _Shared()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="schema-resolver")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def settle(self, questions: Iterable[Question]) -> None:
        """Ask what has not been asked, and wait for the answers unless the registry is known to be ill."""
        pending = [future for question in questions if (future := self._ask(question)) is not None]
        with self._lock:
            healthy = self._shared.healthy
        if pending and healthy:
            wait(pending, timeout=self._wait)

    def ask(self, questions: Iterable[Question]) -> None:
        """Ask what may be asked by now, without waiting."""
        for question in questions:
            self._ask(question)

    def answer(self, question: Question) -> RegisteredSchema | None:
        """The schema, or null while it is not known."""
        with self._lock:
            state = self._shared.states.get(question)
            return None if state is None else state.answer

    def is_unknown(self, question: Question) -> bool:
        """Whether the registry has answered that it does not know this schema."""
        with self._lock:
            state = self._shared.states.get(question)
            return state is not None and state.answer is None and state.unknown

    def looks_opaque(self, topic: str, role: Role) -> bool:
        """Whether leading zero bytes in this topic mean nothing: many ids, none of which the registry knows."""
        with self._lock:
            seen = self._shared.topics.get((topic, role))
            return seen is not None and seen.known == 0 and seen.unknown >= UNKNOWN_IDS_OF_OPAQUE and not seen.framed

    def is_framed(self, topic: str, role: Role) -> bool:
        """Whether records of this topic are expected to say their schema: known schemas were seen in it, or the
        registry has a subject for it."""
        with self._lock:
            seen = self._shared.topics.setdefault((topic, role), _TopicRole())
            if seen.known or seen.framed:
                return True
            due = self._registry is not None and not seen.asking and time.monotonic() >= seen.asked_again_at
            if due and seen.framed is None:
                seen.asking = True
            else:
                due = False
            healthy = self._shared.healthy
        if due:
            future = self._submit(self._look_for_subject, topic, role)
            if future is not None and healthy:
                wait([future], timeout=self._wait)
            with self._lock:
                return bool(seen.framed)
        return False

    def _ask(self, question: Question) -> Future[None] | None:
        if self._registry is None:
            return None
        with self._lock:
            state = self._shared.states.setdefault(question, _State())
            if state.answer is not None:
                return None
            if state.pending is not None:
                return state.pending
            if time.monotonic() < state.asked_again_at:
                return None
            future: Future[None] = Future()
            state.pending = future
        if self._submit(self._look_up, question, future) is None:
            return None
        return future

    def _submit(self, work: object, *arguments: object) -> Future[None] | None:
        try:
            return self._pool.submit(work, *arguments)  # type: ignore[arg-type]
        except RuntimeError:  # shutting down
            return None

    def _look_up(self, question: Question, done: Future[None]) -> None:
        registry, key = self._registry, question.key
        found: RegisteredSchema | None = None
        unknown, healthy, delay = False, True, self._retry
        try:
            if registry is not None and key.framing is Framing.GUID_HEADER:
                found = registry.by_guid(str(key.id), topic=question.topic, role=question.role)
            elif registry is not None:
                found = registry.by_id(int(key.id or 0), topic=question.topic, role=question.role)
        except UnknownSchema:
            unknown, delay = True, self._negative_ttl
        except (ConnectionFailed, SchemaError) as error:
            healthy = isinstance(error, SchemaError)
            _log.warning(
                "the schema registry did not answer", schema=str(key.id), topic=question.topic, error=str(error)
            )
        except Exception as error:  # noqa: BLE001  (a thread must not die silently)
            _log.error("asking the schema registry failed", error=repr(error))
        with self._lock:
            state = self._shared.states[question]
            seen = self._shared.topics.setdefault((question.topic, question.role), _TopicRole())
            self._shared.healthy = healthy
            state.answer, state.pending = found, None
            if found is not None:
                seen.known += 1
            elif unknown and not state.unknown:
                seen.unknown += 1
            state.unknown = state.unknown or unknown
            state.asked_again_at = time.monotonic() + delay
        done.set_result(None)

    def _look_for_subject(self, topic: str, role: Role) -> None:
        framed, delay = None, self._retry
        try:
            if self._registry is not None:
                self._registry.latest(f"{topic}-{role}")
                framed = True
        except NotFound:
            framed = False
        except (ConnectionFailed, SchemaError):
            framed = None
        except Exception as error:  # noqa: BLE001  (a thread must not die silently)
            _log.error("asking the schema registry failed", error=repr(error))
        with self._lock:
            seen = self._shared.topics.setdefault((topic, role), _TopicRole())
            # A subject may be registered later: a "no" holds only for a while.
            seen.framed = True if framed else None
            seen.asking = False
            seen.asked_again_at = time.monotonic() + (delay if framed is None else self._negative_ttl)

"""Turning the schema ids on the wire into references, without ever waiting long for the registry.

A leading zero byte proves nothing: keys that are numbers, and bytes that are anything, look framed now and then. So ids
are believed within bounds, for the values and for the keys of each topic:

- Records stand under at most ``MAX_UNPROVEN_IDS`` ids that the registry has not confirmed. Records that name one beyond
  are taken for what records are that name none: opaque. The registry is still asked now and then for the most frequent
  of those ids, so that a schema that comes late is found.
- With ``UNKNOWN_IDS_OF_OPAQUE`` ids that the registry does not know and none that it knows, all of it is opaque.
- Keys of eight bytes are long numbers, unless the registry has a subject for the keys of the topic, or at least does
  not contradict: one unknown id, or one that belongs to other subjects, is enough.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from stream_lineage.collect.schema_key import Admission, SchemaKey
from stream_lineage.errors import ConnectionFailed, NotFound, SchemaError, UnknownSchema
from stream_lineage.logs import get_logger, trail
from stream_lineage.model.schema import Framing
from stream_lineage.wire.registered_schema import RegisteredSchema, Role

_log = get_logger("stream_lineage.collect")
_THREADS = 2
UNKNOWN_IDS_OF_OPAQUE = 32
"""A topic with this many unknown ids and no known one holds bytes that merely look framed."""
MAX_UNPROVEN_IDS = 64
"""Ids that records of a topic may stand under before the registry has confirmed them. Larger: more schemas are told
apart while the registry is away, and hostile records make more observations."""
_MAX_UNPROVEN_NUMBERS = 4
"""The same for keys of eight bytes: more ids than this are no versions of a schema."""


class Registry(Protocol):
    """What is needed of the schema registry."""

    def by_id(self, id: int, *, topic: str, role: Role) -> RegisteredSchema: ...

    def by_guid(self, guid: str, *, topic: str, role: Role) -> RegisteredSchema: ...

    def latest(self, subject: str) -> RegisteredSchema: ...


class SingleObjects(Protocol):
    """What is needed to find the schemas of Avro single objects."""

    def find(self, crc64: str, *, topic: str, role: Role) -> RegisteredSchema: ...


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
    """The values or the keys of a topic. ``own`` ids stand under the topic's own subject, ``foreign`` ones under
    others; ``unproven`` ones are believed without an answer, or in spite of it."""

    own: set[SchemaKey] = field(default_factory=set)
    foreign: set[SchemaKey] = field(default_factory=set)
    unknown: set[SchemaKey] = field(default_factory=set)
    unproven: set[SchemaKey] = field(default_factory=set)
    numbers: bool | None = None  # whether they are keys of eight bytes, all that looked framed so far
    framed: bool | None = None
    asking: bool = False
    asked_again_at: float = 0.0
    curious_at: float = 0.0


class SchemaResolver:
    """Asks in its own threads. ``answer`` never blocks; ``settle`` waits a little while the registry is well."""

    def __init__(
        self,
        registry: Registry | None,
        *,
        negative_ttl_seconds: float,
        retry_seconds: float,
        wait_seconds: float,
        single_objects: SingleObjects | None = None,
    ) -> None:
        """``single_objects`` finds schemas by fingerprint, and is null where there is nowhere to look."""
        self._registry = registry
        self._single_objects = single_objects
        self._negative_ttl = negative_ttl_seconds
        self._retry = retry_seconds
        self._wait = wait_seconds
        self._lock = threading.Lock()
        self._states: dict[Question, _State] = {}
        self._topics: dict[tuple[str, Role], _TopicRole] = {}
        self._healthy = True
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="schema-resolver")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def settle(self, questions: Iterable[Question]) -> None:
        """Ask what may be asked by now, and wait for the answers unless the registry is known to be ill."""
        wanted = list(questions)
        # Where there are many at once they hardly are schemas: they must not keep the others waiting.
        crowd = Counter((question.topic, question.role) for question in wanted)
        wanted.sort(key=lambda question: crowd[question.topic, question.role])
        self._wait_for([future for question in wanted if (future := self._ask(question)) is not None])

    def ask(self, questions: Iterable[Question]) -> None:
        """The same for schemas that records were recorded without before."""
        self.settle(questions)

    def answer(self, question: Question) -> RegisteredSchema | None:
        """The schema, or null while it is not known, and where the bytes only look as if they named one."""
        with self._lock:
            state = self._states.get(question)
            if state is None or state.answer is None:
                return None
            seen = self._topics.get((question.topic, question.role))
            return None if seen is not None and self._opaque(seen) else state.answer

    def is_unknown(self, question: Question) -> bool:
        """Whether the registry has answered that it does not know this schema."""
        with self._lock:
            state = self._states.get(question)
            return state is not None and state.answer is None and state.unknown

    def looks_opaque(self, topic: str, role: Role) -> bool:
        """Whether leading zero bytes in this topic mean nothing."""
        with self._lock:
            seen = self._topics.get((topic, role))
            return seen is not None and self._opaque(seen)

    def admit(self, topic: str, role: Role, counts: Mapping[SchemaKey, int], *, numbers: bool) -> Admission:
        """Which of these keys records may stand under.

        Args:
            topic: the topic of the records.
            role: whether their keys or their values are meant.
            counts: how many records name each.
            numbers: whether all of them are keys of eight bytes.
        """
        curious = None
        with self._lock:
            seen = self._topics.setdefault((topic, role), _TopicRole())
            seen.numbers = numbers and seen.numbers is not False
            known = seen.own if seen.numbers else seen.own | seen.foreign
            proven = {key for key in counts if key in known}
            admitted = set(proven)
            refused = None
            for key in sorted((key for key in counts if key not in proven), key=lambda key: -counts[key]):
                room = _MAX_UNPROVEN_NUMBERS if seen.numbers else MAX_UNPROVEN_IDS
                if (key in seen.unproven or len(seen.unproven) < room) and not self._opaque(seen):
                    seen.unproven.add(key)
                    admitted.add(key)
                elif refused is None:
                    refused = key
            if self._opaque(seen):
                admitted = proven
            if refused is not None and time.monotonic() >= seen.curious_at:
                seen.curious_at = time.monotonic() + self._retry
                curious = refused
        if curious is not None:
            self._ask(Question(topic, role, curious))
        return Admission(frozenset(admitted), frozenset(proven))

    def is_framed(self, topic: str, role: Role) -> bool:
        """Whether records of this topic are expected to say their schema: known schemas were seen in it, or the
        registry has a subject for it."""
        with self._lock:
            seen = self._topics.setdefault((topic, role), _TopicRole())
            if seen.framed or seen.own or (seen.foreign and not seen.numbers):
                return True
            due = self._may_look(seen)
        if due:
            future = self._submit(self._look_for_subject, topic, role)
            if future is not None:
                self._wait_for([future])
            with self._lock:
                return bool(seen.framed)
        return False

    def _opaque(self, seen: _TopicRole) -> bool:
        if seen.framed or seen.own:
            return False
        nobody_to_ask = self._registry is None and self._single_objects is None
        if seen.numbers and (seen.foreign or seen.unknown or (nobody_to_ask and len(seen.unproven) > 1)):
            return True
        if seen.foreign:
            return False
        return len(seen.unknown) >= UNKNOWN_IDS_OF_OPAQUE or (nobody_to_ask and len(seen.unproven) >= MAX_UNPROVEN_IDS)

    def _may_look(self, seen: _TopicRole) -> bool:
        """Whether to ask for the subject now; if so, this caller does."""
        if self._registry is None or seen.framed or seen.asking or time.monotonic() < seen.asked_again_at:
            return False
        seen.asking = True
        return True

    def _wait_for(self, futures: list[Future[None]]) -> None:
        with self._lock:
            healthy = self._healthy
        if futures and healthy and wait(futures, timeout=self._wait).not_done:
            with self._lock:
                self._healthy = False  # until it answers

    def _ask(self, question: Question) -> Future[None] | None:
        if (self._single_objects if question.key.framing is Framing.SINGLE_OBJECT else self._registry) is None:
            return None
        with self._lock:
            state = self._states.setdefault(question, _State())
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
            if self.looks_opaque(question.topic, question.role):
                pass  # it has become clear in the meantime
            elif key.framing is Framing.SINGLE_OBJECT:
                if self._single_objects is not None:
                    found = self._single_objects.find(str(key.id), topic=question.topic, role=question.role)
            elif registry is not None and key.framing is Framing.GUID_HEADER:
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
            _log.error("asking the schema registry failed", error=trail(error))
        own = found is not None and found.reference.subject == f"{question.topic}-{question.role}"
        with self._lock:
            seen = self._topics.setdefault((question.topic, question.role), _TopicRole())
            look = not own and (unknown or found is not None) and self._may_look(seen)
        if look:
            self._look_for_subject(question.topic, question.role)
        with self._lock:
            state = self._states[question]
            self._healthy = healthy
            state.answer, state.pending = found, None
            if found is not None:
                (seen.own if own else seen.foreign).add(key)
                seen.unproven.discard(key)
                seen.unknown.discard(key)
            elif unknown:
                seen.unknown.add(key)
            state.unknown = state.unknown or unknown
            state.asked_again_at = time.monotonic() + delay
        done.set_result(None)

    def _look_for_subject(self, topic: str, role: Role) -> None:
        framed, delay, healthy = None, self._retry, True
        try:
            if self._registry is not None:
                self._registry.latest(f"{topic}-{role}")
                framed = True
        except NotFound:
            framed = False
        except SchemaError:
            framed = True  # there is one, whatever it says
        except ConnectionFailed:
            healthy = False
        except Exception as error:  # noqa: BLE001  (a thread must not die silently)
            _log.error("asking the schema registry failed", error=trail(error))
        with self._lock:
            seen = self._topics.setdefault((topic, role), _TopicRole())
            self._healthy = healthy
            # A subject may be registered later: a "no" holds only for a while.
            seen.framed = True if framed else None
            seen.asking = False
            seen.asked_again_at = time.monotonic() + (delay if framed is None else self._negative_ttl)

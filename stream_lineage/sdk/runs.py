"""Runs of an application's own code: ``with run("nightly") as nightly: ...``

A run says what it reads and writes, how the frames look that went in and came out, how long it took and whether it
failed. All of that is told as OpenLineage's events by a thread of its own (``stream_lineage.sdk.run_sender``). Runs
inside a run are its children; those of other processes are, where ``Run.environment`` is in theirs.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any
from uuid import UUID

from stream_lineage.frames.held import Held, held
from stream_lineage.frames.measure import Measure
from stream_lineage.frames.recognise import library_of
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.sdk.datasets import Dataset, columns, dataset, datasets, jobs_namespace
from stream_lineage.sdk.lineage import RUN_VARIABLE
from stream_lineage.sdk.quality import Assertion, assertions_of
from stream_lineage.sdk.run_sender import RUNS, Ending
from stream_lineage.wire.openlineage import PARENT_VARIABLE, ROOT_VARIABLE, RunName, parents_of_process

_CURRENT: ContextVar[Run | None] = ContextVar("stream_lineage_run", default=None)
_SECRET = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|(?:api|access|account)_?key|private|auth|dsn|conn(?:ection)?_?str"
    r"|cookie|bearer|signature",
    re.I,
)
_SECRET_VALUE = re.compile(
    r"://[^/@\s]*:[^/@\s]*@|(?:passw(?:or)?d|pwd|secret|account_?key|token|sig|signature)\s*=", re.I
)
"""A URL with a password, or settings of a connection."""
_LONGEST_VALUE = 500
_MOST_PARAMETERS = 100
_LONGEST_NAME = 300
HIDDEN = "***"


@dataclass(slots=True)
class Use:
    """A dataset that a run reads or writes, or a frame that nobody has named a dataset for. ``label`` is what the frame
    is called in the code. ``waiting``: parts of it that nobody has looked at yet."""

    dataset: Dataset | None
    label: str
    waiting: list[Held] = field(default_factory=list)
    measure: Measure | None = None
    whole: bool = True
    """Whether every part of it was looked at."""
    assertions: list[Assertion] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run: the class of the exception, and where it was raised: files without their directories."""

    kind: str
    trail: tuple[str, ...]
    text: str | None = None

    def __str__(self) -> str:
        where = f" at {self.trail[-1]}" if self.trail else ""
        return f"{self.kind}{where}" if self.text is None else f"{self.kind}{where}: {self.text}"


class Run:
    """One run of a job; see ``run``. A context manager, in ``async with`` too.

    Attributes:
        name: of the job.
        run_id: a UUID, of which the first bits are the time.
        parameters: names and texts.
    """

    def __init__(
        self,
        name: str,
        *,
        inputs: tuple[Dataset, ...] = (),
        outputs: tuple[Dataset, ...] = (),
        key: Iterable[str] = (),
        made_of: tuple[tuple[str, str, str, str], ...] = (),
        parameters: Mapping[str, Any] | None = None,
        owner: str | None = None,
        description: str | None = None,
        code: tuple[Callable[..., Any] | None, str | None] = (None, None),
        run_id: str | None = None,
        error_text: bool = False,
    ) -> None:
        self.name = name[:_LONGEST_NAME]
        self.run_id = str(_new_id()) if run_id is None else str(UUID(str(run_id)))
        self.parameters: dict[str, str] = {}
        self.inputs = [Use(each, each.name) for each in inputs]
        self.outputs = [Use(each, each.name) for each in outputs]
        self.key = tuple(key)
        self.made_of = made_of
        self.owner = owner
        self.description = description
        self.code = code
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.seconds: float | None = None
        self.failure: Failure | None = None
        self._error_text = error_text
        self._namespace: str | None = None
        self._parent: Run | RunName | None = None
        self._root: Run | RunName | None = None
        self._clock = 0.0
        self._token: Token[Run | None] | None = None
        for each, value in (parameters or {}).items():
            self.parameter(each, value)

    # For applications

    @property
    def namespace(self) -> str:
        """Of the job. It is settled once anybody asks."""
        if self._namespace is None:
            self._namespace = jobs_namespace()
        return self._namespace

    @property
    def node_id(self) -> str:
        """The job's id in the lineage graph, where the cluster goes by the name that the application knows."""
        return Node(NodeKind.JOB, self.namespace, self.name).id

    @property
    def environment(self) -> dict[str, str]:
        """For processes that this run starts: ``subprocess.run(..., env={**os.environ, **this.environment})``. Their
        runs are children of this one, and records that they produce carry its id."""
        root = self.root or self.named
        return {PARENT_VARIABLE: str(self.named), ROOT_VARIABLE: str(root), RUN_VARIABLE: self.run_id}

    @property
    def named(self) -> RunName:
        return RunName(self.namespace, self.name, self.run_id)

    @property
    def parent(self) -> RunName | None:
        """The run that this one is part of."""
        return _named(self._parent)

    @property
    def root(self) -> RunName | None:
        """The run that all of it began with; null: this one."""
        return _named(self._root)

    @property
    def outer(self) -> Run | None:
        """The run of this process that this one is part of."""
        return self._parent if isinstance(self._parent, Run) else None

    def parameter(self, name: str, value: Any) -> None:
        """A parameter, known only now. Values whose names sound like secrets are hidden."""
        with RUNS.quietly():
            if len(self.parameters) < _MOST_PARAMETERS:
                self.parameters[str(name)[:_LONGEST_NAME]] = _shown(str(name), value)

    def input(self, said: Any, frame: Any = None) -> None:
        """A dataset that is read, and the frame that was read from it. Frames of one dataset are parts of a whole."""
        with RUNS.quietly():
            self._add(self.inputs, said, frame)

    def output(self, said: Any, frame: Any = None) -> None:
        """A dataset that is written, and the frame that is."""
        with RUNS.quietly():
            self._add(self.outputs, said, frame)

    def expectations(self, said: Any, result: Any) -> None:
        """What Great Expectations found of a dataset: a validation result, a checkpoint's, or one of them as JSON. They
        become its assertions; of one that this run does not read, in a run of their own."""
        with RUNS.quietly():
            found = assertions_of(result)
            about = dataset(said)
            use = next((each for each in self.inputs if each.dataset == about), None)
            if use is not None:
                use.assertions += found
                return
            with Run(f"{self.name}.expectations", inputs=(about,)) as check:
                check.inputs[0].assertions += found

    def begin(self) -> None:
        """As ``__enter__`` does, without being the run that is going on here. Never fails."""
        with RUNS.quietly():
            self._belong()
            self.started = datetime.now(UTC)
            RUNS.put(self, Ending.NONE)
        self._clock = time.perf_counter()

    def end(self, error: BaseException | None = None) -> None:
        """As ``__exit__`` does. Never fails."""
        self.seconds = time.perf_counter() - self._clock
        with RUNS.quietly():
            self.ended = datetime.now(UTC)
            ending = _ending(error)
            if error is not None and ending is not Ending.COMPLETE:
                self.failure = _failure(error, self._error_text)
            RUNS.put(self, ending)

    def __enter__(self) -> Run:
        self.begin()
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()
        self.end(error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # For decorators

    def resume(self) -> None:
        """From here on runs are children of this one."""
        self._token = _CURRENT.set(self)

    def pause(self) -> None:
        """No more."""
        token, self._token = self._token, None
        if token is None:
            return
        try:
            _CURRENT.reset(token)
        except ValueError:  # in another context than it was begun in: that one has a run of its own
            if _CURRENT.get() is self:
                _CURRENT.set(None)

    def hold(self, use: Use, frame: Any, *, empty: bool = False) -> None:
        """Look at a frame later; what is none is left alone. ``empty``: a list without rows is a frame, too.

        Raises:
            Exception: whatever its library raises.
        """
        library = library_of(frame)
        if library is None:
            if empty and isinstance(frame, list) and not frame:
                use.waiting.append(RUNS.empty(self.key))
            return
        found = RUNS.admitted(held(frame, library, self.key))
        use.waiting.append(found)
        use.whole = use.whole and found.measure is not found.describe

    def _add(self, uses: list[Use], said: Any, frame: Any) -> None:
        self.hold(self._use(uses, dataset(said)), frame, empty=True)
        if self.started is not None and self.ended is None and frame is not None:
            RUNS.look(self)

    def _use(self, uses: list[Use], about: Dataset) -> Use:
        found = next((each for each in uses if each.dataset == about), None)
        if found is None:
            found = Use(about, about.name)
            uses.append(found)
        return found

    def _belong(self) -> None:
        outer = _CURRENT.get()
        if outer is not None:
            self._parent, self._root = outer, outer._root or outer
        else:
            self._parent, root = parents_of_process()
            self._root = root or self._parent


def run(
    name: str,
    *,
    inputs: Any = (),
    outputs: Any = (),
    key: str | Iterable[str] = (),
    column_lineage: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    parameters: Mapping[str, Any] | None = None,
    owner: str | None = None,
    description: str | None = None,
    run_id: str | None = None,
    error_text: bool = False,
) -> Run:
    """A run of a job, to be entered: ``with run("nightly") as nightly: ...``. Never fails: what cannot be read is said
    in the log, and left out.

    Args:
        name: of the job.
        inputs: datasets that are read: topics, URLs such as ``s3://bucket/path``, or mappings with ``namespace`` and
            ``name``.
        outputs: datasets that are written.
        key: columns of which a checksum is made, of each frame that has them.
        column_lineage: columns that are made of columns, from and to, each ``DATASET:PATH``.
        parameters: what it was started with. Values whose names sound like secrets are hidden.
        owner: who is to be asked.
        description: what it does.
        run_id: a UUID, where something else has given it one.
        error_text: whether the text of an exception is told; it may hold what was being worked on.
    """
    return build(
        name, inputs=inputs, outputs=outputs, key=key, column_lineage=column_lineage, parameters=parameters,
        owner=owner, description=description, run_id=run_id, error_text=error_text, code=(None, _caller()),
    )  # fmt: skip


def build(name: str, *, inputs: Any, outputs: Any, key: Any, column_lineage: Any, run_id: Any, **rest: Any) -> Run:
    """A run of what was named; what cannot be read is left out of it."""
    found: dict[str, Any] = {}
    with RUNS.quietly():
        found["inputs"] = datasets(inputs)
    with RUNS.quietly():
        found["outputs"] = datasets(outputs)
    with RUNS.quietly():
        found["key"] = keys(key)
    with RUNS.quietly():
        found["made_of"] = columns(column_lineage)
    with RUNS.quietly():
        return Run(str(name), run_id=run_id, **found, **rest)
    return Run(str(name), **found)


def current_run() -> Run | None:
    """The run that is going on here, in this thread and task."""
    return _CURRENT.get()


def keys(said: str | Iterable[str]) -> tuple[str, ...]:
    """One column or several."""
    return (said,) if isinstance(said, str) else tuple(map(str, said))


def _named(found: Run | RunName | None) -> RunName | None:
    return found.named if isinstance(found, Run) else found


def _new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): milliseconds since 1970, and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(0x3 << 62) | 2 << 62)


def _shown(name: str, value: Any) -> str:
    if _SECRET.search(name) is not None and value is not None:
        return HIDDEN
    if value is None or isinstance(value, bool | int | float | str | PurePath):
        text = str(value)[: 2 * _LONGEST_VALUE]
        return text[:_LONGEST_VALUE] if _SECRET_VALUE.search(text) is None else HIDDEN
    return f"<{type(value).__name__}>"


def _ending(error: BaseException | None) -> Ending:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Ending.COMPLETE
    stopped = isinstance(error, KeyboardInterrupt | asyncio.CancelledError | GeneratorExit)
    return Ending.ABORT if stopped else Ending.FAIL


def _failure(error: BaseException, with_text: bool) -> Failure:
    trail, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        name = PurePath(code.co_filename).name
        if PurePath(code.co_filename).parent != _HERE:
            trail.append(f"{name}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return Failure(type(error).__name__, tuple(trail[-20:]), _text_of(error) if with_text else None)


def _text_of(error: BaseException) -> str | None:
    try:
        return str(error)[:_LONGEST_VALUE]
    except Exception:  # noqa: BLE001  (an exception that cannot be written: it has failed all the same)
        return None


_HERE = PurePath(__file__).parent


def _caller() -> str | None:
    """The file that the application calls from."""
    frame = sys._getframe(1)
    while frame is not None and PurePath(frame.f_code.co_filename).parent == _HERE:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return frame.f_code.co_filename

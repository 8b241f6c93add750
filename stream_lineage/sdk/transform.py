"""Functions as transformations: each call of one is a run of a job.

A function is called as it always was: with the same arguments, it gives the same result and raises the same exceptions.
What goes in and what comes out is looked at beside it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any, TypeVar, cast

from stream_lineage.frames.recognise import library_of
from stream_lineage.sdk.datasets import Dataset, columns, dataset, datasets
from stream_lineage.sdk.run_sender import RUNS
from stream_lineage.sdk.runs import Run, Use, current_run, keys, run

Decorated = TypeVar("Decorated")
_RESULT = "result"


def transform_lineage(
    *,
    inputs: Any = (),
    outputs: Any = (),
    job: str | None = None,
    key: str | Iterable[str] = (),
    column_lineage: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    parameters: bool | Iterable[str] | Mapping[str, Any] = True,
    owner: str | None = None,
    description: str | None = None,
    error_text: bool = False,
) -> Callable[[Decorated], Decorated]:
    """Make each call of a function a run: ``@transform_lineage(inputs=["orders"], outputs=["features"])``.

    Works on functions, methods, coroutines and generators, whose run lasts until they are exhausted or closed. Frames
    among the arguments are what was read, frames among what is returned or yielded what was written: of pandas, Polars,
    PyArrow, lists of dicts, and the schemas of PySpark's and of lazy Polars ones. Never fails: what cannot be read is
    said in the log.

    Args:
        inputs: datasets that are read: topics, URLs such as ``s3://bucket/path``, or mappings with ``namespace`` and
            ``name``. They belong to the frames among the arguments in this order; a dict says which argument is which
            dataset: ``{"frame": "orders"}``.
        outputs: datasets that are written, in the order of the frames that are returned; a dict says which member of a
            dict that is returned is which. Where a function returns nothing: its only frame, as it has left it.
        job: its name; else module and name of the function.
        key: columns of which a checksum is made, of each frame that has them.
        column_lineage: columns that are made of columns, from and to, each ``DATASET:PATH``.
        parameters: whether arguments that are no frames are told, or the names of those that are, or a dict of others.
            Numbers and texts are, of anything else its class. Values whose names sound like secrets are hidden.
        owner: who is to be asked.
        description: what it does; else the first line of the function's docstring.
        error_text: whether the text of an exception is told; it may hold what was being worked on.
    """

    def decorated(function: Decorated) -> Decorated:
        with RUNS.quietly():
            told = _Told(inputs, outputs, key, column_lineage, parameters, owner, description, error_text)
            return cast(Decorated, _wrapped(function, job, told))
        return function

    return decorated


class Tracking:
    """What ``track_lineage(...)`` gives: a decorator, and a context manager that is a run."""

    def __init__(self, job: str | None, options: Mapping[str, Any]) -> None:
        self._job = job
        self._options = options
        self._runs: list[Run] = []

    def __call__(self, function: Decorated) -> Decorated:
        return transform_lineage(job=self._job, **self._options)(function)

    def __enter__(self) -> Run:
        named = self._options.get("parameters", True)
        options = {**self._options, "parameters": named if isinstance(named, Mapping) else None}
        for each in ("inputs", "outputs"):
            said = options.get(each, ())
            if isinstance(said, Mapping) and "namespace" not in said:
                options[each] = tuple(said.values())
        found = run(self._job or "track_lineage", **options)
        self._runs.append(found)
        return found.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with RUNS.quietly():
            self._entered().__exit__(kind, error, trace)

    def _entered(self) -> Run:
        """The run that was begun last here: several threads and tasks may use one of these."""
        found = current_run()
        while found is not None and found not in self._runs:
            found = found.outer
        if found is None:  # left in another context than it was entered in
            return self._runs.pop()
        self._runs.remove(found)
        return found

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def track_lineage(function_or_job: Any = None, /, **options: Any) -> Any:
    """Track a function, or a block of code, of which nothing has to be named beforehand.

    ``@track_lineage`` alone takes the frames that go in and come out as they are; ``@track_lineage("job", key="id")``
    takes whatever ``transform_lineage`` does. ``with track_lineage("clean") as step:`` is a run of the job ``clean``:
    ``step.input("orders", frame)`` and ``step.output("features", frame)`` say what it works on.
    """
    if callable(function_or_job) or isinstance(function_or_job, staticmethod | classmethod):
        return transform_lineage(**options)(function_or_job)
    return Tracking(None if function_or_job is None else str(function_or_job), options)


class _Told:
    """What was said of a function where it was decorated, read once.

    Raises:
        Exception: it cannot be read.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        key: Any,
        column_lineage: Any,
        parameters: Any,
        owner: str | None,
        description: str | None,
        error_text: bool,
    ) -> None:
        self.inputs, self.by_argument = _bound(inputs)
        self.outputs, self.by_name = _bound(outputs)
        self.key = keys(key)
        self.made_of = columns(column_lineage)
        self.all_parameters = parameters is True
        self.fixed = dict(parameters) if isinstance(parameters, Mapping) else {}
        some = not isinstance(parameters, bool | Mapping)
        self.named_parameters = frozenset(keys(parameters)) if some else frozenset()
        self.owner = owner
        self.description = description
        self.error_text = error_text


def _bound(said: Any) -> tuple[tuple[Dataset, ...], dict[str, Dataset]]:
    """Datasets in their order, and by what they are called in the code where that is said."""
    if isinstance(said, Mapping) and "namespace" not in said:
        named = {str(name): dataset(each) for name, each in said.items()}
        return tuple(named.values()), named
    return datasets(said), {}


class _Call:
    """One call of a function, as a run. Nothing of it raises."""

    def __init__(
        self, job: str, function: Callable[..., Any], signature: inspect.Signature | None, told: _Told
    ) -> None:
        self._told = told
        self._only: tuple[str, Any] | None = None
        documented = told.description or (function.__doc__ or "").strip().partition("\n")[0] or None
        self.run = Run(
            job, inputs=told.inputs, outputs=told.outputs, key=told.key, made_of=told.made_of, parameters=told.fixed,
            owner=told.owner, description=documented, code=(function, None), error_text=told.error_text,
        )  # fmt: skip
        self._signature = signature

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with RUNS.quietly():
            self._arguments(args, kwargs)
        self.run.begin()

    def returned(self, result: Any) -> None:
        with RUNS.quietly():
            self._results(result)
        self.run.end()

    def yielded(self, result: Any) -> None:
        with RUNS.quietly():
            self._results(result)
            RUNS.look(self.run)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = list(_given(self._signature, args, kwargs))
        named = self._told.by_argument
        frames = [(name, value) for name, value in given if name in named or library_of(value) is not None]
        if not named and len(frames) < len(self._told.inputs):  # an empty list may be one of them
            frames = [(name, value) for name, value in given if _may_be_frame(value)]
        uses = iter(self.run.inputs)
        for name, value in frames:
            use = self._named(self.run.inputs, named[name]) if name in named else None
            if use is None:
                use = next(uses, None) if not named else None
            if use is None:
                use = Use(None, name)
                self.run.inputs.append(use)
            use.label = name
            self.run.hold(use, value, empty=True)
        found = [each for each in frames if library_of(each[1]) is not None]
        self._only = found[0] if len(found) == 1 else None
        if self._told.all_parameters or self._told.named_parameters:
            for name, value in given:
                if library_of(value) is None and (self._told.all_parameters or name in self._told.named_parameters):
                    self.run.parameter(name, value)

    def _results(self, result: Any) -> None:
        outputs, named = self.run.outputs, self._told.by_name
        if result is None and len(outputs) == 1 and self._only is not None:
            self.run.hold(outputs[0], self._only[1])
            return
        if isinstance(result, Mapping) and named:
            for name, value in result.items():
                if str(name) in named:
                    use = self._named(outputs, named[str(name)])
                    use.label = str(name)
                    self.run.hold(use, value, empty=True)
            return
        several = isinstance(result, tuple) and library_of(result) is None
        frames = [each for each in (result if several else (result,)) if _may_be_frame(each)]
        for place, value in enumerate(frames):
            if place >= len(outputs):
                if library_of(value) is None:
                    continue
                outputs.append(Use(None, _RESULT if len(frames) == 1 else f"{_RESULT}[{place}]"))
            self.run.hold(outputs[place], value, empty=True)

    @staticmethod
    def _named(uses: list[Use], about: Dataset) -> Use:
        return next(each for each in uses if each.dataset == about)


def _may_be_frame(value: Any) -> bool:
    return library_of(value) is not None or (isinstance(value, list) and not value)


def _given(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Arguments by name, those that were not given too; not what a method is called on."""
    if signature is None:
        yield from ((f"argument {place}", value) for place, value in enumerate(args))
        yield from kwargs.items()
        return
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    for place, (name, value) in enumerate(bound.arguments.items()):
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}[{number}]", each) for number, each in enumerate(value))
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        elif place or name not in ("self", "cls"):
            yield name, value


def _wrapped(function: Any, job: str | None, told: _Told) -> Any:
    if isinstance(function, staticmethod | classmethod):
        return type(function)(_wrapped(function.__func__, job, told))
    if isinstance(function, type):
        raise TypeError("a class would be none any more")
    name = job or f"{function.__module__}.{function.__qualname__}"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None

    def call() -> _Call | None:
        if not RUNS.enabled:
            return None
        with RUNS.quietly():
            return _Call(name, function, signature, told)
        return None

    if inspect.isasyncgenfunction(function):
        return _async_generator(function, call)
    if inspect.isgeneratorfunction(function):
        return _generator(function, call)
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, call)
    return _plain(function, call)


Begin = Callable[[], _Call | None]


class _Going:
    """While a function works, its run is what is going on, and what it raises ends it. ``over``: how a generator says
    that there is no more."""

    __slots__ = ("_over", "_run")

    def __init__(self, run: Run, *over: type[BaseException]) -> None:
        self._run = run
        self._over = over

    def __enter__(self) -> None:
        self._run.resume()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.pause()
        if error is not None:
            self._run.end(None if isinstance(error, self._over) else error)


def _plain(function: Callable[..., Any], call: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        this = call()
        if this is None:
            return function(*args, **kwargs)
        this.begin(args, kwargs)
        with _Going(this.run):
            result = function(*args, **kwargs)
        this.returned(result)
        return result

    return wrapper


def _coroutine(function: Callable[..., Any], call: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        this = call()
        if this is None:
            return await function(*args, **kwargs)
        this.begin(args, kwargs)
        with _Going(this.run):
            result = await function(*args, **kwargs)
        this.returned(result)
        return result

    return wrapper


def _generator(function: Callable[..., Any], call: Begin) -> Callable[..., Any]:
    """Between its steps a generator is not what is going on: whoever runs it may begin runs that are not its."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        this = call()
        inner = function(*args, **kwargs)
        if this is None:
            return (yield from inner)
        this.begin(args, kwargs)
        step: Callable[[], Any] = functools.partial(next, inner)
        while True:
            try:
                with _Going(this.run, StopIteration):
                    item = step()
            except StopIteration as stop:
                return stop.value
            this.yielded(item)
            try:
                sent = yield item
            except GeneratorExit:  # whoever took from it has enough
                with _Going(this.run):
                    inner.close()
                this.run.end()
                raise
            except BaseException as error:  # noqa: BLE001  (the generator is told)
                step = functools.partial(inner.throw, error)
            else:
                step = functools.partial(inner.send, sent)

    return wrapper


def _async_generator(function: Callable[..., Any], call: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        this = call()
        inner = function(*args, **kwargs)
        if this is not None:
            this.begin(args, kwargs)
        step: Callable[[], Any] = inner.__anext__
        while True:
            try:
                with nullcontext() if this is None else _Going(this.run, StopAsyncIteration):
                    item = await step()
            except StopAsyncIteration:
                return
            if this is not None:
                this.yielded(item)
            try:
                sent = yield item
            except GeneratorExit:
                with nullcontext() if this is None else _Going(this.run):
                    await inner.aclose()
                if this is not None:
                    this.run.end()
                raise
            except BaseException as error:  # noqa: BLE001  (the generator is told)
                step = functools.partial(inner.athrow, error)
            else:
                step = functools.partial(inner.asend, sent)

    return wrapper

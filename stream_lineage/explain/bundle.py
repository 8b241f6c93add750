"""Bundles: a recorded incident as one JSON document, checked and put in order.

What cannot be meant otherwise is mended and noted: times out of order, values that are missing, nodes that only edges
name. What is missing or of the wrong type is an error that says where.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stream_lineage.errors import DecodeError
from stream_lineage.explain.recording import Array, Breach, Edge, Event, Recording, Series, SeriesName

UNKNOWN_KIND = "unknown"
_SHOWN = 5
_LARGEST = 1e100
"""Beyond it numbers are taken for none: squares of them would be."""
_MILLISECONDS = 1e11
"""As seconds later than the year 5000, as milliseconds 1973."""
_HINT = "docs/root-cause.md says what a bundle holds."


def _text(value: Any) -> Any:
    """Ids may be numbers."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _seconds(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be epoch seconds")  # noqa: TRY004  (pydantic takes ValueErrors)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            time = datetime.fromisoformat(value)
            return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    return value


def _classes(value: Any) -> Any:
    """A class, several, or objects that name one."""
    if isinstance(value, str | dict):
        value = [value]
    if isinstance(value, list):
        return [each.get("class", each.get("kind", each)) if isinstance(each, dict) else each for each in value]
    return value


Text = Annotated[str, BeforeValidator(_text)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]


class _Document(BaseModel):
    """Keys that nobody knows are kept, so that they can be told."""

    model_config = ConfigDict(extra="allow")


class _Node(_Document):
    id: Text
    kind: Text | None = None


class _Edge(_Document):
    source: Text = Field(alias="from")
    target: Text = Field(alias="to")
    evidence: Annotated[list[Text] | None, BeforeValidator(_classes)] = None


class _Graph(_Document):
    nodes: list[_Node]
    edges: list[_Edge]


class _Series(_Document):
    node: Text
    metric: Text
    field: Text | None = None
    points: list[Any]


class _Event(_Document):
    node: Text
    kind: Text
    at: Seconds
    detail: Any = None


class _Breach(_Document):
    node: Text
    metric: Text
    field: Text | None = None
    at: Seconds


class _Bundle(_Document):
    graph: _Graph
    series: list[_Series]
    events: list[_Event] = Field(default_factory=list)
    breach: _Breach


def parse_bundle(data: bytes | str) -> Recording:
    """The incident that a bundle holds.

    Raises:
        DecodeError: it is no JSON, or lacks what a bundle must have.
    """
    return recording_of(_json(data))


def recording_of(document: Any) -> Recording:
    """The incident of a bundle that is a JSON document already.

    Raises:
        DecodeError: it lacks what a bundle must have.
    """
    if not isinstance(document, dict):
        raise DecodeError(f"a bundle is a JSON object, and this is {_type(document)}", hint=_HINT)
    try:
        bundle = _Bundle.model_validate(document)
    except ValidationError as error:
        raise DecodeError(_faults(error), hint=_HINT) from error
    notes = list(_unknown_keys(bundle))
    if "events" not in document:
        notes.append("The bundle has no events.")
    nodes = _nodes(bundle, notes)
    edges = _edges(bundle, notes)
    series = _in_seconds(bundle, _all_series(bundle, notes), notes)
    events = tuple(
        sorted(
            (Event(each.node, each.kind, each.at, _shown_detail(each.detail)) for each in bundle.events),
            key=lambda event: (event.at, event.node, event.kind, event.detail),
        )
    )
    breach = Breach(bundle.breach.node, bundle.breach.metric, bundle.breach.field or None, bundle.breach.at)
    return Recording(nodes, edges, series, events, breach, tuple(notes))


def _json(data: bytes | str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass  # NaN and Infinity are no JSON, and yet written by many
    try:
        return json.loads(data)
    except RecursionError as error:
        raise DecodeError("the bundle is nested too deeply", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise DecodeError(f"the bundle is no JSON: byte {error.start} is no UTF-8", hint=_HINT) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DecodeError(f"the bundle is no JSON: {error.msg} at {where}", hint=_HINT) from error
    except ValueError as error:
        raise DecodeError(f"the bundle is no JSON that can be read: {error}", hint=_HINT) from error


def _type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _faults(error: ValidationError) -> str:
    found = []
    for each in error.errors()[:_SHOWN]:
        place = ""
        for part in each["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
        message = "is missing" if each["type"] == "missing" else each["msg"][:1].lower() + each["msg"][1:]
        found.append(f"{place} {message}" if each["type"] == "missing" else f"{place}: {message}")
    more = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {more} more" if more > 0 else "")


def _unknown_keys(bundle: _Bundle) -> Iterable[str]:
    groups: list[tuple[str, Sequence[_Document]]] = [
        ("the bundle", [bundle]),
        ("graph", [bundle.graph]),
        ("nodes", bundle.graph.nodes),
        ("edges", bundle.graph.edges),
        ("series", bundle.series),
        ("events", bundle.events),
        ("breach", [bundle.breach]),
    ]
    for name, documents in groups:
        keys = sorted({key for each in documents for key in (each.model_extra or ())})
        if keys:
            yield f"Not used, for a bundle has no such keys, of {name}: {_listed(keys)}."


def _nodes(bundle: _Bundle, notes: list[str]) -> dict[str, str]:
    kinds: dict[str, set[str]] = {}
    for node in bundle.graph.nodes:
        kinds.setdefault(node.id, set()).update([] if node.kind is None else [node.kind])
    several = sorted(name for name, found in kinds.items() if len(found) > 1)
    if several:
        notes.append(f"Nodes of more than one kind, of which the first by name is taken: {_listed(several)}.")
    ends = {end for edge in bundle.graph.edges for end in (edge.source, edge.target)}
    only_edges = sorted(ends - kinds.keys())
    if only_edges:
        notes.append(f"Only edges name these nodes: {_listed(only_edges)}. They are taken as nodes.")
    known = kinds.keys() | ends
    for what, names in (
        ("series", {each.node for each in bundle.series}),
        ("events", {each.node for each in bundle.events}),
        ("the breach", {bundle.breach.node}),
    ):
        if missing := sorted(names - known):
            notes.append(f"The graph lacks nodes that {what} name: {_listed(missing)}. No path leads from or to them.")
        for name in missing:
            kinds.setdefault(name, set())
    for name in only_edges:
        kinds.setdefault(name, set())
    return {name: min(kinds[name], default=UNKNOWN_KIND) for name in sorted(kinds)}


def _edges(bundle: _Bundle, notes: list[str]) -> tuple[Edge, ...]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    loops = set()
    for edge in bundle.graph.edges:
        if edge.source == edge.target:
            loops.add(edge.source)
        else:
            pair = (edge.source, edge.target)
            found[pair] = (*found.get(pair, ()), *(edge.evidence or ()))
    if loops:
        notes.append(f"Edges from a node to itself say nothing: {_listed(sorted(loops))}.")
    classes = {each: tuple(sorted(set(each))) for each in set(found.values())}
    return tuple(Edge(source, target, classes[found[source, target]]) for source, target in sorted(found))


def _all_series(bundle: _Bundle, notes: list[str]) -> tuple[Series, ...]:
    parts: dict[SeriesName, list[Array]] = {}
    for index, each in enumerate(bundle.series):
        points = _points(each.points, f"series[{index}].points")
        parts.setdefault(SeriesName(each.node, each.metric, each.field or None), []).append(points)
    several = [name for name, found in parts.items() if len(found) > 1]
    if several:
        notes.append(f"Series that come more than once are put together: {_listed(sorted(map(str, several)))}.")
    counts = dict.fromkeys(("no number", "out of order", "at the same time as another"), 0)
    found = [_ordered(name, np.concatenate(parts[name]), counts) for name in sorted(parts, key=_order)]
    for what, count in counts.items():
        if count:
            done = {"no number": "left out", "out of order": "put in order"}.get(what, "replaced by their median")
            notes.append(f"{count} point{'s' if count > 1 else ''} {what}, {done}.")
    return tuple(found)


def _order(name: SeriesName) -> tuple[str, str, str]:
    return (name.node, name.metric, name.field or "")


def _points(points: list[Any], place: str) -> Array:
    if not points:
        return np.empty((0, 2))
    try:
        array = np.array(points, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.empty(0)
    if array.ndim == 2 and array.shape[1] == 2:
        return array
    return np.array([_point(each, f"{place}[{index}]") for index, each in enumerate(points)])


def _point(point: Any, place: str) -> tuple[float, float]:
    if not isinstance(point, list) or len(point) != 2:
        raise DecodeError(f"{place} is not [epoch seconds, value]", hint=_HINT)
    try:
        time = math.nan if point[0] is None else float(_seconds(point[0]))
    except (TypeError, ValueError, OverflowError) as error:
        raise DecodeError(f"{place}: its time is no epoch seconds", hint=_HINT) from error
    try:
        return time, math.nan if point[1] is None else float(point[1])
    except (TypeError, ValueError, OverflowError):
        return time, math.nan


def _ordered(name: SeriesName, points: Array, counts: dict[str, int]) -> Series:
    finite = (np.abs(points) <= _LARGEST).all(axis=1)  # what is no number is not, either
    if finite.all() and (points[1:, 0] > points[:-1, 0]).all():  # as almost all are, and nothing is to be done
        return Series(name, points[:, 0].copy(), points[:, 1].copy())
    counts["no number"] += int(np.count_nonzero(~finite))
    points = points[finite]
    counts["out of order"] += int(np.count_nonzero(np.diff(points[:, 0]) < 0))
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    times, first, each = np.unique(points[:, 0], return_index=True, return_counts=True)
    values = points[first, 1].copy()
    counts["at the same time as another"] += int((each - 1).sum())
    for place in np.flatnonzero(each > 1):
        values[place] = np.median(points[first[place] : first[place] + each[place], 1])
    return Series(name, times, values)


def _in_seconds(bundle: _Bundle, series: Iterable[Series], notes: list[str]) -> tuple[Series, ...]:
    """Times that only milliseconds can mean, made seconds of; the breach's and the events' in place."""
    mended: list[Series] = []
    places = set()
    for each in series:
        if len(each.times) and _middle(each.times) >= _MILLISECONDS:
            places.add("series")
            mended.append(Series(each.name, each.times / 1000, each.values))
        else:
            mended.append(each)
    moments: list[tuple[str, _Event | _Breach]] = [("the breach", bundle.breach)]
    moments += [("events", event) for event in bundle.events]
    for place, moment in moments:
        if moment.at >= _MILLISECONDS:
            places.add(place)
            moment.at /= 1000
    if places:
        notes.append(f"Times of {_listed(sorted(places))} are milliseconds, taken as such.")
    return tuple(mended)


def _middle(ascending: Array) -> float:
    """The median of what is in order."""
    return float((ascending[(len(ascending) - 1) // 2] + ascending[len(ascending) // 2]) / 2)


def _shown_detail(detail: Any) -> str:
    if detail is None:
        return ""
    return detail if isinstance(detail, str) else json.dumps(detail, sort_keys=True, ensure_ascii=False)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

"""A topic's closed window as the plain numbers that baselines are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stream_lineage.agents.metrics import TopicWindow, field_path, sketched
from stream_lineage.detect.metric_shape import FEWEST_VALUES
from stream_lineage.detect.shift.digest import EVEN_RANKS, single
from stream_lineage.detect.window import MAX_FIELDS, MAX_ITEMS, FieldWindow, Window, finite
from stream_lineage.model.profile import FieldProfile
from stream_lineage.profile.reading import distinct_estimate, distinct_of, item_counts, quantiles_within, variance


def window_facts(window: TopicWindow) -> Window:
    """The numbers. What a damaged sketch should say is left out."""
    profile = window.profile
    fields: list[FieldWindow] = []
    left_out = 0
    if profile is not None:
        paths = [("", each) for each in profile.fields] + [("@key", each) for each in profile.key_fields]
        fields = list(_fields(paths[:MAX_FIELDS]))
        left_out = max(0, len(paths) - MAX_FIELDS) + profile.truncated_fields
    return Window(
        cluster=window.cluster,
        topic=window.topic,
        start=window.start.timestamp(),
        seconds=float(window.seconds),
        records=window.records,
        bytes=window.bytes,
        tombstones=window.tombstones,
        sampled=window.sampled,
        out_of_order=window.out_of_order,
        lag_seconds=window.lag_sum / window.lag_count / 1000 if window.lag_count else None,
        profiled=0 if profile is None else profile.decoded,
        undecoded=0 if profile is None else profile.undecoded,
        keys=None if profile is None else sketched(lambda: distinct_of(profile.key_distinct)),
        first_offsets=dict(sorted(window.first_offsets.items())),
        last_offsets=dict(sorted(window.last_offsets.items())),
        schemas=tuple(sorted(window.schemas)),
        fields=tuple(fields),
        left_out=left_out,
    )


def _fields(paths: Iterable[tuple[str, FieldProfile]]) -> Iterable[FieldWindow]:
    for prefix, each in paths:
        numeric = each.numeric if each.numeric is not None and each.numeric.count else None
        points, error = _points(each) if numeric is not None and numeric.count >= FEWEST_VALUES else ([], 0.0)
        spread = None if numeric is None else variance(each)
        yield FieldWindow(
            path=field_path(prefix, each.path),
            slots=each.slots,
            nulls=each.nulls,
            missing=each.missing,
            distinct=sketched(lambda each=each: distinct_estimate(each)),  # type: ignore[misc]
            numbers=0 if numeric is None else numeric.count,
            mean=None if numeric is None else finite(numeric.mean),
            deviation=None if spread is None or spread < 0 else finite(spread**0.5),
            low=None if numeric is None else finite(numeric.min),
            high=None if numeric is None else finite(numeric.max),
            types={count.type: count.count for count in each.types if count.count},
            items=_items(each),
            points=points,
            rank_error=error,
        )


def _items(each: FieldProfile) -> dict[str, int] | None:
    """The categories; null where there are none, or too many to mean anything."""
    counts = sketched(lambda: item_counts(each))
    return None if counts is None or len(counts) > MAX_ITEMS else counts


def _points(each: FieldProfile) -> tuple[list[float], float]:
    """The numbers at even ranks, and how far the sketch's ranks may be off."""
    values, error = sketched(lambda: quantiles_within(each, EVEN_RANKS)) or ([], 0.0)
    return (single(values), error) if all(map(math.isfinite, values)) else ([], 0.0)

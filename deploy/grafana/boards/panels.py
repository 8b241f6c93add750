"""Panels as all dashboards have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    StackingMode,
    TableCellHeight,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)

from boards.queries import INFLUXDB, PROMETHEUS, FluxBuilder, prom

TEN_SECONDS = "10s"
"""What a point is of: windows are no narrower."""
SEVERITIES = {"critical": "red", "warning": "orange", "info": "blue"}
HEIGHT = 8


def lines(
    title: str,
    query: str,
    name: str,
    *,
    about: str,
    unit: str = "short",
    span: int = 12,
    stacked: bool = False,
    empty: str | None = None,
    links: list[dict[str, object]] | None = None,
    least: float | None = 0,
) -> timeseries.Panel:
    """Lines over time. ``name`` is what each is called; ``empty`` is said where there is none."""
    made: timeseries.Panel = _described(timeseries.Panel(), title, about, INFLUXDB, span).with_target(
        FluxBuilder(query)
    )
    made = made.interval(TEN_SECONDS).display_name(name).unit(unit).fill_opacity(10)
    if least is not None:
        made = made.min(least)
    if stacked:
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if empty is not None:
        made = made.no_value(empty)
    if links is not None:
        made = made.override_by_regexp(".*", [DynamicConfigValue("links", links)])
    return made


def bars(title: str, query: str, name: str, *, about: str, span: int = 12, empty: str | None = None) -> Any:
    """Stacked bars over time."""
    made = lines(title, query, name, about=about, span=span, stacked=True, empty=empty)
    return made.draw_style(GraphDrawStyle.BARS).fill_opacity(80)


def number(
    title: str,
    query: str,
    *,
    about: str,
    unit: str = "short",
    name: str | None = None,
    reduce: str = "lastNotNull",
    span: int = 6,
    steps: Sequence[tuple[float, str]] = (),
    sparkline: bool = False,
    empty: str | None = None,
    by_severity: bool = False,
) -> stat.Panel:
    """One number, or one for each series. ``steps`` are from where on which colour."""
    made: stat.Panel = _described(stat.Panel(), title, about, INFLUXDB, span, 4).with_target(FluxBuilder(query))
    made = made.interval(TEN_SECONDS).unit(unit).reduce_options(common.ReduceDataOptions().calcs([reduce]))
    made = made.graph_mode(BigValueGraphMode.AREA if sparkline else BigValueGraphMode.NONE)
    if name is not None:
        made = made.display_name(name)
    if empty is not None:
        made = made.no_value(empty)
    if by_severity:
        for severity, color in SEVERITIES.items():
            made = made.override_by_name(severity, [_color(color)])
    return made.color_mode(BigValueColorMode.VALUE).thresholds(_thresholds(steps))


def gauges(
    title: str, query: str, name: str, *, about: str, unit: str = "short", span: int = 12, empty: str | None = None
) -> bargauge.Panel:
    """A bar for each series."""
    made: bargauge.Panel = _described(bargauge.Panel(), title, about, INFLUXDB, span).with_target(FluxBuilder(query))
    made = made.interval(TEN_SECONDS).display_name(name).orientation(VizOrientation.HORIZONTAL).min(0).unit(unit)
    made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).thresholds(_thresholds(()))
    return made if empty is None else made.no_value(empty)


def rows(
    title: str,
    query: str,
    columns: Sequence[tuple[str, str]],
    *,
    about: str,
    properties: dict[str, list[DynamicConfigValue]] | None = None,
    span: int = 24,
    height: int = HEIGHT,
    empty: str | None = None,
) -> table.Panel:
    """A table. ``columns`` are the columns of the answer in their order, with their titles; others are not shown.
    ``properties`` are by column of the answer."""
    made: table.Panel = _described(table.Panel(), title, about, INFLUXDB, span, height).with_target(FluxBuilder(query))
    made = made.interval(TEN_SECONDS).filterable(True).cell_height(TableCellHeight.SM)
    kept = DataTransformerConfig("filterFieldsByName", options={"include": {"names": [name for name, _ in columns]}})
    order = {name: place for place, (name, _) in enumerate(columns)}
    arranged = DataTransformerConfig(
        "organize", options={"indexByName": order, "renameByName": {}, "excludeByName": {}}
    )
    made = made.with_transformation(kept).with_transformation(arranged)
    for name, shown in columns:
        made = made.override_by_name(
            name, [DynamicConfigValue("displayName", shown), *(properties or {}).get(name, ())]
        )
    return made if empty is None else made.no_value(empty)


def of_prometheus(
    title: str,
    queries: Sequence[tuple[str, str]],
    *,
    about: str,
    unit: str = "short",
    span: int = 12,
    as_number: bool = False,
    steps: Sequence[tuple[float, str]] = (),
) -> Any:
    """What Prometheus knows; each question with the name of its series."""
    made: Any = stat.Panel() if as_number else timeseries.Panel()
    made = _described(made, title, about, PROMETHEUS, span, 4 if as_number else HEIGHT).unit(unit)
    for place, (expression, legend) in enumerate(queries):
        made = made.with_target(prom(expression, legend, chr(ord("A") + place), instant=as_number))
    if as_number:
        return made.color_mode(BigValueColorMode.VALUE).thresholds(_thresholds(steps))
    return made.min(0).fill_opacity(10)


def unit(name: str) -> DynamicConfigValue:
    return DynamicConfigValue("unit", name)


def width(pixels: int) -> DynamicConfigValue:
    return DynamicConfigValue("custom.width", pixels)


def section(title: str) -> dashboard.Row:
    return dashboard.Row(title)


def _described(made: Any, title: str, about: str, source: DataSourceRef, span: int, height: int = HEIGHT) -> Any:
    return made.title(title).description(about).datasource(source).span(span).height(height)


def _color(name: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": FieldColorModeId.FIXED.value, "fixedColor": name})


def _thresholds(steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    base = Threshold(value=None, color="green" if steps else "text")
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([base, *(Threshold(value=value, color=color) for value, color in steps)])
    )

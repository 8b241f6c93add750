"""A plot of an audit as SVG: precision, recall and delay over sensitivity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from stream_lineage.detect.series.audit import Audit
from stream_lineage.detect.series.labelled import Outcome

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 80, 50, 60
_PRECISION, _RECALL, _DELAY = "#1b6ca8", "#c2571a", "#6b7280"


def audit_svg(audits: Sequence[tuple[float, Audit]], title: str) -> str:
    """``audits``: a sensitivity and what came of it, ascending. Shares are read on the left, delays on the right."""
    places = _places([sensitivity for sensitivity, _ in audits])
    delays = [audit.median_delay_seconds for _, audit in audits]
    longest = max((each for each in delays if each is not None), default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, size=15),
    ]
    for tenths in range(0, 11, 2):
        y = _height(tenths / 10)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{tenths * 10}%", anchor="end"))
        parts.append(_text(_WIDTH - _RIGHT + 8, y + 4, _seconds(longest * tenths / 10), color=_DELAY))
    for place, (sensitivity, _) in zip(places, audits, strict=True):
        parts.append(_text(place, _HEIGHT - _BOTTOM + 20, f"{sensitivity:g}", anchor="middle"))
    parts.append(
        _text(
            (_LEFT + _WIDTH - _RIGHT) / 2,
            _HEIGHT - 16,
            "sensitivity: false alarms allowed per series and month",
            anchor="middle",
        )
    )
    series = (
        ("precision", _PRECISION, [audit.precision for _, audit in audits], ""),
        ("recall", _RECALL, [audit.recall for _, audit in audits], ""),
        ("median delay", _DELAY, [None if each is None else each / longest for each in delays], "4 4"),
    )
    for index, (name, color, shares, dashes) in enumerate(series):
        known = [(x, _height(share)) for x, share in zip(places, shares, strict=True) if share is not None]
        if known:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in known)
            parts.append(
                f'<path d="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>'
            )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in known]
        parts.append(_text(_LEFT + 130 * index, 42, name, color=color))
    return "\n".join([*parts, "</svg>", ""])


def tradeoff_svg(outcomes: Sequence[Outcome], suggested: float | None) -> str:
    """What is caught over false alarms in a month, a point for each sensitivity; the suggested one is filled."""
    most = max((each.false_per_month or 0.0 for each in outcomes), default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, "Incidents caught over false alarms in a month", size=15),
    ]
    for tenths in range(0, 11, 2):
        y, x = _height(tenths / 10), _across(tenths / 10)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e5e7eb"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{tenths * 10}%", anchor="end"))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 20, f"{most * tenths / 10:.3g}", anchor="middle"))
    places = [
        (each, _across((each.false_per_month or 0.0) / most), _height(len(each.caught) / total))
        for each in outcomes
        if (total := len(each.caught) + len(each.missed))
    ]
    if places:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for _, x, y in places)
        parts.append(f'<path d="{path}" fill="none" stroke="{_PRECISION}" stroke-width="2"/>')
    for each, x, y in places:
        color = _RECALL if each.sensitivity == suggested else "white"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}" stroke="{_RECALL}" stroke-width="2"/>')
        parts.append(_text(x, y - 10, f"{each.sensitivity:g}", anchor="middle"))
    parts.append(
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, "false alarms in a month, all series", anchor="middle")
    )
    return "\n".join([*parts, "</svg>", ""])


def _across(share: float) -> float:
    return _LEFT + 20 + (_WIDTH - _LEFT - _RIGHT - 40) * share


def _places(sensitivities: Sequence[float]) -> list[float]:
    logs = [math.log(each) for each in sensitivities]
    low, wide = min(logs), (max(logs) - min(logs)) or 1.0
    inner = _WIDTH - _LEFT - _RIGHT - 40
    return [_LEFT + 20 + inner * (each - low) / wide for each in logs]


def _height(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _seconds(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _text(x: float, y: float, text: str, *, anchor: str = "start", color: str = "#111827", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}">{escape(text)}</text>'
    )

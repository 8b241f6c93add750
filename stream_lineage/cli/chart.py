"""A trend as text: one column for each window, its band behind it, marks below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from stream_lineage.explain.trend import Mark, MarkKind, Trend, TrendWindow

HEIGHT = 14
_LETTERS: dict[MarkKind, str] = {"schema": "S", "alert": "A", "deploy": "D"}
_STYLES = {"S": "cyan", "A": "bold red", "D": "magenta", "*": "bold yellow"}
_MARGIN = 12


def draw(trend: Trend) -> list[Text]:
    """Its lines. ``o`` is a value within its band, ``X`` one outside; the band is shaded."""
    numbers = [
        number
        for window in trend.windows
        for number in (window.value, window.low, window.high)
        if number is not None
    ]  # fmt: skip
    low, high = min(numbers), max(numbers)
    if low == high:
        low, high = low - 1, high + 1
    lines = [_row(trend.windows, level, low, high) for level in reversed(range(HEIGHT))]
    lines.append(Text(" " * _MARGIN + "+" + "-" * len(trend.windows), style="dim"))
    marks = _mark_line(trend)
    if marks.plain.strip():
        lines.append(marks)
    lines.append(_times(trend))
    return lines


def legend(trend: Trend) -> list[Text]:
    """What the marks are, a line each."""
    return [
        Text.assemble(
            (f"  {_LETTERS[mark.kind]} ", _STYLES[_LETTERS[mark.kind]]), (_moment(mark.time), "dim"), f"  {mark.label}"
        )
        for mark in trend.marks
    ]


def _row(windows: Sequence[TrendWindow], level: int, low: float, high: float) -> Text:
    line = Text(_label(level, low, high), style="dim")
    for window in windows:
        if window.value is not None and _level(window.value, low, high) == level:
            line.append("X" if window.outside else "o", style="bold red" if window.outside else "green")
        elif (
            window.low is not None
            and window.high is not None
            and _level(window.low, low, high) <= level <= _level(window.high, low, high)
        ):
            line.append("░", style="dim blue")
        else:
            line.append(" ")
    return line


def _label(level: int, low: float, high: float) -> str:
    shown = ""
    if level in (0, HEIGHT // 2, HEIGHT - 1):
        shown = f"{low + (high - low) * level / (HEIGHT - 1):.5g}"
    return f"{shown:>{_MARGIN - 1}} |"


def _level(value: float, low: float, high: float) -> int:
    return min(HEIGHT - 1, max(0, round((value - low) / (high - low) * (HEIGHT - 1))))


def _mark_line(trend: Trend) -> Text:
    """A letter below each window in which something happened; a star where more did."""
    found = [""] * len(trend.windows)
    for mark in trend.marks:
        for column in _columns(trend, mark):
            letter = _LETTERS[mark.kind]
            found[column] = letter if found[column] in ("", letter) else "*"
    line = Text(" " * (_MARGIN + 1))
    for letter in found:
        line.append(letter or " ", style=_STYLES.get(letter, ""))
    return line


def _columns(trend: Trend, mark: Mark) -> range:
    first = trend.windows[0].time

    def column(time: datetime) -> int:
        return int((time - first).total_seconds() // trend.window_seconds)

    until = column(mark.until) if mark.until is not None else column(mark.time)
    return range(max(0, column(mark.time)), min(len(trend.windows) - 1, until) + 1)


def _times(trend: Trend) -> Text:
    width = len(trend.windows)
    start, end = _moment(trend.windows[0].time), _moment(trend.windows[-1].time)
    between = max(1, width - len(start) - len(end))
    return Text(" " * (_MARGIN + 1) + start + " " * between + end, style="dim")


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"

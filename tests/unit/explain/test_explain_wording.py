"""If this failed, answers would tell people another time or a length of time in a unit that nobody reads."""

from __future__ import annotations

import pytest

from stream_lineage.explain.wording import duration, moment


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_767_225_600.9, "2026-01-01T00:00:00Z"),
        (9e11, "9e+11 s"),  # beyond the year 9999
        (float("inf"), "inf s"),
    ],
)
def test_moments(at: float, said: str) -> None:
    assert moment(at) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.25, "0.25 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (9000, "2.5 h"),
     (86_400, "24 h"), (216_000, "2.5 d")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said

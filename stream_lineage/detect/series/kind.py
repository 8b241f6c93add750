"""What a series' values are."""

from __future__ import annotations

from enum import StrEnum


class SeriesKind(StrEnum):
    """It decides how much a value varies when nothing is wrong, at least."""

    COUNT = "count"
    """Events in a window, 0 or more: it varies as a Poisson count does, at least."""
    RATIO = "ratio"
    """A share from 0 to 1 of as many records as the weight says: it varies as a binomial share does, at least."""
    LEVEL = "level"
    """Anything else: a mean, a quantile, a lag."""

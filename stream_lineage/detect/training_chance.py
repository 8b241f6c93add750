"""How likely a difference is where there is none: natural logarithms of probabilities, which do not underflow.

Training data and live data are two samples. Every rule asks for an effect that matters and for a chance below
``LOG_ALPHA``, so that a sample compared with its like gives nothing, whatever the number of fields.
"""

from __future__ import annotations

import math

LOG_ALPHA = math.log(1e-7)
"""Chance of one false finding, for each rule and field. Larger: smaller differences are found in small samples, and
more that are none: 500 fields under ten rules make 5,000 chances."""


def all_in_second(count: float, first: int, second: int) -> float:
    """That ``count`` alike records all are in the second of two samples of these sizes, by where they happened to
    fall."""
    if count <= 0 or second <= 0:
        return 0.0
    return count * math.log(second / (first + second))


def ratios_differ(first_count: int, first: int, second_count: int, second: int) -> float:
    """That two shares of one underlying ratio differ so much: the likelihood ratio test (Wilks, 1938)."""
    if first <= 0 or second <= 0:
        return 0.0
    pooled = (first_count + second_count) / (first + second)
    statistic = 2 * (
        _log_likelihood(first_count, first, first_count / first)
        + _log_likelihood(second_count, second, second_count / second)
        - _log_likelihood(first_count, first, pooled)
        - _log_likelihood(second_count, second, pooled)
    )
    return log_normal_tail(math.sqrt(max(statistic, 0.0))) + math.log(2)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """That a chi-square variable is so large (Wilson and Hilferty, 1931)."""
    if degrees <= 0 or statistic <= 0:
        return 0.0
    spread = 2 / (9 * degrees)
    return log_normal_tail(((statistic / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def log_normal_tail(z: float) -> float:
    """That a standard normal variable exceeds ``z``."""
    if z <= 0:
        return 0.0
    if z < 20:
        return math.log(0.5 * math.erfc(z / math.sqrt(2)))
    return -z * z / 2 - math.log(z * math.sqrt(2 * math.pi))


def _log_likelihood(count: int, size: int, ratio: float) -> float:
    hits = count * math.log(ratio) if count else 0.0
    misses = (size - count) * math.log(1 - ratio) if size > count else 0.0
    return hits + misses

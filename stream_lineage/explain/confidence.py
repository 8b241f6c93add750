"""How sure a cause is: a logistic function of few features."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """Of a candidate: ``ratio`` of its deviation and the breach's (null where that cannot be judged), ``length`` of
    the path in nodes, the share of them that is ``observed``, the ``sureness`` of the least sure edge, the part of the
    ``margin`` between its score and the best other one's, an ``event`` in time, ``doubts``, the share of neighbours on
    the path that are ``ordered`` in time, how many points at most one is ``ahead`` of the next, the smallest ratio
    on the path, and the ``faith`` that is left of a score on the way (see ``descent``)."""

    ratio: float
    breach_ratio: float | None
    length: int
    observed: float
    sureness: float
    margin: float
    event: bool
    doubts: int
    ordered: float
    ahead: float
    rarest: float
    faith: float


def numbers(features: Features) -> tuple[float, ...]:
    """The features as the function takes them: bounded, and each about 0 to 1."""
    return (
        min(math.log(max(features.ratio, 0.2) / 1.7) / 2, 1.0),
        min(math.log(max(features.rarest, 0.2) / 1.7) / 2, 1.0),
        min(math.log(max(2.0 if features.breach_ratio is None else features.breach_ratio, 0.2) / 1.7) / 2, 1.0),
        1.0 - features.observed,
        2 * (features.margin - 0.5),
        1.0 if features.event else 0.0,
        1.0 - features.ordered,
        math.log1p(max(features.ahead, 0.0) / 5) / 2,
        1.0 if features.length == 1 else 0.0,
        max(0.0, 0.9 - features.sureness),
        min(-math.log(max(features.faith, 1e-9)) / 2, 1.5),
    )


WEIGHTS = (-0.29, 1.59, 0.0, 0.0, -1.92, 1.55, 2.15, -0.76, -0.34, -0.82, -4.0, -0.12)
"""Of a constant and of each of ``numbers``: a logistic regression on the answers to 402 simulated incidents of two
generators, damped towards weights that had been set by hand (``benchmarks/root_cause.py --fit``; seeds 2000 to
2213)."""


def confidence(features: Features) -> float:
    """From 0 to 1: of the answers given with it, that part is right."""
    weighted = zip(WEIGHTS, (1.0, *numbers(features)), strict=True)
    return 1 / (1 + math.exp(-sum(weight * number for weight, number in weighted)))

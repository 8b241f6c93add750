"""How sure a cause is: a logistic function of few features."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """Of a candidate: ``ratio`` of its deviation and the breach's (null where that cannot be judged), ``length`` of the
    path in nodes, the share of them that is ``observed``, the ``sureness`` of the least sure edge, the part of the
    ``margin`` between its score and the best other one's, an ``event`` in time, ``doubts``, and the share of neighbours
    on the path that are ``ordered`` in time."""

    ratio: float
    breach_ratio: float | None
    length: int
    observed: float
    sureness: float
    margin: float
    event: bool
    doubts: int
    ordered: float


def confidence(features: Features) -> float:
    """From 0 to 1: of the answers given with it, that part is right."""
    strength = math.log(max(features.ratio, 0.2) / 1.7)
    score = (
        0.2
        + 1.2 * min(strength, 2.0)
        + 2.5 * (features.observed - 0.5)
        + 3.0 * (features.margin - 0.5)
        + 4.0 * (min(features.sureness, 0.9) - 0.75)
        + (1.0 if features.event else 0.0)
        + 1.0 * (features.ordered - 0.7)
        - 1.5 * features.doubts
    )
    return 1 / (1 + math.exp(-score))

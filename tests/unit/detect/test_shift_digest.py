"""If this failed, the shape that a field is held against would not be the one that its windows had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.detect.shift.digest import (
    DIGEST_ERROR,
    EVEN_RANKS,
    POINTS,
    POINTS_ERROR,
    Digest,
    distance,
    packed_points,
    single,
    unpacked_points,
    usable,
)
from stream_lineage.errors import DecodeError


@pytest.mark.parametrize("windows", [1, 2, 3, 17, 64, 300, 360])
@pytest.mark.parametrize("family", ["bell", "heavy", "drift", "two"])
def test_a_digest_has_the_ranks_of_all_its_windows(windows: int, family: str) -> None:
    random = np.random.default_rng(windows)
    digest, every = Digest(), []
    for number in range(windows):
        values = {
            "bell": random.normal(0, 1, 500),
            "heavy": np.exp(3 * random.normal(0, 1, 500)),
            "drift": random.normal(number, 5, 500),
            "two": random.choice([1.0, 2.0], 500),
        }[family]
        every.append(values)
        digest.add(single(np.quantile(values, EVEN_RANKS, method="inverted_cdf").tolist()))
    pooled = np.sort(np.concatenate(every).astype(np.float32))
    summary = digest.summary(24)
    assert summary == sorted(summary)
    for index, value in enumerate(summary):
        low, high = (np.searchsorted(pooled, np.float32(value), side=side) / len(pooled) for side in ("left", "right"))
        assert low - DIGEST_ERROR - POINTS_ERROR <= (index + 0.5) / 24 <= high + DIGEST_ERROR + POINTS_ERROR


def test_a_stored_digest_goes_on_alike_and_stays_small() -> None:
    random = np.random.default_rng(1)
    digest = Digest()
    for number in range(2000):
        digest.add(single(np.sort(random.normal(0, 1, POINTS)).tolist()))
        if number % 97 == 0:
            digest = Digest(digest.windows, digest.state())
            again = Digest(digest.windows, digest.state())
    for _ in range(2000 - 1 - 1940):
        again.add([0.0] * POINTS)
    assert sum(len(unpacked_points(each)) for each in digest.state()) <= 12 * 2 * POINTS
    assert digest.windows == 2000


lists = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40).map(sorted)


@given(lists, lists)
def test_the_distance_is_the_largest_one_anywhere(reference: list[float], points: list[float]) -> None:
    places = [value / 2 for value in range(-12, 13)]
    exact = max(
        abs(sum(a <= at for a in reference) / len(reference) - sum(b <= at for b in points) / len(points))
        for at in places
    )
    assert distance(reference, points) == pytest.approx(exact)


def test_points_are_single_precision_and_damaged_ones_are_told() -> None:
    assert single([0.1, 1e300, -1e300])[0] == np.float32(0.1)
    assert usable(single([1e300] * POINTS))
    assert not usable([1e300] * POINTS)
    assert not usable([float("nan")] * POINTS)
    assert unpacked_points(packed_points(single([1.5, -2.0]))) == [1.5, -2.0]
    with pytest.raises(DecodeError):
        unpacked_points("AAA")
    with pytest.raises(DecodeError):
        unpacked_points("AAAAAAA=")

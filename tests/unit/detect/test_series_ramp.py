"""If this failed, a counter that starts again would page somebody, or a value that stands still would be no news."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream_lineage.detect.series.ramp import Ramp
from stream_lineage.detect.series.stuck import LEAST_RUN, Stuck


def ramp(medians: Sequence[float | None]) -> Ramp:
    found = Ramp(Ramp.initial())
    for each in medians:
        found.turn(each)
    return Ramp(found.state())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_counter_is_known_after_eighteen_hours_of_half_hours(sign: int) -> None:
    assert not ramp([float(sign * n) for n in range(36)]).ramps, "35 steps"
    known = ramp([float(sign * n) for n in range(37)])
    assert known.ramps
    assert known.fell(-5.0 * sign), "it starts again"
    assert not known.fell(5.0 * sign), "it jumps"
    assert not ramp([float(sign * n) for n in range(36)]).fell(-5.0 * sign)


def test_one_in_ten_half_hours_may_go_the_other_way() -> None:
    nine_in_ten: list[float | None] = [float(n - 20 * (n // 10)) for n in range(101)]
    assert ramp(nine_in_ten[:-1]).ramps
    assert not ramp([float(n - 20 * (n // 8)) for n in range(97)]).ramps
    assert not ramp([7.0] * 200).ramps, "what stands still is no counter"


def test_half_hours_of_which_nothing_is_known_say_nothing() -> None:
    gaps = [each for n in range(37) for each in (float(n), None)]
    assert ramp(gaps).state() == ramp([float(n) for n in range(37)]).state()
    assert ramp([None, None]).state() == Ramp.initial()


def test_two_days_are_remembered() -> None:
    up = [float(n) for n in range(1000)]
    _, ups, downs = ramp(up).state()
    assert (ups or 0) + (downs or 0) == pytest.approx(96, abs=1)
    # Three days of neither make it forget.
    waves = [1000.0 + n % 2 for n in range(3 * 48)]
    assert not ramp([*up, *waves]).ramps


def stuck(values: list[float]) -> list[float]:
    found = Stuck(Stuck.initial())
    out = []
    for each in values:
        out.append(found.take(each))
        found = Stuck(found.state())
    return out


def test_twelve_equal_values_are_odd_where_none_were() -> None:
    found = stuck([*map(float, range(100)), *[0.5] * 24])
    assert found[:101] == [0.0] * 101
    assert found[100 + 5] == pytest.approx(5 / 11), "the sixth of them: five of eleven steps"
    assert found[100 + LEAST_RUN - 2] < 1 <= found[100 + LEAST_RUN - 1]
    assert found == sorted(found)
    assert LEAST_RUN == 12


def test_nothing_is_odd_before_a_hundred_values_are_known() -> None:
    assert set(stuck([*map(float, range(98)), *[0.5] * 40])) == {0.0}
    assert max(stuck([*map(float, range(100)), *[0.5] * 40])) > 1


def test_where_values_repeat_standing_still_is_usual() -> None:
    every_tenth_twice = [float(n - (n % 10 == 9)) for n in range(300)]
    assert max(stuck([*every_tenth_twice, *[0.5] * 40])) == 0.0


def test_what_has_stood_still_once_may_do_so_again() -> None:
    once = [*map(float, range(200)), *[0.5] * 20]
    again = [*map(float, range(1000, 1100)), *[0.7] * 20]
    assert max(stuck(once)) > 1
    assert max(stuck([*once, *again])[len(once) :]) == 0.0, "12 of 300 is more than 3%"
    long_ago = [*map(float, range(1000, 1700)), *[0.7] * 20]
    assert max(stuck([*once, *long_ago])[len(once) :]) > 1, "12 of 900 is less"

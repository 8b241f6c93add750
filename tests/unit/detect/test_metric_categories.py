"""If this failed, a category that appears or vanishes would go untold, or rare ones be told all the time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pytest

from stream_lineage.detect.metric_categories import FEWEST_WINDOWS, MOST, Categories

Counts = Mapping[str, int] | None
USUAL: Counts = {"=click": 70, "=view": 30}


def watched(windows: Iterable[Counts], known: Categories | None = None) -> tuple[Categories, list[list[str]]]:
    """What is remembered, by way of its state after each window, and what is told of each."""
    known, told = known or Categories(), []
    for items in windows:
        found = known.observe("kind", items)
        told.append([f"{each.metric}: {each.expected} -> {each.actual}" for each in found.values()])
        known = Categories(json.loads(json.dumps(known.state())))
    return known, told


def warm(count: int = 60, items: Counts = USUAL) -> Categories:
    known, told = watched([items] * count)
    assert told == [[]] * count
    return known


NEW: Counts = {"=click": 70, "=view": 20, "=scroll": 10}


def test_one_that_takes_a_real_share_is_told_in_the_first_window() -> None:
    """That a tenth of the values were of it and none of 6,000 was: 0.9 ** 6000. With 10 of 6,100 records the chance
    that all of them are among the last 100 is (100 / 6,100) ** 10 = 1e-18."""
    _, told = watched([NEW, NEW], warm())
    assert told == [["new-category: never seen -> scroll in 10% of the values"]] * 2


def test_one_that_may_not_be_shown_is_its_hash() -> None:
    _, told = watched([{"=click": 90, "#0f0f": 10}], warm())
    assert told == [["new-category: never seen -> category #0f0f in 10% of the values"]]


def test_a_rare_one_is_learned_without_a_word() -> None:
    """(100 / 6,100) ** 1 is no news; so little may turn up by chance."""
    rare = {"=click": 70, "=view": 29, "=rare": 1}
    _, told = watched([rare, USUAL, rare, USUAL, rare, USUAL, rare], warm())
    assert told == [[]] * 7


def test_one_that_becomes_frequent_in_its_first_windows_is_told_then() -> None:
    """1 of 6,100 in the first, and 5 more in the second: (200 / 6,200) ** 6 = 1e-9."""
    slowly = [{"=click": 99, "=rare": 1}, {"=click": 95, "=rare": 5}]
    _, told = watched(slowly, warm())
    assert told[0] == []
    assert told[1][0].startswith("new-category: never seen -> rare in 3% of the values")
    later = [{"=click": 99, "=rare": 1}, USUAL, USUAL, {"=click": 50, "=rare": 50}]
    assert watched(later, warm())[1] == [[]] * 4, "after three windows it is known"


def test_in_the_first_windows_of_a_topic_everything_is_new() -> None:
    _, told = watched([*[USUAL] * (FEWEST_WINDOWS - 1), NEW, NEW])
    assert told == [[]] * (FEWEST_WINDOWS + 1)
    assert watched([NEW], warm(FEWEST_WINDOWS))[1] != [[]]


def test_a_new_one_is_how_things_are_after_an_hour_of_windows() -> None:
    _, told = watched([NEW] * 400, warm())
    assert [bool(each) for each in told] == [True] * 360 + [False] * 40


GONE: Counts = {"=click": 70}


def test_one_has_vanished_when_forty_of_it_were_due_and_three_windows_passed() -> None:
    _, told = watched([GONE] * 4, warm())
    # 30% of 70 are 21 a window: 42 were due after two, and a third has to pass.
    assert told == [
        [], [],
        ["vanished-category: view in 30% of the values -> none for 3 windows"],
        ["vanished-category: view in 30% of the values -> none for 4 windows"],
    ]  # fmt: skip
    rarer = {"=click": 98, "=view": 2}
    _, told = watched([{"=click": 100}] * 25, warm(items=rarer))
    assert [bool(each) for each in told] == [False] * 19 + [True] * 6, "2 of 100 are due in each: 40 after twenty"


def test_it_is_over_when_it_comes_again_or_after_an_hour_of_windows() -> None:
    _, told = watched([*[GONE] * 4, USUAL, GONE, GONE, GONE], warm())
    assert [bool(each) for each in told] == [False, False, True, True, False, False, False, True]
    known, told = watched([GONE] * 400, warm())
    assert [bool(each) for each in told] == [False] * 2 + [True] * 357 + [False] * 41
    assert watched([USUAL, GONE, GONE, GONE, GONE], known)[1] == [[]] * 5, "it comes and goes now"


def test_one_that_often_does_not_come_is_not_missed() -> None:
    """It has to be in 98% of the windows."""
    known, _ = watched([USUAL if n % 10 else GONE for n in range(200)])
    assert watched([GONE] * 10, known)[1] == [[]] * 10


def test_one_that_is_new_is_not_missed_before_it_is_known() -> None:
    known, _ = watched([NEW] * 30, warm())
    assert watched([USUAL] * 20, known)[1] == [[]] * 20
    known, _ = watched([NEW] * 380, warm())
    _, told = watched([USUAL] * 5, known)
    assert [bool(each) for each in told] == [False, False, False, True, True], "10 of 100 are due in each"


def test_one_of_the_first_windows_that_does_not_come_again_is_nothing() -> None:
    assert watched([USUAL, *[GONE] * 60])[1] == [[]] * 61


@pytest.mark.parametrize("nothing", [{}, {"=click": 0}])
def test_windows_without_values_say_nothing(nothing: Counts) -> None:
    known = warm()
    before = known.state()
    assert watched([nothing] * 5, known)[1] == [[]] * 5
    assert known.state() == before


def test_a_field_with_too_many_has_none_that_mean_anything() -> None:
    many = {f"={n}": 1 for n in range(MOST + 1)}
    known, told = watched([many, GONE, GONE, GONE, GONE, NEW], warm())
    assert told == [[]] * 6
    assert known.state() == {"many": True}
    # No window has too many, but all of them together have.
    _, told = watched([{f"={n}-{m}": 1 for m in range(40)} for n in range(40)])
    assert told == [[]] * 40


def test_a_profile_that_counts_them_no_more_has_seen_too_many() -> None:
    known, told = watched([None, *[GONE] * 4], warm())
    assert told == [[]] * 5
    assert known.state() == {"many": True}
    assert watched([None, None])[0].state() != {"many": True}, "nothing is known of one that never had any"
    assert watched([NEW], watched([None, None, *[USUAL] * 60])[0])[1] != [[]]

"""If this failed, what somebody declared would be broken in silence, or told although it is met."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_lineage.detect.excursion import RANKS
from stream_lineage.detect.expectations import FieldExpectation, TopicExpectation
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.model.finding import Severity

AMOUNT = FieldWindow("amount", slots=200, nulls=2, missing=10, numbers=188, low=-1.5, high=99.0)
KIND = FieldWindow("kind", slots=200, nulls=0, missing=0, items={"=click": 150, "=view": 40, "#0f" + "0" * 14: 10})
WINDOW = Window("test", "clicks", 0.0, 10.0, records=200, schemas=("a" * 64, "b" * 64), fields=(AMOUNT, KIND))


def unmet(declared: TopicExpectation, window: Window = WINDOW, usual: float | None = 200.0) -> dict[str, list[str]]:
    found = declared.unmet(window, usual)
    for each in found.values():
        assert each is not None
        assert (each.metric, each.severity, each.began) == ("expectation", Severity.CRITICAL, 0)
        assert each.metric in RANKS
    return {key: [each.path or "", each.expected, each.actual] for key, each in found.items() if each is not None}


def of_amount(**bounds: float) -> TopicExpectation:
    return TopicExpectation(fields={"amount": FieldExpectation(**bounds)})  # type: ignore[arg-type]


# number, what is declared of the field, what is told of it
FIELDS: list[tuple[int, dict[str, float], dict[str, list[str]]]] = [
    (1, {}, {}),
    (2, {"null_ratio": 0.01}, {}),  # 2 of 200: met when reached
    (3, {"null_ratio": 0.0099}, {"null ratio amount": ["amount", "null ratio at most 0.99%", "null ratio 1%"]}),
    (4, {"missing_ratio": 0.05}, {}),
    (5, {"missing_ratio": 0.01}, {"missing ratio amount": ["amount", "missing ratio at most 1%", "missing ratio 5%"]}),
    (6, {"low": -1.5, "high": 99.0}, {}),
    (7, {"low": 0.0}, {"min amount": ["amount", "min at least 0", "min -1.5"]}),
    (8, {"high": 98.5}, {"max amount": ["amount", "max at most 98.5", "max 99"]}),
    (9, {"low": 0.0, "high": 50.0, "null_ratio": 0.0}, {
        "null ratio amount": ["amount", "null ratio at most 0%", "null ratio 1%"],
        "min amount": ["amount", "min at least 0", "min -1.5"],
        "max amount": ["amount", "max at most 50", "max 99"],
    }),
]  # fmt: skip


@pytest.mark.parametrize(("number", "bounds", "told"), FIELDS, ids=[str(row[0]) for row in FIELDS])
def test_bounds_are_met_when_reached(number: int, bounds: dict[str, float], told: dict[str, list[str]]) -> None:
    assert unmet(of_amount(**bounds)) == told


def test_a_window_that_says_nothing_of_a_field_meets_what_is_declared_of_it() -> None:
    declared = of_amount(null_ratio=0.0, missing_ratio=0.0, low=5.0, high=6.0)
    nothing = FieldWindow("amount", slots=0, nulls=0, missing=0)
    assert unmet(declared, replace(WINDOW, fields=(nothing,))) == {}
    assert unmet(declared, replace(WINDOW, fields=(KIND,))) == {}


def values(*names: str) -> TopicExpectation:
    return TopicExpectation(fields={"kind": FieldExpectation(values=frozenset(names))})


def test_categories_are_compared_as_people_write_them_or_by_hash() -> None:
    hashed = "#0f" + "0" * 14
    assert unmet(values("click", "view", hashed, "buy")) == {}
    assert unmet(values("click", "view")) == {"in kind": ["kind", "one of 2 values", hashed]}
    assert unmet(values("click", hashed)) == {"in kind": ["kind", "one of 2 values", "view"]}
    none = replace(WINDOW, fields=(replace(KIND, items=None),))
    assert unmet(values("click"), none) == {}, "so many that none is counted"


def test_of_many_values_that_should_not_be_there_three_are_named() -> None:
    four = replace(WINDOW, fields=(replace(KIND, items={f"={name}": 1 for name in "dbca"}),))
    assert unmet(values("x"), four)["in kind"][2] == "a, b, c and 1 more"


def test_of_long_values_profiles_keep_the_first_64_characters() -> None:
    long = replace(WINDOW, fields=(replace(KIND, items={"=" + "x" * 64: 9}),))
    assert unmet(values("x" * 80), long) == {}
    assert unmet(values("x" * 63), long) != {}


@pytest.mark.parametrize(
    ("records", "usual", "told"),
    [
        (200, 200.0, None),
        (150, 200.0, None),  # a quarter off, which is allowed
        (149, 200.0, "149 records (25.5% off)"),
        (251, 200.0, "251 records (25.5% off)"),
        (0, 2000.0, "0 records (100% off)"),
        (149, None, None),  # nothing is known yet
        (149, 0.0, None),  # nothing is usual: there is no ratio
    ],
)
def test_rows_are_held_against_what_is_usual(records: int, usual: float | None, told: str | None) -> None:
    found = unmet(TopicExpectation(rows_deviation=0.25), replace(WINDOW, records=records), usual)
    assert [each[2] for each in found.values()] == ([] if told is None else [told])
    if told is not None:
        assert usual is not None
        assert found["rows"][1] == f"{usual:,.4g} records within 25%".replace("2e+03", "2,000")


def test_schemas_are_known_by_their_hashes() -> None:
    both = frozenset({"a" * 64, "b" * 64})
    assert unmet(TopicExpectation(schema_hashes=both)) == {}
    one = unmet(TopicExpectation(schema_hashes=frozenset({"a" * 64, "c" * 64})))
    assert one == {"schema": ["", "schema " + "a" * 12 + " or " + "c" * 12, "schema " + "b" * 12]}
    assert unmet(TopicExpectation(schema_hashes=both), replace(WINDOW, schemas=())) == {}, "nothing came"
    many = replace(WINDOW, schemas=tuple(letter * 64 for letter in "fedcb"))
    assert unmet(TopicExpectation(schema_hashes=both), many)["schema"][2] == "schema " + ", ".join(
        letter * 12 for letter in "cde"
    )

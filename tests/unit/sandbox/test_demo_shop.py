"""If this failed, the demo's data would not be what its schemas say, or its fault would not be the one it tells of."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import fastavro
import pytest
from fastavro.validation import validate

from stream_lineage.sandbox.demo.crm_sync import spoilt
from stream_lineage.sandbox.demo.feature_builder import features
from stream_lineage.sandbox.demo.purchase_scorer import probability
from stream_lineage.sandbox.demo.shop import CUSTOMERS, NEW_EVENT, Shop, age_band
from stream_lineage.sandbox.demo.topics import schema


def parsed(name: str) -> Any:
    return fastavro.parse_schema(json.loads(schema(name)))


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (18, "18-24"),
        (24, "18-24"),
        (25, "25-34"),
        (34, "25-34"),
        (35, "35-44"),
        (64, "55-64"),
        (65, "65+"),
    ],
)
def test_ages_fall_into_bands(age: int, band: str) -> None:
    assert age_band(age) == band


def test_customers_fit_the_first_schema_and_with_bands_only_the_second() -> None:
    shop = Shop()
    before = shop.customers() + [shop.changed_customer() for _ in range(200)]
    assert len({customer["customer_id"] for customer in before}) == CUSTOMERS
    for customer in before:
        assert validate(customer, parsed("customer-1"))
        banded = {**customer, "age": age_band(customer["age"])}
        assert validate(banded, parsed("customer-2"))
        assert not validate(banded, parsed("customer-1"), raise_errors=False)


def test_the_schemas_of_a_customer_differ_in_the_type_of_age_only() -> None:
    one, two = (json.loads(schema(name)) for name in ("customer-1", "customer-2"))
    assert [field for field in one["fields"] if field not in two["fields"]] == [{"name": "age", "type": "int"}]
    assert [field for field in two["fields"] if field not in one["fields"]] == [{"name": "age", "type": "string"}]
    assert {**one, "fields": []} == {**two, "fields": []}


def test_only_the_new_release_sends_the_new_event() -> None:
    shop = Shop()
    before = [shop.click(scrolls=False) for _ in range(500)]
    after = [shop.click(scrolls=True) for _ in range(500)]
    assert set(Counter(click["event_type"] for click in before)) == {"view", "click", "purchase"}
    assert set(Counter(click["event_type"] for click in after)) == {"view", "click", "purchase", NEW_EVENT}
    for click in before + after:
        assert validate(click, parsed("click"))
        assert (click["amount"] is None) == (click["event_type"] != "purchase")
    assert len({click["click_id"] for click in before + after}) == 1_000


def test_the_same_seed_gives_the_same_customers() -> None:
    assert [customer["customer_id"] for customer in Shop(3).customers()] == [
        customer["customer_id"] for customer in Shop(3).customers()
    ]
    assert [customer["age"] for customer in Shop(3).customers()] != [
        customer["age"] for customer in Shop(4).customers()
    ]


@pytest.mark.parametrize(("age", "parsed_age"), [(34, 34), ("34", 34), ("35-44", None), ("65+", None), (None, None)])
def test_what_cannot_be_parsed_is_null_in_the_features(age: Any, parsed_age: int | None) -> None:
    shop = Shop()
    customer = {**shop.customers()[0], "age": age}
    row = features(shop.click(scrolls=False), customer, 3)
    assert row["age"] == parsed_age
    assert validate(row, parsed("feature"))


def test_a_missing_age_lowers_the_prediction() -> None:
    shop = Shop()
    row = features(shop.click(scrolls=False), {**shop.customers()[0], "age": 50}, 3)
    with_age, without = probability(row), probability({**row, "age": None})
    assert 0 < without < with_age < 1


@pytest.mark.parametrize(
    ("fault", "changed"), [("schema", "age"), ("nulls", "country"), ("unit-change", "total_spend")]
)
def test_each_release_of_the_crm_spoils_one_field_and_says_so(fault: str, changed: str) -> None:
    chance, spoilt_ones = random.Random(1), 0
    for customer in Shop().customers():
        after = dict(customer)
        bad = spoilt(after, fault, chance)
        assert [name for name in customer if customer[name] != after[name]] == ([changed] if bad else [])
        assert validate(after, parsed("customer-2" if fault == "schema" else "customer-1"))
        assert fault != "unit-change" or after["total_spend"] == pytest.approx(100 * customer["total_spend"], abs=0.5)
        spoilt_ones += bad
    assert spoilt_ones > CUSTOMERS / 2


@pytest.mark.parametrize("fault", [None, "drop", "late"])
def test_other_releases_leave_customers_as_they_are(fault: str | None) -> None:
    for customer in Shop().customers():
        after = dict(customer)
        assert not spoilt(after, fault, random.Random(1))
        assert after == customer

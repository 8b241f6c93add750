"""If this failed, causes that were right would count as wrong, or what nobody can judge would count at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stream_lineage.incidents import Label, confirms
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDERS, A_B = "dataset:kafka://kafka-1:9092/orders", "dataset:kafka://kafka-1:9092/a%2Fb"


def incident(*named: str) -> Incident:
    ranking: list[dict[str, Any]] = [{"node": name, "named": True} for name in named]
    ranking.append({"node": "never", "named": False})
    member = Member("f" * 32, "e" * 32, "mean", Severity.WARNING, "t", None, None, "n", "off", NOW, NOW, once=False)
    return Incident(
        "a" * 32, IncidentState.ROOT_CAUSE, 2, Severity.WARNING, NOW, NOW, IncidentBreach("n", "mean", None, NOW),
        (member,), cause={"ranking": ranking},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("named", "verdict", "cause", "confirmed"),
    [
        (("orders",), True, "orders", True),
        (("orders",), True, "clicks", False),
        (("clicks", "orders"), True, "orders", True),  # two broke
        (("orders",), True, "never", False),
        ((ORDERS,), True, ORDERS, True),
        ((ORDERS,), True, "orders", True),
        ((A_B,), True, "a/b", True),
        ((A_B,), True, "b", False),
        ((), True, "orders", None),
        (("orders",), True, None, None),
        (("orders",), False, None, None),
    ],
)
def test_what_people_found_is_compared_with_what_was_named(
    named: tuple[str, ...], verdict: bool, cause: str | None, confirmed: bool | None
) -> None:
    assert confirms(incident(*named), Label(verdict, cause, NOW)) is confirmed

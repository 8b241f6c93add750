"""The faults that the demo can plant: whose release brings them, what is then wrong, and how it must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream_lineage.sandbox.demo.topics import CLICKS, CUSTOMERS, Topic


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault in the records of ``topic``, of ``field`` where it is one field's.

    ``alerts`` are the kinds of alerts that tell of it, any of which will do; ``metrics`` those in which the cause can
    show: any of the field's where there are none. ``event`` is what the cause must be supported by, where it is one.
    ``marked``: single records are bad, and first bad offsets are compared with what the broker acknowledged of them.
    ``healthy_seconds`` is how long all goes well before, and ``windows`` how many windows of ``window_seconds`` must be
    known of each topic by then. ``expected`` is what the team has declared for the topic, as in a file of alert rules.
    """

    name: str
    topic: Topic
    field: str | None
    alerts: frozenset[str]
    metrics: frozenset[str]
    what: str
    story: tuple[str, ...]
    effect: str
    healthy_seconds: float
    windows: int
    window_seconds: int = 1
    marked: bool = True
    event: str | None = None
    expected: Mapping[str, float] | None = None


SCHEMA = Scenario(
    "schema",
    CUSTOMERS,
    "age",
    alerts=frozenset({"schema-drift"}),
    metrics=frozenset(),
    what="customer.age turns from int to string",
    story=(
        'crm-sync sends customers\' ages as bands such as "35-44": customer.age was an int, is a string.',
        "web-tracker sends events of a new type: scroll.",
    ),
    effect="feature-builder cannot parse the bands and makes nulls of them, purchase-scorer takes those for zero.",
    healthy_seconds=10.0,
    windows=10,
    event="schema-drift",
)
NULLS = Scenario(
    "nulls",
    CUSTOMERS,
    "country",
    alerts=frozenset({"null-ratio"}),
    metrics=frozenset({"null_ratio"}),
    what="most customers lose their country",
    story=("crm-sync looks countries up elsewhere now, and finds none for six customers of ten.",),
    effect="feature-builder passes the nulls on.",
    healthy_seconds=60.0,
    windows=63,  # of a ratio that never moved
)
DROP = Scenario(
    "drop",
    CLICKS,
    None,
    alerts=frozenset({"expectation", "throughput"}),
    metrics=frozenset({"records"}),
    what="three clicks of four are lost",
    story=("web-tracker sends events later, and browsers that leave the page drop three of four.",),
    effect="There are as many fewer features and predictions.",
    healthy_seconds=50.0,
    windows=28,
    window_seconds=2,
    marked=False,
    expected={"rows_deviation": 0.6},
)
UNIT_CHANGE = Scenario(
    "unit-change",
    CUSTOMERS,
    "total_spend",
    alerts=frozenset({"mean", "distribution", "range"}),
    metrics=frozenset({"mean", "p50", "max"}),
    what="customer.total_spend turns from euros to cents",
    story=("crm-sync sends amounts of money in cents. They were euros, and the schema is the same.",),
    effect="The model takes everybody for rich.",
    healthy_seconds=25.0,
    windows=24,
)
LATE = Scenario(
    "late",
    CLICKS,
    None,
    alerts=frozenset({"event-time-lag"}),
    metrics=frozenset({"lag_ms_mean"}),
    what="clicks arrive three minutes late",
    story=("web-tracker reads events from a replica that is three minutes behind.",),
    effect="Features and predictions are about what visitors did three minutes ago.",
    healthy_seconds=25.0,
    windows=24,
)
SCENARIOS: Mapping[str, Scenario] = {each.name: each for each in (SCHEMA, NULLS, DROP, UNIT_CHANGE, LATE)}
LATE_SECONDS = 180.0
"""How old the clicks of the scenario ``late`` are."""

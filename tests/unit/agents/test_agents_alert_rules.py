"""If this failed, rules that people wrote would be ignored, or what is muted would be published or forgotten."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.agents.alert_rules import AlertRules, read_alert_rules
from stream_lineage.agents.alerts import alert
from stream_lineage.agents.mutes import Mute, mute_from
from stream_lineage.agents.muting import Muting
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.errors import SettingsError
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

DOCS = Path(__file__).parents[3] / "docs" / "alerts.md"


def rules(tmp_path: Path, text: str) -> AlertRules:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return read_alert_rules(path)


def window(number: int, **field: object) -> Window:
    each = FieldWindow("amount", 100, 0, 0, items={"=NEW": 100})
    changed = FieldWindow(**{**{name: getattr(each, name) for name in FieldWindow.__slots__}, **field})
    return Window(
        "test", "orders", NOON.timestamp() + 10 * number, 10.0, records=100, bytes=4500, schemas=("aa",),
        first_offsets={0: number * 100}, last_offsets={0: number * 100 + 99}, fields=(changed,),
    )  # fmt: skip


def test_the_file_in_the_docs_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(expectations:.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    read = rules(tmp_path, text)

    assert read.expected()["orders"].fields["status"].values == frozenset({"NEW", "PAID", "SENT"})
    assert read.muted_by("staging-x", "debug.a", "null-ratio", NOON) == "rule nobody looks at these"
    assert read.muted_by("orders-eu", None, "mean", NOON + timedelta(minutes=5)) == "deploy release 7"
    assert read.muted_by("orders-eu", None, "mean", NOON + timedelta(minutes=30)) is None


def test_the_jobs_in_the_docs_are_some(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(jobs:.*?)```", (DOCS.parent / "jobs.md").read_text(encoding="utf-8"), re.DOTALL)
    edges = rules(tmp_path, text).edges()

    assert [(edge.job, edge.name) for edge in edges] == [
        ("enrich", "orders -> orders-enriched"),
        ("enrich", "users -> orders-enriched"),
        ("copy", "orders -> orders-copy"),
    ]
    assert edges[0].fields == {"user.id": "user_id"}
    assert (edges[0].ratio, edges[0].lag_seconds) == (None, 900)
    assert (edges[2].fields, edges[2].ratio, edges[2].within) == (None, 1.0, 0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expectation: {}", "expectation"),
        ("jobs: [{name: a, inputs: [x], outputs: []}]", "jobs.0.outputs"),
        ("jobs: [{name: a, inputs: [x], outputs: [x]}]", "writes what it reads"),
        ("jobs: [{name: a, inputs: [x], outputs: [y], ratio: 0}]", "jobs.0.ratio"),
        ("jobs: [{name: a, inputs: [x], outputs: [y]}, {name: a, inputs: [x], outputs: [z]}]", "two jobs are called a"),
        ("expectations: {orders: {row_deviation: 1}}", "expectations.orders.row_deviation"),
        ("expectations: {orders: {fields: {a: {nulls: 1}}}}", "expectations.orders.fields.a.nulls"),
        ("expectations: {orders: {fields: {a: {null_ratio: 2}}}}", "less than or equal to 1"),
        ("expectations: {orders: {fields: {a: {min: 2, max: 1}}}}", "min must not be greater"),
        ("mute: [{}]", "would mute everything"),
        ("mute: [{topik: a}]", "mute.0.topik"),
        ("deploys: [{from: 2026-03-01T12:00:00Z, to: 2026-03-01T11:00:00Z}]", "later than from"),
        ("deploys: [{from: 2026-03-01T12:00:00, to: 2026-03-01T13:00:00}]", "time zone"),
        ("[1]", "the file"),
        ("{", "is not YAML"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rules(tmp_path, text)
    assert said in caught.value.message


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_alert_rules(tmp_path / "none.yaml")
    assert read_alert_rules(None) == AlertRules()


@pytest.mark.parametrize(
    ("declared", "bad", "key"),
    [
        ("fields: {amount: {null_ratio: 0.02}}", {"nulls": 3}, "null ratio 3%"),
        ("fields: {amount: {missing_ratio: 0}}", {"missing": 1}, "missing ratio 1%"),
        ("fields: {amount: {min: 0}}", {"low": -0.5, "high": 1.0, "numbers": 9}, "min -0.5"),
        ("fields: {amount: {max: 10}}", {"low": 0.5, "high": 10.5, "numbers": 9}, "max 10.5"),
        ("fields: {amount: {in: [NEW, PAID]}}", {"items": {"=NEW": 1, "=LOST": 1}}, "LOST"),
        (
            'fields: {amount: {in: [NEW, "#00000000000000aa"]}}',
            {"items": {"#00000000000000bb": 1}},
            "#00000000000000bb",
        ),
        ("schema_hash: [bb]", {}, "schema aa"),
    ],
)
def test_expectations_are_exact(tmp_path: Path, declared: str, bad: dict[str, object], key: str) -> None:
    """Told in the first window that does not meet them, over in the first that does; the bound itself meets them."""
    expected = rules(tmp_path, f"expectations: {{orders: {{{declared}}}}}").expected()
    live = MetricAnomalies(expectations=expected).resume({}, None)
    good: dict[str, dict[str, object]] = {
        "fields: {amount: {null_ratio: 0.02}}": {"nulls": 2},
        "fields: {amount: {max: 10}}": {"high": 10.0},
    }
    always = declared.startswith("schema")
    found = [live.judge(window(n, **(bad if n in (3, 4) else good.get(declared) or {}))) for n in range(8)]

    first = 0 if always else 3
    [opened] = found[first]
    assert (opened.kind, opened.phase, opened.severity) == ("expectation", "open", Severity.CRITICAL)
    assert opened.changes[0].new == key
    assert opened.first_offsets == {0: first * 100}
    if not always:
        assert [len(each) for each in found] == [0, 0, 0, 1, 0, 1, 0, 0]
        assert found[5][0].phase == "close"
        assert found[5][0].fingerprint == opened.fingerprint


def test_rows_are_held_against_what_is_usual(tmp_path: Path) -> None:
    expected = rules(tmp_path, "expectations: {orders: {rows_deviation: 0.05}}").expected()
    live = MetricAnomalies(expectations=expected).resume({}, None)
    found = []
    for number in range(40):
        records = {30: 106, 35: 104}.get(number, 100)
        each = Window("test", "orders", NOON.timestamp() + 10 * number, 10.0, records=records, bytes=4500)
        found += [(number, finding.phase) for finding in live.judge(each)]
    assert found == [(30, "open"), (31, "close")]


def finding(**changes: object) -> Finding:
    members: dict[str, object] = {
        "kind": "mean", "severity": Severity.WARNING, "topic": "orders", "field_path": "a", "summary": "s",
        "fingerprint": "ab" * 16, "first_offsets": {0: 1},
    }  # fmt: skip
    return Finding(**{**members, **changes})  # type: ignore[arg-type]


class Known:
    def find(self, fingerprint: str, at: datetime) -> Mute | None:
        mute = Mute("ab" * 16, NOON + timedelta(hours=2), "mended soon")
        return mute if fingerprint == mute.fingerprint and at < mute.until else None


def test_mutes_hold_for_their_problem_and_their_time() -> None:
    muting = Muting(AlertRules(), Known())

    assert muting.mutes(finding(), NOON)
    assert not muting.mutes(finding(), NOON + timedelta(hours=2))
    assert not muting.mutes(finding(fingerprint="cd" * 16), NOON)
    seen = observation(avro_reference(1), span(0, 0, 1))
    drift = [alert(each, "drift", seen, "http://ui") for each in (finding(), finding(fingerprint="cd" * 16))]
    assert muting.told(drift) == drift[1:]
    assert dict(muting.counts) == {"mute mended soon": 2}


def test_what_outlasts_a_deploy_is_told_then(tmp_path: Path) -> None:
    read = rules(
        tmp_path,
        "expectations: {orders: {fields: {amount: {null_ratio: 0.02}}}}\n"
        "deploys: [{topic: orders, from: 2026-03-01T12:00:00Z, to: 2026-03-01T12:02:00Z}]",
    )
    muting = Muting(read)
    live = MetricAnomalies(expectations=read.expected()).resume({}, None)
    found = []
    for number in range(40):
        each = window(number, nulls=50 if 2 <= number < 5 or 8 <= number < 20 else 0)
        at = datetime.fromtimestamp(each.end, UTC)
        found += [(number, f.phase) for f in live.judge(each, lambda one, at=at: muting.mutes(one, at))]  # type: ignore[misc]

    assert found == [(11, "open"), (20, "close")]


def test_records_of_others_are_no_mutes() -> None:
    mute = Mute("ab" * 16, NOON, "why")
    key = b"mute/" + b"ab" * 16
    assert mute_from(key, mute.to_bytes()) == ("ab" * 16, mute)
    assert mute_from(key, None) == ("ab" * 16, None)
    for other_key, value in ((b"label/x", b"{}"), (None, b"{}"), (key, b"{"), (key, b'{"until": 3, "reason": ""}')):
        assert mute_from(other_key, value) is None

"""If this failed, the message about an incident would not say what broke, or Slack would refuse it or act on a name."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stream_lineage.notify.links import Links, template_problem
from stream_lineage.notify.message import incident_message
from stream_lineage.notify.slack_blocks import slack_blocks, slack_text

LINKS = Links("https://lineage.example")
NODE = "dataset:kafka://broker:9092/raw%2Fone"


def document(**changed: Any) -> dict[str, Any]:
    alert = {
        "fingerprint": "f", "event_id": "e", "kind": "null-ratio", "severity": "critical", "topic": "scores",
        "field_path": "amount", "job": None, "node": "dataset:kafka://broker:9092/scores",
        "summary": "scores: amount is null in 53%", "first_at": "2026-11-02T10:00:00.000Z",
        "last_at": "2026-11-02T10:00:00.000Z", "once": False, "over_at": None,
    }  # fmt: skip
    named = {
        "node": "raw/one", "metric": "null_ratio", "field": "amount", "onset": 1793613540.0,
        "onset_interval": [1793613530.0, 1793613540.0], "confidence": 0.931, "named": True,
        "path": ["raw/one", "scores"], "evidence": [f"ground {number}" for number in range(9)],
    }  # fmt: skip
    cause = {
        "verdict": "root-cause", "sentence": "raw/one broke first: null_ratio of amount.",
        "ranking": [named, {**named, "node": "other", "named": False}], "rejected": [],
        "affected": [{"node": f"hit-{number}", "kind": "dataset", "hops": 1} for number in range(7)],
        "affected_count": 12, "settle": [], "notes": [],
    }  # fmt: skip
    return {
        "id": "a" * 32, "state": "root-cause", "revision": 2, "severity": "critical",
        "opened_at": "2026-11-02T10:00:00.000Z", "updated_at": "2026-11-02T10:00:12.000Z", "resolved_at": None,
        "reopened": 0, "summary": "x", "cause": cause, "cause_after_seconds": 11.4, "related": [NODE, alert["node"]],
        "breach": {"node": alert["node"], "metric": "null_ratio", "field": "amount", "at": "2026-11-02T10:00:00.000Z"},
        "alerts": [alert], "url": "http://localhost:8080/incidents/" + "a" * 32, **changed,
    }  # fmt: skip


def texts(blocks: Any) -> list[str]:
    """Every text anywhere in blocks."""
    if isinstance(blocks, str):
        return []
    inner = blocks.values() if isinstance(blocks, dict) else blocks if isinstance(blocks, list) else ()
    own = [blocks["text"]] if isinstance(blocks, dict) and isinstance(blocks.get("text"), str) else []
    return own + [text for each in inner for text in texts(each)]


def test_it_says_what_broke_first_since_when_and_who_is_hit() -> None:
    said = incident_message(document(), LINKS, ["payments"]).text
    title, since = "[critical] raw/one (null_ratio of amount)", "2026-11-02 09:59:00 UTC"
    for wanted in (title, since, "raw/one broke first: null_ratio of amount.", "0.93", "raw/one > scores", "and 7 more",
                   "payments", "ground 2"):  # fmt: skip
        assert wanted in said
    assert "ground 3" not in said
    assert "other" not in said


def test_the_link_leads_to_the_step_that_broke_first_by_its_id_in_the_graph() -> None:
    links = dict(incident_message(document(), LINKS).links)
    step = urlsplit(links["Failing step"])
    assert (step.netloc, step.path, parse_qs(step.query)) == (
        "lineage.example", "/api/v1/graph", {"focus": [NODE]},
    )  # fmt: skip
    assert links["Incident"] == "https://lineage.example/api/v1/incidents/" + "a" * 32


def test_while_the_cause_is_not_known_it_leads_to_where_it_was_noticed() -> None:
    message = incident_message(document(cause=None, state="open", related=[]), LINKS)
    assert message.title == "[critical] scores"
    assert message.headline == "scores: amount is null in 53%"
    assert parse_qs(urlsplit(dict(message.links)["Failing step"]).query)["focus"] == [
        "dataset:kafka://broker:9092/scores"
    ]


def test_an_inconclusive_one_says_what_would_settle_it() -> None:
    cause = {
        "verdict": "inconclusive", "sentence": "Not known.", "ranking": [], "rejected": [], "affected": [],
        "affected_count": 0, "settle": ["Metrics of raw."], "notes": [],
    }  # fmt: skip
    said = incident_message(document(cause=cause, state="escalated", related=[]), LINKS).text
    assert "people must look" in said
    assert "Metrics of raw." in said


def test_slack_takes_the_blocks_of_the_longest_message() -> None:
    long = "x" * 5000
    found = document()
    found["cause"]["sentence"] = long
    found["cause"]["ranking"][0].update(node=long, path=[long] * 50, evidence=[long] * 20)
    found["alerts"] = [{**found["alerts"][0], "summary": long}] * 200
    message = incident_message(found, LINKS, [long])
    blocks = slack_blocks(message)
    assert len(blocks) <= 50
    for block in blocks:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        if "fields" in block:
            assert len(block["fields"]) <= 10
            assert all(len(field["text"]) <= 2000 for field in block["fields"])
    assert all(len(text) <= 3000 for text in texts(blocks))
    assert len(slack_text(message)) < 4000


@pytest.mark.parametrize("name", ["<!channel>", "<https://evil.example|orders>", "a\nb", "<@U012AB3CD>", "a|b>c"])
def test_a_name_calls_nobody_and_links_nowhere(name: str) -> None:
    found = document()
    found["cause"]["ranking"][0]["node"] = name
    found["cause"]["sentence"] = f"{name} broke first"
    found["alerts"][0]["summary"] = name
    message = incident_message(found, LINKS)
    blocks = [block for block in slack_blocks(message) if block["type"] != "header"]  # which Slack shows as it is
    for text in (*texts(blocks), slack_text(message)):
        for piece in text.split("<")[1:]:
            assert piece.startswith("https://lineage.example/")
    assert "\n" not in message.headline


def test_slacks_links_hold_an_address_that_a_template_made() -> None:
    links = Links("https://ui.example", step="{public_url}/step?a=1&node={node}|x")
    last = slack_blocks(incident_message(document(), links))[-1]["text"]["text"]
    assert "<https://ui.example/step?a=1&amp;node=" in last
    assert "%7Cx|Failing step>" in last


@pytest.mark.parametrize(
    ("template", "fine"),
    [
        ("{public_url}/x/{incident}", True),
        ("https://wiki/{name}?n={node}", True),
        ("{public_url}/{token}", False),
        ("javascript:{node}", False),
        ("{node}", False),
    ],
)
def test_a_template_of_unknown_names_is_refused(template: str, fine: bool) -> None:
    assert (template_problem(template) is None) is fine


def test_it_says_which_records_are_bad_first_who_reads_them_and_how_to_get_back() -> None:
    found = document()
    one = {"cause": "raw/one", "topic": "raw", "partition": 0, "offset": 123, "exact": True, "first": 123, "last": 123}
    found["cause"].update(
        causes=[{"node": "raw/one", "metric": "null_ratio", "field": "amount", "fault": "null surge"}],
        first_bad=[one, {**one, "partition": 2, "offset": None, "exact": False, "first": 40, "last": 99}],
        consumer_groups=["scorer", "billing"],
    )
    said = incident_message(found, LINKS).text
    for wanted in ("raw 0:123", "raw 2: one of 40 to 99", "scorer, billing", "null surge",
                   "stream-lineage replay raw 0:123 2:40 --downstream"):  # fmt: skip
        assert wanted in said


def test_where_first_bad_records_could_not_be_looked_for_nothing_is_said_of_them() -> None:
    found = document()
    found["cause"].update(first_bad=None, causes=[], consumer_groups=[], replay=None)
    assert "First bad" not in incident_message(found, LINKS).text


def bad(partition: int, offset: int) -> dict[str, Any]:
    return {
        "topic": "raw/one",
        "partition": partition,
        "offset": offset,
        "exact": True,
        "first": offset,
        "last": offset,
    }


def test_the_way_back_has_every_partition_once_from_the_earlier_of_two_causes_or_is_not_said_here() -> None:
    some = document()
    some["cause"]["first_bad"] = [*(bad(number, 100) for number in range(12)), bad(3, 40), bad(4, 140)]
    said = incident_message(some, LINKS).text
    places = [f"{number}:{40 if number == 3 else 100}" for number in range(12)]
    assert f"stream-lineage replay raw/one {' '.join(places)} --downstream" in said
    some["cause"]["first_bad"] = [bad(number, 10**12) for number in range(100)]
    said = incident_message(some, LINKS).text
    assert "stream-lineage replay" not in said
    assert f"stream-lineage incident show {some['id']}" in said


def test_an_incident_that_became_part_of_another_is_not_said_to_be_over() -> None:
    made = incident_message(
        document(state="resolved", resolved_at="2026-11-02T10:09:00.000Z", merged_into="b" * 32), LINKS
    )
    assert "Resolved" not in made.text
    assert "b" * 32 in made.text
    assert made.title.startswith("[critical] Part of another: raw/one")

"""If this failed, an alert about an edge would get lost in a crash, come twice, or follow from the clock."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.edge_watch import EdgeWatch
from stream_lineage.agents.window_log import decode_window, encode_window
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.errors import DecodeError
from stream_lineage.model.edge import Edge
from stream_lineage.model.schema_files import schema_text

EDGE = Edge("enrich", "orders", "enriched")
START = 1_772_323_200.0
AT, UNTIL, END = 240, 330, 420


def log() -> list[Window]:
    """Orders and what becomes of them; from ``AT`` to ``UNTIL`` half of it is dropped."""
    chance = random.Random(4)
    found = []
    first = [0, 0]
    for n in range(END):
        rows = 200 + chance.randrange(-20, 21)
        kept = rows // 2 if AT <= n < UNTIL else rows
        for side, (topic, count) in enumerate((("orders", rows), ("enriched", kept))):
            first[side] += count
            found.append(
                Window(
                    "test", topic, START + 10 * n, 10.0, count, lag_seconds=0.5,
                    first_offsets={0: first[side] - count}, last_offsets={0: first[side] - 1},
                    fields=(FieldWindow("user", count, 2, 1),),
                )
            )  # fmt: skip
    return found


LOG = log()


class Worker:
    """A watch with its table, which reads the messages of a topic."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.told: list[Alert] = []
        self.restart()

    def restart(self, edges: Sequence[Edge] = (EDGE,)) -> None:
        self.watch = EdgeWatch(edges, "http://ui")

    def read(self, messages: Sequence[Window], most: int, crash: bool) -> bool:
        """Take a portion in; whether there is more. In a crash only some of what was to be kept is."""
        start = self.watch.place(self.rows)
        portion = [(start + n, each) for n, each in enumerate(messages[start : start + most])]
        for _, outcome in self.watch.judge(portion, start + len(portion), self.rows):
            self.told += outcome.alerts
            changed = outcome.changed[: len(outcome.changed) // 2] if crash else outcome.changed
            self.rows |= {row.key: row.value for row in changed if row.value is not None}
        if crash:
            self.restart()
        return self.watch.place(self.rows) < len(messages)


def ids(
    messages: Sequence[Window], *, most: int = 50, crashes: frozenset[int] = frozenset()
) -> list[tuple[str, bytes]]:
    """Id and body of all that is told, each once, in order."""
    worker, turn = Worker(), 0
    while worker.read(messages, most, turn in crashes):
        turn += 1
    return list(dict.fromkeys((alert.event_id, alert.value) for alert in worker.told))


EXPECTED = ids(LOG)


def test_a_drop_opens_and_closes_as_an_alert_that_follows_the_schema() -> None:
    bodies = [json.loads(value) for _, value in EXPECTED]
    for body in bodies:
        jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json"))).validate(body)
    assert [(body["kind"], body["phase"]) for body in bodies] == [("edge-drop", "open"), ("edge-drop", "close")]
    assert {body["job"] for body in bodies} == {"enrich"}
    assert {body["topic"] for body in bodies} == {"enriched"}
    assert bodies[0]["fingerprint"] == bodies[1]["fingerprint"]


@settings(max_examples=25)
@given(st.integers(1, 200), st.frozensets(st.integers(0, 60), max_size=8))
def test_after_any_crashes_none_is_missing_and_none_is_extra(most: int, crashes: frozenset[int]) -> None:
    assert ids(LOG, most=most, crashes=crashes) == EXPECTED


def test_windows_that_were_written_again_after_a_crash_change_nothing() -> None:
    twice = [again for n in range(0, len(LOG), 6) for again in (*LOG[n : n + 6], *LOG[n : n + 6])]
    assert ids(twice) == EXPECTED


def test_topics_of_different_workers_come_in_any_order_among_each_other() -> None:
    orders, others = ([each for each in LOG if each.topic == topic] for topic in ("orders", "enriched"))
    mixed = [each for n in range(0, END, 20) for each in (*others[n : n + 20], *orders[n : n + 20])]
    assert ids(mixed) == EXPECTED


def test_a_job_that_is_declared_anew_starts_anew_where_the_others_are() -> None:
    def before_the_drop() -> Worker:
        worker = Worker()
        while worker.read(LOG[: 2 * AT], 50, crash=False):
            pass
        assert worker.told == []
        return worker

    def after_it(worker: Worker) -> list[Alert]:
        assert worker.watch.place(worker.rows) > 0
        while worker.read(LOG[: 2 * UNTIL], 50, crash=False):
            pass
        return worker.told

    same, anew = before_the_drop(), before_the_drop()
    same.restart([replace(EDGE)])
    anew.restart([replace(EDGE, lag_seconds=1)])
    assert [alert.event_id for alert in after_it(same)] == [EXPECTED[0][0]]
    assert after_it(anew) == []  # it knows of too few minutes


def test_a_window_is_read_back_as_it_was_written() -> None:
    window = LOG[7]
    assert decode_window(encode_window(window)) == window
    silent = Window("test", "orders", START, 10.0)
    assert decode_window(encode_window(silent)) == silent


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"version": 2}', b"x" * 300_000, b'{"version": 1}', b"null"])
def test_what_is_no_window_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_window(value)

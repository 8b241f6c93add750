"""If this failed, live data that are unlike a training baseline would raise no alert, or one over and over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import orjson

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.metrics import WINDOW_SECONDS, TopicWindow
from stream_lineage.agents.training_watch import ENOUGH_RECORDS, TrainingWatch
from stream_lineage.model.baseline import Baseline, FileSource, Sample
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import PLAIN_JSON
from stream_lineage.model.schema_files import schema_text
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.testing.observations import observation, span
from stream_lineage.wire.columns import Batch
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.text_buffer import text_buffer

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIKE = [{"user": n % 50, "word": "ab"[n % 2]} for n in range(1_000)]
UNLIKE = [{"word": "abc"[n % 3]} for n in range(1_000)]


def profiled(records: Sequence[Mapping[str, Any]]) -> Profile:
    builder = ProfileBuilder(ProfileOptions(hash_key=b"k"))
    builder.add(JsonRecords().decode(Batch(*text_buffer([orjson.dumps(record) for record in records]))))
    return builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 30)


BASELINE = Baseline(
    "churn", "clicks", START, Sample(FileSource("train.csv", "0" * 64, "csv", 1), profiled(LIKE * 5), "k")
)


class Live:
    """A watch with its table."""

    def __init__(self, *baselines: Baseline, seconds: float = 60) -> None:
        self.watch = TrainingWatch("http://ui", seconds=seconds)
        self.watch.learn(baselines)
        self.rows: dict[bytes, bytes] = {}
        self.windows = 0
        self.offset = 0

    def window(self, records: Sequence[Mapping[str, Any]], topic: str = "clicks") -> list[Alert]:
        """A window with these records closes; what comes of it."""
        at = START + timedelta(seconds=WINDOW_SECONDS * self.windows)
        window = TopicWindow("test", topic, at)
        if records:
            last = self.offset + len(records) - 1
            window.add(observation(PLAIN_JSON, span(2, self.offset, last), topic=topic, profile=profiled(records)))
            self.offset = last + 1
        self.windows += 1
        self.watch.add(window, 3)
        return self.judged()

    def judged(self) -> list[Alert]:
        alerts: list[Alert] = []
        for partition, outcome in self.watch.judge(self.rows):
            assert partition == 3
            alerts += outcome.alerts
            self.rows |= {row.key: row.value for row in outcome.changed}
        return alerts


def bodies(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    found = [json.loads(alert.value) for alert in alerts]
    for body in found:
        jsonschema.validate(body, json.loads(schema_text("alert.schema.json")))
    return found


def test_drift_is_told_once() -> None:
    live = Live(BASELINE)
    alerts = [live.window(UNLIKE) for _ in range(18)]
    assert [number for number, found in enumerate(alerts) if found] == [5, 11]
    [opened], [updated] = bodies(alerts[5]), bodies(alerts[11])
    assert (opened["kind"], opened["phase"], opened["severity"]) == ("training-drift", "open", "critical")
    assert {(change["kind"], change["path"]) for change in opened["changes"]} == {
        ("missing-feature", "user"), ("feature-count", ""),
    }  # fmt: skip
    assert (opened["first_offsets"], opened["last_offsets"]) == ({"2": 0}, {"2": 5_999})
    # What is not critical is told when it was found twice.
    assert updated["phase"] == "update"
    assert ("new-category", "word") in {(change["kind"], change["path"]) for change in updated["changes"]}
    assert updated["fingerprint"] == opened["fingerprint"]
    assert alerts[5][0].event_id != alerts[11][0].event_id


def test_data_as_in_training_close_it() -> None:
    live = Live(BASELINE)
    for _ in range(6):
        live.window(UNLIKE)
    found = [body for _ in range(18) for body in bodies(live.window(LIKE))]
    assert [body["phase"] for body in found] == ["close"]
    assert Live(BASELINE).window(LIKE) == []


def test_few_records_are_waited_for() -> None:
    live = Live(BASELINE)
    few = UNLIKE[: ENOUGH_RECORDS // 20]
    alerts = [live.window(few if number % 2 else []) for number in range(60)]
    assert [number for number, found in enumerate(alerts) if found] == [39]


def test_topics_without_a_baseline_are_left_alone() -> None:
    live = Live(BASELINE, replace(BASELINE, name="of no topic", topic=None))
    assert [live.window(UNLIKE, topic="orders") for _ in range(12)] == [[]] * 12
    assert live.rows == {}


def test_what_was_told_is_known_after_a_crash() -> None:
    live = Live(BASELINE)
    for _ in range(12):
        live.window(UNLIKE)
    again = Live(BASELINE)
    again.rows, again.offset = dict(live.rows), live.offset
    assert [again.window(UNLIKE) for _ in range(12)] == [[]] * 12
    # A crash between the alert and the row: told again as the same round.
    before, after = Live(BASELINE), Live(BASELINE)
    first = [alert for _ in range(6) for alert in before.window(UNLIKE)]
    second = [alert for _ in range(6) for alert in after.window(UNLIKE)]
    assert [alert.event_id for alert in first] == [alert.event_id for alert in second]


def test_partitions_that_were_taken_away_are_forgotten() -> None:
    live = Live(BASELINE)
    for _ in range(5):
        live.window(UNLIKE)
    live.watch.drop()
    assert live.window(UNLIKE) == []
    live.watch.learn(())
    assert [live.window(UNLIKE) for _ in range(12)] == [[]] * 12


def test_news_are_learnt_before_it_is_judged() -> None:
    live = Live(BASELINE)
    for number in range(6):
        live.windows = number
        window = TopicWindow("test", "clicks", START + timedelta(seconds=WINDOW_SECONDS * number))
        window.add(observation(PLAIN_JSON, span(2, 1_000 * number, 1_000 * number + 999), profile=profiled(UNLIKE)))
        live.watch.add(window, 3)
    [(_, outcome)] = live.watch.turn([replace(BASELINE, ignored=("user", "word"))], live.rows)
    assert outcome.alerts == ()

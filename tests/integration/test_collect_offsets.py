"""If this failed, spans would not say exactly which offsets hold records, which do not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from collecting import CLICK, CLICK_2, Acknowledged, Lab, eventually, missing, paused
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka import TopicPartition as Where

pytestmark = pytest.mark.kafka

Payloads = Sequence[tuple[bytes, int]]


class Transactional:
    """A producer of transactions, committed or not."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.producer: Producer = lab.producer({"transactional.id": f"{lab.name}-{name}", "linger.ms": 5})
        self.producer.init_transactions(30)

    def send(self, topic: str, payloads: Payloads, known: Acknowledged, *, end: str) -> None:
        """One transaction. ``end``: ``commit``, ``abort`` or ``open``."""
        self.producer.begin_transaction()
        mine = known if end == "commit" else Acknowledged()
        for value, schema_id in payloads:
            self.producer.produce(topic, value, on_delivery=mine.callback(schema_id))
        assert self.producer.flush(30) == 0
        if end == "commit":
            self.producer.commit_transaction(30)
        elif end == "abort":
            self.producer.abort_transaction(30)


def test_transactions_leave_explained_gaps_and_the_end_is_found_behind_them(lab: Lab) -> None:
    names = ("committed", "middle", "at_end", "nothing_else", "open_at_end", "empty")
    topics = {name: lab.topic(name) for name in names}
    payloads = {name: lab.clicks(topic, count=10) for name, topic in topics.items()}
    known = Acknowledged()
    first, second = Transactional(lab, "first"), Transactional(lab, "second")

    def sent(name: str, *ends: str, by: Transactional = first) -> None:
        for end in ends:
            by.send(topics[name], payloads[name], known, end=end)

    sent("committed", "commit", "commit")
    sent("middle", "commit", "abort", "commit")
    sent("at_end", "commit", "abort", "abort")
    sent("nothing_else", "abort", "abort")
    sent("open_at_end", "commit")
    sent("open_at_end", "open", by=second)

    summary = lab.collect_until_end(seconds=60)

    assert summary["records"] == len(known) == 60
    found = lab.check(known, *topics.values())
    rows = {name: found[topic] for name, topic in topics.items()}
    # Ten records and a control record a transaction. What follows the last record belongs to the span that comes next.
    assert missing(rows["committed"]) == [(10, 10, "transaction")]
    assert missing(rows["middle"]) == [(10, 21, "transaction")]
    assert missing(rows["at_end"]) == []
    assert rows["nothing_else"] == rows["empty"] == []
    assert [rows["open_at_end"][-1]["last_offset"]] == [9]
    # Everything that can be read by now is committed as read, also where it holds no record.
    for name in names:
        assert lab.lag(topics[name]) == {0: 0}, name

    second.producer.commit_transaction(30)
    for offset in range(11, 21):
        known.ids[(topics["open_at_end"], 0)][offset] = payloads["open_at_end"][0][1]
    for name in names:
        sent(name, "commit")
    lab.collect_until_end(seconds=60)

    found = lab.check(known, *topics.values())
    rows = {name: found[topic] for name, topic in topics.items()}
    assert missing(rows["at_end"]) == [(10, 32, "transaction")]
    assert missing(rows["nothing_else"]) == [(0, 21, "transaction")]
    assert missing(rows["open_at_end"]) == [(10, 10, "transaction"), (21, 21, "transaction")]
    assert [row["last_offset"] for row in rows["empty"]] == [9]


def test_alternating_schemas_are_told_apart_record_by_record(lab: Lab) -> None:
    by_one, by_ten = lab.topic("by_one"), lab.topic("by_ten", partitions=2)
    known = Acknowledged()
    for topic, length, count in ((by_one, 1, 6_000), (by_ten, 10, 4_000)):
        versions = [lab.clicks(topic, CLICK, count=7), lab.clicks(topic, CLICK_2, count=7)]
        for partition in range(2 if topic == by_ten else 1):
            mixed = (versions[(number // length) % 2][number % 7] for number in range(count))
            lab.send(topic, mixed, known, partition=partition)

    lab.collect_until_end("--flush-max-spans", "500")

    found = lab.check(known, by_one, by_ten)
    assert len(found[by_one]) == 6_000
    assert len(found[by_ten]) == 800


def test_offsets_that_are_lost_or_moved_by_hand_change_nothing(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=2)
    payloads = lab.clicks(topic, count=100)
    known = Acknowledged()

    def more() -> None:
        for partition in range(2):
            lab.send(topic, payloads, known, partition=partition)

    more()
    lab.collect_until_end()
    more()
    lab.admin.delete_consumer_groups([lab.group])[lab.group].result(30)
    lab.collect_until_end()
    lab.check(known, topic)
    for position in (0, 150, 10_000):  # to the beginning, into the middle, beyond the end
        more()
        moved = ConsumerGroupTopicPartitions(lab.group, [Where(topic, n, position) for n in range(2)])
        lab.admin.alter_consumer_group_offsets([moved])[lab.group].result(30)
        lab.collect_until_end("--start-from", "end")
        lab.check(known, topic)
    assert lab.lag(topic) == {0: 0, 1: 0}


def test_new_partitions_are_read_from_their_beginning_and_new_topics_appear(lab: Lab) -> None:
    quiet, busy = lab.topic("quiet"), lab.topic("busy")
    payloads = {topic: lab.clicks(topic, count=50) for topic in (quiet, busy)}
    before, known = Acknowledged(), Acknowledged()
    for topic in (quiet, busy):
        lab.send(topic, payloads[topic], before)
    collector = lab.collect("--start-from", "end")
    # Where it starts is committed, so that a restart does not start at a later end.
    eventually(lambda: lab.lag(quiet) == lab.lag(busy) == {0: 0}, 30, "the ends are committed")
    lab.send(busy, payloads[busy], known)
    lab.caught_up(known)
    assert collector.terminate() == 0
    lab.send(quiet, payloads[quiet], known)

    collector = lab.collect("--start-from", "end")
    collector.owns()
    for topic in (quiet, busy):
        lab.add_partitions(topic, 3)
        for partition in (1, 2):
            lab.send(topic, payloads[topic], known, partition=partition)
    lab.caught_up(known)
    later = lab.topic("later")
    eventually(lambda: lab.lag(later) == {0: 0}, 30, "the new topic is watched")
    lab.send(later, lab.clicks(later, count=50), known)
    lab.caught_up(known)
    assert collector.terminate() == 0

    lab.check(known, quiet, busy, later)


def test_a_topic_created_again_is_another_epoch(lab: Lab) -> None:
    while_down, while_up = lab.topic("while_down"), lab.topic("while_up")
    topics = (while_down, while_up)
    old = Acknowledged()
    for topic in topics:
        lab.send(topic, lab.clicks(topic, CLICK, count=200), old)
    lab.collect_until_end()
    lab.check(old, *topics)

    # Longer than it was, so that the old offset exists again; shorter, so that it does not.
    new = Acknowledged()
    lab.delete_topic(while_down)
    eventually(lambda: lab.topic("while_down"), 30, "created again")
    lab.send(while_down, lab.clicks(while_down, CLICK_2, count=300), new)
    collector = lab.collect()
    lab.caught_up(new)
    lab.delete_topic(while_up)
    lab.topic("while_up")
    lab.send(while_up, lab.clicks(while_up, CLICK_2, count=300), new)
    lab.caught_up(new)
    lab.delete_topic(while_up)
    lab.topic("while_up")
    newest = Acknowledged()
    lab.send(while_up, lab.clicks(while_up, CLICK, count=20), newest)
    lab.caught_up(newest)
    assert collector.terminate() == 0

    epochs: dict[str, list[tuple[int, int]]] = {}
    for topic in topics:
        ids = list(dict.fromkeys(row["topic_id"] for row in lab.spans(topic)))
        for topic_id in ids:
            own = [row for row in lab.spans(topic) if row["topic_id"] == topic_id]
            epochs.setdefault(topic, []).append((own[0]["first_offset"], sum(row["count"] for row in own)))
            assert len({row["schema"]["id"] for row in own}) == 1
    assert epochs == {while_down: [(0, 200), (0, 300)], while_up: [(0, 200), (0, 300), (0, 20)]}
    answer = lab.verify()
    assert answer.code == 0, answer.out
    assert answer.json["records"] == 1_020


def test_what_retention_takes_unread_is_told_and_nothing_more(lab: Lab) -> None:
    names = ("some", "all", "transactional", "behind")
    topics = {name: lab.topic(name) for name in names}
    payloads = {name: lab.clicks(topic, count=100) for name, topic in topics.items()}
    known, unread = Acknowledged(), Acknowledged()
    transactional = Transactional(lab, "first")
    for name in names:
        if name == "transactional":
            transactional.send(topics[name], payloads[name], known, end="commit")
        else:
            lab.send(topics[name], payloads[name], known)
    lab.collect_until_end()

    # While nobody collects. The control record at 100 was read past: it was not lost.
    for name in ("some", "all"):
        lab.send(topics[name], payloads[name], unread)
    transactional.send(topics["transactional"], payloads["transactional"], unread, end="commit")
    lab.delete_records(topics["some"], 0, 150)
    lab.delete_records(topics["all"], 0, 200)
    lab.delete_records(topics["transactional"], 0, 150)
    lab.send(topics["all"], payloads["all"], known)
    for name in ("some", "transactional"):
        kept = {n: i for n, i in unread.of(topics[name])[0].items() if n >= 150}
        known.ids[(topics[name], 0)].update(kept)

    # While the collector runs and lags behind: what its client has fetched by then it still has.
    collector = lab.collect()
    lab.caught_up(known)
    with paused(collector):
        lab.send(topics["behind"], payloads["behind"] * 100, unread)
        lab.delete_records(topics["behind"], 0, 9_000)
    after = Acknowledged()
    lab.send(topics["behind"], payloads["behind"], after)
    lab.caught_up(after)
    assert collector.terminate() == 0

    rows = {name: lab.spans(topic) for name, topic in topics.items()}
    ((first_lost, last_lost, reason),) = missing(rows["behind"])
    assert (last_lost, reason) == (8_999, "retention")
    assert first_lost >= 100
    ids = {**unread.of(topics["behind"])[0], **after.of(topics["behind"])[0]}
    known.ids[(topics["behind"], 0)].update({n: i for n, i in ids.items() if not first_lost <= n <= last_lost})
    assert missing(rows["some"]) == [(100, 149, "retention")]
    assert missing(rows["all"]) == [(100, 199, "retention")]
    assert missing(rows["transactional"]) == [(100, 100, "transaction"), (101, 149, "retention")]
    lab.check(known, *topics.values())
    events = collector.events("records were deleted by retention before they were read")
    told = [event["last_offset"] for event in events]
    assert sorted(told) == [149, 149, 199, 8_999]
    for offset, says in ((120, "retention"), (150, None)):
        answer = lab.record(topics["some"], 0, offset)
        assert answer.code == (1 if says else 0), answer.err
        assert (says or "") in answer.err


def test_compacted_records_are_not_lost_ones_and_tombstones_cut_nothing(lab: Lab) -> None:
    at_once: dict[str, Any] = {"segment_ms": 200, "min_cleanable_dirty_ratio": 0.001, "max_compaction_lag_ms": 200}
    compacted = lab.topic("compacted", cleanup_policy="compact", **at_once)
    schema_id = lab.clicks(compacted, count=1)[0][1]
    payloads = lab.clicks(compacted, count=50)
    known = Acknowledged()
    for key in (b"a", b"b"):
        lab.send(compacted, [(value, schema_id) for value, _ in payloads], known, key=key)
        lab.send(compacted, [(None, schema_id)], known, key=b"deleted")
    written = sum(map(len, known.of(compacted).values()))

    def left() -> list[int]:
        # A new segment makes the one before it one that may be compacted.
        lab.send(compacted, payloads[:1], known, key=b"c")
        return lab.visible(compacted)

    before = eventually(lambda: found if len(found := left()) < written // 2 else [], 60, "it is compacted")
    lab.collect_until_end()
    rows = lab.spans(compacted)
    gaps = missing(rows)
    assert {reason for _, _, reason in gaps} == {"compacted"}
    absent = {n for first, last, _ in gaps for n in range(first, last + 1)}
    covered = {n for row in rows for n in range(row["first_offset"], row["last_offset"] + 1)}
    # Compaction goes on: a record may go between our look and the collector's, but none comes back.
    assert set(lab.visible(compacted)) <= covered - absent <= set(before)
    assert covered == set(range(known.ends(compacted)[0]))
    assert len({row["schema"]["id"] for row in rows}) == len(rows) == 1


def test_odd_timestamps_and_tombstones_do_no_harm(lab: Lab) -> None:
    topic = lab.topic("odd", message_timestamp_after_max_ms=2**63 - 1, message_timestamp_before_max_ms=2**63 - 1)
    payloads = lab.clicks(topic, count=40)
    schema_id = payloads[0][1]
    known = Acknowledged()
    lab.send(topic, payloads[:10], known)
    lab.send(topic, [(None, schema_id)] * 5, known, key=b"k", timestamp=-1)
    lab.send(topic, payloads[10:20], known, timestamp=-1)
    lab.send(topic, payloads[20:30], known, timestamp=9_000_000_000_000_000)
    lab.send(topic, payloads[30:], known, timestamp=2**62)
    summary = lab.collect_until_end()
    assert summary["dead_letters"] == 0
    rows = lab.check(known, topic)[topic]
    assert len({row["schema"]["id"] for row in rows}) == 1
    times = {offset: lab.record(topic, 0, offset).json["timestamp"] for offset in (0, 17, 27, 37)}
    assert times[0] is not None
    assert [times[17], times[27], times[37]] == [None, None, None]

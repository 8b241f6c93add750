"""If this failed, a damaged provenance log could pass for a sound one, or a sound one for damaged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.model.observation import Link, ObservationKind
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.chain import GENESIS, Head
from stream_lineage.provenance.codec import decode_with_digest, encode_body, frame
from stream_lineage.provenance.spans import SpanIndex, TopicEpoch
from stream_lineage.provenance.verify import CommittedHead, verify
from stream_lineage.testing.observation_log import ObservationLogBuilder

V1 = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, id=1, subject="t-value", version=1, fingerprint="a")
V2 = replace(V1, id=2, version=2, fingerprint="b")
UNRESOLVED = SchemaReference(SchemaType.NONE, Framing.CONFLUENT_PREFIX, id=2, unresolved=True)


def span(first: int, last: int, partition: int = 0) -> OffsetSpan:
    return OffsetSpan(partition, first, last, last - first + 1)


def sound() -> ObservationLogBuilder:
    log = ObservationLogBuilder()
    log.flush("t", (V1, [span(0, 9), span(0, 4, 1)]))
    log.flush("t", (V1, [span(10, 14)]), (V2, [span(15, 19), span(5, 9, 1)]))
    log.flush("t", (V2, [span(20, 29)]))
    log.flush("other", (V1, [span(0, 0)]))
    return log


def test_a_sound_log() -> None:
    log = sound()
    outcome = verify(log.entries(), log.heads())
    assert outcome.ok
    assert (outcome.records, outcome.notes) == (41, [])
    assert outcome.spans == 5  # t[0]: V1, V2; t[1]: V1, V2; other[0]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_edited_byte_is_found_where_it_is(data: st.DataObject) -> None:
    log = sound()
    victim = data.draw(st.integers(0, len(log.messages) - 1))
    message = log.messages[victim]
    place = data.draw(st.integers(5, len(message.value) - 1))  # before that stands the registry's id of our schema
    flipped = message.value[place] ^ data.draw(st.integers(1, 255))
    log.messages[victim] = replace(message, value=message.value[:place] + bytes([flipped]) + message.value[place + 1 :])
    outcome = verify(log.entries(), log.heads())
    assert not outcome.ok
    assert victim in [row.get("log_offset") for row in outcome.broken_links]


@pytest.mark.parametrize("victim", range(5))
def test_any_dropped_observation_is_missed(victim: int) -> None:
    log = sound()
    del log.messages[victim]
    outcome = verify(log.entries(), log.heads())
    first_link_of_its_partitions = victim == 0
    # The oldest links may have gone by retention: without a checkpoint that cannot be told from a cut.
    assert outcome.ok is first_link_of_its_partitions


@pytest.mark.parametrize("cut", range(6))
def test_retention_of_the_log_is_no_damage_wherever_it_cuts(cut: int) -> None:
    """Flushes of several observations are cut in two, and of topics that are quiet for long nothing is left."""
    log = sound()
    outcome = verify(log.entries()[cut:], log.heads(), log_starts=lambda: {0: cut})
    assert outcome.ok, outcome.broken_links
    assert bool(outcome.notes) is (cut >= 2)


@pytest.mark.parametrize("victim", range(5))
def test_a_log_that_retention_has_not_touched_misses_its_beginning_too(victim: int) -> None:
    log = sound()
    del log.messages[victim]
    assert not verify(log.entries(), log.heads(), log_starts=lambda: {0: 0}).ok


@pytest.mark.parametrize("victim", range(2, 5))
def test_a_log_that_retention_has_touched_misses_what_it_left(victim: int) -> None:
    log = sound()
    for start in range(30, 60, 10):
        log.flush("t", (V1, [span(start, start + 9)]))
    entries = log.entries()[3:]
    del entries[victim]
    assert not verify(entries, log.heads(), log_starts=lambda: {0: 3}).ok


def test_a_checkpoint_misses_a_cut_at_the_beginning() -> None:
    log = ObservationLogBuilder()
    for start in range(0, 50, 10):
        log.flush("t", (V1, [span(start, start + 9)]))
    first, second = verify(log.entries()[:1], []).heads, verify(log.entries()[:2], []).heads
    del log.messages[0:2]
    assert verify(log.entries(), log.heads()).ok
    assert not verify(log.entries(), log.heads(), checkpoint=first).ok
    assert verify(log.entries(), log.heads(), checkpoint=second).ok, "the oldest link left follows the one named"


def test_a_doubled_observation_is_an_overlap() -> None:
    log = sound()
    log.messages.append(log.messages[1])
    outcome = verify(log.entries(), log.heads())
    assert [row["log_offset"] for row in outcome.overlaps] == [5]


def test_gaps_and_overlaps_in_a_well_linked_log() -> None:
    log = ObservationLogBuilder()
    log.flush("t", (V1, [span(0, 9)]))
    log.flush("t", (V1, [span(12, 19)]))
    log.flush("t", (V1, [span(18, 25)]))
    outcome = verify(log.entries(), log.heads())
    assert [(row["first_offset"], row["last_offset"]) for row in outcome.gaps] == [(10, 11)]
    assert [(row["first_offset"], row["last_offset"]) for row in outcome.overlaps] == [(18, 19)]
    assert not outcome.broken_links


def test_what_cannot_be_read_is_named_by_its_place() -> None:
    log = sound()
    log.messages[1] = replace(log.messages[1], value=b"junk")
    log.messages[3] = replace(log.messages[3], value=b"junk")
    entries = log.entries()
    entries[3] = replace(entries[3], key=None)
    outcome = verify(entries, log.heads())
    named = {row["log_offset"]: row["topic"] for row in outcome.broken_links if "log_offset" in row}
    assert (named[1], named[3]) == ("t", None)


def test_what_was_edited_outside_of_its_content_is_told_and_still_counted() -> None:
    log = sound()
    log.messages[0] = replace(log.messages[0], key=b"other")
    outcome = verify(log.entries(), log.heads())
    assert [(row["log_offset"], row["reason"]) for row in outcome.broken_links] == [
        (0, "its content is not what was written")
    ]
    assert outcome.records == 41


def relinked(log: ObservationLogBuilder, at: int, links: tuple[Link, ...]) -> None:
    """The same observation under other links, as somebody who can write the log might give it."""
    message = log.messages[at]
    decoded = decode_with_digest(message.value)
    body = encode_body(decoded.observation, None)
    log.messages[at] = replace(message, value=frame(body, links, 1), digest=body.digest.hex())


def reasons(log: ObservationLogBuilder) -> set[str]:
    return {row["reason"] for row in verify(log.entries(), log.heads()).broken_links}


def test_spans_under_no_link_are_told() -> None:
    log = sound()
    relinked(log, 4, ())
    assert "its spans of partition 0 are under no link" in reasons(log)


def test_two_observations_of_one_flush_must_follow_the_same_link() -> None:
    log = sound()
    own = decode_with_digest(log.messages[2].value).observation.links
    relinked(log, 2, tuple(replace(link, previous=b"x" * 32) for link in own))
    assert "two observations of one flush name different links before it" in reasons(log)


def test_a_link_that_follows_itself_is_told() -> None:
    log = ObservationLogBuilder()
    log.flush("t", (V1, [span(0, 9)]))
    relinked(log, 0, (Link(0, b"x" * 32, b"x" * 32),))
    outcome = verify(log.entries(), [])
    assert [row["reason"] for row in outcome.broken_links] == ["what it holds does not give the hash of its link"]
    assert outcome.heads == {}


def test_a_fork_is_told() -> None:
    log, other = sound(), sound()
    other.messages.clear()
    other.hashes = {("t", "id-1", 0): decode_with_digest(log.messages[0].value).observation.links[0].hash}
    other.flush("t", (replace(V1, id=9), [span(30, 39)]))
    log.messages += other.messages
    assert reasons(log) == {"the chain forks: two flushes follow the same link"}


def test_heads_that_say_nothing_yet_are_no_damage_and_records_after_the_last_span_are_a_gap() -> None:
    log = sound()
    heads = [*log.heads(), CommittedHead("new", 0, 5, None), CommittedHead("empty", 0, 5, Head(GENESIS, 5, None))]
    assert verify(log.entries(), heads).ok
    ahead = [
        replace(each, head=replace(each.head, next_offset=35))
        if each.head and each.topic == "t" and not each.partition
        else each
        for each in log.heads()
    ]
    outcome = verify(log.entries(), ahead)
    assert [(row["first_offset"], row["last_offset"]) for row in outcome.gaps] == [(30, 34)]


def test_links_without_spans_are_links_all_the_same() -> None:
    log = sound()
    log.flush("t", (V2, [span(30, 30)]), partitions=(5,))
    assert verify(log.entries(), log.heads()).ok


def test_explained_offsets_are_no_gap() -> None:
    log = ObservationLogBuilder()
    log.flush("t", (V1, [span(0, 9)]))
    log.flush("t", (V1, [OffsetSpan(0, 10, 19, 8, (MissingRange(10, 11, MissingReason.TRANSACTION),))]))
    assert verify(log.entries(), log.heads()).ok


def test_a_topic_created_again_is_another_chain() -> None:
    log = sound()
    log.flush("t", (V1, [span(0, 3)]), topic_id="id-2")
    heads = [head for head in log.heads() if not (head.topic == "t" and head.head and head.head.topic_id == "id-1")]
    outcome = verify(log.entries(), heads)
    assert outcome.ok
    assert outcome.notes, "nothing proves the end of the earlier epoch"


def test_resolutions_complete_earlier_spans_and_merge_them() -> None:
    log = ObservationLogBuilder()
    observations = log.flush("t", (V1, [span(0, 4)]))
    observations += log.flush("t", (UNRESOLVED, [span(5, 9)]))
    observations += log.flush("t", (V2, []), kind=ObservationKind.RESOLUTION, partitions=(0,))
    observations += log.flush("t", (V2, [span(10, 14)]))
    assert verify(log.entries(), log.heads()).ok
    index = SpanIndex()
    for observation in observations:
        index.add(observation)
    rows = [(row.span.first_offset, row.span.last_offset, row.schema) for row in index.merged(TopicEpoch("t", "id-1"))]
    assert rows == [(0, 4, V1), (5, 14, V2)]


def test_spans_that_come_in_no_order_are_put_together() -> None:
    log, index = ObservationLogBuilder(), SpanIndex()
    offsets = [n * 7 % 10_000 for n in range(10_000)]
    for observation in log.flush("t", (V1, [span(n, n) for n in offsets if n != 5_000])):
        index.add(observation)
    merged = [(each.span.first_offset, each.span.last_offset) for each in index.merged(TopicEpoch("t", "id-1"))]
    assert merged == [(0, 4_999), (5_001, 9_999)]


def test_ten_million_records_under_one_schema_are_one_span_a_partition() -> None:
    index, log = SpanIndex(), ObservationLogBuilder()
    size = 2500
    for start in range(0, 2_500_000, size * 10):
        spans = [span(start, start + size * 10 - 1, partition) for partition in range(4)]
        for observation in log.flush("t", (V1, spans)):
            index.add(observation)
    merged = list(index.merged(TopicEpoch("t", "id-1")))
    assert [(row.span.partition, row.span.count) for row in merged] == [(n, 2_500_000) for n in range(4)]

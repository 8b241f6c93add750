"""If this failed, a dead letter would point at the wrong record, or count some twice or not at all."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.collect.dead_letters import EVENT_TYPE, DeadLetter, message, summarised
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON
from stream_lineage.model.schema_files import schema_text
from stream_lineage.testing.observations import avro_reference, unresolved_reference

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = json.loads(schema_text("dead-letter.schema.json"))


@st.composite
def letters(draw: st.DrawFn) -> DeadLetter:
    offset = draw(st.integers(0, 50))
    return DeadLetter(
        topic=draw(st.sampled_from(["clicks", "orders"])),
        topic_id=draw(st.sampled_from([None, "epoch-1"])),
        partition=draw(st.integers(0, 1)),
        offset=offset,
        last_offset=offset,
        count=1,
        role=draw(st.sampled_from(["value", "key"])),
        kind=draw(st.sampled_from(["truncated", "wrong-magic"])),
        error="not what its schema says",
        size=draw(st.integers(0, 100)),
        schema=draw(st.sampled_from([OPAQUE, PLAIN_JSON, avro_reference(3), unresolved_reference(4)])),
    )


def group(letter: DeadLetter) -> tuple[Any, ...]:
    return (letter.topic, letter.partition, letter.role, letter.kind)


@given(st.lists(letters(), max_size=30), st.integers(0, 12))
def test_what_is_beyond_the_limit_is_summed_up(given_letters: list[DeadLetter], limit: int) -> None:
    out = list(summarised(given_letters, limit))
    listed, rest = given_letters[:limit], given_letters[limit:]
    assert out[: len(listed)] == listed
    sums = out[len(listed) :]
    assert len({group(letter) for letter in sums}) == len(sums)
    assert {group(letter): letter.count for letter in sums} == Counter(map(group, rest))
    for letter in sums:
        own = [each for each in rest if group(each) == group(letter)]
        assert letter.size == sum(each.size for each in own)
        assert letter.offset == min(each.offset for each in own)
        assert letter.last_offset == max(each.offset for each in own)


@given(letters())
def test_a_letter_is_a_cloud_event_of_its_schema(letter: DeadLetter) -> None:
    sent = message(letter, to="lineage.dead-letters", cluster="eu", now=NOON)
    body = json.loads(sent.value)
    jsonschema.validate(body, SCHEMA)
    headers = {name: value.decode() for name, value in sent.headers}
    assert (sent.topic, sent.key) == ("lineage.dead-letters", letter.topic.encode())
    assert {name: headers[name] for name in ("ce_specversion", "ce_type", "content-type")} == {
        "ce_specversion": "1.0",
        "ce_type": EVENT_TYPE,
        "content-type": "application/json",
    }
    assert headers["ce_source"] == f"kafka://eu/{letter.topic}"
    assert headers["ce_time"] == body["observed_at"] == "2026-03-01T12:00:00.000+00:00"
    assert (body["offset"], body["partition"], body["size"]) == (letter.offset, letter.partition, letter.size)
    assert body["schema"]["id"] == letter.schema.id


@given(letters(), letters())
def test_the_id_is_the_records_own(one: DeadLetter, other: DeadLetter) -> None:
    """The same record has the same id whoever reports it and when; others have others."""

    def event_id(letter: DeadLetter, now: datetime = NOON) -> bytes:
        return dict(message(letter, to="x", cluster="eu", now=now).headers)["ce_id"]

    def identity(letter: DeadLetter) -> tuple[Any, ...]:
        return (*group(letter), letter.topic_id, letter.offset)

    assert event_id(one) == event_id(one, NOON.replace(hour=13))
    assert (event_id(one) == event_id(other)) is (identity(one) == identity(other))

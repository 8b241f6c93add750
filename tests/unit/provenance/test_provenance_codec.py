"""If this failed, what was observed could not be read back, or a hostile message in the log could end its readers.

An observation is read by the schema of this version, or by the one of before there were producers: one written with a
later schema, that has a field more somewhere inside, is a clear error and is never half read. Readers are to be updated
before collectors.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.model.observation import EventTimes, Link, Observation, ObservationKind, Producer
from stream_lineage.model.profile import Decoder, FieldProfile, LengthProfile, NumericProfile, Profile, TypeCount
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.model.structure import Deviation, DeviationKind, Structure
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.provenance.codec import (
    MAX_OBSERVATION_BYTES,
    decode_observation,
    decode_with_digest,
    encode_body,
    encode_links,
    encode_observation,
    frame,
)
from stream_lineage.testing.observations import avro_reference, observation, span

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "observation.avsc").read_text())
PARSED = fastavro.parse_schema(copy.deepcopy(SCHEMA))

LONGS = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.integers(0, 2**62)
DOUBLES = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HASHES = st.binary(min_size=32, max_size=32)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 4_102_444_800_000).map(lambda milliseconds: EPOCH + timedelta(milliseconds=milliseconds))

references = st.builds(
    SchemaReference,
    type=st.sampled_from(SchemaType),
    framing=st.sampled_from(Framing),
    id=st.none() | st.integers(1, 2**31 - 1),
    guid=st.none() | st.uuids().map(str),
    subject=st.none() | TEXTS,
    version=st.none() | st.integers(1, 2**31 - 1),
    fingerprint=st.none() | HASHES.map(bytes.hex),
    unresolved=st.booleans(),
    crc64=st.none() | st.sampled_from(["63dd24e7cc258f8a"]),
)
numerics = st.builds(
    NumericProfile,
    count=COUNTS,
    not_finite=COUNTS,
    min=st.none() | DOUBLES,
    max=st.none() | DOUBLES,
    mean=DOUBLES,
    m2=DOUBLES,
    quantiles=st.binary(max_size=20),
)
lengths = st.builds(LengthProfile, count=COUNTS, min=COUNTS, max=COUNTS, mean=DOUBLES, m2=DOUBLES)
fields = st.builds(
    FieldProfile,
    path=TEXTS,
    types=st.lists(st.builds(TypeCount, type=st.sampled_from(["string", "enum"]), count=COUNTS), max_size=2).map(tuple),
    slots=COUNTS,
    nulls=COUNTS,
    missing=COUNTS,
    numeric=st.none() | numerics,
    lengths=st.none() | lengths,
    distinct=st.none() | st.binary(max_size=20),
    items=st.none() | st.binary(max_size=20),
)
structures = st.none() | st.builds(
    Structure,
    deviations=st.lists(
        st.builds(
            Deviation,
            kind=st.sampled_from(DeviationKind),
            path=TEXTS,
            declared=st.none() | TEXTS,
            seen=st.none() | TEXTS,
            count=COUNTS,
        ),
        max_size=3,
    ).map(tuple),
    left_out=st.integers(0, 2**31 - 1),
)
profiles = st.builds(
    Profile,
    decoder=st.sampled_from(Decoder),
    key_decoder=st.sampled_from(Decoder),
    decoded=COUNTS,
    undecoded=COUNTS,
    key_distinct=st.none() | st.binary(max_size=20),
    fields=st.lists(fields, max_size=3).map(tuple),
    key_fields=st.lists(fields, max_size=2).map(tuple),
    truncated_fields=st.integers(0, 10_000),
    structure=structures,
    key_structure=structures,
)
event_times = st.builds(
    EventTimes,
    sampled=COUNTS,
    without=COUNTS,
    out_of_order=COUNTS,
    min_timestamp=st.none() | LONGS,
    max_timestamp=st.none() | LONGS,
    mean_lag_ms=st.none() | DOUBLES,
    max_lag_ms=st.none() | LONGS,
)


@st.composite
def spans(draw: st.DrawFn) -> OffsetSpan:
    first = draw(st.integers(0, 2**50))
    widths = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from(MissingReason)), max_size=3))
    at, missing = first, []
    for present, absent, reason in widths:
        missing.append(MissingRange(at + present, at + present + absent - 1, reason))
        at += present + absent
    count = sum(present for present, _, _ in widths) + draw(st.integers(1, 2**40))
    width = count + sum(gap.length for gap in missing)
    return OffsetSpan(draw(st.integers(0, 2**31 - 1)), first, first + width - 1, count, tuple(missing))


observations = st.builds(
    Observation,
    observation_id=TEXTS,
    kind=st.sampled_from(ObservationKind),
    cluster=TEXTS,
    topic=TEXTS,
    topic_id=st.none() | TEXTS,
    collector=TEXTS,
    observed_at=TIMES,
    value_schema=references,
    key_schema=references,
    records=COUNTS,
    bytes=COUNTS,
    tombstones=COUNTS,
    event_times=st.none() | event_times,
    spans=st.lists(spans(), max_size=3).map(tuple),
    profile=st.none() | profiles,
    links=st.lists(st.builds(Link, partition=st.integers(0, 9), previous=HASHES, hash=HASHES), max_size=3).map(tuple),
    producers=st.lists(st.builds(Producer, name=TEXTS, sampled=COUNTS), max_size=3).map(tuple),
)
SOME = observation(avro_reference(3), span(0, 5, 99, lost=[(7, 9)]), links=(Link(0, bytes(32), b"h" * 32),))


@settings(max_examples=200, deadline=None)
@given(observations, st.none() | st.integers(1, 2**31 - 1))
def test_what_is_written_is_read_back(given_observation: Observation, schema_id: int | None) -> None:
    value = encode_observation(given_observation, schema_id=schema_id)
    assert decode_observation(value) == given_observation


@settings(max_examples=100, deadline=None)
@given(observations, st.integers(1, 2**31 - 1))
def test_it_is_avro_of_the_published_schema(given_observation: Observation, schema_id: int) -> None:
    """Byte for byte what an Avro library writes, so that any of them can read the log."""
    value = encode_observation(given_observation, schema_id=schema_id)
    assert value[:5] == b"\x00" + struct.pack(">I", schema_id)
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), PARSED, None)
    assert record["topic"] == given_observation.topic
    assert record["observed_at"] == given_observation.observed_at
    assert (record["profile"] is None) == (given_observation.profile is None)
    again = io.BytesIO()
    fastavro.schemaless_writer(again, PARSED, record)
    assert again.getvalue() == value[5:]


def rabin(data: bytes) -> int:
    """CRC-64-AVRO as Avro 1.11 gives it, bit by bit."""
    empty = 0xC15D213AA4D7A795
    out = empty
    for byte in data:
        out ^= byte
        for _ in range(8):
            out = (out >> 1) ^ (empty if out & 1 else 0)
    return out


def test_without_a_registry_it_is_a_single_object() -> None:
    assert rabin(b'"int"') == 0x7275D51A3F395C8F  # from the specification's tests
    value = encode_observation(SOME)
    canonical = fastavro.schema.to_parsing_canonical_form(copy.deepcopy(SCHEMA))
    assert value[:10] == b"\xc3\x01" + struct.pack("<Q", rabin(canonical.encode()))
    assert decode_observation(value) == SOME


@settings(max_examples=100, deadline=None)
@given(observations)
def test_the_digest_is_of_all_but_framing_and_links(given_observation: Observation) -> None:
    profile = None if given_observation.profile is None else encode_profile(given_observation.profile)
    body = encode_body(given_observation, profile)
    assert body.digest == hashlib.sha256(body.data).digest()
    for links in ((), given_observation.links, (Link(7, b"p" * 32, b"q" * 32),)):
        for schema_id in (None, 9):
            assert decode_with_digest(frame(body, links, schema_id)).digest == body.digest


@settings(max_examples=200, deadline=None)
@given(observations, st.data())
def test_any_changed_byte_changes_what_is_read(given_observation: Observation, data: st.DataObject) -> None:
    """Content, digest or links: a change of one bit is an error, or cannot be mistaken for the original."""
    value = encode_observation(given_observation, schema_id=1)
    at = data.draw(st.integers(5, len(value) - 1))
    changed = bytearray(value)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = decode_with_digest(bytes(changed))
    except DecodeError:
        return
    original = decode_with_digest(value)
    assert (decoded.digest, decoded.observation.links) != (original.digest, original.observation.links)


@settings(max_examples=200, deadline=None)
@given(observations, st.data())
def test_what_is_cut_off_or_goes_on_is_no_observation(given_observation: Observation, data: st.DataObject) -> None:
    value = encode_observation(given_observation, schema_id=data.draw(st.sampled_from([None, 1])))
    with pytest.raises(DecodeError):
        decode_observation(value[: data.draw(st.integers(0, len(value) - 1))])
    with pytest.raises(DecodeError):
        decode_observation(value + data.draw(st.binary(min_size=1, max_size=40)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x00\x00\x00\x00\x01", encode_observation(SOME)[:10]]))
def test_other_bytes_are_a_decode_error(content: bytes, prefix: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_observation(prefix + content)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_bytes_changed_at_will_are_a_decode_error_or_an_observation(data: st.DataObject) -> None:
    value = bytearray(encode_observation(SOME, schema_id=1))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(5, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=11))
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_observation(bytes(value)), Observation)


def varint(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()


@pytest.mark.parametrize("count", [2**20, 2**40, 2**62, -(2**62)])
def test_announced_sizes_are_not_believed(count: int) -> None:
    """Of the id, which is a string, and of the links, which are an array: neither costs memory or time."""
    whole = encode_observation(SOME, schema_id=1)
    without_links = whole[: -len(encode_links(SOME.links))]
    for value in (b"\x00\x00\x00\x00\x01" + varint(count) + b"short", without_links + varint(count) + bytes(66)):
        with pytest.raises(DecodeError):
            decode_observation(value)


def test_what_is_too_large_is_not_looked_into() -> None:
    with pytest.raises(DecodeError, match="beyond the bound"):
        decode_observation(b"\x00\x00\x00\x00\x01" + bytes(MAX_OBSERVATION_BYTES))


def _with_one_more(schema: Any, name: str) -> Any:
    """The schema with one more field at the end of the record of this name."""
    if isinstance(schema, dict):
        new = {key: _with_one_more(value, name) for key, value in schema.items()}
        if schema.get("type") == "record" and schema["name"] == name:
            new["fields"] = [*new["fields"], {"name": "added_later", "type": "long", "default": 1}]
        return new
    return [_with_one_more(item, name) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", ["SchemaReference", "OffsetSpan", "EventTimes", "Profile", "Link", "Observation"])
def test_a_later_schema_is_a_clear_error(name: str) -> None:
    later = fastavro.parse_schema(_with_one_more(SCHEMA, name))
    times = EventTimes(1, 0, 0, 5, 6, 1.0, 2)
    profile = Profile(Decoder.COLUMNAR, Decoder.OPAQUE, 1, 0, None, (), ())
    whole = observation(avro_reference(3), span(0, 5, 99), links=SOME.links, event_times=times, profile=profile)
    record: Any = fastavro.schemaless_reader(io.BytesIO(encode_observation(whole, schema_id=1)[5:]), PARSED, None)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, later, record)
    with pytest.raises(DecodeError, match="not an observation"):
        decode_observation(b"\x00\x00\x00\x00\x02" + out.getvalue())


FORMER = fastavro.parse_schema(
    {**copy.deepcopy(SCHEMA), "fields": [field for field in SCHEMA["fields"] if field["name"] != "producers"]}
)


@settings(max_examples=300, deadline=None)
@given(observations, st.booleans())
def test_what_was_written_before_there_were_producers_is_read_as_it_was(
    given_observation: Observation, by_id: bool
) -> None:
    record: Any = fastavro.schemaless_reader(
        io.BytesIO(encode_observation(given_observation, schema_id=1)[5:]), PARSED, None
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, FORMER, record)
    prefix = b"\x00\x00\x00\x00\x07" if by_id else WRITTEN_BEFORE_WITHOUT_REGISTRY[:10]
    decoded = decode_with_digest(prefix + out.getvalue())
    assert decoded.observation == replace(given_observation, producers=())
    signed = out.getvalue()[: len(out.getvalue()) - len(encode_links(given_observation.links))]
    assert decoded.digest == hashlib.sha256(signed).digest()


@pytest.mark.parametrize("value", [0, 1], ids=["by an id of the registry", "without a registry"])
def test_messages_of_before_are_as_they_were_signed(value: int) -> None:
    found = (WRITTEN_BEFORE, WRITTEN_BEFORE_WITHOUT_REGISTRY)[value]
    decoded = decode_with_digest(found)
    seen = decoded.observation
    assert (seen.observation_id, seen.topic, seen.records, seen.producers) == ("whole", "clicks", 10, ())
    assert [(each.partition, each.first_offset, each.last_offset) for each in seen.spans] == [(0, 0, 5), (3, 10, 15)]
    assert seen.profile is not None
    assert [field.path for field in seen.profile.fields] == ["age"]
    assert [link.hash for link in seen.links] == [b"\x01" * 32, b"\x03" * 32]
    links = 1 + 2 * (1 + 32 + 32) + 1  # how many, partition and hashes of each, no more
    assert decoded.digest == hashlib.sha256(found[(5, 10)[value] : -links]).digest()


# Written by the collector's code before observations had producers.
WRITTEN_BEFORE = bytes.fromhex(
    "00000000290a77686f6c650008746573740c636c69636b73020e65706f63682d3116636f6c6c6563746f722d3180a8a8949567020202"
    "0e000218636c69636b732d76616c7565020e028001373930323639396265343263386138653436666262623435303137323635313765"
    "3836623232633536613138396637363235613664613439303831623234353100000000000000000000001484070002140002020a0212"
    "02000000000000f83f02080400000a0c0006141e080216180600000202001400000206616765020e696e746567657212001402000212"
    "0002000000000000f03f02000000000000224000000000000014400000000000004e400c736b65746368000000000000000004000000"
    "000000000000000000000000000000000000000000000000000000000000010101010101010101010101010101010101010101010101"
    "010101010101010106020202020202020202020202020202020202020202020202020202020202020203030303030303030303030303"
    "0303030303030303030303030303030303030300"
)
WRITTEN_BEFORE_WITHOUT_REGISTRY = bytes.fromhex("c3013804f3b5df12a72f") + WRITTEN_BEFORE[5:]

"""Observations as bytes, and back.

An observation is encoded in three parts: the head (all fields before the profile), the profile, and the links. Avro
writes a record as its fields one after the other, so the parts are simply put together: the worker encodes the profile,
the collector the rest, and the links sign head and profile as they stand in the log. Observations of before there was
a field can be read for ever: they are what they were signed as.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

from stream_lineage.errors import DecodeError
from stream_lineage.model.observation import EventTimes, Link, Observation, ObservationKind, Producer
from stream_lineage.model.profile import Profile
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.model.schema_files import schema_text
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.profile.encoding import profile_from_record

MAX_OBSERVATION_BYTES = 8 * 1024 * 1024
NO_PROFILE = b"\x00"
WITH_PROFILE = b"\x02"
_SINGLE_OBJECT = b"\xc3\x01"
_ADDED = ("producers",)
"""Fields that observations did not have at first."""


@dataclass(frozen=True, slots=True)
class _Codec:
    whole: Any
    head: Any
    links: Any
    single_object_prefix: bytes
    former: Any
    former_prefix: bytes


@cache
def _codec() -> _Codec:
    schema = json.loads(schema_text("observation.avsc"))
    whole = fastavro.parse_schema(schema)
    fields = schema["fields"]
    names = [field["name"] for field in fields]
    assert names[-2:] == ["profile", "links"]  # noqa: S101  (links are cut off, and the profile is written by hand)
    head = fastavro.parse_schema({**schema, "fields": fields[:-2]})
    links = fastavro.parse_schema({**schema, "fields": fields[-1:]})
    before = {**schema, "fields": [field for field in fields if field["name"] not in _ADDED]}
    return _Codec(whole, head, links, _prefix(schema), fastavro.parse_schema(before), _prefix(before))


def _prefix(schema: Any) -> bytes:
    return _SINGLE_OBJECT + bytes.fromhex(avro_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """An observation without its links. ``digest`` is what the links sign."""

    data: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()


def encode_body(observation: Observation, profile: bytes | None) -> EncodedBody:
    """Encode all of an observation but its links; ``profile`` is the Avro encoding of its Profile, if it has one."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _codec().head, _head_record(observation))
    out.write(NO_PROFILE if profile is None else WITH_PROFILE + profile)
    return EncodedBody(out.getvalue())


def encode_links(links: Iterable[Link]) -> bytes:
    out = io.BytesIO()
    rows = [{"partition": link.partition, "previous": link.previous, "hash": link.hash} for link in links]
    fastavro.schemaless_writer(out, _codec().links, {"links": rows})
    return out.getvalue()


def frame(body: EncodedBody, links: Iterable[Link], schema_id: int | None) -> bytes:
    """The message value: Confluent prefix where the registry gave our schema an id, else Avro single-object encoding,
    so that the log can be written and read without any registry."""
    prefix = _codec().single_object_prefix if schema_id is None else b"\x00" + struct.pack(">I", schema_id)
    return prefix + body.data + encode_links(links)


@dataclass(frozen=True, slots=True)
class DecodedObservation:
    """An observation as it stood in the log, with the digest of what its links sign."""

    observation: Observation
    digest: bytes


def decode_with_digest(value: bytes, *, profile: bool = True) -> DecodedObservation:
    """Decode a message of the observation log. Without ``profile`` none is made of what is there, which is quicker.

    Raises:
        DecodeError: the bytes are no observation, or are not exactly one.
    """
    codec = _codec()
    if len(value) > MAX_OBSERVATION_BYTES:
        raise DecodeError(f"an observation of {len(value)} bytes is beyond the bound of {MAX_OBSERVATION_BYTES}")
    if value[:1] == b"\x00" and len(value) > 5:
        # The id is the registry's, who may be gone: what was written by the one schema can hardly be read by the other.
        try:
            return _decoded(value[5:], codec.whole, profile)
        except DecodeError as error:
            try:
                return _decoded(value[5:], codec.former, profile)
            except DecodeError:
                raise error from None
    if value[:10] == codec.single_object_prefix:
        return _decoded(value[10:], codec.whole, profile)
    if value[:10] == codec.former_prefix:
        return _decoded(value[10:], codec.former, profile)
    raise DecodeError("not an observation: it starts with no framing that we write")


def _decoded(payload: bytes, schema: Any, profile: bool) -> DecodedObservation:
    source = io.BytesIO(payload)
    try:
        record = fastavro.schemaless_reader(source, schema, None)
        observation = _observation(record if profile else {**record, "profile": None})
        suffix = encode_links(observation.links)
    except Exception as error:
        raise DecodeError(f"not an observation: {type(error).__name__}") from error
    if source.tell() != len(payload) or not payload.endswith(suffix):
        raise DecodeError("not an observation: its encoding is not canonical")
    return DecodedObservation(observation, hashlib.sha256(payload[: len(payload) - len(suffix)]).digest())


def decode_observation(value: bytes) -> Observation:
    """Decode a message of the observation log.

    Raises:
        DecodeError: the bytes are no observation.
    """
    return decode_with_digest(value).observation


def encode_observation(observation: Observation, *, schema_id: int | None = None) -> bytes:
    """Encode a whole observation with its links as they are given."""
    from stream_lineage.profile.encoding import encode_profile

    profile = None if observation.profile is None else encode_profile(observation.profile)
    return frame(encode_body(observation, profile), observation.links, schema_id)


def _reference_record(reference: SchemaReference) -> dict[str, Any]:
    return {
        "type": reference.type.value,
        "framing": reference.framing.value,
        "id": reference.id,
        "guid": reference.guid,
        "subject": reference.subject,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
        "unresolved": reference.unresolved,
        "crc64": reference.crc64,
    }


def _head_record(observation: Observation) -> dict[str, Any]:
    times = observation.event_times
    return {
        "observation_id": observation.observation_id,
        "kind": observation.kind.value,
        "cluster": observation.cluster,
        "topic": observation.topic,
        "topic_id": observation.topic_id,
        "collector": observation.collector,
        "observed_at": observation.observed_at,
        "value_schema": _reference_record(observation.value_schema),
        "key_schema": _reference_record(observation.key_schema),
        "records": observation.records,
        "bytes": observation.bytes,
        "tombstones": observation.tombstones,
        "event_times": None
        if times is None
        else {
            "sampled": times.sampled,
            "without": times.without,
            "out_of_order": times.out_of_order,
            "min_timestamp": times.min_timestamp,
            "max_timestamp": times.max_timestamp,
            "mean_lag_ms": times.mean_lag_ms,
            "max_lag_ms": times.max_lag_ms,
        },
        "spans": [
            {
                "partition": span.partition,
                "first_offset": span.first_offset,
                "last_offset": span.last_offset,
                "count": span.count,
                "missing": [
                    {"first_offset": gap.first_offset, "last_offset": gap.last_offset, "reason": gap.reason.value}
                    for gap in span.missing
                ],
            }
            for span in observation.spans
        ],
        "producers": [{"name": each.name, "sampled": each.sampled} for each in observation.producers],
    }


def _reference(record: dict[str, Any]) -> SchemaReference:
    return SchemaReference(
        type=SchemaType(record["type"]),
        framing=Framing(record["framing"]),
        id=record["id"],
        guid=record["guid"],
        subject=record["subject"],
        version=record["version"],
        fingerprint=record["fingerprint"],
        unresolved=record["unresolved"],
        crc64=record["crc64"],
    )


def _observation(record: dict[str, Any]) -> Observation:
    times = record["event_times"]
    profile = record["profile"]
    decoded: Profile | None = None if profile is None else profile_from_record(profile)
    return Observation(
        observation_id=record["observation_id"],
        kind=ObservationKind(record["kind"]),
        cluster=record["cluster"],
        topic=record["topic"],
        topic_id=record["topic_id"],
        collector=record["collector"],
        observed_at=record["observed_at"],
        value_schema=_reference(record["value_schema"]),
        key_schema=_reference(record["key_schema"]),
        records=record["records"],
        bytes=record["bytes"],
        tombstones=record["tombstones"],
        event_times=None if times is None else EventTimes(**times),
        spans=tuple(_span(span) for span in record["spans"]),
        profile=decoded,
        links=tuple(Link(link["partition"], link["previous"], link["hash"]) for link in record["links"]),
        producers=tuple(Producer(**each) for each in record.get("producers", ())),
    )


def _span(span: dict[str, Any]) -> OffsetSpan:
    missing = tuple(
        MissingRange(gap["first_offset"], gap["last_offset"], MissingReason(gap["reason"])) for gap in span["missing"]
    )
    return OffsetSpan(span["partition"], span["first_offset"], span["last_offset"], span["count"], missing)

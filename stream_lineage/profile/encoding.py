"""Profiles as bytes, and back.

``encode_profile`` writes the Avro binary form of the record ``Profile`` in ``schemas/observation.avsc``, byte for byte
as an Avro library does (a test holds it against one), so that the caller can splice it into an observation. It is
written by hand because the size budget needs the exact size of each field, over and over.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from stream_lineage.errors import DecodeError
from stream_lineage.model.profile import Decoder, FieldProfile, LengthProfile, NumericProfile, Profile, TypeCount
from stream_lineage.model.schema_files import schema_text
from stream_lineage.model.structure import Deviation, DeviationKind, Structure

MAX_PROFILE_BYTES = 8 * 1024 * 1024

_SYMBOLS = (Decoder.OPAQUE, Decoder.COLUMNAR, Decoder.RECORDS, Decoder.JSON, Decoder.TEXT)
_DECODERS = {decoder: bytes((2 * rank,)) for rank, decoder in enumerate(_SYMBOLS)}
_NULL, _PRESENT = b"\x00", b"\x02"
_double = struct.Struct("<d").pack
_two_doubles = struct.Struct("<dd").pack


def encode_profile(profile: Profile) -> bytes:
    """The profile as Avro binary."""
    return b"".join(
        (
            _DECODERS[profile.decoder],
            _DECODERS[profile.key_decoder],
            _long(profile.decoded),
            _long(profile.undecoded),
            _optional_bytes(profile.key_distinct),
            _array(encode_field(field) for field in profile.fields),
            _array(encode_field(field) for field in profile.key_fields),
            _long(profile.truncated_fields),
            _optional_structure(profile.structure),
            _optional_structure(profile.key_structure),
        )
    )


def decoder_of(encoded: bytes) -> Decoder:
    """Which decoder read the values that an encoded profile tells of."""
    return _SYMBOLS[encoded[0] // 2]


def encode_field(field: FieldProfile) -> bytes:
    """One field as Avro binary."""
    path = field.path.encode(errors="replace")  # JSON member names may hold lone surrogates
    types = [_sized(count.type.encode()) + _long(count.count) for count in field.types]
    numeric, lengths = field.numeric, field.lengths
    return b"".join(
        (
            _sized(path),
            _array(types),
            _long(field.slots),
            _long(field.nulls),
            _long(field.missing),
            _NULL if numeric is None else _numeric(numeric),
            _NULL if lengths is None else _lengths(lengths),
            _optional_bytes(field.distinct),
            _optional_bytes(field.items),
        )
    )


def array_overhead(count: int) -> int:
    """Bytes that an array of ``count`` items takes beside its items."""
    return 1 if count == 0 else 1 + len(_long(count))


def decode_profile(data: bytes) -> Profile:
    """The profile that ``encode_profile`` wrote.

    Raises:
        DecodeError: the bytes are no profile.
    """
    import fastavro

    if len(data) > MAX_PROFILE_BYTES:
        raise DecodeError(f"a profile of {len(data)} bytes is beyond the bound of {MAX_PROFILE_BYTES}")
    source = io.BytesIO(data)
    try:
        profile = profile_from_record(fastavro.schemaless_reader(source, _schema(), None))
    except Exception as error:
        raise DecodeError(f"not a profile: {type(error).__name__}") from error
    if source.tell() != len(data):
        raise DecodeError("not a profile: bytes are left over")
    return profile


def profile_from_record(record: Mapping[str, Any]) -> Profile:
    """The profile in a decoded Avro record.

    Raises:
        KeyError, TypeError, ValueError: the record is not a ``Profile``.
    """
    return Profile(
        decoder=Decoder(record["decoder"]),
        key_decoder=Decoder(record["key_decoder"]),
        decoded=record["decoded"],
        undecoded=record["undecoded"],
        key_distinct=record["key_distinct"],
        fields=tuple(_field(field) for field in record["fields"]),
        key_fields=tuple(_field(field) for field in record["key_fields"]),
        truncated_fields=record["truncated_fields"],
        structure=_structure(record["structure"]),
        key_structure=_structure(record["key_structure"]),
    )


def _structure(record: Mapping[str, Any] | None) -> Structure | None:
    if record is None:
        return None
    deviations = (Deviation(**{**row, "kind": DeviationKind(row["kind"])}) for row in record["deviations"])
    return Structure(tuple(deviations), record["left_out"])


def _field(record: Mapping[str, Any]) -> FieldProfile:
    numeric, lengths = record["numeric"], record["lengths"]
    return FieldProfile(
        path=record["path"],
        types=tuple(TypeCount(count["type"], count["count"]) for count in record["types"]),
        slots=record["slots"],
        nulls=record["nulls"],
        missing=record["missing"],
        numeric=None if numeric is None else NumericProfile(**numeric),
        lengths=None if lengths is None else LengthProfile(**lengths),
        distinct=record["distinct"],
        items=record["items"],
    )


@cache
def _schema() -> Any:
    import fastavro

    observation = json.loads(schema_text("observation.avsc"))
    (union,) = (field["type"] for field in observation["fields"] if field["name"] == "profile")
    return fastavro.parse_schema({**union[1], "namespace": observation["namespace"]})


def _long(number: int) -> bytes:
    """A zigzag varint."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < 0x80:
        return bytes((rest,))
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _sized(data: bytes) -> bytes:
    return _long(len(data)) + data


def _optional_bytes(data: bytes | None) -> bytes:
    return _NULL if data is None else b"\x02" + _long(len(data)) + data


def _text(text: str | None) -> bytes:
    return _NULL if text is None else _PRESENT + _sized(text.encode(errors="replace"))


def encode_structure(structure: Structure) -> bytes:
    """Declared against actual structure as Avro binary."""
    return _array(map(_deviation, structure.deviations)) + _long(structure.left_out)


def _optional_structure(structure: Structure | None) -> bytes:
    if structure is None:
        return _NULL
    return _PRESENT + encode_structure(structure)


def _deviation(row: Deviation) -> bytes:
    return b"".join(
        (
            _sized(row.kind.value.encode()),
            _sized(row.path.encode(errors="replace")),
            _text(row.declared),
            _text(row.seen),
            _long(row.count),
        )
    )


def _array(items: Iterable[bytes]) -> bytes:
    rows = list(items)
    return _long(len(rows)) + b"".join(rows) + b"\x00" if rows else b"\x00"


def _optional_double(number: float | None) -> bytes:
    return _NULL if number is None else _PRESENT + _double(number)


def _numeric(numeric: NumericProfile) -> bytes:
    return b"".join(
        (
            _PRESENT,
            _long(numeric.count),
            _long(numeric.not_finite),
            _optional_double(numeric.min),
            _optional_double(numeric.max),
            _two_doubles(numeric.mean, numeric.m2),
            _sized(numeric.quantiles),
        )
    )


def _lengths(lengths: LengthProfile) -> bytes:
    return b"".join(
        (
            _PRESENT,
            _long(lengths.count),
            _long(lengths.min),
            _long(lengths.max),
            _two_doubles(lengths.mean, lengths.m2),
        )
    )

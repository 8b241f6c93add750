"""If this fails, observations hold profiles that no Avro reader can read, or that read back as something else."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.model.profile import Decoder, FieldProfile, LengthProfile, NumericProfile, Profile, TypeCount
from stream_lineage.model.schema_files import schema_text
from stream_lineage.model.structure import Deviation, DeviationKind, Structure
from stream_lineage.profile.encoding import (
    array_overhead,
    decode_profile,
    decoder_of,
    encode_field,
    encode_profile,
)

LONGS = st.integers(-(2**63), 2**63 - 1)
DOUBLES = st.floats(allow_nan=False)
FIELDS = st.builds(
    FieldProfile,
    path=st.text(max_size=20),
    types=st.lists(st.builds(TypeCount, type=st.text(max_size=8), count=LONGS), max_size=3).map(tuple),
    slots=LONGS,
    nulls=LONGS,
    missing=LONGS,
    numeric=st.none()
    | st.builds(
        NumericProfile,
        count=LONGS,
        not_finite=LONGS,
        min=st.none() | DOUBLES,
        max=st.none() | DOUBLES,
        mean=DOUBLES,
        m2=DOUBLES,
        quantiles=st.binary(max_size=200),
    ),
    lengths=st.none() | st.builds(LengthProfile, count=LONGS, min=LONGS, max=LONGS, mean=DOUBLES, m2=DOUBLES),
    distinct=st.none() | st.binary(max_size=200),
    items=st.none() | st.binary(max_size=200),
)
STRUCTURES = st.none() | st.builds(
    Structure,
    deviations=st.lists(
        st.builds(
            Deviation,
            kind=st.sampled_from(DeviationKind),
            path=st.text(max_size=8),
            declared=st.none() | st.text(max_size=8),
            seen=st.none() | st.text(max_size=8),
            count=LONGS,
        ),
        max_size=3,
    ).map(tuple),
    left_out=st.integers(0, 2**31 - 1),
)
PROFILES = st.builds(
    Profile,
    decoder=st.sampled_from(Decoder),
    key_decoder=st.sampled_from(Decoder),
    decoded=LONGS,
    undecoded=LONGS,
    key_distinct=st.none() | st.binary(max_size=70),
    fields=st.lists(FIELDS, max_size=4).map(tuple),
    key_fields=st.lists(FIELDS, max_size=2).map(tuple),
    truncated_fields=st.integers(-(2**31), 2**31 - 1),
    structure=STRUCTURES,
    key_structure=STRUCTURES,
)


def profile_schema() -> dict[str, object]:
    observation = json.loads(schema_text("observation.avsc"))
    schema = next(field["type"][1] for field in observation["fields"] if field["name"] == "profile")
    return fastavro.parse_schema(schema | {"namespace": "io.stream_lineage"})


@given(PROFILES)
def test_the_bytes_are_those_that_fastavro_writes(profile: Profile) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, profile_schema(), asdict(profile))
    assert encode_profile(profile) == out.getvalue()


@given(PROFILES)
def test_a_profile_reads_back_as_it_was(profile: Profile) -> None:
    assert decode_profile(encode_profile(profile)) == profile


FULL = FieldProfile(
    "a.b",
    (TypeCount("integer", 3), TypeCount("string", 1)),
    slots=9,
    nulls=2,
    missing=3,
    numeric=NumericProfile(3, 1, -1.5, 7.0, 2.25, 0.5, b"kll"),
    lengths=LengthProfile(1, 4, 4, 4.0, 0.0),
    distinct=b"hll",
    items=b"items",
)
BARE = FieldProfile("c", (), 9, 0, 9)
DEVIATIONS = Structure(
    (
        Deviation(DeviationKind.TYPE_MISMATCH, "a.b", "string", "integer", 3),
        Deviation(DeviationKind.NEVER_SEEN, "z", None, None, 9),
    ),
    left_out=4,
)


@pytest.mark.parametrize("decoder", Decoder)
@pytest.mark.parametrize(("structure", "key_structure"), [(None, DEVIATIONS), (DEVIATIONS, None)])
def test_every_member_reads_back(
    decoder: Decoder, structure: Structure | None, key_structure: Structure | None
) -> None:
    profile = Profile(decoder, Decoder.JSON, 9, 1, b"keys", (FULL, BARE), (BARE,), 7, structure, key_structure)
    encoded = encode_profile(profile)
    assert decode_profile(encoded) == profile
    assert decoder_of(encoded) is decoder
    out = io.BytesIO()
    fastavro.schemaless_writer(out, profile_schema(), asdict(profile))
    assert encoded == out.getvalue()


@given(st.lists(FIELDS, max_size=80))
def test_sizes_add_up(fields: list[FieldProfile]) -> None:
    whole = Profile(Decoder.JSON, Decoder.JSON, 0, 0, None, tuple(fields), ())
    empty = Profile(Decoder.JSON, Decoder.JSON, 0, 0, None, (), ())
    parts = sum(len(encode_field(field)) for field in fields) + array_overhead(len(fields)) - array_overhead(0)
    assert len(encode_profile(whole)) == len(encode_profile(empty)) + parts


@given(PROFILES, st.data())
def test_damaged_bytes_are_refused_or_read_as_another_profile(profile: Profile, data: st.DataObject) -> None:
    encoded = bytearray(encode_profile(profile))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        again = decode_profile(bytes(encoded))
    except DecodeError:
        return
    assert isinstance(again, Profile)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x00" * 5 + b"\xfe" * 30])
def test_bytes_that_are_no_profile_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_profile(data)


def test_bytes_left_over_are_refused() -> None:
    encoded = encode_profile(Profile(Decoder.JSON, Decoder.JSON, 0, 0, None, (), ()))
    with pytest.raises(DecodeError, match="left over"):
        decode_profile(encoded + b"\x00")


def test_a_profile_beyond_the_bound_is_refused() -> None:
    with pytest.raises(DecodeError, match="beyond the bound"):
        decode_profile(bytes(8 * 1024 * 1024 + 1))

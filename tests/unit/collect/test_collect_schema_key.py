"""If this failed, single objects would stand under another's schema, or bytes that look like one would be believed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from stream_lineage.collect.payloads import joined
from stream_lineage.collect.resolver import MAX_UNPROVEN_IDS, UNKNOWN_IDS_OF_OPAQUE, Question, SchemaResolver
from stream_lineage.collect.schema_key import OPAQUE_CODE, SchemaCodes, SchemaKey
from stream_lineage.errors import UnknownSchema
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire.framing import classify
from stream_lineage.wire.registered_schema import RegisteredSchema, Role

NEVER = 3_600.0


class Schemas:
    """Knows one fingerprint; counts what it is asked."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    def find(self, crc64: str, *, topic: str, role: Role) -> RegisteredSchema:
        self.asked.append(crc64)
        if crc64 not in self.known:
            raise UnknownSchema("no such schema")
        reference = SchemaReference(SchemaType.AVRO, Framing.SINGLE_OBJECT, subject=f"{topic}-{role}", crc64=crc64)
        return RegisteredSchema(reference, '"string"')


@pytest.fixture
def resolver_of() -> Iterator[Callable[[Schemas | None], SchemaResolver]]:
    made: list[SchemaResolver] = []

    def make(schemas: Schemas | None) -> SchemaResolver:
        made.append(
            SchemaResolver(
                None, negative_ttl_seconds=NEVER, retry_seconds=NEVER, wait_seconds=10, single_objects=schemas
            )
        )
        return made[-1]

    yield make
    for resolver in made:
        resolver.close()


def name(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def single(crc64: str, body: bytes = b"body") -> bytes:
    return b"\xc3\x01" + bytes.fromhex(crc64)[::-1] + body


def key(crc64: str) -> SchemaKey:
    return SchemaKey(Framing.SINGLE_OBJECT, crc64)


def codes_in(codes: SchemaCodes, payloads: list[bytes | None]) -> list[int]:
    values = joined(payloads)
    found = classify(np.frombuffer(values.data, np.uint8), values.starts, values.lengths)
    codes.look_inside("t", "value", found, values.data, values.starts, values.lengths)
    codes.settle("t", "value", found, values.lengths)
    return [int(code) for code in found]


def test_each_fingerprint_has_a_code_of_its_own() -> None:
    codes = SchemaCodes()
    chance = random.Random(2)
    names = [name(chance.randrange(5)) for _ in range(100)]
    found = codes_in(codes, [single(each) for each in names])
    assert [codes.key(code) for code in found] == [key(each) for each in names]
    assert {codes.payload_offset(code) for code in found} == {10}


@pytest.mark.parametrize("given", [key(name(3)), key("1234567890123456"), SchemaKey(Framing.CONFLUENT_PREFIX, 7)])
def test_labels_lead_back_to_their_keys(given: SchemaKey) -> None:
    assert SchemaKey.from_label(given.label("key")) == ("key", given)
    assert given.label("value") == f"value:{given.unresolved_reference().wire_name}"
    assert given.unresolved_reference().unresolved


def test_made_up_fingerprints_become_opaque(resolver_of: Callable[[Schemas | None], SchemaResolver]) -> None:
    schemas = Schemas(name(1))
    resolver = resolver_of(schemas)
    codes = SchemaCodes(resolver)
    noise = [single(name(number)) for number in range(100, 1_100)]
    found = codes_in(codes, [single(name(1))] * 3 + [b"{}", None, *noise])
    assert {codes.key(code) for code in found[:3]} == {key(name(1))}
    believed = {code for code in found[5:] if code != OPAQUE_CODE}
    assert 0 < len(believed) < MAX_UNPROVEN_IDS
    resolver.settle([Question("t", "value", codes.key(code)) for code in (found[0], *believed)])
    assert resolver.answer(Question("t", "value", key(name(1)))) is not None
    assert sorted(schemas.asked) == sorted(set(schemas.asked))
    alone = codes_in(codes, [single(name(1)), single(name(5_000))])
    assert codes.key(alone[0]) == key(name(1))


def test_without_a_single_known_one_all_of_it_is_opaque(
    resolver_of: Callable[[Schemas | None], SchemaResolver],
) -> None:
    resolver = resolver_of(Schemas())
    codes = SchemaCodes(resolver)
    found = codes_in(codes, [single(name(number)) for number in range(2 * UNKNOWN_IDS_OF_OPAQUE)])
    resolver.settle([Question("t", "value", codes.key(code)) for code in found if code != OPAQUE_CODE])
    assert resolver.looks_opaque("t", "value")
    assert set(codes_in(codes, [single(name(9_999))])) == {OPAQUE_CODE}


def test_with_nowhere_to_look_they_stay_unresolved(
    resolver_of: Callable[[Schemas | None], SchemaResolver],
) -> None:
    resolver = resolver_of(None)
    codes = SchemaCodes(resolver)
    (code,) = codes_in(codes, [single(name(1))])
    question = Question("t", "value", codes.key(code))
    resolver.settle([question])
    assert (resolver.answer(question), resolver.is_unknown(question)) == (None, False)

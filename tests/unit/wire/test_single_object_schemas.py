"""If this failed, a registry would be asked again and again for what it cannot know, or known schemas missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from stream_lineage.errors import RegistryUnavailable, SettingsError, UnknownSchema
from stream_lineage.model.schema import Framing
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry
from stream_lineage.wire import single_object_schemas
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings
from stream_lineage.wire.single_object_schemas import SingleObjectSchemas


def record(name: str, *fields: str) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": each, "type": "long"} for each in fields]}


def crc64(schema: Any) -> str:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))[::-1].hex()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Lab:
    def __init__(self, fake: FakeRegistry) -> None:
        self.fake, self.clock = fake, Clock()
        given = RegistrySettings(schema_registry_url=fake.url, registry_retry_seconds=1, registry_timeout_seconds=1)
        self.registry = SchemaRegistry(given, clock=self.clock)
        self.schemas = self.with_folder(None)

    def with_folder(self, folder: Path | None) -> SingleObjectSchemas:
        return SingleObjectSchemas(self.registry, folder, negative_ttl_seconds=60, clock=self.clock)

    def register(self, subject: str, schema: Any, **more: Any) -> int:
        return self.fake.register(subject, json.dumps(schema), **more)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with FakeRegistry() as fake:
        made = Lab(fake)
        yield made
        made.registry.close()


@pytest.mark.parametrize("subject", ["t-value", "t-shop.User", "shop.User", "t-key"])
def test_found_under_any_name_that_a_topic_may_have(lab: Lab, subject: str) -> None:
    user = record("shop.User", "id")
    lab.register("another", record("Other", "id"))
    number = lab.register(subject, user)
    found = lab.schemas.find(crc64(user), topic="t", role="value")
    assert (found.reference.framing, found.reference.crc64) == (Framing.SINGLE_OBJECT, crc64(user))
    assert (found.reference.id, found.reference.subject, found.reference.version) == (number, subject, 1)
    assert json.loads(found.text) == user


def test_every_version_is_asked_for_once(lab: Lab) -> None:
    versions = [record("U", *"abc"[:count]) for count in (1, 2, 3)]
    for schema in versions:
        lab.register("t-value", schema)
    for _ in range(3):
        for number, schema in enumerate(versions, 1):
            assert lab.schemas.find(crc64(schema), topic="t", role="value").reference.version == number
    asked = {path: count for path, count in lab.fake.requests.items() if "/versions/" in path}
    assert sorted(asked.values()) == [1, 1, 1]
    assert lab.fake.requests["GET /subjects"] == 1


def test_the_unknown_is_looked_for_once_in_a_while(lab: Lab) -> None:
    lab.register("t-value", record("U", "a"))
    later = record("U", "a", "b")
    for number in range(20):
        with pytest.raises(UnknownSchema):
            lab.schemas.find(f"{number:016x}", topic="t", role="value")
    before = lab.fake.requests.total()
    assert before == 3  # subjects, versions, one version
    lab.register("t-value", later)
    with pytest.raises(UnknownSchema):
        lab.schemas.find(crc64(later), topic="t", role="value")
    lab.clock.now += 61
    assert lab.schemas.find(crc64(later), topic="t", role="value").reference.version == 2
    assert lab.fake.requests.total() == before + 3


def test_subjects_that_topics_share_are_asked_for_once_in_a_while(lab: Lab) -> None:
    for number in range(5):
        lab.register(f"shop.R{number}", record(f"shop.R{number}", "a"))
    for topic in "abcdef":
        with pytest.raises(UnknownSchema):
            lab.schemas.find("0" * 16, topic=topic, role="value")
    assert {count for path, count in lab.fake.requests.items() if "shop." in path} == {1}


def test_the_number_of_subjects_is_bounded(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_object_schemas, "MAX_SUBJECTS", 3)
    for number in range(10):
        lab.register(f"R{number}", record(f"R{number}", "a"))
    with pytest.raises(UnknownSchema):
        lab.schemas.find("0" * 16, topic="t", role="value")
    assert len({path for path in lab.fake.requests if "/versions?" in path or path.endswith("/versions")}) == 3


def test_a_silent_registry_is_no_answer(lab: Lab) -> None:
    user = record("U", "a")
    lab.register("t-value", user)
    lab.fake.behaviour = Behaviour.FAIL
    with pytest.raises(RegistryUnavailable):
        lab.schemas.find(crc64(user), topic="t", role="value")
    lab.fake.behaviour = Behaviour.ANSWER
    lab.clock.now += 2
    assert lab.schemas.find(crc64(user), topic="t", role="value").reference.version == 1


def test_a_directory_helps_where_the_registry_does_not(lab: Lab, tmp_path: Path) -> None:
    money = record("shop.Money", "cents")
    bill = {"type": "record", "name": "shop.Bill", "fields": [{"name": "total", "type": "shop.Money"}]}
    whole = {**bill, "fields": [{"name": "total", "type": money}]}
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "money.avsc").write_text(json.dumps(money))
    (tmp_path / "bill.avsc").write_text(json.dumps(bill))
    (tmp_path / "broken.avsc").write_text("{")
    (tmp_path / "notes.txt").write_text("no schema")
    schemas = lab.with_folder(tmp_path)
    for schema in (money, whole):
        found = schemas.find(crc64(schema), topic="t", role="value")
        assert (found.reference.crc64, found.reference.subject) == (crc64(schema), None)
        assert len(found.reference.fingerprint or "") == 64
    late = record("Late", "a")
    with pytest.raises(UnknownSchema):
        schemas.find(crc64(late), topic="t", role="value")
    (tmp_path / "late.avsc").write_text(json.dumps(late))
    lab.clock.now += 61
    lab.fake.behaviour = Behaviour.FAIL
    assert schemas.find(crc64(late), topic="t", role="value").reference.crc64 == crc64(late)
    lab.register("t-value", money)
    lab.fake.behaviour = Behaviour.ANSWER
    lab.clock.now += 61
    assert lab.with_folder(tmp_path).find(crc64(money), topic="t", role="value").reference.subject == "t-value"


def test_a_directory_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        SingleObjectSchemas(None, tmp_path / "nowhere", negative_ttl_seconds=60)
    assert not SingleObjectSchemas(None, None, negative_ttl_seconds=60).has_sources

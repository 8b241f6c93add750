"""If this failed, a slow, broken or lying schema registry would stop collection, or records would get wrong schemas."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from stream_lineage.errors import RegistryUnavailable, SchemaError, SettingsError, UnknownSchema
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry
from stream_lineage.wire import registry as registry_module
from stream_lineage.wire.registered_schema import SubjectVersion, fingerprint, preferred, record_name
from stream_lineage.wire.registry import MAX_REFERENCE_DEPTH, MAX_REFERENCES, SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

CLICK = json.dumps({"type": "record", "name": "Click", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]})
ORDER = json.dumps({"type": "record", "name": "Order", "fields": [{"name": "n", "type": "int"}]})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(fake: FakeRegistry, clock: Clock) -> Iterator[SchemaRegistry]:
    found = SchemaRegistry(RegistrySettings(schema_registry_url=fake.url, registry_timeout_seconds=5), clock=clock)
    yield found
    found.close()


@pytest.fixture
def hasty(fake: FakeRegistry, clock: Clock) -> Iterator[SchemaRegistry]:
    settings = RegistrySettings(
        schema_registry_url=fake.url, registry_timeout_seconds=1.0, registry_negative_ttl_seconds=30
    )
    found = SchemaRegistry(settings, clock=clock)
    yield found
    found.close()


def test_an_id_becomes_a_whole_reference(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    fake.register("clicks-value", ORDER)
    id_ = fake.register("clicks-value", CLICK)
    schema = registry.by_id(id_, topic="clicks", role="value")
    reference = schema.reference
    assert (reference.id, reference.subject, reference.version) == (id_, "clicks-value", 2)
    assert (reference.type, reference.framing, reference.guid) == (SchemaType.AVRO, Framing.CONFLUENT_PREFIX, None)
    assert schema.text == CLICK
    assert not reference.unresolved
    assert reference.fingerprint is not None
    assert len(bytes.fromhex(reference.fingerprint)) == 32


def test_known_schemas_are_asked_for_once(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = fake.register("clicks-value", CLICK)
    assert registry.cached(id_, topic="clicks", role="value") is None
    first = registry.by_id(id_, topic="clicks", role="value")
    asked = fake.requests.copy()
    assert registry.by_id(id_, topic="clicks", role="value") is first
    assert registry.cached(id_, topic="clicks", role="value") is first
    assert registry.cached(id_, topic="clicks", role="key") is None
    assert fake.requests == asked


def test_each_topic_has_its_own_name_for_a_shared_schema(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = fake.register("a-value", CLICK)
    assert registry.by_id(id_, topic="a", role="value").reference.subject == "a-value"
    assert fake.register("b-key", CLICK) == id_
    assert registry.by_id(id_, topic="b", role="key").reference.subject == "b-key"
    assert fake.requests[f"GET /schemas/ids/{id_}"] == 1


def test_an_unknown_id_costs_one_request_until_its_time_is_over(
    fake: FakeRegistry, registry: SchemaRegistry, clock: Clock
) -> None:
    def ask(n: int) -> None:
        with pytest.raises(UnknownSchema):
            registry.by_id(77, topic=f"t{n % 5}", role="value")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(400)))
    assert fake.requests.total() == 1
    clock.now += 59.9
    ask(0)
    assert fake.requests.total() == 1
    clock.now += 0.2
    ask(0)
    assert fake.requests.total() == 2
    for _ in range(77):  # meanwhile it is registered
        fake.register("t0-value", json.dumps({"type": "fixed", "size": 1, "name": f"F{_}"}))
    clock.now += 61
    assert registry.by_id(77, topic="t0", role="value").reference.version == 77


def test_concurrent_callers_share_one_request(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = fake.register("clicks-value", CLICK)
    barrier = threading.Barrier(16)

    def ask(_: int) -> Any:
        barrier.wait(10)
        return registry.by_id(id_, topic="clicks", role="value")

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert len({id(schema) for schema in found}) == 1
    assert fake.requests[f"GET /schemas/ids/{id_}"] == 1
    assert fake.requests.total() == 2


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour.HANG, "did not answer within"),
        (Behaviour.DRIP, "did not answer within"),
        (Behaviour.FAIL, "answered 500: Error in the backend"),
        (Behaviour.BUSY, "answered 429"),
        (Behaviour.HTML, "text/html that is not JSON"),
        (Behaviour.TRUNCATE, "broke off its answer"),
        (Behaviour.HUGE, "longer than 10000000 bytes|did not answer within"),
        (Behaviour.COMPRESSED, "compressed"),
        (Behaviour.TRICKLE, "did not answer within"),
        (Behaviour.REDIRECT, "answered 302"),
    ],
)
def test_what_is_no_answer_ends_in_time_and_is_left_alone(
    behaviour: Behaviour, said: str, fake: FakeRegistry, hasty: SchemaRegistry, clock: Clock
) -> None:
    id_ = fake.register("clicks-value", CLICK)
    fake.behaviour = behaviour
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(RegistryUnavailable, match=said):
            hasty.by_id(id_, topic="clicks", role="value")
    assert time.monotonic() - started < 5  # one timeout, not a hundred
    assert fake.requests.total() == 1
    fake.behaviour = Behaviour.ANSWER
    with pytest.raises(RegistryUnavailable):
        hasty.by_id(id_, topic="clicks", role="value")
    clock.now += 5.1
    deadline = time.monotonic() + 10
    while True:  # a second may be short on a busy machine
        try:
            assert hasty.by_id(id_, topic="clicks", role="value").reference.subject == "clicks-value"
            break
        except RegistryUnavailable:
            assert time.monotonic() < deadline
            clock.now += 5.1


def test_a_refused_connection_is_unavailable(clock: Clock) -> None:
    with FakeRegistry() as gone:
        url = gone.url
    registry = SchemaRegistry(RegistrySettings(schema_registry_url=url), clock=clock)
    with pytest.raises(RegistryUnavailable, match="cannot be reached"):
        registry.by_id(1, topic="t", role="value")
    registry.close()


def test_only_one_caller_tries_a_registry_that_was_down(
    fake: FakeRegistry, hasty: SchemaRegistry, clock: Clock
) -> None:
    fake.behaviour = Behaviour.FAIL
    with pytest.raises(RegistryUnavailable):
        hasty.subjects()
    clock.now += 5.1
    barrier = threading.Barrier(8)

    def ask(_: int) -> None:
        barrier.wait(10)
        with pytest.raises(RegistryUnavailable):
            hasty.subjects()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert fake.requests.total() == 2


def test_the_next_endpoint_is_asked(fake: FakeRegistry, clock: Clock) -> None:
    id_ = fake.register("clicks-value", CLICK)
    with FakeRegistry(behaviour=Behaviour.FAIL) as broken:
        settings = RegistrySettings(schema_registry_url=f"{broken.url}, {fake.url}/")
        registry = SchemaRegistry(settings, clock=clock)
        assert registry.by_id(id_, topic="clicks", role="value").reference.id == id_
        assert registry.subjects() == ("clicks-value",)
        assert broken.requests.total() == 1
        registry.close()


def test_what_is_known_is_known_while_the_registry_is_away(fake: FakeRegistry, hasty: SchemaRegistry) -> None:
    id_ = fake.register("clicks-value", CLICK)
    known = hasty.by_id(id_, topic="clicks", role="value")
    fake.behaviour = Behaviour.HANG
    assert hasty.by_id(id_, topic="clicks", role="value") is known


def test_no_registry_at_all() -> None:
    with pytest.raises(RegistryUnavailable, match="no schema registry is configured"):
        SchemaRegistry(RegistrySettings()).by_id(1, topic="t", role="value")


@pytest.mark.parametrize("way", ["url", "basic", "bearer"])
def test_credentials_are_sent_and_not_shown(way: str, fake: FakeRegistry, clock: Clock) -> None:
    fake.credentials = "user:p@ss:w" if way != "bearer" else "tokentoken"
    host = fake.url.removeprefix("http://")
    settings = {
        "url": RegistrySettings(schema_registry_url=f"http://user:p%40ss:w@{host}"),
        "basic": RegistrySettings(schema_registry_url=fake.url, schema_registry_basic_auth=SecretStr("user:p@ss:w")),
        "bearer": RegistrySettings(schema_registry_url=fake.url, schema_registry_bearer_token=SecretStr("tokentoken")),
    }[way]
    registry = SchemaRegistry(settings, clock=clock)
    assert registry.subjects() == ()
    fake.credentials = "somebody:else"
    with pytest.raises(RegistryUnavailable, match="credentials") as caught:
        registry.subjects()
    said = f"{caught.value!r} {caught.value.hint} {settings!r} {settings.urls}"
    assert not any(secret in said for secret in ("p@ss", "p%40ss", "tokentoken"))
    registry.close()


def test_an_older_registry_is_asked_for_the_topics_own_subject(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    fake.lacks_names = True
    fake.register("clicks-value", ORDER)
    id_ = fake.register("clicks-value", CLICK)
    assert registry.by_id(id_, topic="clicks", role="value").reference.version == 2
    nameless = registry.by_id(id_, topic="other", role="value").reference
    assert (nameless.subject, nameless.version) == (None, None)
    assert nameless.id == id_


def test_guids(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = fake.register("clicks-key", CLICK)
    guid = fake.guid_of(id_)
    reference = registry.by_guid(guid, topic="clicks", role="key").reference
    assert (reference.framing, reference.guid, reference.id) == (Framing.GUID_HEADER, guid, id_)
    assert (reference.subject, reference.version) == ("clicks-key", 1)
    assert reference.fingerprint == registry.by_id(id_, topic="clicks", role="key").reference.fingerprint


def test_a_registry_too_old_for_guids(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    fake.lacks_guids = True
    guid = fake.guid_of(fake.register("clicks-key", CLICK))
    for _ in range(5):
        with pytest.raises(UnknownSchema):
            registry.by_guid(guid, topic="clicks", role="key")
    assert fake.requests.total() == 1


def test_a_url_that_is_no_registry(fake: FakeRegistry, clock: Clock) -> None:
    fake.register("clicks-value", CLICK)
    registry = SchemaRegistry(RegistrySettings(schema_registry_url=fake.url + "/wrong"), clock=clock)
    for _ in range(3):
        with pytest.raises(RegistryUnavailable, match="answered 404"):
            registry.by_id(1, topic="clicks", role="value")
    assert fake.requests.total() == 1
    registry.close()


def test_references_are_followed_and_ordered(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    money = '{"type": "record", "name": "shop.Money", "fields": [{"name": "cents", "type": "long"}]}'
    item = '{"type": "record", "name": "shop.Item", "fields": [{"name": "price", "type": "shop.Money"}]}'
    order = (
        '{"type": "record", "name": "shop.Order", "fields": '
        '[{"name": "item", "type": "shop.Item"}, {"name": "tip", "type": "shop.Money"}]}'
    )
    fake.register("money", money)
    to_money = {"name": "shop.Money", "subject": "money", "version": 1}
    fake.register("item", item, references=(to_money,))
    to_item = {"name": "shop.Item", "subject": "item", "version": 1}
    id_ = fake.register("orders-value", order, references=(to_item, to_money))
    schema = registry.by_id(id_, topic="orders", role="value")
    assert list(schema.references.items()) == [("shop.Money", money), ("shop.Item", item)]
    inline = order.replace('"shop.Item"}', item.replace('"shop.Money"', money) + "}")
    assert schema.reference.fingerprint == fingerprint(SchemaType.AVRO, inline, {})


def test_cyclic_references(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    to_a, to_b = ({"name": name, "subject": name, "version": 1} for name in "ab")
    fake.register("a", CLICK, references=(to_b,))
    fake.register("b", ORDER, references=(to_a,))
    for _ in range(3):
        with pytest.raises(SchemaError, match="cycle"):
            registry.by_id(1, topic="t", role="value")
    assert fake.requests["GET /schemas/ids/1"] == 1


def test_too_deep_and_too_many_references(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    def reference(name: str) -> dict[str, Any]:
        return {"name": name, "subject": name, "version": 1}

    for level in range(MAX_REFERENCE_DEPTH + 3):
        text = json.dumps({"type": "fixed", "size": 1, "name": f"F{level}"})
        deepest = fake.register(f"s{level}", text, references=(reference(f"s{level - 1}"),) if level else ())
    with pytest.raises(SchemaError, match="levels"):
        registry.by_id(deepest, topic="t", role="value")
    fake.register("leaf", '"int"')
    many = tuple({"name": f"n{n}", "subject": "leaf", "version": 1} for n in range(MAX_REFERENCES + 1))
    with pytest.raises(SchemaError, match="references"):
        registry.by_id(fake.register("wide", '"long"', references=many), topic="t", role="value")


def test_what_is_remembered_is_bounded(fake: FakeRegistry, registry: SchemaRegistry, monkeypatch: Any) -> None:
    ids = [fake.register("big", json.dumps({"type": "string", "doc": f"{n}" * 50_000})) for n in range(9)]
    monkeypatch.setattr(registry_module, "MAX_HELD_CHARACTERS", 200_000)
    asked = 0
    found = [registry.by_id(id_, topic="t", role="value") for id_ in ids[:3]]
    for _ in range(2):
        for id_ in ids[3:]:
            with pytest.raises(SchemaError, match="longer than 200000"):
                registry.by_id(id_, topic="t", role="value")
        asked = asked or fake.requests.total()
    assert fake.requests.total() == asked
    assert registry.by_id(ids[0], topic="t", role="value") is found[0]


def test_a_thousand_references_and_one_to_itself(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    every = tuple({"name": f"r{n}", "subject": f"s{n}", "version": 1} for n in range(1_000))
    for n in range(1_000):
        fake.register(f"s{n}", json.dumps({"type": "string", "doc": f"{n}"}))
    many = fake.register("many", CLICK, references=every)
    itself = fake.register("itself", CLICK, references=({"name": "x", "subject": "itself", "version": 1},))
    for _ in range(3):
        with pytest.raises(SchemaError, match="more than 200 references"):
            registry.by_id(many, topic="many", role="value")
        with pytest.raises(SchemaError, match="form a cycle"):
            registry.by_id(itself, topic="itself", role="value")
    assert fake.requests.total() < 210


def test_a_reference_that_is_gone_makes_the_schema_unknown(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = fake.register("s", CLICK, references=({"name": "x", "subject": "gone", "version": 3},))
    with pytest.raises(UnknownSchema, match="subject gone version 3"):
        registry.by_id(id_, topic="t", role="value")


def test_register_and_read_back(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    id_ = registry.register("a/b-value", CLICK)
    assert registry.register("a/b-value", CLICK) == id_
    text = '{"type": "object"}'
    other = registry.register("docs-value", text, SchemaType.JSON)
    assert registry.subjects() == ("a/b-value", "docs-value")
    assert registry.latest("docs-value").type is SchemaType.JSON
    assert registry.latest("docs-value").reference.id == other
    assert registry.versions_of(id_) == (SubjectVersion("a/b-value", 1),)
    with pytest.raises(UnknownSchema, match="subject nothing"):
        registry.latest("nothing")


@pytest.mark.parametrize(
    "document", [[], 5, None, {}, {"schema": 7}, {"schema": "{}", "references": [{"name": 1}]}, {"schemaType": "XML"}]
)
def test_an_answer_of_the_wrong_shape(
    document: Any, fake: FakeRegistry, registry: SchemaRegistry, monkeypatch: Any
) -> None:
    monkeypatch.setattr(FakeRegistry, "answer", lambda *_: (200, document))
    for _ in range(3):
        with pytest.raises((RegistryUnavailable, SchemaError)):
            registry.by_id(1, topic="t", role="value")
    assert fake.requests.total() == 1


def test_a_closed_client_says_so(fake: FakeRegistry, registry: SchemaRegistry) -> None:
    known = registry.by_id(fake.register("t-value", CLICK), topic="t", role="value")
    registry.close()
    with pytest.raises(RegistryUnavailable, match="closed"):
        registry.subjects()
    assert registry.by_id(1, topic="t", role="value") is known


VERSIONS = [
    SubjectVersion("zz", 1),
    SubjectVersion("t-value", 1),
    SubjectVersion("t-value", 3),
    SubjectVersion("t-shop.Click", 4),
    SubjectVersion("shop.Click", 9),
    SubjectVersion("aa", 2),
    SubjectVersion("aa", 7),
]


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ([], SubjectVersion("t-value", 3)),
        (["t-value"], SubjectVersion("t-shop.Click", 4)),
        (["t-value", "t-shop.Click"], SubjectVersion("shop.Click", 9)),
        (["t-value", "t-shop.Click", "shop.Click"], SubjectVersion("aa", 7)),
        (["t-value", "t-shop.Click", "shop.Click", "aa"], SubjectVersion("zz", 1)),
        (["t-value", "t-shop.Click", "shop.Click", "aa", "zz"], None),
    ],
)
def test_which_name_is_preferred(without: list[str], expected: SubjectVersion | None) -> None:
    left = [version for version in VERSIONS if version.subject not in without]
    assert preferred(left, "t", "value", "shop.Click") == expected


def test_record_names() -> None:
    assert record_name(SchemaType.AVRO, CLICK) == "shop.Click"
    assert record_name(SchemaType.AVRO, '{"type": "record", "name": "a.b.C", "namespace": "x"}') == "a.b.C"
    assert record_name(SchemaType.AVRO, '"string"') is None
    assert record_name(SchemaType.AVRO, "{") is None
    assert record_name(SchemaType.JSON, '{"title": "Click"}') == "Click"
    assert record_name(SchemaType.PROTOBUF, "package p.q; enum E { A = 0; } message M { message N {} }") == "p.q.M"
    assert record_name(SchemaType.PROTOBUF, "no schema") is None
    assert record_name(SchemaType.NONE, '{"name": "a"}') is None


def test_a_schema_that_is_no_json_has_a_fingerprint_of_its_text() -> None:
    assert fingerprint(SchemaType.JSON, '{"a": 1, "b": 2}', {}) == fingerprint(SchemaType.JSON, '{"b":2,"a":1}', {})
    for text in ("{", "[" * 100_000):
        assert fingerprint(SchemaType.JSON, text, {}) != fingerprint(SchemaType.JSON, text + " ", {})


def test_fingerprints_tell_schemas_and_not_spelling() -> None:
    spelled = json.dumps(json.loads(CLICK), indent=2)
    assert fingerprint(SchemaType.AVRO, CLICK, {}) == fingerprint(SchemaType.AVRO, spelled, {})
    assert fingerprint(SchemaType.AVRO, CLICK, {}) != fingerprint(SchemaType.AVRO, ORDER, {})
    assert fingerprint(SchemaType.JSON, '{"a": 1, "b": 2}', {}) == fingerprint(SchemaType.JSON, '{"b":2,"a":1}', {})
    assert fingerprint(SchemaType.JSON, '{"a": 1}', {"r": "{}"}) != fingerprint(SchemaType.JSON, '{"a": 1}', {})
    assert fingerprint(SchemaType.PROTOBUF, "a;  \r\nb;\n", {}) == fingerprint(SchemaType.PROTOBUF, "a;\nb;", {})
    unparsable = '{"type": "record", "name": "9"}'
    assert fingerprint(SchemaType.AVRO, unparsable, {}) == fingerprint(SchemaType.JSON, unparsable, {})


@pytest.mark.parametrize("status", [409, 422])
def test_a_schema_that_is_refused(status: int, fake: FakeRegistry, registry: SchemaRegistry, monkeypatch: Any) -> None:
    answer = (status, {"error_code": status * 100 + 1, "message": "not compatible"})
    monkeypatch.setattr(FakeRegistry, "answer", lambda *_: answer)
    with pytest.raises(SchemaError, match="refuses the schema for s: not compatible"):
        registry.register("s", CLICK)


@pytest.mark.parametrize(
    "answer",
    [(403, {"error_code": 40301, "message": "denied"}), (400, {}), (200, {"unexpected": 1}), (200, [1]), (200, [None])],
)
def test_unexpected_answers_to_other_questions(
    answer: tuple[int, Any], fake: FakeRegistry, registry: SchemaRegistry, monkeypatch: Any
) -> None:
    monkeypatch.setattr(FakeRegistry, "answer", lambda *_: answer)
    for ask in (registry.subjects, lambda: registry.register("s", CLICK), lambda: registry.latest("s")):
        with pytest.raises(RegistryUnavailable):
            ask()


def test_an_id_whose_names_may_not_be_read(fake: FakeRegistry, registry: SchemaRegistry, monkeypatch: Any) -> None:
    id_ = fake.register("clicks-value", CLICK)
    answer = FakeRegistry.answer

    def deny_names(self: FakeRegistry, method: str, path: str, body: Any) -> tuple[int, Any]:
        return (403, {"error_code": 40301}) if path.endswith("/versions") else answer(self, method, path, body)

    monkeypatch.setattr(FakeRegistry, "answer", deny_names)
    assert registry.by_id(id_, topic="clicks", role="value").reference.subject == "clicks-value"
    assert registry.by_id(id_, topic="other", role="value").reference.subject is None


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate", encoding="utf-8")
    url = "https://registry.invalid:1"
    for settings in (
        RegistrySettings(schema_registry_url=url, schema_registry_ca_location=tmp_path / "none.pem"),
        RegistrySettings(schema_registry_url=url, schema_registry_ca_location=text),
        RegistrySettings(schema_registry_url=url, schema_registry_certificate_location=text),
    ):
        with pytest.raises(SettingsError, match=r"\.pem cannot be used"):
            SchemaRegistry(settings)


def test_a_registry_that_does_not_speak_tls(fake: FakeRegistry) -> None:
    registry = SchemaRegistry(RegistrySettings(schema_registry_url=fake.url.replace("http:", "https:")))
    with pytest.raises(RegistryUnavailable, match="does not speak TLS there") as caught:
        registry.subjects()
    assert "schema_registry_url" in str(caught.value.hint)
    registry.close()

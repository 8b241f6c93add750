"""If this failed, a sick schema registry would hold collection up, or leave records without their schema for good."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from collecting import CLICK, CLICK_2, Acknowledged, Lab, Traffic, avro, click, eventually, observed_offsets
from evidence import Record, check_profile, counted, dead_letters, items_of, observations, profiles, send

from stream_lineage.testing.fake_registry import Behaviour, FakeRegistry

pytestmark = pytest.mark.kafka

QUICK = ["--registry-timeout-seconds", "1", "--registry-retry-seconds", "1"]
COUNT = 1_000


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


@pytest.fixture
def make_lab(cluster: Any, tmp_path: Path) -> Iterator[Callable[[str], Lab]]:
    made: list[Lab] = []

    def make(url: str) -> Lab:
        made.append(Lab(cluster.bootstrap_servers, url, tmp_path))
        del made[-1].environment["STREAM_LINEAGE_REGISTRY_PATIENCE_SECONDS"]
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@contextmanager
def ill(registry: FakeRegistry, behaviour: Behaviour | None) -> Iterator[None]:
    """The registry behaves like this for a while; null: it is gone."""
    if behaviour is None:
        registry.__exit__(None, None, None)
        try:
            yield
        finally:
            registry.__enter__()
    else:
        registry.behaviour = behaviour
        try:
            yield
        finally:
            registry.behaviour = Behaviour.ANSWER


def clicks(schema_id: int, numbers: range, schema: dict[str, Any] = CLICK) -> list[Record]:
    names = [each["name"] for each in schema["fields"]]
    return [
        Record(avro(schema, {name: click(n)[name] for name in names}, schema_id), schema_id=schema_id) for n in numbers
    ]


def _committed(lab: Lab, topic: str) -> int | None:
    """Null while a transaction is under way."""
    return lab.committed().get((topic, 0))


def _is_beyond(lab: Lab, topic: str, offset: int) -> bool:
    return (_committed(lab, topic) or 0) > offset


def schema_requests(registry: FakeRegistry) -> Counter[str]:
    return Counter({path: n for path, n in registry.requests.items() if path.startswith("GET /schemas/")})


@pytest.mark.parametrize("behaviour", [None, Behaviour.HANG], ids=["gone", "hanging"])
def test_away_at_the_start_and_back_after_a_restart(
    registry: FakeRegistry, make_lab: Callable[[str], Lab], behaviour: Behaviour | None
) -> None:
    lab, known = make_lab(registry.url), Acknowledged()
    topic = lab.topic("clicks", partitions=2)
    schema_id = registry.register(f"{topic}-value", json.dumps(CLICK))
    records = clicks(schema_id, range(COUNT))
    send(lab, topic, records, known)
    with ill(registry, behaviour):
        lab.collect_until_end(*QUICK)
        rows = lab.spans(topic)
    assert [(row["count"], row["schema"]["id"], row["schema"]["version"]) for row in rows] == [(COUNT, schema_id, None)]
    found = observations(lab, topic)
    assert [observation["profile"] for observation in found] == [None] * len(found)
    assert all(observation["value_schema"]["unresolved"] for observation in found)
    assert dead_letters(lab) == []

    lab.collect_until_end(*QUICK)  # nothing new has come: the answer alone is written
    [row] = lab.spans(topic)
    expected = {"type": "AVRO", "id": schema_id, "subject": f"{topic}-value", "version": 1}
    assert {name: row["schema"][name] for name in expected} == expected
    assert row["schema"]["fingerprint"] is not None
    assert [observation["kind"] for observation in observations(lab, topic)].count("RESOLUTION") == 1
    record = lab.record(topic, 0, 17)
    assert record.json["schema"]["subject"] == f"{topic}-value"
    lab.check(known, topic)


def test_ill_in_the_middle_of_traffic_and_idle_when_it_is_back(
    registry: FakeRegistry, make_lab: Callable[[str], Lab]
) -> None:
    lab, known = make_lab(registry.url), Acknowledged()
    topic = lab.topic("clicks")
    first = registry.register(f"{topic}-value", json.dumps(CLICK))
    names = [each["name"] for each in CLICK["fields"]]
    payloads = [(avro(CLICK, {name: click(n)[name] for name in names}, first), first) for n in range(100)]
    collector = lab.collect(*QUICK)
    collector.owns()
    with Traffic(lab, [topic], payloads, known, rate=2_000):
        eventually(lambda: lab.committed().get((topic, 0), 0) > 1_000, 30, "collection is under way")
        second = registry.register(f"{topic}-value", json.dumps(CLICK_2))
        for behaviour in (Behaviour.HANG, Behaviour.FAIL, Behaviour.HTML):
            with ill(registry, behaviour):
                send(lab, topic, clicks(second, range(50), CLICK_2), known)
                aim = eventually(partial(_committed, lab, topic), 30, "offsets are committed") + 4_000
                eventually(partial(_is_beyond, lab, topic, aim), 30, "collection goes on")
    with ill(registry, None):
        third = registry.register(f"{topic}-value", json.dumps({**CLICK, "doc": "third"}))
        send(lab, topic, clicks(third, range(50)), known)
        lab.caught_up(known)
        unresolved = [row["schema"]["id"] for row in lab.spans(topic) if row["schema"]["version"] is None]
        assert third in unresolved
    # From here on nothing is sent.
    eventually(lambda: all(row["schema"]["version"] for row in lab.spans(topic)), 40, "spans are completed")
    versions = {row["schema"]["id"]: row["schema"]["version"] for row in lab.spans(topic)}
    assert versions == {first: 1, second: 2, third: 3}
    lab.check(known, topic)
    assert collector.terminate() == 0
    assert dead_letters(lab) == []
    for observation in observations(lab, topic):
        assert (observation["profile"] is None) == (
            observation["value_schema"]["unresolved"] or observation["kind"] == "RESOLUTION"
        )


def test_an_unknown_id_is_asked_for_once_in_its_time(registry: FakeRegistry, make_lab: Callable[[str], Lab]) -> None:
    lab, known = make_lab(registry.url), Acknowledged()
    topic = lab.topic("clicks", partitions=2)
    unknown = 40
    send(lab, topic, clicks(unknown, range(2_000)), known)
    lab.collect_until_end("--flush-interval-seconds", "0.1", "--dead-letter-limit", "10")
    assert registry.requests[f"GET /schemas/ids/{unknown}"] == 1
    assert sum(letter["count"] for letter in dead_letters(lab, topic)) == 2_000
    assert {letter["kind"] for letter in dead_letters(lab, topic)} == {"unknown-schema"}

    ttl = 2.0
    began = time.monotonic()
    collector = lab.collect("--registry-negative-ttl-seconds", str(ttl), "--flush-interval-seconds", "0.1", *QUICK)
    collector.owns()
    payloads = [(record.value or b"", unknown) for record in clicks(unknown, range(100))]
    with Traffic(lab, [topic], payloads, known, rate=2_000):
        eventually(lambda: registry.requests[f"GET /schemas/ids/{unknown}"] >= 3, 30, "it is asked for again")
        asked = registry.requests[f"GET /schemas/ids/{unknown}"] - 1
        assert asked <= (time.monotonic() - began) / ttl + 1
        for number in range(unknown):
            if registry.register("others", json.dumps({**CLICK, "doc": f"{number}"})) == unknown - 1:
                break
        assert registry.register(f"{topic}-value", json.dumps(CLICK)) == unknown
        eventually(lambda: any(o["profile"] for o in observations(lab, topic)), 30, "it is found at last")
    lab.caught_up(known)
    eventually(lambda: all(row["schema"]["version"] for row in lab.spans(topic)), 30, "spans are completed")
    assert collector.terminate() == 0
    lab.check(known, topic)


def test_ten_thousand_made_up_ids(registry: FakeRegistry, make_lab: Callable[[str], Lab]) -> None:
    """Bytes that look framed, each under an id of its own: alone in a topic, and between good records of another."""
    lab, known = make_lab(registry.url), Acknowledged()
    chance = random.Random(5)
    noise = [
        Record(b"\x00" + number.to_bytes(4, "big") + chance.randbytes(9), label=number)
        for number in chance.sample(range(1_000_000, 2**31 - 1), 10_000)
    ]
    loud, mixed = lab.topic("loud"), lab.topic("mixed")
    schema_id = registry.register(f"{mixed}-value", json.dumps(CLICK))
    send(lab, loud, noise, known)
    good = clicks(schema_id, range(2_000))
    both = [record for pair in zip(good, noise[:2_000], strict=True) for record in pair]
    labels = send(lab, mixed, both)[0]
    lab.collect_until_end("--dead-letter-limit", "100")

    assert sum(schema_requests(registry).values()) < 400
    for topic, total in ((loud, 10_000), (mixed, 4_000)):
        rows = lab.spans(topic)
        assert {offset for offset, _ in observed_offsets(rows)[0]} == set(range(total))
        assert sum(row["count"] for row in rows) == total
    found = observations(lab, loud)
    assert len(found) < 300
    assert sum(observation["records"] for observation in found) == 10_000
    rows = lab.spans(loud)
    assert len(rows) < 300
    assert rows[-1]["schema"]["id"] is None
    assert rows[-1]["count"] > 1_000

    found = observations(lab, mixed)
    assert len(found) < 300
    own = [observation for observation in found if observation["value_schema"]["id"] == schema_id]
    names = [each["name"] for each in CLICK["fields"]]
    check_profile(own, counted(CLICK, [{name: click(n)[name] for name in names} for n in range(2_000)]))
    letters = dead_letters(lab, mixed)
    assert sum(letter["count"] for letter in letters) == sum(label is not None for label in labels) == 2_000
    assert {letter["kind"] for letter in letters} == {"unknown-schema", "wrong-magic"}
    answer = lab.verify()
    assert answer.code == 0, answer.out
    assert answer.json["records"] == 14_000

    # What is real is found all the same.
    later = registry.register(f"{mixed}-value", json.dumps(CLICK_2))
    send(lab, mixed, clicks(later, range(100), CLICK_2))
    lab.collect_until_end("--dead-letter-limit", "100")
    [row] = [row for row in lab.spans(mixed) if row["schema"]["id"] == later]
    assert (row["count"], row["schema"]["version"]) == (100, 2)


def test_all_collectors_write_the_same_hashes(registry: FakeRegistry, make_lab: Callable[[str], Lab]) -> None:
    """Without a key of the user's: two machines, that is two state directories."""
    lab = make_lab(registry.url)
    topic = lab.topic("json")
    seen = []
    for number in range(2):
        records = [Record(orjson.dumps({"name": f"value-{n % 9}"}), b"key-%d" % n) for n in range(90)]
        send(lab, topic, records)
        lab.collect_until_end("--state-dir", str(lab.directory / f"state-{number}"))
        found = observations(lab, topic)
        seen.append(items_of(found[-1:], "name"))
    assert seen[0].keys() == seen[1].keys()
    assert len(seen[0]) == 9
    assert all(item.startswith("#") for item in seen[0])
    assert len(profiles(observations(lab, topic))) >= 2
    hashes = [lab.record(topic, 0, offset).json["key_hash"] for offset in (3, 93, 4)]
    assert hashes[0] == hashes[1] != hashes[2]

"""If this failed, the process that reads hostile bytes would take the collector with it, or mix up what it is given."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_lineage.collect.decode_process import BatchRequest, DecodeProcess, DecodeSchema, WorkerOptions
from stream_lineage.collect.payloads import Payloads, joined
from stream_lineage.errors import WorkerLost
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.profile.encoding import decode_profile

OPAQUE = DecodeSchema(SchemaType.NONE, Framing.OPAQUE, None)
JSON = DecodeSchema(SchemaType.JSON, Framing.PLAIN_JSON, None)
LONG = DecodeSchema(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, '"long"')
TEXT = DecodeSchema(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, '"string"')


@pytest.fixture
def process_of() -> Iterator[Callable[..., DecodeProcess]]:
    made: list[DecodeProcess] = []

    def make(memory_mb: int = 128, deadline_seconds: float = 20.0) -> DecodeProcess:
        options = WorkerOptions(b"k" * 32, 500, (), memory_mb, deadline_seconds)
        made.append(DecodeProcess(options))
        made[-1].start()
        return made[-1]

    yield make
    for process in made:
        process.close()


def documents(*values: Any) -> Payloads:
    return joined([value if isinstance(value, bytes) else orjson.dumps(value) for value in values])


def no_keys(count: int) -> Payloads:
    return joined([None] * count)


def give(process: DecodeProcess, group: int, topic: str, values: Payloads, schema: DecodeSchema = JSON) -> list[Any]:
    return process.batch(BatchRequest(group, topic, values, no_keys(len(values)), schema, OPAQUE, (0, 0))).bad


def probe(process: DecodeProcess, group: int, values: Payloads, seconds: float = 5.0) -> str | None:
    batch = BatchRequest(group, "t", values, no_keys(len(values)), JSON, OPAQUE, (0, 0))
    return process.probe(batch, seconds=seconds)


def finish(process: DecodeProcess, group: int, left_out: int = 0) -> Profile:
    encoded = process.finish(group, 100_000, left_out)
    assert encoded is not None
    return decode_profile(encoded)


def paths(profile: Profile) -> set[str]:
    return {field.path for field in profile.fields}


def test_the_members_of_one_topic_say_nothing_of_another(process_of: Callable[..., DecodeProcess]) -> None:
    """An object that is used as a map in one topic, and more paths than are kept, leave other topics as they are."""
    process = process_of()
    give(process, 1, "maps", documents(*({f"name-{n}-{m}": n for n in range(300)} for m in range(3))))
    give(process, 2, "wide", documents(*({f"a{n % 5}": {f"b{m}-{n % 5}": m for m in range(150)}} for n in range(5))))
    give(process, 3, "plain", documents({"id": 1, "name": "x"}))
    process.batch(BatchRequest(4, "maps", no_keys(1), documents({"id": 1}), OPAQUE, JSON, (0, 0)))
    assert paths(finish(process, 1)) == {"${}"}
    assert finish(process, 2).truncated_fields > 0
    assert paths(finish(process, 3)) == {"id", "name"}
    assert {field.path for field in finish(process, 4).key_fields} == {"id"}


def test_a_probe_leaves_the_worker_as_it_was(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of()
    give(process, 1, "t", documents({"a": 1}))
    pid = process.pid
    assert probe(process, 1, documents({"a": 2}, {"b": 2}, b"{broken")) is None
    give(process, 1, "t", documents({"a": 3}))
    profile = finish(process, 1, left_out=4)
    assert (profile.decoded, profile.undecoded, paths(profile)) == (2, 4, {"a"})
    assert process.pid == pid


def test_a_probe_says_how_the_decoder_ends(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of(memory_mb=64)
    pid = process.pid
    large = documents(b"[" + b"1000," * 3_000_000 + b"1]")
    assert probe(process, 1, large) == "the decoder ran out of memory"
    several = documents(*[list(range(20_000))] * 20)
    assert probe(process, 1, several, seconds=0.002) == "the decoder took too long"
    assert probe(process, 1, several, seconds=60) is None
    assert process.pid == pid


def test_beyond_its_memory_the_worker_ends_and_says_so(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of(memory_mb=64)
    with pytest.raises(WorkerLost, match="ran out of memory"):
        give(process, 1, "t", documents(b"[" + b"1000," * 3_000_000 + b"1]"))
    assert process.pid is None
    with pytest.raises(WorkerLost, match="not running"):
        give(process, 1, "t", documents({"a": 1}))


def test_killed_it_is_started_again_and_learns_all_schemas_again(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of()
    numbers, words = joined([b"\x02", b"\x04"]), joined([b"\x04hi"])
    for group, (values, schema) in enumerate([(numbers, LONG), (words, TEXT), (documents({"a": 1}), JSON)]):
        assert give(process, group, "t", values, schema) == []
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="was killed"):
        finish(process, 0)
    process.start()
    assert process.restarts == 1
    assert process.finish(0, 1_000, 0) is None  # what it held went with it
    give(process, 5, "t", words, TEXT)
    give(process, 6, "t", numbers, LONG)
    assert [count.type for count in finish(process, 5).fields[0].types] == ["string"]
    numeric = finish(process, 6).fields[0].numeric
    assert numeric is not None
    assert (numeric.min, numeric.max, numeric.count) == (1.0, 2.0, 2)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_stopped_it_is_given_up_at_the_deadline(process_of: Callable[..., DecodeProcess], size: int) -> None:
    """Whether the collector waits for its answer or for room to send."""
    process = process_of(deadline_seconds=0.5)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerLost, match="deadline"):
        give(process, 1, "t", documents({"a": "x" * size}))
    assert process.pid is None
    process.start()
    assert give(process, 1, "t", documents({"a": 1})) == []


def test_what_is_not_wanted_any_more_is_not_waited_for(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of(deadline_seconds=100)
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    process.work_until(lambda: True)
    with pytest.raises(WorkerLost, match="not wanted"):
        give(process, 1, "t", documents({"a": 1}))


def test_a_schema_that_cannot_be_used_makes_its_records_opaque(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of()
    deep = '{"type":"array","items":' * 2_000 + '"null"' + "}" * 2_000
    for text in ('{"type": "record"}', "no JSON", '"unheard_of"', deep):
        schema = DecodeSchema(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, text)
        assert process.prepare(schema) is Decoder.OPAQUE
        assert schema in process.schema_errors
        assert give(process, 1, "t", joined([b"\x02"]), schema) == []
    assert process.restarts == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show environments")
def test_it_is_given_no_secret(process_of: Callable[..., DecodeProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_LINEAGE_SCHEMA_REGISTRY_BEARER_TOKEN", "s3cret")
    process = process_of()
    assert b"s3cret" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"s3cret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_it_ends_with_its_parent(process_of: Callable[..., DecodeProcess]) -> None:
    process = process_of()
    assert process._connection is not None
    assert process._process is not None
    process._connection.close()  # as when the parent is killed
    assert process._process.wait(20) == 0

"""If this failed, `schema diff` would compare other schemas than were asked for, or let a breaking one through CI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.cli.main import run
from stream_lineage.testing.fake_registry import FakeRegistry


def record(*fields: tuple[str, str]) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    )


OLD, NEW = record(("a", "int")), record(("a", "string"))
OLD_JSON = json.dumps({"type": "object", "additionalProperties": False, "properties": {"a": {"$ref": "other.json"}}})
OLD_PROTO = 'syntax = "proto3"; import "common.proto"; message M { Item item = 1; }'


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("STREAM_LINEAGE_SCHEMA_REGISTRY_URL", "STREAM_LINEAGE_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    for name, text in {
        "old.avsc": OLD,
        "new.avsc": NEW,
        "old": OLD,
        "old.json": OLD_JSON,
        "other.json": '{"type": "string"}',
        "other2.json": '{"type": ["string", "null"]}',
        "old.proto": OLD_PROTO,
        "common.proto": 'syntax = "proto3"; message Item { int32 n = 1; }',
        "common2.proto": 'syntax = "proto3"; message Item { string n = 1; }',
        "garbage.json": "{",
        "garbage.proto": "message {",
        "list.json": "[]",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.avsc").write_bytes(b"\xff\xfe\x00")
    return tmp_path


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


def diff(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = run(["schema", "diff", *arguments, "--output", "json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


@pytest.mark.usefixtures("files")
def test_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(capsys, "old.avsc", "new.avsc", "--type", "avro") == {
        "compatibility": {"backward": False, "forward": False, "full": False},
        "changes": [
            {"kind": "type-changed", "path": "a", "old": "int", "new": "string", "breaks": ["backward", "forward"]}
        ],
    }
    assert diff(capsys, "old.avsc", "old.avsc") == {
        "compatibility": {"backward": True, "forward": True, "full": True},
        "changes": [],
    }


@pytest.mark.usefixtures("files")
def test_the_table_says_what_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "diff", "old.avsc", "new.avsc"]) == 0
    out = capsys.readouterr().out
    assert "type-changed" in out
    assert "backward  BROKEN" in out
    assert run(["schema", "diff", "old.avsc", "old.avsc"]) == 0
    out = capsys.readouterr().out
    assert "no changes" in out
    assert "BROKEN" not in out


@pytest.mark.parametrize(
    ("old", "new", "on", "code"),
    [
        ("int", "long", "backward", 0),
        ("int", "long", "forward", 3),
        ("int", "long", "full", 3),
        ("long", "int", "backward", 3),
        ("long", "int", "forward", 0),
        ("int", "int", "full", 0),
    ],
)
def test_the_exit_code_fails_a_build(files: Path, old: str, new: str, on: str, code: int) -> None:
    (files / "a.avsc").write_text(record(("x", old)))
    (files / "b.avsc").write_text(record(("x", new)))
    assert run(["schema", "diff", "a.avsc", "b.avsc", "--fail-on", on]) == code


@pytest.mark.usefixtures("files")
def test_references_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    found = diff(
        capsys, "old.json", "old.json", "--old-reference", "other.json=other.json",
        "--new-reference", "other.json=other2.json",
    )  # fmt: skip
    assert found["compatibility"] == {"backward": True, "forward": False, "full": False}
    assert [change["path"] for change in found["changes"]] == ["a"]
    both = ("--reference", "common.proto=common.proto")
    assert diff(capsys, "old.proto", "old.proto", *both)["changes"] == []
    found = diff(capsys, "old.proto", "old.proto", *both, "--new-reference", "common.proto=common2.proto")
    assert [(change["kind"], change["path"]) for change in found["changes"]] == [("type-changed", "item.n")]


@pytest.mark.usefixtures("files")
def test_versions_of_subjects(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.register("orders-value", OLD)
    registry.register("orders-value", NEW)
    url = ("--schema-registry-url", registry.url)
    found = diff(capsys, "orders-value:1", "orders-value:latest", *url)
    assert [change["path"] for change in found["changes"]] == ["a"]
    assert diff(capsys, "orders-value:2", "new.avsc", *url)["changes"] == []
    assert diff(capsys, "orders-value:1", "old", *url)["changes"] == []  # the registry says what the file is
    registry.register("ctx:item", '{"type": "string"}', "JSON")
    registry.register("ctx:item", '{"type": ["string", "null"]}', "JSON")
    registry.register("c-value", OLD_JSON, "JSON", ({"name": "other.json", "subject": "ctx:item", "version": 1},))
    registry.register("c-value", OLD_JSON, "JSON", ({"name": "other.json", "subject": "ctx:item", "version": 2},))
    found = diff(capsys, "c-value:1", "c-value:2", *url)
    assert found["compatibility"]["backward"] is True
    assert [(change["path"], change["breaks"]) for change in found["changes"]] == [("a", ["forward"])]
    assert diff(capsys, "ctx:item:1", "ctx:item:latest", *url)["compatibility"]["forward"] is False


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("old.avsc", "nowhere.avsc"), "there is no file nowhere.avsc", 1),
        (("old.avsc", "old.json"), "they cannot be compared", 1),
        (("old", "old"), "--type", 2),
        (("old.avsc", "new.avsc", "--type", "json"), 'type: "record"', 1),
        (("old.avsc", "new.avsc", "--type", "protobuf"), "cannot be compiled: schema.proto:1:1", 1),
        (("old.avsc", "garbage.json", "--type", "avro"), "not JSON", 1),
        (("garbage.json", "garbage.json"), "not JSON", 1),
        (("list.json", "list.json"), "no schema", 1),
        (("garbage.proto", "old.proto"), "cannot be compiled", 1),
        (("old.proto", "old.proto"), "common.proto", 1),
        (("old.json", "old.json"), "other.json", 1),
        (("binary.avsc", "old.avsc"), "not text", 1),
        ((".", "old.avsc"), "cannot be read", 1),
        (("old.avsc", "orders-value:1"), "no schema registry is configured", 1),
        (("old.avsc", "old.avsc", "--reference", "x"), "NAME=FILE", 2),
        (("old.avsc", "old.avsc", "--reference", "x=nowhere"), "there is no file nowhere", 1),
        (("old.avsc",), "Missing argument", 2),
        (("old.avsc", "new.avsc", "--type", "xml"), "xml", 2),
        (("x" * 5000, "old.avsc"), "there is no file", 1),
    ],
)
@pytest.mark.usefixtures("files")
def test_what_cannot_be_compared_is_said(
    arguments: tuple[str, ...], said: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema", "diff", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.usefixtures("files")
def test_what_the_registry_does_not_have(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    registry.register("orders-value", OLD)
    url = ("--schema-registry-url", registry.url)
    for argument, said in (("nothing:1", "does not know subject nothing"), ("orders-value:9", "does not know")):
        assert run(["schema", "diff", argument, "old.avsc", *url]) == 1
        assert said in capsys.readouterr().err
    assert run(["schema", "diff", "orders-value:1", "old.json", *url]) == 1
    assert "they cannot be compared" in capsys.readouterr().err
    assert run(["schema", "diff", "orders-value:1", "old.avsc", "--type", "json", *url]) == 1
    assert "is an Avro schema, not a JSON Schema" in capsys.readouterr().err

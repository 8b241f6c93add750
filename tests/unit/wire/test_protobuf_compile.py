"""If this fails, a Protobuf schema of somebody is not understood, or does harm to the process that reads it."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import psutil  # type: ignore[import-untyped]
import pytest
from google.protobuf import timestamp_pb2

from stream_lineage.errors import SchemaError
from stream_lineage.wire import protobuf_compile, protobuf_compiler
from stream_lineage.wire.protobuf_builtin import BUILTIN
from stream_lineage.wire.protobuf_compile import parse_schema
from stream_lineage.wire.protobuf_schema import Kind, MessageType, schema_of

HEAD = 'syntax = "proto3"; '


def compiler_process() -> psutil.Process:
    [process] = [
        child for child in psutil.Process().children() if protobuf_compiler.__name__ in " ".join(child.cmdline())
    ]
    return process


def message(text: str, **files: str) -> MessageType:
    return parse_schema(text, {name.replace("_", "/") + ".proto": file for name, file in files.items()}).messages[0]


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_what_clients_take_for_known_can_be_imported(name: str) -> None:
    assert message(f'{HEAD} import "{name}"; message M {{ int32 a = 1; }}').name == "M"


def test_options_of_confluent_can_be_used() -> None:
    text = f'{HEAD} import "confluent/meta.proto"; message M {{ int32 a = 1 [(confluent.field_meta).doc = "x"]; }}'
    assert [field.name for field in message(text).fields] == ["a"]


def test_references_are_imported_by_their_names() -> None:
    found = message(
        f'{HEAD} import "a/b.proto"; message M {{ x.N n = 1; }}',
        a_b=f'{HEAD} package x; import "c.proto"; message N {{ O o = 1; }}',
        c=f"{HEAD} message O {{ bytes raw = 1; }}",
    )
    assert found.fields[0].message is not None
    assert found.fields[0].message.name == "x.N"


def test_the_main_file_may_have_the_name_of_a_reference() -> None:
    other = {"schema.proto": f"{HEAD} message N {{}}", "a_schema.proto": f"{HEAD} message O {{}}"}
    text = f'{HEAD} import "schema.proto"; import "a_schema.proto"; message M {{ N n = 1; O o = 2; }}'
    assert parse_schema(text, other).messages[0].name == "M"


@pytest.mark.parametrize(
    ("head", "field", "presence", "utf8"),
    [
        ('syntax = "proto3";', "string a = 1;", False, True),
        ('syntax = "proto3";', "optional string a = 1;", True, True),
        ('syntax = "proto3";', "oneof o { string a = 1; int32 b = 2; }", True, True),
        ('syntax = "proto2";', "optional string a = 1;", True, False),
        ('edition = "2023";', "string a = 1;", True, True),
        ('edition = "2023";', "string a = 1 [features.field_presence = IMPLICIT];", False, True),
        ('edition = "2023"; option features.field_presence = IMPLICIT;', "string a = 1;", False, True),
        ('edition = "2023"; option features.utf8_validation = NONE;', "string a = 1;", True, False),
    ],
)
def test_presence_and_text_by_syntax(head: str, field: str, presence: bool, utf8: bool) -> None:
    first = message(f"{head} message M {{ {field} }}").fields[0]
    assert (first.presence, first.utf8) == (presence, utf8)


def test_groups_enums_and_extensions() -> None:
    text = """syntax = "proto2"; package p;
    enum E { option allow_alias = true; A = 3; B = 3; C = -1; }
    message M { required E e = 1; optional group G = 2 { optional int32 x = 1; } extensions 100 to max; }
    extend M { repeated sint64 more = 100 [packed = true]; }"""
    e, g, more = message(text).fields
    assert e.enum is not None
    assert (e.enum.symbols, e.enum.numbers, e.enum.closed, e.required) == (("A", "B", "C"), (3, 3, -1), True, True)
    assert (g.kind, g.name, g.message and g.message.name) == (Kind.GROUP, "g", "p.M.G")
    assert (more.name, more.kind, more.repeated, more.number) == ("[p.more]", Kind.SINT64, True, 100)


def test_oneofs_of_one_field_are_none() -> None:
    first, second, third = message(
        f"{HEAD} message M {{ optional int32 a = 1; oneof o {{ int32 b = 2; }} int32 c = 3; }}"
    ).fields
    assert (first.oneof, second.oneof, third.oneof) == (None, None, None)
    assert (first.presence, second.presence, third.presence) == (True, True, False)


def test_descriptors_in_base64_are_schemas_too() -> None:
    own = base64.b64encode(timestamp_pb2.DESCRIPTOR.serialized_pb).decode()
    schema = parse_schema(own)
    assert schema.serialised
    assert [field.name for field in schema.messages[0].fields] == ["seconds", "nanos"]
    text = f'{HEAD} import "when.proto"; message M {{ google.protobuf.Timestamp at = 1; }}'
    assert not parse_schema(text, {"when.proto": own}).serialised


HOSTILE = {
    "words": "these are words",
    "not-base64": "AAAA",
    "descriptor-of-nothing": base64.b64encode(b"\x0a\x01x\x1a\x09gone.prot").decode(),
    "undefined": f"{HEAD} message M {{ N n = 1; }}",
    "missing-import": f'{HEAD} import "gone.proto"; message M {{}}',
    "traversal": f'{HEAD} import "../../../../../../etc/passwd"; message M {{}}',
    "absolute": f'{HEAD} import "/etc/passwd"; message M {{}}',
    "own-import": f'{HEAD} import "schema.proto"; message M {{}}',
    "deep-messages": HEAD + "message M {" * 100_000 + "}" * 100_000,
    "deep-options": HEAD + "message M { int32 a = 1 [x = " + "{a: " * 100_000,
    "unfinished": f"{HEAD} message M {{ /*" + "*" * 1_000_000,
    "one-long-name": f"{HEAD} message {'M' * 3_000_000} {{ int32 a = 1 }}",
    "many-fields": HEAD + "message M {" + "".join(f"int32 f{n} = {n};" for n in range(1, 60_001)) + "}",
    "many-messages": HEAD + "".join(f"message M{n} {{ int32 f = 1; }}" for n in range(60_000)),
    "numbers": f"{HEAD} message M {{ int32 a = 99999999999999999999; }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_used_is_refused_and_the_next_is_not(name: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema(HOSTILE[name])
    assert len(str(caught.value)) < 400
    assert tempfile.gettempdir() not in str(caught.value)
    assert message(f"{HEAD} message M {{ M m = 1; }}").fields[0].name == "m"


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../../x", "a//b", "", "a\0b", "a\\b", "x" * 2_000, "x" * 500, "./x", "a\nb"]
)
def test_names_of_references_lead_nowhere_else(name: str) -> None:
    with pytest.raises(SchemaError):
        parse_schema(f"{HEAD} message M {{}}", {name: f"{HEAD} message N {{}}"})


def test_cyclic_imports_are_refused() -> None:
    files = {"a.proto": f'{HEAD} import "b.proto";', "b.proto": f'{HEAD} import "a.proto";'}
    with pytest.raises(SchemaError, match="imports itself"):
        parse_schema(f'{HEAD} import "a.proto"; message M {{}}', files)


def test_too_long_a_schema_is_not_even_tried() -> None:
    with pytest.raises(SchemaError, match="longer"):
        parse_schema(" " * (protobuf_compile.MAX_CHARACTERS + 1))


def test_five_megabytes_can_be_read() -> None:
    assert message(f"{HEAD} message M {{ int32 a = 1; }} {'// x' * 1_250_000}").name == "M"


def test_a_compiler_that_dies_is_started_again() -> None:
    message(f"{HEAD} message M {{}}")
    first = compiler_process()
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(SchemaError, match="did not survive"):
        message(f"{HEAD} message M {{}}")
    assert message(f"{HEAD} message M {{}}").name == "M"
    assert compiler_process().pid != first.pid


def test_a_compiler_that_has_had_nothing_to_do_is_started_again() -> None:
    message(f"{HEAD} message M {{}}")
    first = compiler_process()
    first.terminate()  # ends it as it would end itself, but for the status
    first.wait(10)
    with mock.patch.object(subprocess.Popen, "wait", return_value=0):
        assert message(f"{HEAD} message M {{}}").name == "M"


@pytest.fixture
def stopped() -> psutil.Process:
    message(f"{HEAD} message M {{}}")
    process = compiler_process()
    process.suspend()
    return process


def test_a_compiler_that_hangs_is_given_up(stopped: psutil.Process) -> None:
    with mock.patch.object(protobuf_compile, "_WAIT_SECONDS", 0.2), pytest.raises(SchemaError, match="too long"):
        message(f"{HEAD} message M {{}}")
    assert not stopped.is_running()
    assert message(f"{HEAD} message M {{}}").name == "M"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    compiler = protobuf_compile._Compiler()
    with mock.patch.object(tempfile, "mkdtemp", side_effect=[str(tmp_path / "own")]):
        (tmp_path / "own").mkdir()
        assert "messages" in compiler.ask({"text": f"{HEAD} message M {{}}", "references": {}, "declared": False})
    assert (tmp_path / "own").exists()
    compiler.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "document", [{}, {"messages": 1, "enums": [], "roots": []}, {"messages": [], "enums": [], "roots": [1]}]
)
def test_an_answer_that_is_none_is_a_schema_error(document: dict[str, object]) -> None:
    with pytest.raises(SchemaError):
        schema_of(document)


def test_a_process_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    code = "from stream_lineage.wire.protobuf_compile import parse_schema; "
    code += "parse_schema('message M {}'); print(flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        [compiler] = psutil.Process(process.pid).children()
        assert len(list(tmp_path.iterdir())) == 1
        process.kill()
    psutil.wait_procs([compiler], timeout=30)
    assert not compiler.is_running()
    assert list(tmp_path.iterdir()) == []

"""If this failed, others would be told of fields that no schema declares, or of types that they do not have."""

from __future__ import annotations

import json

import pytest

from stream_lineage.errors import SchemaError
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire.declared_fields import MOST_FIELDS, declared_fields
from stream_lineage.wire.registered_schema import RegisteredSchema


def schema(type_: SchemaType, text: str, **references: str) -> RegisteredSchema:
    return RegisteredSchema(SchemaReference(type_, Framing.CONFLUENT_PREFIX, 1), text, references)


USER = {
    "type": "record",
    "name": "User",
    "fields": [{"name": "id", "type": "long"}, {"name": "boss", "type": ["null", "User"]}],
}
AVRO = {
    "type": "record", "name": "Order", "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "amount", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "either", "type": ["int", "null", "string"]},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW"]}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 16}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "more", "type": {"type": "map", "values": "double"}},
        {"name": "user", "type": {"type": "record", "name": "Inner", "fields": [{"name": "id", "type": "long"}]}},
        {"name": "maybe", "type": ["null", "Inner"]},
        {"name": "nothing", "type": "null"},
    ],
}  # fmt: skip


def test_avro() -> None:
    assert list(declared_fields(schema(SchemaType.AVRO, json.dumps(AVRO))).items()) == [
        ("id", "uuid"), ("amount", "decimal"), ("at", "timestamp-millis"), ("either", "int|string"), ("state", "enum"),
        ("hash", "fixed"), ("tags", "array"), ("tags[]", "string"), ("more", "map"), ("more{}", "double"),
        ("user.id", "long"), ("maybe", "record"), ("maybe.id", "long"), ("nothing", "null"),
    ]  # fmt: skip


def test_schemas_without_an_end_have_one_here() -> None:
    found = declared_fields(schema(SchemaType.AVRO, json.dumps(USER)))
    assert (found["id"], found["boss"], found["boss.boss.id"]) == ("long", "record", "long")
    tree = {"properties": {name: {"$ref": "#"} for name in "abc"}, "type": "object"}
    assert len(declared_fields(schema(SchemaType.JSON, json.dumps(tree)))) == MOST_FIELDS
    message = 'syntax = "proto3"; message Tree { Tree left = 1; Tree right = 2; int32 value = 3; }'
    assert declared_fields(schema(SchemaType.PROTOBUF, message))["left.right.value"] == "int32"


def test_protobuf() -> None:
    text = """syntax = "proto3"; package shop; import "google/protobuf/wrappers.proto";
      message Order { string id = 1; repeated int64 lines = 2; map<string, double> more = 3; State state = 4;
        User user = 5; google.protobuf.Int64Value maybe = 6; repeated User others = 7;
        enum State { NEW = 0; } message User { sint32 id = 1; } }"""
    assert declared_fields(schema(SchemaType.PROTOBUF, text)) == {
        "id": "string", "lines": "repeated", "lines[]": "int64", "more": "map", "more{}": "double",
        "state": "shop.Order.State", "user": "shop.Order.User", "user.id": "sint32", "maybe": "int64",
        "others": "repeated", "others[]": "shop.Order.User", "others[].id": "sint32",
    }  # fmt: skip


def test_json() -> None:
    text = {
        "type": "object",
        "properties": {
            "id": {"type": "string"}, "n": {"type": ["integer", "null"]}, "any": {}, "a.b": {"type": "boolean"},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"$ref": "#/$defs/sku"}}}},
        },
        "$defs": {"sku": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    }  # fmt: skip
    assert list(declared_fields(schema(SchemaType.JSON, json.dumps(text))).items()) == [
        ("id", "string"), ("n", "integer"), ("any", "any"), ('"a.b"', "boolean"), ("lines", "array"),
        ("lines[]", "object"), ("lines[].sku", "integer|string"),
    ]  # fmt: skip


@pytest.mark.parametrize("type_", [SchemaType.AVRO, SchemaType.JSON, SchemaType.PROTOBUF])
def test_what_cannot_be_read_is_said(type_: SchemaType) -> None:
    with pytest.raises(SchemaError):
        declared_fields(schema(type_, "{"))


def test_a_protobuf_schema_without_a_message_has_none() -> None:
    assert declared_fields(schema(SchemaType.PROTOBUF, 'syntax = "proto3"; enum E { Z = 0; }')) == {}


def test_without_a_schema_there_are_none() -> None:
    assert declared_fields(schema(SchemaType.NONE, "")) == {}

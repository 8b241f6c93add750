"""Protobuf for the shapes of the benchmarks, which are said by Avro schemas."""

from __future__ import annotations

import importlib.resources
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

_TYPES = {"int": "int32", "long": "int64", "float": "float", "double": "double", "string": "string", "boolean": "bool"}


def proto_text(shape: dict[str, Any]) -> str:
    """The proto3 file whose first message holds what an Avro record does. What may be null is optional."""
    return f'syntax = "proto3";\npackage bench;\n{_message(shape)}'


def _message(record: dict[str, Any]) -> str:
    nested: list[str] = []
    lines = [f"  {_type(field['type'], nested)} {field['name']} = {n};" for n, field in enumerate(record["fields"], 1)]
    return "\n".join([f"message {record['name']} {{", *nested, *lines, "}"])


def _type(avro: Any, nested: list[str]) -> str:
    match avro:
        case str():
            return _TYPES[avro]
        case ["null", other]:
            return f"optional {_type(other, nested)}"
        case {"type": "array", "items": items}:
            return f"repeated {_type(items, nested)}"
        case {"type": "map", "values": values}:
            return f"map<string, {_type(values, nested)}>"
    nested.append(_message(avro))
    return str(avro["name"])


def message_class(text: str, name: str) -> Any:
    """The class that Google's library makes of a message in a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / "shape.proto").write_text(text)
        known = importlib.resources.files("grpc_tools") / "_proto"
        out = path / "out"
        assert protoc.main(["protoc", f"-I{path}", f"-I{known}", f"--descriptor_set_out={out}", "shape.proto"]) == 0
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
            pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))


def filled(message: Any, value: dict[str, Any]) -> Any:
    """The message with the values of a dictionary."""
    for name, each in value.items():
        if isinstance(each, dict):
            field = message.DESCRIPTOR.fields_by_name[name]
            inside = getattr(message, name)
            if field.message_type.GetOptions().map_entry:
                inside.update(each)
            else:
                filled(inside, each)
        elif isinstance(each, list):
            for item in each:
                if isinstance(item, dict):
                    filled(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(item)
        elif each is not None:
            setattr(message, name, each)
    return message


def looked_at(message: Any) -> int:
    """Looks at every value; how many there are."""
    count = 0
    for field, value in message.ListFields():
        count += 1
        if field.message_type is not None:
            if field.is_repeated:
                if field.message_type.GetOptions().map_entry:
                    count += len(dict(value))
                else:
                    count += sum(map(looked_at, value))
            else:
                count += looked_at(value)
        elif field.is_repeated:
            count += len(list(value))
    return count

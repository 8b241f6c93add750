"""The two sides of a schema diff: files, or versions of subjects in the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from stream_lineage.errors import NotFound, SchemaError
from stream_lineage.model.schema import SchemaType
from stream_lineage.settings import Settings

MAX_BYTES = 20_000_000
_SUBJECT_VERSION = re.compile(r"(?P<subject>.+):(?P<version>latest|[0-9]{1,9})")
_SUFFIXES = {".avsc": SchemaType.AVRO, ".proto": SchemaType.PROTOBUF, ".json": SchemaType.JSON}
_NAMES = {SchemaType.AVRO: "an Avro schema", SchemaType.JSON: "a JSON Schema", SchemaType.PROTOBUF: "a Protobuf schema"}


@dataclass(frozen=True, slots=True)
class Side:
    """``type`` is null where the name of a file does not say. ``registered``: it is the registry that says."""

    name: str
    text: str
    type: SchemaType | None
    references: Mapping[str, str] = field(default_factory=dict)
    registered: bool = False


def side(argument: str, load: Callable[[], Settings], references: Mapping[str, str]) -> Side:
    """What an argument stands for: the file of that name, else a version of a subject.

    Raises:
        NotFound: it is neither.
        SchemaError: the file is no text.
        SettingsError, RegistryUnavailable: the registry cannot be asked.
    """
    path = Path(argument)
    if _exists(path):
        return Side(argument, _read(path), _SUFFIXES.get(path.suffix.lower()), references)
    found = _SUBJECT_VERSION.fullmatch(argument)
    if found is None:
        hint = "A schema in the registry is SUBJECT:VERSION, such as orders-value:3 or orders-value:latest."
        raise NotFound(f"there is no file {argument}", hint=hint)
    from stream_lineage.connections import registered_schema

    version = None if found["version"] == "latest" else int(found["version"])
    schema = registered_schema(load(), found["subject"], version)
    name = f"{found['subject']} v{schema.reference.version}"
    return Side(name, schema.text, schema.type, schema.references, registered=True)


def common_type(old: Side, new: Side, asked: SchemaType | None) -> SchemaType:
    """The type of both.

    Raises:
        SchemaError: the registry says another than was asked for, or the sides differ.
        UsageError: nothing says it.
    """
    for each in (old, new):
        if asked is not None and each.registered and each.type is not asked:
            raise SchemaError(f"{each.name} is {_name(each.type)}, not {_name(asked)}")
    known = [each.type for each in (old, new) if each.type is not None and (asked is None or each.registered)]
    if asked is not None:
        return asked
    if not known:
        raise click.UsageError("Say what the schemas are: --type avro, json or protobuf.")
    if len(set(known)) > 1:
        raise SchemaError(
            f"{old.name} is {_name(old.type)} and {new.name} {_name(new.type)}: they cannot be compared",
            hint="If the names mislead, say --type.",
        )
    return known[0]


def read_references(pairs: Iterable[str]) -> dict[str, str]:
    """The texts of ``NAME=FILE``."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, file = pair.rpartition("=")
        if not separator or not name or not file:
            raise click.UsageError(f"A reference is NAME=FILE, not {pair}.")
        path = Path(file)
        if not _exists(path):
            raise NotFound(f"there is no file {file}, which the reference {name} names")
        found[name] = _read(path)
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SchemaError(f"{path} is larger than {MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is no schema: it is not text in UTF-8") from error


def _name(type_: SchemaType | None) -> str:
    return "of no known type" if type_ is None else _NAMES[type_]

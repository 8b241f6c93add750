"""Where settings are given: flags, the environment, a YAML file. Each gives values by flat name, with their place."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stream_lineage.settings.setting import ENVIRONMENT_PREFIX, Kind, Setting

CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"
RESERVED_VARIABLES = re.compile(ENVIRONMENT_PREFIX + r"(TEST_\w+|REQUIRE_\w+|CACHE_DIR|MAVEN_REPOSITORY|CONFIG|DEBUG)")
"""Variables of ours that are not settings."""

# Kubernetes gives every pod these variables for each service in its namespace, ours among them.
_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")
_FILE_SUFFIX = "_file"
_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and where it was found, as its user wrote it: ``--group-id``, ``STREAM_LINEAGE_GROUP_ID``."""

    value: Any
    place: str


@dataclass(slots=True)
class Source:
    """What one place says. ``properties`` are librdkafka settings, which are merged over all places one by one."""

    values: dict[str, Given] = field(default_factory=dict)
    properties: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def from_flags(flags: Mapping[str, Any], known: Mapping[str, Setting]) -> Source:
    """Flags by flat name; None is not given. ``kafka`` holds ``name=value`` texts, ``<secret>_file`` a path."""
    source = Source()
    for name, value in flags.items():
        if value is None or value == ():
            continue
        if name.endswith(_FILE_SUFFIX) and _is_secret(known.get(name.removesuffix(_FILE_SUFFIX))):
            secret = known[name.removesuffix(_FILE_SUFFIX)]
            _read_secret(source, source.values, secret.name, value, secret.flag)
        elif name not in known:
            source.problems.append(f"{name} is not a setting{nearest(name, known)}")
        elif known[name].kind is Kind.PROPERTIES:
            pairs = value.items() if isinstance(value, Mapping) else (_pair(text) for text in value)
            for key, text in pairs:
                if text is None:
                    source.problems.append(f"{known[name].flag} {key}: must be name=value")
                else:
                    source.properties[key] = Given(text, f"{known[name].flag} {key}")
        else:
            source.values[name] = Given(value, known[name].flag)
    return source


def from_environment(environ: Mapping[str, str], known: Mapping[str, Setting]) -> Source:
    """``STREAM_LINEAGE_*`` variables. An empty one counts as not given. Unknown ones are problems."""
    source = Source()
    by_variable = {setting.environment: setting for setting in known.values()}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(ENVIRONMENT_PREFIX) or RESERVED_VARIABLES.fullmatch(variable) or not text:
            continue
        setting = by_variable.get(variable)
        owner = by_variable.get(variable.removesuffix(_FILE_SUFFIX.upper()))
        if _is_kubernetes(variable, text):
            continue
        if setting is not None and setting.kind is Kind.PROPERTIES:
            _environment_json(source, variable, text)
        elif setting is not None:
            value = split_list(text) if setting.kind is Kind.LIST else text
            source.values[setting.name] = Given(value, variable)
        elif owner is not None and _is_secret(owner):
            if owner.environment in environ:
                source.problems.append(f"{variable} and {owner.environment} exclude each other")
            else:
                _read_secret(source, source.values, owner.name, text, variable)
        elif variable.startswith(ENVIRONMENT_PREFIX + "KAFKA_"):
            name = variable.removeprefix(ENVIRONMENT_PREFIX + "KAFKA_").lower()
            if name.endswith(_FILE_SUFFIX):
                _read_secret(source, source.properties, _dotted(name.removesuffix(_FILE_SUFFIX)), text, variable)
            else:
                source.properties[_dotted(name)] = Given(text, variable)
        else:
            source.problems.append(f"{variable} is not a setting{nearest(variable, by_variable)}")
    return source


def from_yaml(path: Path, known: Mapping[str, Setting]) -> Source:
    """A YAML file: one mapping of flat names. A secret may be given as ``<name>_file``, the path of a file."""
    source = Source()
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - a SafeLoader, see below
    except OSError as error:
        source.problems.append(f"{path}: cannot be read: {error.strerror}")
        return source
    except UnicodeDecodeError:
        source.problems.append(f"{path}: is not UTF-8 text")
        return source
    except yaml.YAMLError as error:
        source.problems.append(f"{path}: {_yaml_problem(error)}")
        return source
    if document is None:
        return source
    if not isinstance(document, dict):
        source.problems.append(f"{path}: must hold settings as 'name: value'")
        return source
    for name, value in document.items():
        place = f"{path}: {name}"
        setting = known.get(name)
        if setting is None and isinstance(name, str) and name.endswith(_FILE_SUFFIX):
            owner = known.get(name.removesuffix(_FILE_SUFFIX))
            if owner is not None and _is_secret(owner):
                if owner.name in document:
                    source.problems.append(f"{place} and {owner.name} exclude each other")
                else:
                    _read_secret(source, source.values, owner.name, value, place)
                continue
        if setting is None:
            source.problems.append(f"{place} is not a setting{nearest(str(name), known)}")
        elif value is None:
            continue
        elif setting.kind is Kind.PROPERTIES and isinstance(value, Mapping):
            source.properties.update({str(key): Given(text, f"{place}: {key}") for key, text in value.items()})
        else:
            listed = setting.kind is Kind.LIST and isinstance(value, str)
            source.values[setting.name] = Given(split_list(value) if listed else value, place)
    return source


def split_list(text: str) -> tuple[str, ...]:
    """Items of a JSON list, or of a text with commas or spaces between them. Those in brackets are the item's own."""
    if text.lstrip().startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
            return tuple(parsed)
    items, item, depth, escaped = [], "", 0, False
    for letter in text:
        if not escaped and depth == 0 and (letter == "," or letter.isspace()):
            items.append(item)
            item = ""
            continue
        if not escaped:
            depth = max(0, depth + (letter in "([{") - (letter in ")]}"))
        escaped = letter == "\\" and not escaped
        item += letter
    return tuple(part for part in (*items, item) if part)


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean group_id?``, or nothing."""
    found: Collection[str] = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean {next(iter(found))}?" if found else ""


def _is_secret(setting: Setting | None) -> bool:
    return setting is not None and setting.kind is Kind.SECRET


def _is_kubernetes(variable: str, text: str) -> bool:
    if _KUBERNETES.fullmatch(variable):
        return True
    return variable.endswith("_PORT") and _KUBERNETES_ADDRESS.fullmatch(text) is not None


def _dotted(name: str) -> str:
    return name.lower().replace("_", ".")


def _pair(text: str) -> tuple[str, str | None]:
    name, sign, value = text.partition("=")
    # Without a name all of the text may be a secret.
    return (name.strip(), value) if sign and name.strip() else ("...", None)


def _environment_json(source: Source, variable: str, text: str) -> None:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        source.problems.append(f'{variable}: must be JSON such as {{"security.protocol": "SSL"}}')
        return
    for name, value in parsed.items():
        # A variable of its own says the same more exactly.
        source.properties.setdefault(name, Given(value, f"{variable}: {name}"))


def _read_secret(source: Source, into: dict[str, Given], name: str, path: Any, place: str) -> None:
    try:
        file = Path(os.fspath(path))
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES).decode("utf-8").rstrip("\r\n")
    except TypeError:
        source.problems.append(f"{place}: must be the path of a file")
        return
    except OSError as error:
        source.problems.append(f"{place}: {path} cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError:
        source.problems.append(f"{place}: {path} is not UTF-8 text")
        return
    if not content:
        source.problems.append(f"{place}: {path} is empty")
        return
    into[name] = Given(content, place)


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the text around it: a secret may stand there."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}is not valid YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"


class _UniqueKeys(yaml.SafeLoader):
    """The safe loader, which would silently take the last of two values under one key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float | bool) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", key_node.start_mark)
            if isinstance(key, str | int | float | bool):
                seen.add(key)
        return super().construct_mapping(node, deep)

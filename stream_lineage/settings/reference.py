"""Writes ``docs/configuration.md``: ``python -m stream_lineage.settings.reference > docs/configuration.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from stream_lineage.settings.composed import KNOWN, SECTIONS
from stream_lineage.settings.setting import Kind, Setting
from stream_lineage.wire.settings import RESERVED_KAFKA_SETTINGS

_INTRODUCTION = """\
# Configuration

<!-- Generated from the settings themselves: python -m stream_lineage.settings.reference > docs/configuration.md -->

Every setting has one name, in three places. What is given further up wins:

| where | form | example |
| --- | --- | --- |
| flag | `--` and dashes | `--flush-interval-seconds 2` |
| environment | `STREAM_LINEAGE_` and capitals | `STREAM_LINEAGE_FLUSH_INTERVAL_SECONDS=2` |
| YAML file, named by `--config` or `STREAM_LINEAGE_CONFIG` | as it is | `flush_interval_seconds: 2` |

A name that does not exist is an error, wherever it is given, as is a value out of range; all of them are reported at
once. `stream-lineage doctor` checks what the settings lead to.

An empty variable counts as not given.

**Lists** are repeated flags, YAML lists, or a text with commas or spaces between the items. A comma in brackets belongs
to its item (`orders-[0-9]{1,2}`); a JSON list says anything.

**Secrets** are never flags, which everybody on the machine can read: give them in the environment or in YAML, or name a
file that holds one with `_FILE` / `_file` at the end of the name (`STREAM_LINEAGE_HASH_KEY_FILE`, `hash_key_file`,
`--hash-key-file`). They appear in no log, error or answer.

**Paths** that start with no slash start at the working directory.

Variables that Kubernetes makes for services called `stream-lineage...` are left alone, and so are
`STREAM_LINEAGE_TEST_*`, `STREAM_LINEAGE_REQUIRE_*`, `STREAM_LINEAGE_CACHE_DIR`, `STREAM_LINEAGE_MAVEN_REPOSITORY` and
`STREAM_LINEAGE_DEBUG`.
"""

_TITLES = {
    "kafka": "Kafka",
    "registry": "Schema registry",
    "collect": "Collector",
    "agents": "Agents",
    "store": "Store",
    "notify": "Notifications and hooks",
    "index": "Provenance index",
    "serve": "The API",
    "telemetry": "Metrics and health",
    "logs": "Logs",
}

_KAFKA = """\
### Any librdkafka setting

Each of [librdkafka's settings](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) passes through
to all of our Kafka clients, by its own name, and is checked by librdkafka itself:

| where | example |
| --- | --- |
| flag, repeatable | `--kafka security.protocol=SASL_SSL` |
| environment | `STREAM_LINEAGE_KAFKA_SECURITY_PROTOCOL=SASL_SSL` (an underscore is a dot) |
| environment | `STREAM_LINEAGE_KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka` |
| environment | `STREAM_LINEAGE_KAFKA='{"security.protocol": "SASL_SSL"}'` |
| YAML | `kafka: {security.protocol: SASL_SSL}` |

Given in several places, they are merged one by one. These are refused:

| setting | why, or what instead |
| --- | --- |
"""


def configuration_markdown() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(section) for section in SECTIONS), _whole_file()])


def reference_yaml() -> str:
    """Every setting with its default, as comments say; those without a default are commented out, with an example."""
    return "\n".join(line for section in SECTIONS for line in _yaml_lines(section)) + "\n"


def _section(section: str) -> str:
    said = (SECTIONS[section].__doc__ or "").strip().replace("``", "`")
    lines = [
        f"## {_TITLES[section]}",
        "",
        said,
        "",
        "| setting | form | default | what it is |",
        "| --- | --- | --- | --- |",
    ]
    lines.extend(_row(setting) for setting in _settings(section))
    if section == "kafka":
        lines += ["", _KAFKA.rstrip("\n")]
        lines += [f"| `{name}` | {why} |" for name, why in RESERVED_KAFKA_SETTINGS.items()]
    return "\n".join([*lines, ""])


def _row(setting: Setting) -> str:
    cells = (
        f"`{setting.name}`",
        _form(setting),
        f"`{setting.default}`" if setting.default else "",
        setting.description,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _form(setting: Setting) -> str:
    if setting.kind is Kind.CHOICE:
        return " or ".join(f"`{choice}`" for choice in setting.choices)
    form = "name: value" if setting.kind is Kind.PROPERTIES else setting.kind.value
    return ", ".join([form, *setting.bounds])


def _whole_file() -> str:
    return "\n".join(["## All of it as a file", "", "```yaml", reference_yaml().rstrip("\n"), "```", ""])


def _yaml_lines(section: str) -> Iterator[str]:
    yield f"# {_TITLES[section]}"
    for setting in _settings(section):
        yield f"# {setting.description}"
        default = setting.field.get_default(call_default_factory=False)
        if setting.default and not setting.depends_on_machine:
            yield f"{setting.name}: {_yaml(default)}"
        elif setting.kind is Kind.SECRET:
            yield f"# {setting.name}_file: /run/secrets/{setting.name}"
        else:
            example = setting.example if setting.example is not None else "..."
            yield f"# {setting.name}: {_yaml(example) if setting.kind is not Kind.PATH else '/path/to/it'}"
    yield ""


def _yaml(value: Any) -> str:
    """JSON, which is YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _settings(section: str) -> list[Setting]:
    return [setting for setting in KNOWN.values() if setting.section == section]


if __name__ == "__main__":
    sys.stdout.write(configuration_markdown())

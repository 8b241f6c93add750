"""Grafana's side of a question: what it makes of dashboards, variables and time before InfluxDB is asked.

After Grafana's own sources: ``public/app/features/variables`` and ``packages/grafana-data`` for the values of
variables, ``pkg/tsdb/influxdb/flux/macros.go`` for time, windows and the bucket.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import yaml

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
ALL = "$__all"
_VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
_MACRO = re.compile(r"([a-zA-Z]+)\.([a-zA-Z]+)")

Value = str | list[str]


@dataclass(frozen=True)
class Asked:
    """A question of a dashboard or a rule. ``name`` says whose it is. ``may_be_empty``: it says why, where it is."""

    name: str
    source: str
    text: str
    may_be_empty: bool = False


@dataclass(frozen=True)
class Board:
    """A dashboard as it is checked in."""

    name: str
    document: dict[str, Any]

    @property
    def variables(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document["templating"]["list"]
        return found

    def queries_of_variables(self) -> dict[str, Asked]:
        """In their order: those behind may depend on those before."""
        return {
            each["name"]: Asked(f"{self.name}: variable {each['name']}", _type(each), each["query"]["query"])
            for each in self.variables
            if each["type"] == "query"
        }

    def all_values(self) -> dict[str, str]:
        """What stands for all values of a variable, where there is such a thing."""
        return {each["name"]: each["allValue"] for each in self.variables if each.get("includeAll")}

    def fixed(self) -> dict[str, Value]:
        """Variables that ask nobody."""
        texts = {each["name"]: each["query"] for each in self.variables if each["type"] == "textbox"}
        sources = {each["name"]: each["current"]["value"] for each in self.variables if each["type"] == "datasource"}
        return {**texts, **sources}

    def panels(self) -> Iterator[Asked]:
        for panel in self.document["panels"]:
            empty = "noValue" in panel.get("fieldConfig", {}).get("defaults", {})
            for target in panel.get("targets", []):
                text = target["query"] if "query" in target else target["expr"]
                yield Asked(f"{self.name}: panel {panel['title']}", target["datasource"]["type"], text, empty)

    def annotations(self) -> Iterator[Asked]:
        for each in self.document.get("annotations", {}).get("list", []):
            yield Asked(f"{self.name}: annotation {each['name']}", _type(each), each["target"]["query"])


def boards() -> list[Board]:
    return [Board(path.stem, json.loads(path.read_text())) for path in sorted((GRAFANA / "dashboards").glob("*.json"))]


def rules() -> list[Asked]:
    """The questions of the alert rules."""
    text = (GRAFANA / "provisioning" / "alerting" / "rules.yaml").read_text()
    return [
        Asked(f"rule {rule['title']}", "influxdb", step["model"]["query"])
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        for step in rule["data"]
        if step["datasourceUid"] != "__expr__"
    ]


def with_variables(text: str, values: Mapping[str, Value], all_values: Mapping[str, str]) -> str:
    """The text as the browser sends it.

    Raises:
        KeyError: a variable that the dashboard does not have.
    """

    def replaced(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[4]
        if name.startswith("__"):
            return found[0]  # of the answer, or of the backend
        value = values[name]
        if value in (ALL, [ALL]):
            return all_values[name]
        return _formatted(value, found[3] or found[6])

    return _VARIABLE.sub(replaced, text)


def with_macros(text: str, bucket: str, start: datetime, stop: datetime, seconds: int = 10) -> str:
    """The text as the server sends it on."""
    said = {
        "timeRangeStart": start.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "timeRangeStop": stop.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "windowPeriod": f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s",
        "defaultBucket": f'"{bucket}"',
        "bucket": f'"{bucket}"',
    }
    for found in list(_MACRO.finditer(text)):
        if found[2] in said:
            text = text.replace(found[0], said[found[2]])
    return text


class Answering:
    """An InfluxDB that is asked as Grafana asks it."""

    def __init__(self, url: str, org: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Token {token}", "Accept": "application/csv"},
            params={"org": org}, trust_env=False, timeout=60,
        )  # fmt: skip

    def rows(self, flux: str) -> list[dict[str, str]]:
        """Raises AssertionError with what InfluxDB says against it."""
        answer = self._client.post("/api/v2/query", json={"query": flux, "type": "flux"})
        assert answer.status_code == httpx.codes.OK, f"{answer.text}\n{flux}"
        found: list[dict[str, str]] = []
        for table in answer.text.replace("\r\n", "\n").split("\n\n"):
            for row in csv.DictReader(io.StringIO(table)):
                assert row.get("error") is None or "reference" not in row, f"{row}\n{flux}"
                if row.get("_value") != "":
                    found.append(row)
        return found

    def close(self) -> None:
        self._client.close()


def _type(each: Mapping[str, Any]) -> str:
    return str(each["datasource"]["type"])


def _formatted(value: Value, how: str | None) -> str:
    values = [value] if isinstance(value, str) else value
    if how == "regex":
        escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", each) for each in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    if how == "percentencode":
        return quote(values[0] if isinstance(value, str) else "{" + ",".join(values) + "}", safe="-_.~")
    assert how is None, f"the format {how} is not known here"
    return values[0] if len(values) == 1 else "{" + ",".join(values) + "}"

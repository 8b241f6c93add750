"""The package that ``stream-lineage detector new`` writes: a detector that works, its entry point, its tests."""

from __future__ import annotations

from string import Template

_PROJECT = Template("""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "A detector for stream-lineage."
requires-python = ">=3.11"
dependencies = ["stream-lineage"]

[project.entry-points."stream_lineage.detectors"]
$name = "$module:$class_"

[tool.hatch.build.targets.wheel]
packages = ["$module"]

[tool.pytest.ini_options]
addopts = "--import-mode=importlib"
""")

_DETECTOR = Template('''\
"""$title: flushes of which most records are tombstones. An example to replace by a rule of your own."""

from __future__ import annotations

from datetime import datetime

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation

MOST = 0.5
"""The share of tombstones that is told. Larger: fewer alerts."""
ENOUGH = 10
"""Records in a flush; fewer prove nothing. Larger: fewer alerts on quiet topics."""


class $class_:
    """State: up to which offset each partition was looked at, and whether it is told already."""

    name = "$name"
    channel: Channel = "anomaly"

    def initial(self) -> State:
        return {"epoch": None, "through": {}, "told": False}

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        if observation.records < ENOUGH:
            return state, ()
        same = state["epoch"] == observation.topic_id
        through = dict(state["through"]) if same else {}
        spans = [each for each in observation.spans if each.last_offset > through.get(str(each.partition), -1)]
        if not spans:
            return state, ()  # seen before
        many = observation.tombstones > MOST * observation.records
        if many == (same and state["told"]):
            return state, ()  # nothing new: states that change with every observation are written with every one
        for span in spans:
            key = str(span.partition)
            through[key] = max(through.get(key, -1), span.last_offset)
        after = {"epoch": observation.topic_id, "through": through, "told": many}
        if not many:
            return (state if after == state else after), ()
        first: dict[int, int] = {}
        for span in spans:
            first[span.partition] = min(span.first_offset, first.get(span.partition, span.first_offset))
        finding = Finding(
            kind="x-$kind",
            severity=Severity.WARNING,
            topic=observation.topic,
            field_path=None,
            summary=f"{observation.topic}: {observation.tombstones} of {observation.records} records are tombstones",
            fingerprint=finding_fingerprint("x-$kind", observation.cluster, observation.topic),
            first_offsets=first,
        )
        return after, (finding,)
''')

_TESTS = Template('''\
"""What must hold of any detector, and what this one is to find."""

from __future__ import annotations

from stream_lineage.model.finding import Finding
from stream_lineage.testing.detector_suite import DetectorSuite, Schemas
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

from $module import $class_


class TestEveryDetector(DetectorSuite):
    make = $class_
    kinds = "x-"


def found(*tombstones: int) -> list[list[Finding]]:
    """What flushes of a hundred records find, with so many tombstones in each."""
    detector = $class_()
    state, told = detector.initial(), []
    for index, count in enumerate(tombstones):
        flush = observation(avro_reference(1), span(0, index * 100, index * 100 + 99), tombstones=count)
        state, findings = detector.observe(state, flush, NOON, Schemas())
        told.append(list(findings))
    return told


def test_it_is_told_once_and_again_when_it_comes_back() -> None:
    told = found(0, 10, 90, 95, 0, 90)

    assert [len(each) for each in told] == [0, 0, 1, 0, 0, 1]
    assert told[2][0].first_offsets == {0: 200}
''')

_README = Template("""\
# $name

A detector for stream-lineage. Install it beside `stream-lineage agents`, and it runs:

    pip install -e .
    stream-lineage detector list
    pytest
""")


def package(name: str) -> dict[str, str]:
    """The files of a detector's package, by their paths in it."""
    module = name.replace("-", "_")
    words = {
        "name": name,
        "module": module,
        "class_": "".join(part.capitalize() for part in name.split("-") if part) or "Detector",
        "title": name.replace("-", " ").capitalize(),
        "kind": name[:60],
    }
    return {
        "pyproject.toml": _PROJECT.substitute(words),
        "README.md": _README.substitute(words),
        f"{module}/__init__.py": _DETECTOR.substitute(words),
        f"tests/test_{module}.py": _TESTS.substitute(words),
    }

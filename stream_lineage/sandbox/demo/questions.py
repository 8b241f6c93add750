"""What can be asked while the demo runs: commands with real coordinates, to be typed into another terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_lineage.sandbox.demo.topics import PREDICTIONS

_NULL_AGES = (
    "SELECT datetime(time / 1000000, 'unixepoch'), json_extract(fields, '$.null_ratio')"
    " FROM point JOIN series ON id = series"
    " WHERE json_extract(tags, '$.topic') = 'features' AND json_extract(tags, '$.field') = 'age'"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the command that answers it."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: the first bad offset by partition of ``topic``, and the incident, where there is one."""

    topic: str
    first_bad: Mapping[int, int]
    incident: str | None = None


def questions(program: str, bootstrap_servers: str, found: Found, index: Path, metrics: Path | None) -> list[Question]:
    """``index`` is the file that records are traced with, ``metrics`` that of the embedded store."""
    kafka = f"--bootstrap-servers {bootstrap_servers}"
    traced = f"{kafka} --index-path {shlex.quote(str(index))}"
    topic, first_bad = found.topic, found.first_bad
    asked = []
    if found.incident is not None:
        asked.append(Question("the incident by now", f"{program} incident show {found.incident[:12]} {kafka}"))
    if first_bad:
        places = " ".join(f"{partition}:{offset}" for partition, offset in sorted(first_bad.items()))
        text = "to which offsets its readers go back; a script with --output script"
        asked.append(Question(text, f"{program} replay {topic} {places} --downstream {traced}"))
    for partition, offset in sorted(first_bad.items())[:1]:
        record = f"{program} record {topic} {partition}"
        asked.append(Question("the first bad record", f"{record} {offset} {kafka}"))
        if offset > 0:
            asked.append(Question("the last good one before it", f"{record} {offset - 1} {kafka}"))
        trace = f"{program} trace {topic} {partition} {offset} --downstream {traced}"
        asked.append(Question("which features and predictions were made of it", trace))
    asked += [
        Question("which records a prediction was made from", f"{program} trace {PREDICTIONS.name} 0 0 {traced}"),
        Question("who reads what, and what is made of it", f"{program} graph show {kafka}"),
        Question("which offsets have which schema", f"{program} spans {topic} {kafka}"),
        Question("whether the provenance log is whole", f"{program} verify {kafka}"),
    ]
    if metrics is not None:
        asked.append(
            Question("share of null ages in features, from the metric store", f'sqlite3 {metrics} "{_NULL_AGES}"')
        )
    return asked


def program() -> str:
    """How this program is called from here, as a shell takes it."""
    called = Path(sys.argv[0])
    if called.name != "stream-lineage":
        return f"{sys.executable} -m stream_lineage.cli.main"
    on_path = shutil.which(called.name)
    if on_path is not None and Path(on_path).samefile(called):
        return called.name
    relative = os.path.relpath(called)
    return str(called.absolute()) if relative.startswith("..") else relative

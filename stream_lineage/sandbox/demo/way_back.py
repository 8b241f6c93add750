"""The replay plan, as the command gives it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_lineage.sandbox.child import module_command, module_environment


@dataclass(frozen=True, slots=True)
class GoesBack:
    """One partition that a consumer group reads again."""

    group: str
    topic: str
    partition: int
    stands_at: int
    goes_to: int
    again: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``rows`` are what is to be reset, ``notes`` what the plan says besides; ``failed`` why there is none."""

    rows: tuple[GoesBack, ...] = ()
    notes: tuple[str, ...] = ()
    failed: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Plan:
        """Of what ``stream-lineage replay --output json`` writes."""
        rows = [
            GoesBack(group["group"], each["topic"], each["partition"], each["committed"], each["target"], each["again"])
            for group in document["groups"]
            for each in group["partitions"]
            if each["target"] is not None and each["verdict"] == "reset"
        ]
        return cls(tuple(rows), tuple(document["notes"]))


class PlanAsked:
    """``stream-lineage replay`` as a process, whose output is kept in ``directory``."""

    def __init__(
        self, topic: str, first_bad: Mapping[int, int], bootstrap_servers: str, index: Path, directory: Path
    ) -> None:
        self.arguments = arguments(topic, first_bad, bootstrap_servers, index)
        self._answer, self._errors = directory / "replay.json", directory / "replay.err"
        with self._answer.open("wb") as answer, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*module_command("stream_lineage.cli.main"), *self.arguments, "--output", "json"],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=errors,
                env={k: v for k, v in module_environment().items() if not k.startswith("STREAM_LINEAGE_")},
            )

    @property
    def done(self) -> bool:
        return self._process.poll() is not None

    def plan(self) -> Plan:
        """What it said. It must be done."""
        if self._process.wait() != 0:
            return Plan(failed=self._errors.read_text(encoding="utf-8", errors="replace").strip()[-500:])
        return Plan.of(json.loads(self._answer.read_bytes()))

    def stop(self) -> None:
        """May be called more than once."""
        if not self.done:
            self._process.kill()
        self._process.wait()


def arguments(topic: str, first_bad: Mapping[int, int], bootstrap_servers: str, index: Path) -> Sequence[str]:
    """Of the command."""
    places = [f"{partition}:{offset}" for partition, offset in sorted(first_bad.items())]
    return [
        "replay", topic, *places, "--downstream", "--bootstrap-servers", bootstrap_servers, "--index-path", str(index),
    ]  # fmt: skip

"""From comparisons with a training baseline to findings: one problem for each topic and baseline, told when it is there
to stay, when there is more of it, and when it is over.

| comparison | told before | finding |
| --- | --- | --- |
| something critical | nothing | open, at once |
| another difference | nothing | open, if the comparison after it finds the same |
| the same | it | nothing |
| something beside it | it | update, with all that there is |
| nothing, for the second time | it | close |
| too few records | anything | nothing: the comparison is not judged |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_lineage.detect.detector import Channel, State
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.training_finding import TrainingComparison, TrainingFinding
from stream_lineage.model.baseline import Baseline
from stream_lineage.model.finding import Finding, Phase, SchemaChange, Severity

KIND = "training-drift"
CONFIRMED_BY = 2
"""Comparisons in a row that must find a difference which is not critical. Larger: later, and less often for nothing."""
OVER_AFTER = 2
"""Comparisons in a row without any difference after which it is over."""
MAX_DIFFERENCES = 200
"""Differences that are told of, the gravest first. Larger: alerts and states are larger where everything differs."""
_GRAVITY = list(Severity)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared: all live records of a topic between these offsets, by partition."""

    cluster: str
    topic: str
    first_offsets: Mapping[int, int]
    last_offsets: Mapping[int, int]
    records: int


class TrainingDrift:
    """A pure rule. The state is JSON, bounded, and the same object when nothing changed."""

    name = "training"
    channel: Channel = "anomaly"

    def initial(self) -> State:
        """The state of a baseline that live data have not been compared with."""
        return {"created_at": None, "held": {}, "told": {}, "quiet": 0, "rounds": 0}

    def judge(
        self, state: State, baseline: Baseline, found: TrainingComparison, about: Compared
    ) -> tuple[State, tuple[Finding, ...]]:
        """The next state and what is to be told. ``rounds`` of the state counts what was told."""
        created_at = baseline.created_at.isoformat()
        if state["created_at"] != created_at:  # another baseline under this name: what was told is of the past
            state = {**self.initial(), "created_at": created_at, "rounds": state["rounds"]}
        if not found.is_judged:
            return state, ()
        now = {_key(finding): finding for finding in found.findings[:MAX_DIFFERENCES]}
        held = {key: min(state["held"].get(key, 0) + 1, CONFIRMED_BY) for key in now}
        known: dict[str, str] = state["told"]
        sure = [key for key, finding in now.items() if held[key] >= CONFIRMED_BY or _is_critical(finding)]
        quiet = 0 if now or not known else state["quiet"] + 1
        after: State = {**state, "held": held, "quiet": quiet}
        if quiet >= OVER_AFTER:
            after |= {"told": {}, "quiet": 0, "rounds": state["rounds"] + 1}
            return after, (_over(baseline, about, known),)
        if not any(key not in known or _graver(now[key].severity, known[key]) for key in sure):
            return (state if after == state else after), ()
        told = [now[key] for key in now if key in sure or key in known]
        after |= {
            "told": dict(
                list({**known, **{_key(each): each.severity.value for each in told}}.items())[-MAX_DIFFERENCES:]
            ),
            "rounds": state["rounds"] + 1,
        }
        return after, (_finding(baseline, about, told, "update" if known else "open"),)


def _finding(baseline: Baseline, about: Compared, told: Sequence[TrainingFinding], phase: Phase) -> Finding:
    shown = "; ".join(map(_shown, told[:_SHOWN]))
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    paths = {each.field_path for each in told}
    return Finding(
        kind=KIND,
        severity=max((each.severity for each in told), key=_GRAVITY.index),
        topic=about.topic,
        field_path=paths.pop() if len(paths) == 1 else None,
        summary=f"{about.topic} is not as in training ({baseline.name}), by {about.records} records: {shown}{more}",
        fingerprint=_fingerprint(baseline, about),
        first_offsets=about.first_offsets,
        last_offsets=about.last_offsets,
        changes=tuple(SchemaChange(each.kind.value, each.field_path or "", each.expected, each.given) for each in told),
        phase=phase,
    )


def _over(baseline: Baseline, about: Compared, known: Mapping[str, str]) -> Finding:
    return Finding(
        kind=KIND,
        severity=Severity.INFO,
        topic=about.topic,
        field_path=None,
        summary=f"{about.topic} is again as in training ({baseline.name}), by {about.records} records",
        fingerprint=_fingerprint(baseline, about),
        first_offsets=about.first_offsets,
        last_offsets=about.last_offsets,
        changes=tuple(SchemaChange(kind, path, None, None) for kind, _, path in (key.partition(":") for key in known)),
        phase="close",
    )


def _shown(each: TrainingFinding) -> str:
    where = f" of {each.field_path}" if each.field_path else ""
    return f"{each.kind.value}{where}: {each.given}, {each.expected} in training"


def _fingerprint(baseline: Baseline, about: Compared) -> str:
    return finding_fingerprint(KIND, about.cluster, about.topic, baseline.name)


def _key(finding: TrainingFinding) -> str:
    return f"{finding.kind.value}:{finding.field_path or ''}"


def _is_critical(finding: TrainingFinding) -> bool:
    return finding.severity is Severity.CRITICAL


def _graver(severity: Severity, told: Any) -> bool:
    return _GRAVITY.index(severity) > _GRAVITY.index(Severity(told))

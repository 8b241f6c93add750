"""The planted fault, held against what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.scenarios import SCHEMA, Scenario

CHANGE = ("type-changed", "age", "int", "string")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``alert`` is the newest one about the planted fault. ``matches`` are the partitions whose first bad offset is the
    one that the broker acknowledged. ``differences`` say, for people, what is not as it was planted; ``besides`` what
    else was told."""

    alert: Alert | None
    matches: tuple[int, ...] = ()
    differences: tuple[str, ...] = field(default=())
    besides: tuple[Alert, ...] = field(default=())

    @property
    def exact(self) -> bool:
        """The fault was found, and what the alert says of it is so."""
        return self.alert is not None and not self.differences


def judge(scenario: Scenario, acknowledged: Mapping[int, int], alerts: Sequence[Alert]) -> Verdict:
    """Compare alerts, in the order of their arrival, with the first bad record that the producer's broker acknowledged
    in each partition. An alert whose fingerprint came before is an update, which holds all that is known by then."""
    newest = {alert.fingerprint: alert for alert in alerts}
    found = [alert for alert in newest.values() if is_planted(scenario, alert)]
    others = tuple(alert for alert in newest.values() if alert not in found)
    missing = sorted(set(range(scenario.topic.partitions)) - set(acknowledged)) if scenario.marked else ()
    differences = [f"no bad record was acknowledged in partition {partition}" for partition in missing]
    if not found:
        return Verdict(None, (), (f"no alert says that {scenario.what}", *differences), others)
    best = found[0]
    if scenario.name == SCHEMA.name:
        # Of a schema all is exact: nothing may be told twice, and no offset be off.
        differences += [f"the fault was reported under another fingerprint too: {each.summary}" for each in found[1:]]
        differences += [f"an alert about schemas that nothing explains: {a.summary}" for a in others if is_drift(a)]
        others = tuple(alert for alert in others if not is_drift(alert))
        differences += _unequal(best.first_offsets, acknowledged)
    matches = tuple(sorted(p for p, offset in best.first_offsets.items() if acknowledged.get(p) == offset))
    return Verdict(best, matches, tuple(differences), (*found[1:], *others))


def is_planted(scenario: Scenario, alert: Alert) -> bool:
    """Whether an alert tells of the planted fault where it is."""
    if alert.kind not in scenario.alerts or alert.topic != scenario.topic.name:
        return False
    return CHANGE in alert.changes if scenario.name == SCHEMA.name else alert.field == scenario.field


def is_drift(alert: Alert) -> bool:
    """Whether an alert is about schemas, of which chance makes none."""
    return "schema" in alert.kind or "version" in alert.kind


def incident_of(scenario: Scenario, incidents: Iterable[Incident], alerts: Sequence[Alert]) -> Incident | None:
    """The newest revision of the incident that the planted fault belongs to; of several the one that names it, else the
    first."""
    planted = {alert.fingerprint for alert in alerts if is_planted(scenario, alert)}
    newest = {each.id: each for each in sorted(incidents, key=lambda each: each.revision)}
    found = [each for each in newest.values() if each.fingerprints & planted]
    right = [each for each in found if not cause_differences(scenario, each)]
    return next(iter(right or found), None)


def cause_differences(scenario: Scenario, incident: Incident) -> list[str]:
    """How what an incident says broke first differs from what was planted; empty where it is right."""
    if not incident.causes:
        return [f"no cause is named: {incident.answer.get('sentence', 'it is sought')}"]
    first = incident.causes[0]
    differences = []
    if first.node != scenario.topic.name:
        differences.append(f"{first.node} is named, and the fault is in {scenario.topic.name}")
    elif first.field != scenario.field:
        differences.append(f"the field {first.field} is named, and the fault is in {scenario.field}")
    elif scenario.metrics and first.metric not in scenario.metrics:
        differences.append(f"{first.metric} is named, and no one of {', '.join(sorted(scenario.metrics))}")
    elif scenario.event is not None and not any(scenario.event in line for line in first.evidence):
        differences.append(f"no {scenario.event} is in the evidence")
    differences += [f"{each.node} is named too" for each in incident.causes[1:] if each.node != scenario.topic.name]
    return differences


def _unequal(said: Mapping[int, int], real: Mapping[int, int]) -> list[str]:
    differences = []
    for partition in sorted(set(real) | set(said)):
        offset, first = said.get(partition), real.get(partition)
        if offset is None:
            differences.append(f"partition {partition}: the first bad record is at {first}, the alert does not say so")
        elif first is None:
            differences.append(f"partition {partition}: the alert says {offset}, but no bad record was acknowledged")
        elif offset != first:
            differences.append(f"partition {partition}: the alert says {offset}, the first bad record is at {first}")
    return differences

"""The planted fault, held against what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.topics import CUSTOMERS

KIND = "schema-drift"
CHANGE = ("type-changed", "age", "int", "string")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``alert`` is the newest one about the planted fault. ``matches`` are the partitions whose first bad offset is the
    one that the broker acknowledged. ``differences`` say, for people, what else there is."""

    alert: Alert | None
    matches: tuple[int, ...] = ()
    differences: tuple[str, ...] = field(default=())

    @property
    def exact(self) -> bool:
        """The fault was found with exactly the offsets that were acknowledged, and nothing else was."""
        return self.alert is not None and not self.differences


def judge(acknowledged: Mapping[int, int], alerts: Sequence[Alert]) -> Verdict:
    """Compare alerts, in the order of their arrival, with the first bad record that the producer's broker acknowledged
    in each partition. An alert whose fingerprint came before is an update, which holds all that is known by then."""
    newest = {alert.fingerprint: alert for alert in alerts}
    found = [alert for alert in newest.values() if _is_planted(alert)]
    differences = [f"an alert that nothing explains: {a.summary}" for a in newest.values() if not _is_planted(a)]
    differences += [f"the fault was reported under another fingerprint too: {a.summary}" for a in found[1:]]
    missing = sorted(set(range(CUSTOMERS.partitions)) - set(acknowledged))
    differences += [f"no bad record was acknowledged in partition {partition}" for partition in missing]
    if not found:
        return Verdict(None, (), ("no alert says that customers.age changed from int to string", *differences))
    offsets = found[0].first_offsets
    for partition in sorted(set(acknowledged) | set(offsets)):
        said, real = offsets.get(partition), acknowledged.get(partition)
        if said is None:
            differences.append(f"partition {partition}: the first bad record is at {real}, the alert does not say so")
        elif real is None:
            differences.append(f"partition {partition}: the alert says {said}, but no bad record was acknowledged")
        elif said != real:
            differences.append(f"partition {partition}: the alert says {said}, the first bad record is at {real}")
    matches = tuple(sorted(p for p, offset in offsets.items() if acknowledged.get(p) == offset))
    return Verdict(found[0], matches, tuple(differences))


def _is_planted(alert: Alert) -> bool:
    return alert.kind == KIND and alert.topic == CUSTOMERS.name and CHANGE in alert.changes

"""How telling people of incidents goes, as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_lineage.model.telemetry import Metric, Sample
from stream_lineage.notify.desk import Counts


def hook_metrics(counts: Mapping[tuple[str, str], int]) -> Sequence[Metric]:
    """Of what ended, by hook and how."""
    samples = [Sample(count, {"hook": hook, "state": state}) for (hook, state), count in counts.items()]
    return [Metric("stream_lineage_hook_actions_total", "counter", "Actions of hooks, by how they ended.", samples)]


def notify_metrics(counts: Mapping[str, Counts], waiting: Mapping[str, int]) -> Sequence[Metric]:
    """Of each target; ``waiting`` are the messages that it is to hear."""
    attempts = [
        Sample(value, {"target": name, "outcome": outcome})
        for name, each in counts.items()
        for outcome, value in (("sent", each.sent), ("failed", each.failed), ("refused", each.refused))
    ]
    given_up = [Sample(each.dead, {"target": name}) for name, each in counts.items()]
    wait = [Sample(waiting.get(name, 0), {"target": name}) for name in counts]
    return [
        Metric("stream_lineage_notify_attempts_total", "counter", "Messages sent, by how that ended.", attempts),
        Metric("stream_lineage_notify_dead_total", "counter", "Messages that were given up.", given_up),
        Metric("stream_lineage_notify_waiting", "gauge", "Messages that are to be sent.", wait),
    ]

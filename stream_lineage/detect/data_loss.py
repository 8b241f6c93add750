"""Data loss: offsets that retention deleted before anybody could observe them."""

from __future__ import annotations

from datetime import datetime

from stream_lineage.detect.detector import Channel, SchemaTexts, State
from stream_lineage.detect.epoch import entered, turn
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.span import MissingReason

MAX_RANGES = 16
"""Lost ranges remembered per partition. More: an observation that is delivered late is recognised for longer."""

Range = tuple[int, int]


class DataLoss:
    """One finding per lost range. A range that goes on in the next observation is reported again, longer."""

    name = "data-loss"
    channel: Channel = "anomaly"

    def initial(self) -> State:
        return {"epoch": None, "past_epochs": [], "lost": {}}

    def observe(
        self,
        state: State,
        observation: Observation,
        now: datetime,
        schemas: SchemaTexts,
    ) -> tuple[State, tuple[Finding, ...]]:
        where = turn(state, observation.topic_id)
        if where == "past" or observation.kind is ObservationKind.RESOLUTION:
            return state, ()
        seen = _lost_ranges(observation)
        epoch = observation.topic_id or state["epoch"]
        if not seen and where == "same":  # the epoch is adopted with the first loss: until then there is no state
            return state, ()
        lost: dict[str, list[Range]] = {}
        if where == "same":
            lost = {partition: [(first, last) for first, last in ranges] for partition, ranges in state["lost"].items()}
        findings: list[Finding] = []
        for partition, ranges in seen.items():
            known = lost.get(str(partition), [])
            for span in ranges:
                merged = _merged(known, span)
                if merged is not None:
                    known, whole = merged
                    findings.append(_finding(observation, epoch, partition, whole))
            lost[str(partition)] = known[-MAX_RANGES:]
        if not findings and where == "same":
            return state, ()
        epochs = entered(state, epoch) if where == "new" else {"epoch": epoch, "past_epochs": state["past_epochs"]}
        kept = {partition: [list(span) for span in ranges] for partition, ranges in lost.items()}
        return {**epochs, "lost": kept}, tuple(findings)


def _lost_ranges(observation: Observation) -> dict[int, list[Range]]:
    """Ranges by partition, ordered, with adjacent ones put together, also over the border of two spans."""
    found: dict[int, list[Range]] = {}
    for span in sorted(observation.spans, key=lambda span: (span.partition, span.first_offset)):
        for gap in span.missing:
            if gap.reason is not MissingReason.RETENTION:
                continue
            ranges = found.setdefault(span.partition, [])
            if ranges and ranges[-1][1] + 1 == gap.first_offset:
                ranges[-1] = (ranges[-1][0], gap.last_offset)
            else:
                ranges.append((gap.first_offset, gap.last_offset))
    return found


def _merged(known: list[Range], span: Range) -> tuple[list[Range], Range] | None:
    """The known ranges with ``span`` joined in, and the range that it is now part of; null when it was known."""
    if any(first <= span[0] and span[1] <= last for first, last in known):
        return None
    touching = [item for item in known if item[0] <= span[1] + 1 and span[0] <= item[1] + 1]
    whole = (min([span[0], *(item[0] for item in touching)]), max([span[1], *(item[1] for item in touching)]))
    return sorted([*(item for item in known if item not in touching), whole]), whole


def _finding(observation: Observation, epoch: str | None, partition: int, lost: Range) -> Finding:
    first, last = lost
    count = last - first + 1
    records = "1 offset" if count == 1 else f"{count} offsets"
    return Finding(
        kind="data-loss",
        severity=Severity.CRITICAL,
        topic=observation.topic,
        field_path=None,
        summary=f"{observation.topic}: retention deleted {records} of partition {partition} ({first} to {last}) "
        "before they were observed",
        fingerprint=finding_fingerprint("data-loss", observation.cluster, observation.topic, epoch, partition, first),
        first_offsets={partition: first},
        last_offsets={partition: last},
    )

"""What is seen of the demo: the moving table, the alert, the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.planted import Verdict
from stream_lineage.sandbox.demo.questions import Question
from stream_lineage.sandbox.demo.watch import Effects, TopicState

_SEVERITIES = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_VERDICTS = {
    "full": "compatible both ways",
    "backward": "readers on the new schema can read the old records, not the other way round",
    "forward": "readers on the old schema can read the new records, not the other way round",
    "none": "no compatibility: readers on one schema cannot read records of the other",
}


def table(topics: Sequence[TopicState], effects: Effects, phase: Text) -> RenderableType:
    """Topics with what is in them and what was observed of it, and what goes on."""
    grid = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column("topic")
    for column in ("partitions", "records", "per second", "observed", "spans"):
        grid.add_column(column, justify="right")
    grid.add_column("schema")
    for state in topics:
        versions = " ".join(f"v{version}" for version in state.versions)
        grid.add_row(
            Text(state.topic.name, style="bold"),
            str(state.topic.partitions),
            f"{state.records:,}",
            f"{state.per_second:,.0f}",
            f"{state.observed:,}",
            str(state.spans),
            Text(versions, style="yellow" if len(state.versions) > 1 else "green"),
        )
    return Group(Text(), grid, Text(effects_line(effects), style="dim"), Text(), phase)


def summary(topics: Sequence[TopicState]) -> str:
    """The table as one line."""
    parts = [
        f"{state.topic.name} {state.records:,} ({state.per_second:.0f}/s, {state.observed:,} observed, "
        f"{_counted(state.spans, 'span')})"
        for state in topics
    ]
    return "; ".join(parts)


def effects_line(effects: Effects) -> str:
    """What values look like; nothing watches them in this version."""
    ages = "" if effects.null_ages is None else f"features.age: {effects.null_ages:.0%} null"
    events = f"clicks.event_type: {', '.join(effects.event_types)}" if effects.event_types else ""
    return "  ·  ".join(filter(None, [ages, events]))


def alert_lines(verdict: Verdict, alert: Alert, acknowledged: Mapping[int, int]) -> list[Text]:
    """The alert, and beside each first offset what the broker had acknowledged to the producer."""
    lines = [
        Text.assemble(
            (alert.severity, _SEVERITIES.get(alert.severity, "")), f"  {alert.kind} on ", (alert.topic, "bold")
        )
    ]
    for kind, path, old, new in alert.changes:
        lines.append(Text.assemble("  ", (path or "the schema", "bold"), f"  {kind}: {old} -> {new}"))
    if alert.verdict is not None:
        lines.append(Text(f"  {_VERDICTS.get(alert.verdict, alert.verdict)}"))
    lines.append(Text("first bad offset"))
    for partition, offset in sorted(alert.first_offsets.items()):
        real = acknowledged.get(partition)
        matches = partition in verdict.matches
        said = f"acknowledged to the producer at {real}" if real is not None else "nothing was acknowledged here"
        lines.append(
            Text.assemble(
                f"  partition {partition}  ",
                (f"{offset:>8}", "bold"),
                f"   {said}  ",
                ("the same", "green") if matches else ("DIFFERENT", "bold red"),
            )
        )
    return lines


def result_line(verdict: Verdict) -> str:
    """The outcome in one line, to be seen when all else has scrolled away."""
    if verdict.alert is None:
        return "The fault was not found."
    offsets = ", ".join(f"[{partition}]@{offset}" for partition, offset in sorted(verdict.alert.first_offsets.items()))
    return f"{'Found' if verdict.exact else 'Found, but not as planted'}: {verdict.alert.topic} {offsets}."


def question_lines(questions: Sequence[Question]) -> list[Text]:
    """Each question with its command below."""
    lines = []
    for question in questions:
        lines.append(Text(question.text, style="dim"))
        lines.append(Text.assemble("  ", (question.command, "cyan")))
    return lines


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

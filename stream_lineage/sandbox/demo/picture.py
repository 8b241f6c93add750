"""What is seen of the demo: the moving table, the alert, the incident with its answer, the way back, the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream_lineage.notify.links import Links
from stream_lineage.notify.message import incident_message
from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.api import Link
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.planted import Verdict
from stream_lineage.sandbox.demo.questions import Question
from stream_lineage.sandbox.demo.watch import Effects, TopicState
from stream_lineage.sandbox.demo.way_back import Plan

_SEVERITIES = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_MOST_EVIDENCE = 5
_MOST_ROWS = 9
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
    """What values look like."""
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
    whole = "the schema" if alert.kind == "schema-drift" else "the topic"
    for kind, path, old, new in alert.changes:
        lines.append(Text.assemble("  ", (path or whole, "bold"), f"  {kind}: {old} -> {new}"))
    if alert.verdict is not None:
        lines.append(Text(f"  {_VERDICTS.get(alert.verdict, alert.verdict)}"))
    if alert.kind != "schema-drift":
        return [*lines, *_since(alert, acknowledged)]
    return [*lines, Text("first bad offset"), *offset_lines(alert.first_offsets, acknowledged)]


def _since(alert: Alert, acknowledged: Mapping[int, int]) -> list[Text]:
    """An alert about a metric knows the window in which it began."""
    offsets = ", ".join(f"[{partition}]@{offset}" for partition, offset in sorted(alert.first_offsets.items()))
    lines = [Text(f"  {alert.summary}"), Text(f"began in the window from {alert.topic} {offsets} on")]
    if acknowledged:
        real = ", ".join(f"[{partition}]@{offset}" for partition, offset in sorted(acknowledged.items()))
        lines.append(Text(f"the first bad records were acknowledged to the producer at {real}"))
    return lines


def offset_lines(said: Mapping[int, int], acknowledged: Mapping[int, int]) -> list[Text]:
    """First bad offsets, each beside what was acknowledged."""
    lines = []
    for partition, offset in sorted(said.items()):
        real = acknowledged.get(partition)
        known = f"acknowledged to the producer at {real}" if real is not None else "nothing was acknowledged here"
        lines.append(
            Text.assemble(
                f"  partition {partition}  ",
                (f"{offset:>8}", "bold"),
                f"   {known}  ",
                ("the same", "green") if real == offset else ("DIFFERENT", "bold red"),
            )
        )
    return lines


def incident_lines(incident: Incident, acknowledged: Mapping[int, int]) -> list[Text]:
    """What an incident says broke first, why, and what else is hit."""
    answer = incident.answer
    lines = [Text(str(answer.get("sentence", "What broke first is sought.")), style="bold")]
    for cause in incident.causes:
        where = f"{cause.metric} of {cause.field}" if cause.field else cause.metric
        lines.append(
            Text.assemble("broke first   ", (cause.node, "bold"), f"  {where}, confidence {cause.confidence:.2f}")
        )
        lines.append(Text(f"way           {' > '.join(cause.path)}"))
        lines += [Text(f"  {line}", style="dim") for line in cause.evidence[:_MOST_EVIDENCE]]
    if incident.first_bad:
        lines += [Text("first bad record"), *offset_lines(incident.first_bad, acknowledged)]
    elif incident.located:
        lines.append(Text(f"first bad     {answer.get('located', 'is not known')}"))
    if incident.affected:
        lines.append(Text(f"also hit      {', '.join(incident.affected)}"))
    lines += [Text(f"to settle it  {line}") for line in answer.get("settle", ())]
    return lines


def message_lines(incident: Incident, public_url: str) -> list[Text]:
    """The message that people get of it, as text."""
    return [Text(line) for line in incident_message(incident.body, Links(public_url)).text.splitlines()]


def plan_lines(plan: Plan) -> list[Text]:
    """To which offsets groups go back."""
    if plan.failed is not None:
        return [Text(f"no plan: {plan.failed}", style="yellow")]
    if not plan.rows:
        return [Text("no group has read any of it: nothing is to be reset")]
    lines = [
        Text.assemble(
            f"{row.group:<16}",
            (f"{row.topic}[{row.partition}]".ljust(16), "bold"),
            f"{row.stands_at:>8} -> {row.goes_to:<8} reads {row.again:,} again",
        )
        for row in plan.rows[:_MOST_ROWS]
    ]
    if len(plan.rows) > _MOST_ROWS:
        lines.append(Text(f"and {len(plan.rows) - _MOST_ROWS} partitions more", style="dim"))
    return lines


def result_line(verdict: Verdict, cause_found: bool) -> str:
    """The outcome in one line, to be seen when all else has scrolled away."""
    if verdict.alert is None:
        return "The fault was not found."
    offsets = ", ".join(f"[{partition}]@{offset}" for partition, offset in sorted(verdict.alert.first_offsets.items()))
    found = "Found" if verdict.exact else "Found, but not as planted"
    cause = "and its cause" if cause_found else "but not its cause"
    return f"{found}, {cause}: {verdict.alert.topic} {offsets}."


def question_lines(questions: Sequence[Question]) -> list[Text]:
    """Each question with its command below."""
    lines = []
    for question in questions:
        lines.append(Text(question.text, style="dim"))
        lines.append(Text.assemble("  ", (question.command, "cyan")))
    return lines


def link_lines(links: Sequence[Link]) -> list[Text]:
    """Each address beside what is there."""
    widest = max(len(each.text) for each in links)
    return [Text.assemble((each.text.ljust(widest + 2), "dim"), (each.url, "cyan")) for each in links]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

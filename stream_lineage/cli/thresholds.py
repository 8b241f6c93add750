"""``stream-lineage thresholds``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_details, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.auditing import Report
    from stream_lineage.detect.series.labelled import LabelledIncident, Outcome

CANDIDATES = (0.005, 0.05, 0.5, 5.0, 50.0)
_BAR = 20
_HISTORY = timedelta(days=8)
"""Before the first labelled incident: detectors are warm then, and know each day of the week."""


@click.group()
def thresholds() -> None:
    """Hold thresholds against what happened."""


@thresholds.command()
@click.option("--from", "start", metavar="TIME", help="From when on.  [default: 8 days before the first one labelled]")
@click.option("--to", "end", metavar="TIME", help="Until when.  [default: now]")
@click.option(
    "--window",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How wide the windows are in which series are judged.",
)
@click.option(
    "--sensitivity",
    "sensitivities",
    type=click.FloatRange(1e-6, 1e3),
    multiple=True,
    metavar="NUMBER",
    help="A metric_sensitivity to try, beside the one that is set. Repeatable.  [default: 0.005, 0.05, 0.5, 5, 50]",
)
@click.option("--topic", "topics", multiple=True, metavar="TOPIC", help="Also look for false alarms here. Repeatable.")
@click.option(
    "--bearable",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="NUMBER",
    help="False alarms in a month, of all series together, with which a sensitivity may be suggested.",
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg", help="Draw the trade-off.")
@output_option
@settings_options(single=(*TO_READ_OURS, *TO_READ_METRICS, "metric_sensitivity"))
def audit(
    settings: Settings,
    start: str | None,
    end: str | None,
    window: int,
    sensitivities: tuple[float, ...],
    topics: tuple[str, ...],
    bearable: float,
    plot: Path | None,
    output: str,
) -> None:
    """Which sensitivities would have caught the incidents that people have labelled, how late, and with how many false
    alarms.

    The production detector is run over what the metric store has of the nodes that incidents showed at, once for each
    sensitivity. Incidents are labelled with `stream-lineage incident label ID true|false --cause NODE`.

    \b
    stream-lineage thresholds audit
    stream-lineage thresholds audit --from 30d --sensitivity 0.1 --sensitivity 1 --plot tradeoff.svg
    """
    from stream_lineage.auditing import Question, labelled
    from stream_lineage.auditing import audit as audited
    from stream_lineage.detect.series.labelled import suggested
    from stream_lineage.incidents import incidents

    now = datetime.now(UTC)
    with reading("reading incidents") as progress:
        told = incidents(settings, progress)
    until = now if end is None else moment_before(end, now)
    if start is not None:
        since = moment_before(start, now)
    else:
        begun = [each.start for each in (labelled(one, until) for one in told) if each.verdict is not None]
        since = datetime.fromtimestamp(min(begun), UTC) - _HISTORY if begun else until - _HISTORY
    if since >= until:
        raise click.UsageError("--from is not before --to.")
    present = settings.agents.metric_sensitivity
    tried = tuple(sorted({*(sensitivities or CANDIDATES), present}))
    question = Question(since, until, window, tried, topics)
    with reading("running the detector") as progress:
        report = audited(settings, told, question, progress)
    best = suggested(report.outcomes, bearable, present)
    if plot is not None:
        from stream_lineage.cli.audit_plot import tradeoff_svg

        plot.write_text(tradeoff_svg(report.outcomes, None if best is None else best.sensitivity), encoding="utf-8")
    if output == JSON:
        print_json(_document(question, report, best, present, bearable))
    else:
        _print(question, report, best, present, bearable)


def _document(question: Any, report: Report, best: Outcome | None, present: float, bearable: float) -> dict[str, Any]:
    return {
        "from": question.start.isoformat(timespec="seconds"),
        "to": question.end.isoformat(timespec="seconds"),
        "window_seconds": question.window_seconds,
        "series": report.series,
        "incidents": [_incident(each) for each in report.incidents],
        "sensitivities": [_outcome(each) for each in report.outcomes],
        "present": present,
        "bearable_per_month": bearable,
        "suggested": None if best is None else best.sensitivity,
        "notes": list(report.notes),
    }


def _incident(each: LabelledIncident) -> dict[str, Any]:
    return {
        "id": each.id, "from": _time(each.start), "to": _time(each.end), "label": each.verdict,
        "nodes": sorted(each.nodes),
    }  # fmt: skip


def _outcome(each: Outcome) -> dict[str, Any]:
    return {
        "sensitivity": each.sensitivity,
        "caught": [
            {"incident": one.incident, "by": str(one.by), "delay_seconds": one.delay_seconds} for one in each.caught
        ],
        "missed": list(each.missed),
        "told_again": list(each.repeated),
        "median_delay_seconds": each.median_delay_seconds,
        "false_alarms": each.false_alarms,
        "false_by_metric": dict(each.false_by_metric),
        "false_per_month": each.false_per_month,
        "false_per_series_month": each.false_per_series_month,
    }


def _print(question: Any, report: Report, best: Outcome | None, present: float, bearable: float) -> None:
    screen = console()
    real = sum(each.verdict is True for each in report.incidents)
    false = sum(each.verdict is False for each in report.incidents)
    print_details(
        {
            "incidents": f"{real} real, {false} false alarms, {len(report.incidents) - real - false} not labelled",
            "series": report.series,
            "time": f"{question.start:%Y-%m-%d %H:%M} to {question.end:%Y-%m-%d %H:%M} UTC, windows of "
            f"{question.window_seconds} s",
        }
    )
    rows = [
        (
            f"{each.sensitivity:g}{' (set)' if each.sensitivity == present else ''}"
            f"{' *' if best is not None and each.sensitivity == best.sensitivity else ''}",
            f"{len(each.caught)} of {real}",
            "" if each.median_delay_seconds is None else f"{each.median_delay_seconds:.0f} s",
            each.false_alarms,
            "" if each.false_per_month is None else f"{each.false_per_month:.1f}",
            f"{len(each.repeated)} of {false}",
            ", ".join(f"{metric} {count}" for metric, count in _most(each.false_by_metric)),
        )
        for each in report.outcomes
    ]
    columns = ("sensitivity", "caught", "median delay", "false", "false per month", "told again", "false by metric")
    screen.print()
    print_table(columns, rows, title="What each sensitivity would have done", right=columns[:-1])
    screen.print()
    for line in tradeoff(report.outcomes, real):
        screen.print(line)
    caught = best or next((each for each in report.outcomes if each.sensitivity == present), report.outcomes[0])
    found = [(each.incident[:12], str(each.by), f"{each.delay_seconds:.0f} s") for each in caught.caught]
    found += [(each[:12], "nothing", "") for each in caught.missed]
    if found:
        screen.print()
        title = f"Told first, at a sensitivity of {caught.sensitivity:g}"
        print_table(("incident", "by", "after"), found, title=title, right=("after",))
    screen.print()
    screen.print(Text(advice(best, present, bearable), style="bold"), soft_wrap=True)
    for note in report.notes:
        screen.print(Text(note, style="dim"), soft_wrap=True)


def advice(best: Outcome | None, present: float, bearable: float) -> str:
    """What to do, in a sentence."""
    if best is None:
        return f"Each sensitivity has more than {bearable:g} false alarms in a month: mute what is noisy, or bear more."
    if best.sensitivity == present:
        return f"metric_sensitivity is right as it is: {present:g}."
    return (
        f"Suggested: metric_sensitivity {best.sensitivity:g} (it is {present:g}). Of what is bearable it catches most, "
        "with the fewest false alarms."
    )


def tradeoff(outcomes: Sequence[Outcome], real: int) -> list[Text]:
    """What is caught to the left, false alarms to the right, a line for each sensitivity."""
    most = max((each.false_alarms for each in outcomes), default=0)
    lines = [Text(f"{'sensitivity':>12}  {'caught':<{_BAR}}  false alarms", style="dim")]
    for each in outcomes:
        right = round(_BAR * len(each.caught) / real) if real else 0
        wrong = round(_BAR * each.false_alarms / most) if most else 0
        lines.append(
            Text.assemble(
                f"{each.sensitivity:>12g}  ",
                ("█" * right, "green"),
                ("·" * (_BAR - right), "dim"),
                "  ",
                ("█" * max(wrong, 1 if each.false_alarms else 0), "red"),
                f" {each.false_alarms}",
            )
        )
    return lines


def _most(counts: Any) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

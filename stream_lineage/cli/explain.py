"""``stream-lineage explain``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.errors import StreamLineageError
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.explain.answer import Answer, Ranked
    from stream_lineage.explain.live import Bundle
    from stream_lineage.explain.recording import Recording
    from stream_lineage.explaining import Meant

_SHOWN = 12
_TREND_WIDTH = 48


@click.command()
@click.argument("target", metavar="BUNDLE.json|TARGET")
@click.option("--metric", metavar="METRIC", help="Ask about this metric of TARGET, in the live graph.")
@click.option("--field", metavar="FIELD", help="The field of TARGET that the metric is of.")
@click.option("--at", metavar="TIME", help="When it was noticed: a time, or how long ago: 3d, 12h.  [default: now]")
@click.option("--history", metavar="AGE", help="How long before that to look: 2h, 7d.  [default: as long as needed]")
@click.option(
    "--export", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the bundle there, too."
)
@output_option
@settings_options(single=(*TO_READ_OURS, *TO_READ_METRICS), defer=True)
def explain(
    settings: Callable[[], Settings],
    target: str,
    metric: str | None,
    field: str | None,
    at: str | None,
    history: str | None,
    export: Path | None,
    output: str,
) -> None:
    """Find what broke first, in a recorded incident or in the live graph.

    The answer is the upstream-most node whose own data deviate on a real path to the breach, with path, evidence, what
    was rejected and what else is hit; or inconclusive, with what would settle it. Both end with exit code 0.

    Of the live graph it also says which record of each partition is the first bad one, reading a bounded number of them
    again, and to which offsets consumer groups have to go back. No value of a record is shown.

    BUNDLE.json holds the graph, the series of metrics, events and the breach (docs/root-cause.md); - is stdin. With
    --metric, TARGET is a node of the lineage graph, or TOPIC:FIELD, and all that is read from Kafka and the metric
    store.

    \b
    stream-lineage explain incident.json
    stream-lineage explain predictions --metric ctr --at 2026-03-01T12:00Z
    stream-lineage explain orders --metric null_ratio --field amount --export incident.json
    """
    from stream_lineage.cli.bundle_file import read_bundle, write_bundle
    from stream_lineage.explain.bundle import recording_of

    if metric is None:
        for name, given in (("--field", field), ("--at", at), ("--history", history), ("--export", export)):
            if given is not None:
                raise click.UsageError(f"{name} is about the live graph: give --metric, too.")
        _answer(read_bundle(target), target, output)
        return
    known = settings()
    meant, bundle = _asked(known, target, metric, field, at, history)
    if export is not None:
        write_bundle(export, bundle.document)
    recording = recording_of(bundle.document)
    width = f"Windows are {bundle.window_seconds} s wide."
    recording = replace(recording, notes=(*recording.notes, width, *bundle.notes))
    _answer(recording, target, output, lambda answer: _located(known, meant, recording, answer))


def _asked(
    settings: Settings, target: str, metric: str, field: str | None, at: str | None, history: str | None
) -> tuple[Meant, Bundle]:
    from stream_lineage.explaining import Asked, bundle_of, meant_by

    now = datetime.now(UTC)
    when = now if at is None else moment_before(at, now)
    if when > now:
        raise click.UsageError("--at is in the future.")
    age = None if history is None else now - moment_before(history, now)
    if age is not None and age <= timedelta(0):
        raise click.UsageError("--history is how long: 2h, 7d.")
    asked = Asked(target, metric, field, when, age)
    with reading("reading the lineage graph") as progress:
        meant = meant_by(settings, asked, progress)
    with reading("reading series of nodes") as progress:
        return meant, bundle_of(settings, meant, progress)


def _located(settings: Settings, meant: Meant, recording: Recording, answer: Answer) -> dict[str, Any]:
    """What Kafka tells of an answer."""
    from stream_lineage.explain.located import unlocated
    from stream_lineage.explaining import spots_in
    from stream_lineage.locating import located

    if answer.verdict != "root-cause":
        return unlocated("No cause is named, so no record is known to be bad.")
    spots = spots_in(settings, meant, recording, answer)
    with reading("looking for the first bad records"):
        return located(settings, spots, meant.graph).document()


def _answer(
    recording: Recording, name: str, output: str, locate: Callable[[Answer], dict[str, Any]] | None = None
) -> None:
    from stream_lineage.cli.located_output import print_located
    from stream_lineage.explain.located import unlocated
    from stream_lineage.explain.root_cause import explain as explained
    from stream_lineage.explain.spots import causes_of

    try:
        answer = explained(recording)
    except Exception as error:
        raise StreamLineageError(
            f"no answer for {name}: {type(error).__name__}: {error}",
            hint="That is a fault of the search, not of the bundle; --debug shows where.",
        ) from error
    beyond = unlocated("A bundle holds no records, and Kafka is not asked.") if locate is None else locate(answer)
    if output == JSON:
        print_json({**answer.document(), "causes": causes_of(answer), **beyond})
        return
    _print(answer)
    if locate is not None and answer.verdict == "root-cause":
        print_located(beyond)


def _print(answer: Answer) -> None:
    screen = console()
    style = "bold" if answer.verdict == "root-cause" else "bold yellow"
    screen.print(Text(answer.sentence, style=style), soft_wrap=True)
    named = [each for each in answer.ranking if each.named]
    for each in named:
        screen.print()
        _print_path(each)
    others = [each for each in answer.ranking if not each.named]
    if others:
        rows = [(each.node, each.metric, f"{each.confidence:.2f}", " > ".join(each.path)) for each in others]
        screen.print()
        print_table(["node", "metric", "confidence", "path"], rows[:_SHOWN], title="Less likely", right=["confidence"])
    if answer.rejected:
        rejected = [(each.node, each.reason) for each in answer.rejected]
        screen.print()
        print_table(["node", "why it is not the cause"], rejected[:_SHOWN], title=_title("Rejected", len(rejected)))
    if answer.affected:
        affected = [(each.node, each.kind, each.hops) for each in answer.affected]
        screen.print()
        print_table(
            ["node", "kind", "hops"], affected[:_SHOWN], title=_title("What else is hit", len(affected)), right=["hops"]
        )
    for title, lines in (("What would settle it", answer.settle), ("Notes", answer.notes)):
        if lines:
            screen.print(Text(f"\n{title}", style="bold"))
            for line in lines:
                screen.print(Text(f"  {line}"), soft_wrap=True)


def _title(name: str, count: int) -> str:
    return name if count <= _SHOWN else f"{name}: the first {_SHOWN} of {count}"


def _print_path(each: Ranked) -> None:
    from stream_lineage.cli.sparkline import sparkline
    from stream_lineage.explain.wording import moment

    along = {deviation.name.node: deviation for deviation in each.deviations}
    evidence = ["", *(", ".join(hop.evidence) or "not said" for hop in each.hops)]
    rows = []
    for node, known_by in zip(each.path, evidence, strict=True):
        deviation = along.get(node)
        if deviation is None:
            rows.append((node, known_by, "no metrics that would show it", "", "", ""))
        else:
            field = "" if deviation.name.field is None else f":{deviation.name.field}"
            rows.append(
                (
                    node,
                    known_by,
                    f"{deviation.name.metric}{field}",
                    moment(deviation.onset),
                    f"{deviation.ratio:.3g}",
                    sparkline(deviation, _TREND_WIDTH),
                )
            )
    title = f"From {each.node} to the breach, confidence {each.confidence:.2f}"
    print_table(["node", "known by", "metric", "since", "x limit", "trend"], rows, title=title, right=["x limit"])
    screen = console()
    for line in each.evidence:
        screen.print(Text(f"  {line}", style="dim"), soft_wrap=True)

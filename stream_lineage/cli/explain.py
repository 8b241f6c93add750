"""``stream-lineage explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from stream_lineage.cli.output import JSON, console, output_option, print_json, print_table
from stream_lineage.errors import StreamLineageError

if TYPE_CHECKING:
    from stream_lineage.explain.answer import Answer, Ranked

_SHOWN = 12
_TREND_WIDTH = 48


@click.command()
@click.argument("bundle", metavar="BUNDLE.json")
@output_option
def explain(bundle: str, output: str) -> None:
    """Find what broke first, in a recorded incident.

    BUNDLE.json holds the graph, the series of metrics, events and the breach (docs/root-cause.md); - is stdin. The
    answer is the upstream-most node whose own data deviate on a real path to the breach, with path, evidence, what was
    rejected and what else is hit; or inconclusive, with what would settle it. Both end with exit code 0.

    \b
    stream-lineage explain incident.json
    stream-lineage explain incident.json --output json | jq .ranking[0].node
    """
    from stream_lineage.cli.bundle_file import read_bundle
    from stream_lineage.explain.root_cause import explain as explained

    recording = read_bundle(bundle)
    try:
        answer = explained(recording)
    except Exception as error:
        raise StreamLineageError(
            f"no answer for {bundle}: {type(error).__name__}: {error}",
            hint="That is a fault of the search, not of the bundle; --debug shows where.",
        ) from error
    if output == JSON:
        print_json(answer.document())
    else:
        _print(answer)


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

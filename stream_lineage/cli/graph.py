"""``stream-lineage graph``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream_lineage.cli.graph_standing import coverage, stale
from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, TABLE, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.graph.graph import EdgeView, Graph
    from stream_lineage.graph.picture import Picture
    from stream_lineage.graph.walk import Direction

Command = TypeVar("Command", bound=Callable[..., Any])
_FORMS = (TABLE, JSON, "mermaid", "dot", "cypher", "openlineage")
_CANDIDATES = 0.01


@click.group()
def graph() -> None:
    """Show what data is made of, and what is made of it.

    Nodes are datasets, jobs, columns, models and dashboards, by id, by name, or as KIND:NAME; columns as TOPIC:PATH.
    """


graph.add_command(stale)
graph.add_command(coverage)


def _at(command: Command) -> Command:
    return click.option("--at", metavar="TIME", help="As of a time, or how long ago: 3d, 12h.  [default: now]")(command)


def _form(command: Command) -> Command:
    option = click.option(
        "--output", type=click.Choice(_FORMS), default=TABLE, show_default=True, help="Form of the output."
    )
    return option(command)


def _candidates(command: Command) -> Command:
    return click.option("--candidates", is_flag=True, help="With edges that are only guessed.")(command)


def _depth(command: Command) -> Command:
    return click.option(
        "--depth", type=click.IntRange(min=1), metavar="N", help="Steps to go.  [default: all]"
    )(command)  # fmt: skip


@graph.command()
@click.argument("node", required=False)
@_at
@_depth
@_candidates
@_form
@settings_options(single=TO_READ_OURS)
def show(
    settings: Settings, node: str | None, at: str | None, depth: int | None, candidates: bool, output: str
) -> None:
    """Show the graph, or what is around NODE.

    \b
    stream-lineage graph show --output mermaid
    stream-lineage graph show orders --depth 2
    """
    from stream_lineage.graph.picture import around, whole

    when = _moment(at)
    found = _read(settings, when)
    least = _least(candidates)
    if node is None:
        if depth is not None:
            raise click.UsageError("--depth needs a NODE.")
        picture = whole(found, at_least=least, at=when)
    else:
        picture = around(found, node, _WAYS, depth=depth or 1, at_least=least, at=when)
    _print(picture, output, _WAYS)


_WAYS: tuple[Direction, Direction] = ("upstream", "downstream")
_NOTHING: Mapping[Direction, str] = {"upstream": "lead there", "downstream": "be made of it"}


@graph.command()
@click.argument("node")
@_at
@_depth
@_candidates
@_form
@settings_options(single=TO_READ_OURS)
def ancestors(settings: Settings, node: str, at: str | None, depth: int | None, candidates: bool, output: str) -> None:
    """Show what NODE is made of, step by step.

    \b
    stream-lineage graph ancestors predictions --depth 3
    """
    _walk(settings, node, "upstream", at, depth, candidates, output)


@graph.command()
@click.argument("node")
@_at
@_depth
@_candidates
@_form
@settings_options(single=TO_READ_OURS)
def impact(settings: Settings, node: str, at: str | None, depth: int | None, candidates: bool, output: str) -> None:
    """Show what is made of NODE: who is hit when it breaks.

    \b
    stream-lineage graph impact orders
    stream-lineage graph impact orders:user.id --at 2d
    """
    _walk(settings, node, "downstream", at, depth, candidates, output)


@graph.command()
@click.option("--since", required=True, metavar="TIME", help="Time, or how long ago: 7d, 12h, 90m.")
@click.option("--until", metavar="TIME", help="Time, or how long ago.  [default: now]")
@_candidates
@output_option
@settings_options(single=TO_READ_OURS)
def diff(settings: Settings, since: str, until: str | None, candidates: bool, output: str) -> None:
    """Show what changed in the graph between two times.

    \b
    stream-lineage graph diff --since 7d
    """
    from stream_lineage.graph.differences import differences, differences_document
    from stream_lineage.graph.graph import Graph

    before, after = _moment(since), _moment(until)
    if before is None or (after or datetime.now(UTC)) <= before:
        raise click.UsageError("--since must be before --until")
    now = _read(settings, None)
    past = Graph() if now.first is None or before < now.first else now.as_of(before)
    found = differences(past, now if after is None else now.as_of(after), at_least=_least(candidates))
    if output == JSON:
        print_json(differences_document(found))
        return
    rows = [("+", node.id, "", "") for node in found.nodes_added]
    rows += [("-", node.id, "", "") for node in found.nodes_removed]
    rows += [("+", *_cells(each)) for each in found.edges_added]
    rows += [("-", *_cells(each)) for each in found.edges_removed]
    rows += [
        ("~", f"{new.edge.source.id} → {new.edge.target.id}", _classes(new), f"{old.confidence:g} → {new.confidence:g}")
        for old, new in found.edges_changed
    ]
    if rows:
        print_table(("", "what", "evidence", "confidence"), rows)
    else:
        click.echo("nothing changed")


def _walk(
    settings: Settings, node: str, way: Direction, at: str | None, depth: int | None, candidates: bool, output: str
) -> None:
    from stream_lineage.graph.picture import around

    when = _moment(at)
    found = _read(settings, when)
    _print(around(found, node, (way,), depth=depth, at_least=_least(candidates), at=when), output, (way,))


def _read(settings: Settings, at: datetime | None) -> Graph:
    from stream_lineage.graphing import graph_at

    with reading("reading the lineage graph") as progress:
        return graph_at(settings, at, progress)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment_before(text, datetime.now(UTC))


def _least(candidates: bool) -> float:
    from stream_lineage.graph.known import LOW

    return _CANDIDATES if candidates else LOW


def _print(picture: Picture, output: str, ways: Sequence[Direction]) -> None:
    if output == TABLE:
        _print_tables(picture, ways)
    elif output == JSON:
        from stream_lineage.graph.picture import document

        print_json(document(picture))
    elif output == "openlineage":
        from stream_lineage.graph.openlineage_events import openlineage_events

        print_json(openlineage_events(picture, datetime.now(UTC)))
    else:
        sys.stdout.write(_text(picture, output))


def _text(picture: Picture, output: str) -> str:
    if output == "mermaid":
        from stream_lineage.graph.mermaid import mermaid

        return mermaid(picture)
    if output == "dot":
        from stream_lineage.graph.dot import dot

        return dot(picture)
    from stream_lineage.graph.cypher import cypher

    return cypher(picture)


def _print_tables(picture: Picture, ways: Sequence[Direction]) -> None:
    start = picture.start
    if start is not None and len(picture.nodes) == 1:
        click.echo(f"{start.label}: nothing is known to {' or to '.join(_NOTHING[way] for way in ways)}")
        return
    if start is not None:
        nodes = sorted((node for node in picture.nodes if node != start), key=lambda node: (picture.steps[node], node))
        rows = [(picture.steps[node], node.kind.value, node.label, f"{picture.sure[node]:.2f}") for node in nodes]
        print_table(("steps", "kind", "node", "confidence"), rows, title=start.id, right=("steps", "confidence"))
    elif not picture.edges:
        print_table(("kind", "node"), [(node.kind.value, node.label) for node in picture.nodes])
        return
    edges = [
        (each.edge.source.label, each.edge.target.label, _classes(each), f"{each.confidence:.2f}", _last(each))
        for each in picture.edges
    ]
    print_table(("from", "to", "evidence", "confidence", "last seen"), edges, right=("confidence",))


def _classes(view: EdgeView) -> str:
    held = [each for each in view.evidence if each.holds] or view.evidence
    return ", ".join(dict.fromkeys(each.by.value for each in held))


def _last(view: EdgeView) -> str:
    return max(each.last_seen for each in view.evidence).strftime("%Y-%m-%d %H:%M")


def _cells(view: EdgeView) -> tuple[str, str, str]:
    return f"{view.edge.source.id} → {view.edge.target.id}", _classes(view), f"{view.confidence:.2f}"

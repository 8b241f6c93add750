"""``stream-lineage good-offsets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stream_lineage.cli.index import filling
from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.errors import ConnectionFailed, IndexBusy, NotFound
from stream_lineage.logs import get_logger
from stream_lineage.model.finding import Severity
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.explain.good_offsets import GoodOffset
    from stream_lineage.index.reader import ProvenanceIndex

_log = get_logger("stream_lineage.good_offsets")
Times = Mapping[tuple[str, int], datetime | None]


@click.command("good-offsets")
@click.argument("node", required=False, metavar="[TOPIC|NODE]")
@click.option(
    "--severity", type=click.Choice([each.value for each in Severity]), default="warning", show_default=True,
    help="Alerts below this do not count.",
)  # fmt: skip
@click.option(
    "--since", default="7d", show_default=True, metavar="TIME",
    help="Alerts that are told once, and never over, count when they are newer than this.",
)  # fmt: skip
@click.option("--update/--no-update", default=True, help="Read into the index first what is new.  [default: update]")
@click.option("--offline", is_flag=True, help="By the index alone: ask Kafka nothing.")
@output_option
@settings_options("index", single=(*TO_READ_OURS, "state_dir"))
def good_offsets(
    settings: Settings, node: str | None, severity: str, since: str, update: bool, offline: bool, output: str
) -> None:
    """Show the last offset of each partition before the first alert that is not over.

    Where no alert is open it is the newest offset that was observed. NODE of the lineage graph stands for all topics
    that it is made of.

    \b
    stream-lineage good-offsets
    stream-lineage good-offsets orders --output json
    """
    from stream_lineage import indexing
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.explain.good_offsets import good_offsets as found_in
    from stream_lineage.explain.good_offsets import is_bad
    from stream_lineage.index.alert_onset import onsets
    from stream_lineage.index.reader import ProvenanceIndex

    after = moment_before(since, datetime.now(UTC))
    if not offline:
        preflight(settings, "reader")
        if update:
            with suppress(IndexBusy), filling("reading into the index") as progress:  # busy: somebody keeps it so
                indexing.update(settings, progress)
    with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
        topics = None if node is None else _topics(settings, index, node, offline=offline)
        bad = [each for each in onsets(index) if is_bad(each, since=after, at_least=Severity(severity))]
        found = found_in(index, bad, topics)
    times = {} if offline else _times(settings, found)
    if output == JSON:
        print_json([_document(each, times) for each in found])
    elif found:
        rows = [_row(each, times) for each in found]
        columns = ("partition", "last good", "written", "newest", "because")
        print_table(columns, rows, right=("last good", "newest"), styles={"none": "red"})
    else:
        click.echo("nothing has been observed")


def _topics(settings: Settings, index: ProvenanceIndex, node: str, *, offline: bool) -> list[str]:
    """The topic of that name, or those that a node of the graph is made of.

    Raises:
        NotFound: neither the index nor the graph knows it, or nothing that it is made of was observed.
    """
    from stream_lineage.graph.lookup import find
    from stream_lineage.graph.walk import reach
    from stream_lineage.graphing import graph_at
    from stream_lineage.model.graph import NodeKind

    observed = {epoch.topic for epoch in index.epochs()}
    if node in observed:
        return [node]
    if offline:
        raise NotFound(f"nothing was observed of a topic {node}", hint="Nodes of the lineage graph are in Kafka.")
    try:
        with reading("reading the lineage graph") as progress:
            graph = graph_at(settings, None, progress)
        start = find(graph, node)
    except NotFound as error:
        raise NotFound(f"nothing was observed of a topic {node}; {error.message}", hint=error.hint) from error
    start = start.dataset or start
    found = [graph.nodes[number] for number in reach(graph, start, "upstream").nodes]
    near = [start] if start.kind is NodeKind.DATASET and start.name in observed else found
    topics = sorted({each.name for each in near if each.kind is NodeKind.DATASET} & observed)
    if not topics:
        raise NotFound(f"nothing was observed of {start.label}, or of what it is made of")
    return topics


def _times(settings: Settings, found: Sequence[GoodOffset]) -> Times:
    from stream_lineage.replaying import record_times

    wanted = {(each.topic, each.partition): each.offset for each in found if each.offset is not None}
    try:
        return record_times(settings, wanted)
    except ConnectionFailed as error:
        _log.warning("when records were written is not known", reason=error.message)
        return {}


def _document(each: GoodOffset, times: Times) -> dict[str, Any]:
    because = each.because
    return {
        "topic": each.topic,
        "partition": each.partition,
        "offset": each.offset,
        "timestamp": times.get((each.topic, each.partition)),
        "newest": each.newest,
        "because": None
        if because is None
        else {
            "ce_id": because.event_ids[0],
            "kind": because.kind,
            "severity": because.severity,
            "field_path": because.field_path,
            "summary": because.summary,
            "first_offset": because.first[each.partition],
            "observed_at": because.observed_at,
            "open": because.open,
        },
        "others": each.others,
    }


def _row(each: GoodOffset, times: Times) -> tuple[object, ...]:
    at = times.get((each.topic, each.partition))
    why = "" if each.because is None else f"{each.because.kind} from {each.because.first[each.partition]} on"
    if each.others:
        why += f", and {each.others} more"
    return (
        f"{each.topic}[{each.partition}]",
        "none" if each.offset is None else each.offset,
        "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}",
        each.newest,
        why,
    )

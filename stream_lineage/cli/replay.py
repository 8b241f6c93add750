"""``stream-lineage replay``."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, TABLE, print_json
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.errors import GroupBusy, IndexBusy, NotFound, SettingsError
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.explain.replay import Plan
    from stream_lineage.graph.graph import Graph
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.replay_survey import Question

CSV, SCRIPT = "csv", "script"


@click.command()
@click.argument("what", nargs=-1, metavar="ALERT | TOPIC [PARTITION:OFFSET]...")
@click.option("--since", metavar="TIME", help="From when on: 2d, 12h, a time. Of TOPIC alone it says all.")
@click.option(
    "--by",
    type=click.Choice(["offset", "time"]),
    default="offset",
    show_default=True,
    help="From the first bad offset of each partition, or all partitions from the time of the first bad record on.",
)
@click.option("--downstream", is_flag=True, help="Also the readers of what is made of the topic.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="This group only. Repeatable.")
@click.option("--back", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Put groups to the offsets of a file that --execute left.")  # fmt: skip  # noqa: E501
@click.option("--execute", is_flag=True, help="Commit the offsets, of groups without members. Asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--go-back", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where --execute leaves the offsets as they were.  [default: replay-went-from-TIME.csv]")  # fmt: skip  # noqa: E501
@click.option("--update/--no-update", default=True, help="Read into the index first what is new.  [default: update]")
@settings_options("index", single=(*TO_READ_OURS, "state_dir"))
@click.option(
    "--output", type=click.Choice([TABLE, JSON, CSV, SCRIPT]), default=TABLE, show_default=True,
    help="Form of the output. csv is what Kafka's own `kafka-consumer-groups --reset-offsets --from-file` reads.",
)  # fmt: skip
def replay(
    settings: Settings,
    what: tuple[str, ...],
    since: str | None,
    by: str,
    downstream: bool,
    groups: tuple[str, ...],
    back: Path | None,
    execute: bool,
    yes: bool,
    go_back: Path | None,
    update: bool,
    output: str,
) -> int:
    """Plan which offsets consumer groups go back to, to read bad records again once they are mended.

    ALERT is the ce_id or the fingerprint of an alert. PARTITION:OFFSET is the first bad record of a partition.
    Changes nothing without --execute. A group that has not read so far is left as it is.

    \b
    stream-lineage replay 0b6e61f2c3a94d0f9a51b0a3a4b0c7de
    stream-lineage replay orders 0:120 1:50 --downstream
    stream-lineage replay orders --since 2h --output script > replay.sh
    stream-lineage replay orders 0:120 --group billing --execute
    stream-lineage replay --back replay-went-from-20260301T120000Z.csv --execute
    """
    if execute and output not in (TABLE, JSON):
        raise click.UsageError(f"--execute tells what it does as a table or as JSON, not as {output}")
    if execute and output == JSON and not yes:
        raise click.UsageError("--execute with --output json asks nothing: say --yes")
    if yes and not execute:
        raise click.UsageError("--yes is for --execute")
    if back is not None:
        if what or since or downstream or groups:
            raise click.UsageError("--back goes by its file alone")
        plan = _plan_back(settings, back)
    else:
        plan = _plan(settings, what, since, by, downstream, groups, update)
    if execute:
        return _execute(settings, plan, go_back, yes, output)
    _print(settings, plan, output)
    return 0


def _plan(
    settings: Settings,
    what: tuple[str, ...],
    since: str | None,
    by: str,
    downstream: bool,
    groups: tuple[str, ...],
    update: bool,
) -> Plan:
    from dataclasses import replace

    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.replaying import plan_replay

    if not what:
        raise click.UsageError("say an ALERT, or a TOPIC with PARTITION:OFFSET or --since")
    when = None if since is None else moment_before(since, datetime.now(UTC))
    pairs = _pairs(what[1:])
    named = len(what) > 1 or when is not None
    preflight(settings, "reader")
    with ExitStack() as stack:
        index = _index(settings, stack, update=update, needed=not named)
        question = _question(index, what[0], pairs, when)
        asked = replace(question, since=when, by_time=by == "time", downstream=downstream, groups=groups)
        return plan_replay(settings, asked, index=index, graph=_graph(settings))


def _question(index: ProvenanceIndex | None, name: str, pairs: dict[int, int], when: datetime | None) -> Question:
    from stream_lineage.index.alert_onset import onset_of
    from stream_lineage.replay_survey import Question
    from stream_lineage.replaying import question_of

    if pairs:
        said = ", ".join(f"{partition}:{offset}" for partition, offset in pairs.items())
        return Question(f"{name} from {said} on", name, pairs)
    onset = None
    try:
        if index is not None:
            onset = onset_of(index, name)
    except NotFound as error:
        if when is None:
            hint = f"{error.hint} Of a topic say TOPIC PARTITION:OFFSET, or TOPIC --since TIME."
            raise NotFound(error.message, hint=hint) from None
    if onset is not None:
        return question_of(onset)
    if when is None:
        raise NotFound("alerts are found by the provenance index, and there is none")
    return Question(f"{name} from {when.isoformat()} on", name)


def _pairs(said: tuple[str, ...]) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in said:
        partition, _, offset = each.partition(":")
        if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (partition, offset)):
            raise click.UsageError(f"{each!r} is not PARTITION:OFFSET")
        if int(partition) in found:
            raise click.UsageError(f"partition {partition} is said twice")
        found[int(partition)] = int(offset)
    return found


def _index(settings: Settings, stack: ExitStack, *, update: bool, needed: bool) -> ProvenanceIndex | None:
    """Null where there is none, and it can be done without."""
    from stream_lineage import indexing
    from stream_lineage.cli.index import filling
    from stream_lineage.index.reader import ProvenanceIndex

    if update:
        try:
            with filling("reading into the index") as progress:
                indexing.update(settings, progress)
        except IndexBusy:
            pass  # somebody keeps it up to date
        except NotFound:
            if needed:
                raise
    try:
        index = stack.enter_context(ProvenanceIndex(settings.index.index_path))
    except NotFound:
        if needed:
            raise
        return None
    stack.enter_context(index.snapshot())
    return index


def _graph(settings: Settings) -> Graph | None:
    from stream_lineage.graphing import lineage_graph

    try:
        with reading("reading the lineage graph") as progress:
            return lineage_graph(settings, progress)
    except NotFound:
        return None
    except SettingsError as error:  # we may not read it
        click.echo(f"who reads by the lineage graph is not told: {error.message}", err=True)
        return None


def _plan_back(settings: Settings, path: Path) -> Plan:
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.errors import DecodeError
    from stream_lineage.explain.reset_file import read_rows
    from stream_lineage.replaying import plan_back

    try:
        rows = read_rows(path.read_bytes().decode())
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DecodeError(f"{path} is no text") from error
    except DecodeError as error:
        raise DecodeError(f"{path}: {error.message}", hint=error.hint) from error
    preflight(settings, "reader")
    return plan_back(settings, rows, f"back by {path}")


def _execute(settings: Settings, plan: Plan, go_back: Path | None, yes: bool, output: str) -> int:
    from stream_lineage.cli.replay_output import outcomes_document, print_outcomes, print_plan
    from stream_lineage.explain.reset_file import Row, go_back_csv
    from stream_lineage.replaying import execute

    if output == TABLE:
        print_plan(plan)
    stopped = [group for group in plan.changing if group.stopped]
    if not plan.changing:
        if output == JSON:
            print_json(outcomes_document(plan, [], None))
        else:
            click.echo("nothing is to be changed")
        return 0
    if not stopped:
        names = ", ".join(repr(group.group) for group in plan.changing)
        raise GroupBusy(f"all groups that would be reset have members: {names}", hint="Stop their consumers first.")
    count = sum(len(group.resets) for group in stopped)
    if not yes:
        partitions = "1 partition" if count == 1 else f"{count} partitions"
        groups = "1 group" if len(stopped) == 1 else f"{len(stopped)} groups"
        click.confirm(f"Commit new offsets for {partitions} of {groups}?", abort=True, err=True)
    rows = [Row(group.group, each.topic, each.partition, each.committed) for group in stopped for each in group.resets]
    path = go_back or Path(f"replay-went-from-{plan.at:%Y%m%dT%H%M%SZ}.csv")
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(go_back_csv(rows))
    except OSError as error:
        hint = "Nothing was changed. --go-back names a file that is not there yet."
        raise SettingsError(f"{path} cannot be written: {error.strerror}", hint=hint) from error
    outcomes = execute(settings, plan)
    if output == JSON:
        print_json(outcomes_document(plan, outcomes, path))
    else:
        print_outcomes(outcomes, path)
    return 0 if all(each.refused is None for each in outcomes) else 1


def _print(settings: Settings, plan: Plan, output: str) -> None:
    from stream_lineage.cli.replay_output import print_plan
    from stream_lineage.explain.replay_document import plan_document
    from stream_lineage.explain.reset_file import reset_csv, reset_script, rows_of, split_by_line_end

    if output == JSON:
        print_json(plan_document(plan))
        return
    if output == TABLE:
        print_plan(plan)
        return
    rows = rows_of(plan)
    for note in plan.notes:
        click.echo(f"note: {note}", err=True)
    if not rows:
        click.echo("no group has anything to read again", err=True)
    if output == SCRIPT:
        servers = settings.kafka.bootstrap_servers
        click.echo(reset_script(rows, servers, plan.reason), nl=False)
        return
    groups = {row.group for row in rows}
    if len(groups) > 1 and (bad := split_by_line_end(groups)):
        raise SettingsError(
            f"the name of the group {bad[0]!r} holds a line end, at which Kafka's tool would cut the file",
            hint="Take each group alone with --group, or --output script.",
        )
    click.echo(reset_csv(rows), nl=False)

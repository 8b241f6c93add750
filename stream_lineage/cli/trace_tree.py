"""A path drawn: as a tree in the terminal, and as Mermaid's text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text
from rich.tree import Tree

from stream_lineage.index.kept import Kept
from stream_lineage.index.path_tree import Branch
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Logs
from stream_lineage.index.trace import Stretch, Trace

_RANGES_SHOWN = 3
_PARTITIONS_SHOWN = 3
_SCHEMAS_SHOWN = 3
_DOUBTS_SHOWN = 5


def drawn(root: Branch, found: Trace, logs: Logs, kept: Kept) -> Tree:
    """The tree."""
    top = Tree(_label(root, found, logs, kept))
    waiting = [(root, top)]
    while waiting:
        branch, tree = waiting.pop()
        for child in branch.children:
            waiting.append((child, tree.add(_label(child, found, logs, kept))))
        if branch.more:
            tree.add(Text("... goes on: --output json has all", style="dim"))
    return top


def counted(found: Trace) -> str:
    """How much was found, and whether that is exact, in a line."""
    walk, exact = found.walk, "exact" if found.exact else "not exact"
    if not walk.reached:
        return f"nothing is recorded of what {'made it' if walk.direction == 'upstream' else 'was made of it'}; {exact}"
    ends = {"known": 0, "open": 0}
    for _, kind, ranges in found.ends_by_kind():
        ends["known" if kind in ("source", "outcome") else "open"] += ranges.count
    where = "sources" if walk.direction == "upstream" else "ends"
    more = f" and {ends['open']:,} from which it may go on" if ends["open"] else ""
    return f"{walk.count():,} records in {len(walk.hops)} hops, {ends['known']:,} of them {where}{more}; {exact}"


def mermaid(root: Branch, found: Trace, logs: Logs, doubts: Sequence[str] = ()) -> str:
    """A flowchart in Mermaid's language: arrows go the way that the data went. ``doubts`` stand beside it: why it is
    not exact."""
    lines = ["flowchart LR"]
    waiting, number = [(root, 0)], 0
    lines.append(f"    n0[{_quoted(places(root, logs))}]")
    while waiting:
        branch, parent = waiting.pop(0)
        for child in branch.children:
            number += 1
            lines.append(f"    n{number}[{_quoted(places(child, logs))}]")
            ends = (f"n{number}", f"n{parent}") if found.walk.direction == "upstream" else (f"n{parent}", f"n{number}")
            arrow = "-. widened .->" if child.widened else "-. uncertain .->" if child.unclear else "-->"
            lines.append(f"    {ends[0]} {arrow} {ends[1]}")
            waiting.append((child, number))
        if branch.more:
            lines.append(f"    more{parent}([{_quoted('and more')}]) -.- n{parent}")
    shown = [*doubts[:_DOUBTS_SHOWN], *(["and more: --output json has all"] if len(doubts) > _DOUBTS_SHOWN else [])]
    lines += [f"    doubt{at}>{_quoted(f'not exact: {doubt}')}]" for at, doubt in enumerate(shown)]
    return "\n".join(lines)


def places(branch: Branch, logs: Logs) -> str:
    """Which records: ``topic[partition]@offset``, or how many and where."""
    (first, *_) = branch.records
    log = logs[first]
    name = _printable(log.topic if log.cluster is None else f"{log.cluster}/{log.topic}")
    if branch.count == 1:
        return f"{name}[{log.partition}]@{branch.records[first].firsts[0]}"
    by_partition = sorted((logs[number].partition, ranges) for number, ranges in branch.records.items())
    shown = "; ".join(f"[{partition}] {_offsets(ranges)}" for partition, ranges in by_partition[:_PARTITIONS_SHOWN])
    rest = len(by_partition) - _PARTITIONS_SHOWN
    return f"{name}: {branch.count:,} records, {shown}" + (f"; {rest} more partitions" if rest > 0 else "")


def _printable(name: str) -> str:
    """Names of parents come from headers, which anybody may write: a terminal shall not obey them."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)


def _offsets(ranges: Ranges) -> str:
    listed = [f"{first}" if first == last else f"{first}-{last}" for first, last in list(ranges)[:_RANGES_SHOWN]]
    rest = len(ranges) - _RANGES_SHOWN
    return ", ".join(listed) + (f", ... {rest:,} more ranges to {int(ranges.lasts[-1])}" if rest > 0 else "")


def _label(branch: Branch, found: Trace, logs: Logs, kept: Kept) -> Text:
    text = Text(places(branch, logs), style="bold")
    for part, style in _facts(branch, found, kept):
        text.append("  ")
        text.append(part, style=f"not bold {style}".rstrip())
    return text


def _facts(branch: Branch, found: Trace, kept: Kept) -> Iterator[tuple[str, str]]:
    mine = [
        each for each in (found.start, *found.stretches)
        if each.number in branch.records and each.ranges & branch.records[each.number]
    ]  # fmt: skip
    labels = list(dict.fromkeys("not observed" if each.schema is None else each.schema.label() for each in mine))
    more = f" and {len(labels) - _SCHEMAS_SHOWN} more" if len(labels) > _SCHEMAS_SHOWN else ""
    yield ", ".join(labels[:_SCHEMAS_SHOWN]) + more, "cyan"
    if times := _times(branch, mine, kept):
        yield times, "dim"
    if branch.itself:
        yield f"{branch.itself:,} of them made by one another", "dim"
    if branch.widened:
        yield "widened", "yellow"
    elif branch.unclear:
        yield "may be of another life of the topic", "yellow"
    if _any(branch, found.walk.unknown):
        yield "has, or may have, parents that no header names", "yellow"
    if _any(branch, found.gaps.ends):
        yield "what it was made from may have been lost", "yellow"
    gone = sum((ranges & kept.gone.get(log, Ranges.empty())).count for log, ranges in branch.records.items())
    if gone:
        yield "no longer in Kafka" if gone == branch.count else f"{gone:,} no longer in Kafka", "yellow"
    if alerts := _alerts(mine, found):
        yield alerts, "red"
    if branch.above:
        yield "(see above)", "dim"


def _any(branch: Branch, ranges: Mapping[int, Ranges]) -> bool:
    return any(mine & ranges[number] for number, mine in branch.records.items() if number in ranges)


def _times(branch: Branch, mine: list[Stretch], kept: Kept) -> str:
    read = [
        record
        for each in mine
        for (topic, partition, offset), record in kept.records.items()
        if (topic, partition) == (each.log.topic, each.log.partition) and branch.records[each.number].contains(offset)
    ]
    times = sorted({record.timestamp for record in read if record.timestamp is not None})
    said = [time.isoformat(timespec="milliseconds") for time in dict.fromkeys(times[:1] + times[-1:])]
    runs = sorted({record.run_id for record in read if record.run_id is not None})
    codes = sorted({record.code_version for record in read if record.code_version is not None})
    parts = [" to ".join(said)] if said else []
    parts += [f"run {', '.join(runs[:3])}"] if runs else []
    parts += [f"code {', '.join(codes[:3])}"] if codes else []
    return "  ".join(parts)


def _alerts(mine: list[Stretch], found: Trace) -> str:
    places = {(each.log.topic, each.log.partition) for each in mine}
    hit = [
        alert
        for alert in found.alerts
        if (alert.topic, alert.partition) in places and any(each.ranges.contains(alert.offset) for each in mine)
    ]
    kinds = list(dict.fromkeys(alert.kind for alert in hit))
    return f"{len(hit)} alert{'s' if len(hit) > 1 else ''}: {', '.join(kinds[:4])}" if hit else ""


def _quoted(text: str) -> str:
    """A label that Mermaid takes as it is: what means something to it as a number of the character."""
    safe = "".join(char if char.isalnum() or char in " .,:;[]()-_/@" else f"#{ord(char)};" for char in text)
    return f'"{safe}"'

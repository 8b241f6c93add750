"""Replay plans in the forms that Kafka's own ``kafka-consumer-groups.sh`` takes: CSV files, and a script that calls it.

The form of the file is that of the tool's own ``--export``: ``topic,partition,offset`` for one group, and
``group,topic,partition,offset`` for several, without a header. The tool cuts the file at every line end, quoted or not:
a group whose name holds one can only stand alone, where its name is on the command line.

Source: Apache Kafka 4.1, ``org.apache.kafka.tools.consumer.group.ConsumerGroupCommand`` and ``CsvUtils``.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream_lineage.errors import DecodeError
from stream_lineage.explain.replay import Plan

_LINE_ENDS = "\r\n"
_LEGAL_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One partition of one group, and the offset that the group shall read next."""

    group: str
    topic: str
    partition: int
    offset: int


def rows_of(plan: Plan) -> list[Row]:
    """What a plan changes."""
    return [
        Row(group.group, each.topic, each.partition, each.target)
        for group in plan.groups
        for each in group.resets
        if each.target is not None
    ]


def split_by_line_end(groups: Iterable[str]) -> list[str]:
    """Those of these groups that cannot stand in one file with others."""
    return sorted({group for group in groups if any(end in group for end in _LINE_ENDS)})


def reset_csv(rows: Sequence[Row]) -> str:
    """For ``--from-file``. Of one group it goes with ``--group NAME``, of several with ``--group`` for each of them, or
    with ``--all-groups``.

    Raises:
        ValueError: there are several groups, and the name of one holds a line end.
    """
    groups = {row.group for row in rows}
    if len(groups) > 1:
        if bad := split_by_line_end(groups):
            raise ValueError(f"{bad[0]!r} holds a line end")
        return _written([(row.group, row.topic, row.partition, row.offset) for row in rows])
    return _written([(row.topic, row.partition, row.offset) for row in rows])


def go_back_csv(rows: Sequence[Row]) -> str:
    """With the group in every row, however many there are; line ends in names are quoted, which ``read_rows`` takes."""
    return _written([(row.group, row.topic, row.partition, row.offset) for row in rows])


def read_rows(text: str) -> list[Row]:
    """What ``go_back_csv`` wrote, or the tool's own export of several groups.

    Raises:
        DecodeError: a line is none of ours; says which.
    """
    found: dict[tuple[str, str, int], Row] = {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if not cells:
                continue
            row = _row(cells)
            if row is None:
                raise DecodeError(
                    f"line {reader.line_num} is not GROUP,TOPIC,PARTITION,OFFSET",
                    hint="A file of one group that has no group in its lines is for Kafka's own tool.",
                )
            if (row.group, row.topic, row.partition) in found:
                raise DecodeError(f"line {reader.line_num} is about a partition that an earlier line is about")
            found[row.group, row.topic, row.partition] = row
            if len(found) > _MOST_ROWS:
                raise DecodeError(f"there are more than {_MOST_ROWS:,} lines")
    except csv.Error as error:
        raise DecodeError(f"line {reader.line_num} is no CSV: {error}") from error
    if not found:
        raise DecodeError("it is empty")
    return list(found.values())


def reset_script(rows: Sequence[Row], bootstrap_servers: str, about: str) -> str:
    """A shell script that shows what Kafka's tool would do, and does it with ``--execute``. Each group is one call, so
    that any name may be said."""
    lines = [
        "#!/bin/sh",
        f"# {_one_line(about)}",
        "# Shows what would be done. With --execute as its argument it is done, of groups without running members.",
        "# KAFKA_CONSUMER_GROUPS names the tool, COMMAND_CONFIG a file of client settings,",
        "# BOOTSTRAP_SERVERS the cluster.",
        "set -eu",
        'case "${1-}" in',
        "  ''|--dry-run) how=--dry-run ;;",
        "  --execute) how=--execute ;;",
        '  *) echo "usage: $0 [--dry-run|--execute]" >&2; exit 2 ;;',
        "esac",
        "tool=${KAFKA_CONSUMER_GROUPS:-kafka-consumer-groups.sh}",
        f"configured={shlex.quote(bootstrap_servers)}",
        "servers=${BOOTSTRAP_SERVERS:-$configured}",
        "directory=$(mktemp -d)",
        "trap 'rm -rf \"$directory\"' EXIT",
        "reset() {",
        '  "$tool" --bootstrap-server "$servers" ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} \\',
        '    --reset-offsets --group="$1" --from-file "$directory/offsets.csv" "$how"',
        "}",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        mine = [row for row in rows if row.group == group]
        lines += ["", "cat > \"$directory/offsets.csv\" <<'END'", reset_csv(mine).rstrip("\n"), "END"]
        lines.append(f"reset {shlex.quote(group)}")
    return "\n".join(lines) + "\n"


def _written(rows: Iterable[Sequence[str | int]]) -> str:
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: str | int) -> str:
    """Quoted where it has to be. Python's own writer leaves a lone carriage return as it is."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\r\n') else text


def _row(cells: Sequence[str]) -> Row | None:
    if len(cells) != 4 or not cells[0] or _LEGAL_TOPIC.fullmatch(cells[1]) is None:
        return None
    if not all(cell.isascii() and cell.isdecimal() and len(cell) < 19 for cell in cells[2:]):
        return None
    partition, offset = int(cells[2]), int(cells[3])
    return Row(cells[0], cells[1], partition, offset) if partition < 2**31 else None


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)

"""How the first bad records and the way back are shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from stream_lineage.cli.output import console, print_table

_SHOWN = 20


def print_located(document: Mapping[str, Any]) -> None:
    """For people: the members that ``Located.document`` has."""
    screen = console()
    screen.print(Text(f"\n{document['located']}", style="bold"), soft_wrap=True)
    found = document["first_bad"] or []
    if found:
        rows = [(f"{each['topic']}[{each['partition']}]", _offset(each), each["timestamp"], each["by"], each["why"])
                for each in found[:_SHOWN]]  # fmt: skip
        title = "First bad records" if len(found) <= _SHOWN else f"First bad records: the first {_SHOWN}"
        print_table(("partition", "offset", "written", "known by", "why"), rows, title=title)
    for plan in document["replay"] or ():
        _print_plan(plan)
    if document["columns"]:
        screen.print(Text(f"Columns made of it: {', '.join(document['columns'][:_SHOWN])}"), soft_wrap=True)
    for note in document["first_bad_notes"]:
        screen.print(Text(f"  {note}", style="yellow"), soft_wrap=True)


def _offset(each: Mapping[str, Any]) -> str:
    if each["exact"]:
        return str(each["offset"])
    likely = "" if each["offset"] is None else f", likely {each['offset']}"
    return f"{each['first']} to {each['last']}{likely}"


def _print_plan(plan: Mapping[str, Any]) -> None:
    rows = [
        (group["group"], group["state"], f"{each['topic']}[{each['partition']}]", each["committed"], each["target"],
         each["again"] or None, each["lost"] or None)
        for group in plan["groups"]
        for each in group["partitions"]
        if each["target"] is not None or each["lost"]
    ]  # fmt: skip
    screen = console()
    if rows:
        columns = ("group", "state", "partition", "stands at", "goes to", "reads again", "lost")
        right = ("stands at", "goes to", "reads again", "lost")
        print_table(columns, rows, title="The way back, once it is mended", right=right)
    else:
        screen.print("No group has read any of it.")
    if plan["starts"]:
        topic = plan["starts"][0]["topic"]
        places = [f"{each['partition']}:{each['offset']}" for each in plan["starts"] if each["topic"] == topic]
        command = shlex.join(["stream-lineage", "replay", topic, *places, "--downstream"])
        screen.print(Text(f"  {command}"), soft_wrap=True)
    for left in plan["left_out"]:
        screen.print(Text(f"  left out: {left['what']}: {left['reason']}", style="yellow"), soft_wrap=True)
    for note in plan["notes"]:
        screen.print(Text(f"  {note}", style="yellow"), soft_wrap=True)

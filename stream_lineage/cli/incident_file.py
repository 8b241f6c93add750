"""Incidents that are known, from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from stream_lineage.cli.timestamps import TimestampReader
from stream_lineage.detect.series.audit import Incident
from stream_lineage.errors import DecodeError, NotFound

_HINT = "It has the columns start,end and, if you like, name; an end may be empty."


def incident_file(path: Path) -> list[Incident]:
    """Incidents by their start. One without an end is a moment.

    Raises:
        NotFound: there is no such file.
        DecodeError: a row is no incident, or there is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)]
    read = TimestampReader().read
    places = [0, 1, 2]
    if rows and read(rows[0][0]) is None:
        header = [cell.casefold() for cell in rows.pop(0)]
        if "start" not in header or "end" not in header:
            raise DecodeError(f"{path} has no columns start and end", hint=_HINT)
        places = [header.index("start"), header.index("end"), header.index("name") if "name" in header else len(header)]
    found = []
    for row in rows:
        start_text, end_text, name = (row[place] if place < len(row) else "" for place in places)
        start = read(start_text)
        end = read(end_text) if end_text else start
        if start is None or end is None or not math.isfinite(start) or not math.isfinite(end) or end < start:
            raise DecodeError(f"{path}: not an incident: {','.join(row)[:100]}", hint=_HINT)
        found.append(Incident(start, end, name))
    if not found:
        raise DecodeError(f"{path} has no incident", hint=_HINT)
    return sorted(found, key=lambda each: each.start)

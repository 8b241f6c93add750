"""What a transformation has changed: the frame that went in against the one that came out."""

from __future__ import annotations

from typing import Any

from stream_lineage.frames.measure import Measure


def difference(before: Measure, after: Measure) -> dict[str, Any]:
    """As a document: ``rows`` before, after and the change; ``columns`` that were added, removed or have another type;
    ``nullRatios`` before and after, of columns of both where they differ; ``keys``, where both have a checksum of one
    key: whether they are the same ones, as often, in whatever order."""
    found: dict[str, Any] = {"columns": _columns(before, after)}
    if before.rows is not None and after.rows is not None:
        found["rows"] = {"before": before.rows, "after": after.rows, "change": after.rows - before.rows}
    earlier = {each.name: each for each in before.columns}
    ratios = {}
    for each in after.columns:
        if each.name in earlier:
            was, now = before.null_ratio(earlier[each.name]), after.null_ratio(each)
            if was is not None and now is not None and was != now:
                ratios[each.name] = {"before": was, "after": now}
    found["nullRatios"] = ratios
    if before.checksum is not None and after.checksum is not None and before.key == after.key:
        same = before.checksum == after.checksum and before.rows == after.rows
        found["keys"] = "same" if same else "changed"
    return found


def _columns(before: Measure, after: Measure) -> dict[str, Any]:
    was, now = ({each.name: each.type for each in measure.columns} for measure in (before, after))
    return {
        "added": [name for name in now if name not in was],
        "removed": [name for name in was if name not in now],
        "retyped": [
            {"name": name, "before": was[name], "after": now[name]}
            for name in now
            if name in was and was[name] != now[name]
        ],
    }

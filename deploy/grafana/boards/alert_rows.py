"""Tables of alerts, which several dashboards have."""

from __future__ import annotations

from typing import Any

from boards import links, panels
from boards.flux import is_not, points, sorted_by, then, wide

MOST = 200
NONE = "No alert in this time"
TOLD = ("alerts",)
BEGINNINGS = (is_not("phase", "update"), is_not("phase", "close"))
"""Alerts that say something new: not that it lasts, nor that it is over."""
_COLUMNS = (
    ("_time", "Time"),
    ("severity", "Severity"),
    ("phase", "Phase"),
    ("kind", "Kind"),
    ("topic", "Topic"),
    ("field", "Field"),
    ("job", "Job"),
    ("summary", "What"),
    ("url", "Page"),
)
_WIDTHS = {"_time": 170, "severity": 90, "phase": 80, "kind": 160, "topic": 160, "field": 120, "job": 140, "url": 90}


def of_row() -> dict[str, list[Any]]:
    """Where the cells of a row lead to."""
    found = {name: [panels.width(pixels)] for name, pixels in _WIDTHS.items()}
    found["topic"].append(links.of_row("Topic", links.TOPIC, "topic"))
    found["field"].append(links.of_row("Field", links.FIELD, "topic", "field"))
    found["url"].append(links.to_alert())
    return found


def newest(title: str, *variables: str, where: tuple[str, ...] = (), height: int = 9) -> Any:
    """The newest alerts, updates left out."""
    asked = points("lineage_alert", ("summary", "url"), is_not("phase", "update"), *where, variables=variables)
    query = then(wide(asked), *sorted_by("_time", most=MOST))
    about = "Alerts as they were published, newest first, without updates. The page is that of the web UI."
    return panels.rows(title, query, _COLUMNS, about=about, properties=of_row(), empty=NONE, height=height)

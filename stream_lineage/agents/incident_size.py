"""An incident as large as a message may be: brokers take one of a megabyte unless configured otherwise, and what they
do not take would stop the worker again and again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import orjson

from stream_lineage.logs import get_logger
from stream_lineage.model.incident import Incident
from stream_lineage.provenance.incident_codec import incident_document

MOST_BYTES = 700_000
_STEPS = ((100, 1_000), (30, 300), (10, 200), (4, 100))
"""So many entries of each list, and characters of each text, until it fits."""
_NODES = 10
"""Nodes of the way for each entry of a list: by them it is told what belongs together."""
_TEXTS = frozenset(
    {"sentence", "located", "evidence", "reason", "settle", "notes", "first_bad_notes", "why", "summary"}
)
"""What people read. Names are not cut: they would be others."""
_log = get_logger("stream_lineage.agents")


def fitted(incident: Incident, most: int = MOST_BYTES) -> Incident:
    """As it is, where it fits into so many bytes. Else with lists and texts of its cause cut, which the notes of the
    cause say; and, where names alone are too much, without its cause and the newest of its problems."""
    if _bytes(incident) <= most:
        return incident
    made = incident
    for entries, characters in _STEPS:
        made = _cut(incident, entries, characters)
        if _bytes(made) <= most:
            break
    else:
        made = _without_cause(made, most)
    _log.warning("an incident is too large for a message and is cut", incident=incident.id, bytes=_bytes(incident))
    return made


def _cut(incident: Incident, entries: int, characters: int) -> Incident:
    left: Counter[str] = Counter()
    members = tuple(replace(each, summary=each.summary[:characters]) for each in incident.members)
    related, cause = incident.related[: entries * _NODES], incident.cause
    if cause is not None:
        cause = _shorter(cause, "", entries, characters, left)
        said = ", ".join(f"{count:,} of {name}" for name, count in sorted(left.items()) if count)
        if said:
            note = f"Left out here, since a message could not hold it: {said}. `stream-lineage explain` has all."
            cause["notes"] = [*cause.get("notes", ()), note]
    return replace(incident, members=members, related=related, cause=cause)


def _without_cause(incident: Incident, most: int) -> Incident:
    sentence = "What is known of this is too large for a message: `stream-lineage explain` has it."
    unsaid: dict[str, Any] = {
        "verdict": "inconclusive", "sentence": sentence, "ranking": [], "rejected": [], "affected": [],
        "affected_count": 0, "settle": [], "notes": [], "causes": [],
    }  # fmt: skip
    made = replace(incident, cause=None if incident.cause is None else unsaid, related=incident.related[:1])
    while _bytes(made) > most and len(made.members) > 1:
        made = replace(made, members=made.members[: len(made.members) // 2])
    return made


def _shorter(value: Any, name: str, entries: int, characters: int, left: Counter[str]) -> Any:
    """``left`` counts what is left out, by the name of the list."""
    if isinstance(value, dict):
        return {key: _shorter(each, key, entries, characters, left) for key, each in value.items()}
    if isinstance(value, list):
        left[name] += max(0, len(value) - entries)
        # A way keeps its end: where it was noticed.
        kept = [*value[: entries - 1], value[-1]] if name == "path" and len(value) > entries else value[:entries]
        return [_shorter(each, name, entries, characters, left) for each in kept]
    if isinstance(value, str) and name in _TEXTS and len(value) > characters:
        return f"{value[: characters - 1]}…"
    return value


def _bytes(incident: Incident) -> int:
    return len(orjson.dumps(incident_document(incident, "")))

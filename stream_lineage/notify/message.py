"""An incident as a message for people: made of the body of a message on ``lineage.incidents``, as text or for Slack.

What it says are names, counts, statistics and times: no values of records.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stream_lineage.notify.links import Links, failing_step, step_name

_MOST_EVIDENCE, _MOST_ALERTS, _MOST_NAMES, _MOST_RECORDS, _MOST_TOPICS = 3, 5, 5, 8, 3
_LONGEST_LINE = 400
_STATES = {
    "open": "open: looking for what broke first",
    "updated": "open: looking for what broke first",
    "root-cause": "open: what broke first is known",
    "escalated": "escalated: people must look",
    "resolved": "resolved",
    "reopened": "reopened: it came back",
}


@dataclass(frozen=True, slots=True)
class Message:
    """``facts`` are names and values, in order; ``sections`` titles with lines; ``links`` titles with addresses."""

    title: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    links: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """For a terminal, a log or a mail."""
        lines = [self.title, self.headline, ""]
        width = max((len(name) for name, _ in self.facts), default=0)
        lines += [f"{name + ':':<{width + 1}} {value}" for name, value in self.facts]
        for title, found in self.sections:
            lines += ["", f"{title}:", *(f"  - {line}" for line in found)]
        lines += ["", *(f"{title}: {address}" for title, address in self.links)]
        return "\n".join(lines)


def incident_message(document: Mapping[str, Any], links: Links, owners: Sequence[str] = ()) -> Message:
    """What is told of an incident as it is by now. ``document`` is the body of a message on ``lineage.incidents``;
    ``owners`` are those of what is hit, as far as they are known."""
    cause: Mapping[str, Any] | None = document.get("cause")
    named = [] if cause is None else [each for each in cause["ranking"] if each.get("named")]
    alerts: Sequence[Mapping[str, Any]] = document["alerts"]
    headline = str(cause["sentence"]) if cause is not None else str(alerts[0]["summary"])
    return Message(
        incident_title(document),
        _line(headline, 2 * _LONGEST_LINE),
        tuple((name, _line(value)) for name, value in _facts(document, named, owners)),
        tuple((name, tuple(map(_line, lines))) for name, lines in _sections(document["id"], cause, named, alerts)),
        (("Failing step", links.of_step(document)), ("Incident", links.of_incident(document))),
    )


def incident_title(document: Mapping[str, Any]) -> str:
    """How grave it is and what broke, in one line."""
    cause = document.get("cause")
    broke = "" if cause is None else ", ".join(_what(each) for each in cause["ranking"] if each.get("named"))
    merged = document.get("merged_into") is not None
    over = "Part of another: " if merged else "Resolved: " if document["state"] == "resolved" else ""
    return _line(f"[{document['severity']}] {over}{broke or step_name(failing_step(document))}")


def _facts(
    document: Mapping[str, Any], named: Sequence[Mapping[str, Any]], owners: Sequence[str]
) -> list[tuple[str, str]]:
    state, cause = str(document["state"]), document.get("cause")
    breach = document["breach"]
    at = " ".join(filter(None, (breach["metric"], breach["field"])))
    merged = document.get("merged_into")
    said = _STATES.get(state, state) if merged is None else f"closed: it is part of incident {merged}, which goes on"
    found = [("State", said), ("Noticed", _moment(breach["at"]))]
    found.append(("Noticed in", f"{step_name(breach['node'])}{f' ({at})' if at else ''}"))
    if named:
        first = named[0]
        found.append(("Broke first", ", ".join(_what(each) for each in named)))
        faults = [str(each["fault"]) for each in cause.get("causes") or () if each.get("fault")] if cause else []
        if faults:
            found.append(("Kind of fault", ", ".join(dict.fromkeys(faults))))
        found.append(("Since", _moment(first["onset"])))
        found.append(("Confidence", f"{first['confidence']:.2f}"))
        found.append(("Path", " > ".join(map(str, first["path"]))))
    if cause is not None and cause.get("affected"):
        names = [str(each["node"]) for each in cause["affected"]]
        found.append(("Hit", _listed(names, int(cause.get("affected_count", len(names))))))
    if cause is not None and cause.get("consumer_groups"):
        groups = [str(each) for each in cause["consumer_groups"]]
        found.append(("Consumer groups", _listed(groups, len(groups))))
    if owners:
        found.append(("Owners", ", ".join(owners)))
    if document.get("cause_after_seconds") is not None:
        found.append(("Cause found after", f"{document['cause_after_seconds']:.0f} s"))
    if document.get("reopened"):
        found.append(("Came back", f"{document['reopened']} times"))
    if document.get("resolved_at") is not None and merged is None:
        found.append(("Resolved", _moment(document["resolved_at"])))
    return found


def _sections(
    name: str,
    cause: Mapping[str, Any] | None,
    named: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    if named:
        found.append(("Why", [str(line) for line in named[0]["evidence"][:_MOST_EVIDENCE]]))
    elif cause is not None and cause.get("settle"):
        found.append(("What would settle it", [str(line) for line in cause["settle"][:_MOST_EVIDENCE]]))
    bad: Sequence[Mapping[str, Any]] = (cause or {}).get("first_bad") or ()
    if bad:
        found.append(("First bad records", _first_bad(bad)))
        found.append(("The way back", _way_back(bad, name)))
    gravest = sorted(alerts, key=lambda each: ("critical", "warning", "info").index(each["severity"]))
    lines = [f"{each['severity']}: {each['summary']}" for each in gravest[:_MOST_ALERTS]]
    if len(alerts) > _MOST_ALERTS:
        lines.append(f"and {len(alerts) - _MOST_ALERTS} more")
    found.append((f"{len(alerts)} alert{'' if len(alerts) == 1 else 's'}", lines))
    return [(name, lines) for name, lines in found if lines]


def _first_bad(bad: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"{each['topic']} {each['partition']}:{each['offset']}"
        if each.get("exact") and each.get("offset") is not None
        else f"{each['topic']} {each['partition']}: one of {each['first']} to {each['last']}"
        for each in bad[:_MOST_RECORDS]
    ]
    return lines if len(bad) <= _MOST_RECORDS else [*lines, f"and {len(bad) - _MOST_RECORDS} more partitions"]


def _way_back(bad: Sequence[Mapping[str, Any]], incident: str) -> list[str]:
    """The commands that plan how groups read it again; they change nothing by themselves. Each whole or not at all: a
    partition that is left out would not be read again."""
    starts: dict[str, dict[int, int]] = {}
    for each in bad:
        offset = int(each["offset"] if each.get("exact") and each.get("offset") is not None else each["first"])
        known = starts.setdefault(str(each["topic"]), {})
        known[int(each["partition"])] = min(offset, known.get(int(each["partition"]), offset))
    commands = [
        f"stream-lineage replay {shlex.quote(topic)} {' '.join(f'{at}:{first}' for at, first in places.items())} "
        "--downstream"
        for topic, places in list(starts.items())[:_MOST_TOPICS]
    ]
    if all(len(each) <= _LONGEST_LINE for each in commands):
        return commands
    return [f"stream-lineage incident show {incident}  # says the commands: there are too many partitions for here"]


def _what(ranked: Mapping[str, Any]) -> str:
    """``orders (null_ratio of amount)``."""
    metric, field = ranked.get("metric"), ranked.get("field")
    inner = f"{metric} of {field}" if metric and field else metric or field
    return f"{ranked['node']} ({inner})" if inner else str(ranked["node"])


def _listed(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if count <= _MOST_NAMES else f"{shown} and {count - _MOST_NAMES} more"


def _moment(at: Any) -> str:
    """Of RFC 3339 or seconds since the epoch."""
    try:
        time = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(float(at), UTC)
        return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError, TypeError):
        return str(at)


def _line(text: str, longest: int = _LONGEST_LINE) -> str:
    """On one line, printable, and not endless."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."

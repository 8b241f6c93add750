"""A path as a JSON document: what ``trace --output json`` prints. Complete, as ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stream_lineage.index.kept import Kept
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, Logs, ProvenanceIndex
from stream_lineage.index.strip_table import widened
from stream_lineage.index.trace import Link, Stretch, Trace, links
from stream_lineage.provenance.documents import schema_document


def trace_document(index: ProvenanceIndex, found: Trace, kept: Kept) -> dict[str, Any]:
    """``records`` are all on the path but the first, ``ends`` those where it ends, ``edges`` how one leads to the
    other, ``notes`` what a reader has to know."""
    return drafted(index, found)(kept)


def drafted(index: ProvenanceIndex, found: Trace) -> Callable[[Kept], dict[str, Any]]:
    """All that the index has to say for ``trace_document``: what comes back makes it, and asks the index no more."""
    logs, links_ = index.logs, links(index, found.walk)
    return lambda kept: _document(logs, found, links_, kept)


def _document(logs: Logs, found: Trace, links_: Iterable[Link], kept: Kept) -> dict[str, Any]:
    walk = found.walk
    return {
        "record": {**_place(found.log), "offset": found.offset, **_schemas(found.start), **_read(found, kept)},
        "direction": walk.direction,
        "exact": found.exact,
        "cut": walk.cut,
        "count": walk.count(),
        "hops": len(walk.hops),
        "records": [_stretch(each, kept) for each in found.stretches],
        "ends": [
            {"kind": kind, **_ended(number, logs[number], part, kept)} for number, kind, part in found.ends_by_kind()
        ],
        "unknown_parents": [
            {**_place(logs[number]), **_ranges(ranges)} for number, ranges in sorted(walk.unknown.items())
        ],
        "edges": [
            {
                "output": {**_place(link.output), "first_offset": link.first_output, "last_offset": link.last_output},
                "parent": {**_place(link.parent), "first_offset": link.first_parent, "last_offset": link.last_parent},
                "parents_each": link.each or None,
                "widened": link.widened,
                "incomplete": link.incomplete,
                "unclear": link.unclear,
                "source": None if link.source is None else link.source.value,
                "run_id": link.run_id,
                "first_timestamp": None if link.first_timestamp is None else link.first_timestamp.isoformat(),
                "last_timestamp": None if link.last_timestamp is None else link.last_timestamp.isoformat(),
            }
            for link in links_
        ],
        "alerts": [
            {
                "topic": alert.topic,
                "partition": alert.partition,
                "offset": alert.offset,
                "kind": alert.kind,
                "severity": alert.severity,
                "field_path": alert.field_path,
                "summary": alert.summary,
                "fingerprint": alert.fingerprint,
                "event_id": alert.event_id,
                "observed_at": alert.observed_at.isoformat(),
                "closed_at": None if alert.closed_at is None else alert.closed_at.isoformat(),
            }
            for alert in found.alerts
        ],
        "notes": _notes(logs, found, kept),
    }


def notes(index: ProvenanceIndex, found: Trace, kept: Kept) -> list[str]:
    """What a reader has to know of an answer, in sentences; first what speaks against its being exact."""
    return _notes(index.logs, found, kept)


def inexact(index: ProvenanceIndex, found: Trace) -> list[str]:
    """Why an answer is not exact, in sentences; none where it is."""
    return _inexact(index.logs, found)


def _notes(logs: Logs, found: Trace, kept: Kept) -> list[str]:
    said = _inexact(logs, found)
    if found.walk.back:
        said.append("the path leads back to records that it has passed: they are shown once")
    for topic in sorted(kept.compacted):
        said.append(f"{topic} is compacted: Kafka has those of these records that were read again, and may lack others")
    for topic in sorted(kept.unsure):
        said.append(
            f"{topic}: we may not ask whether it is compacted, so it is not known what Kafka has of these records"
        )
    for number, gone in kept.gone.items():
        said.append(
            f"{_said(logs[number])}: {gone.count:,} of these records are no longer in Kafka; "
            "that they were there is known from the index"
        )
    if kept.trouble is not None:
        said.append(f"Kafka was not asked: {kept.trouble}")
    return said


def _inexact(logs: Logs, found: Trace) -> list[str]:
    walk, said = found.walk, [*found.doubts, *found.gaps.notes]
    if walk.cut:
        said.append("not everything was looked at: the path goes on beyond what was asked for")
    if walk.uncertain:
        count = sum(ranges.count for ranges in walk.uncertain.values())
        lie = "lie in ranges that cover the real ones, and " if widened(walk.strips).any() else ""
        said.append(f"{'widened' if lie else 'uncertain'}: {count:,} of the records {lie}may be none of them")
    for topic in sorted({logs[number].topic for number in walk.unclear}):
        said.append(f"{topic} was deleted and made again about then: headers do not say which of the two they mean")
    for number, ranges in walk.unknown.items():
        said.append(f"{_said(logs[number])}: {ranges.count:,} records have, or may have, parents that no header names")
    for number, ranges in found.unobserved.items():
        said.append(
            f"{_said(logs[number])}: {ranges.count:,} records at which the path ends were not observed: whether "
            "it goes on is not known"
        )
    return said


def _stretch(each: Stretch, kept: Kept) -> dict[str, Any]:
    sample = {
        offset: record
        for (topic, partition, offset), record in kept.records.items()
        if (topic, partition) == (each.log.topic, each.log.partition) and each.ranges.contains(offset)
    }
    return {
        **_place(each.log),
        "hop": each.hop,
        **_ranges(each.ranges),
        **_schemas(each),
        "uncertain": [list(bounds) for bounds in each.uncertain],
        "ends": [list(bounds) for bounds in each.ends],
        "in_kafka": kept.how_much(each.number, each.log, each.ranges),
        "read": [
            {
                "offset": offset,
                "timestamp": None if record.timestamp is None else record.timestamp.isoformat(),
                "run_id": record.run_id,
                "code_version": record.code_version,
                "trace_id": record.trace_id,
            }
            for offset, record in sorted(sample.items())
        ],
    }


def _ended(number: int, log: Log, ranges: Ranges, kept: Kept) -> dict[str, Any]:
    return {**_place(log), **_ranges(ranges), "in_kafka": kept.how_much(number, log, ranges)}


def _read(found: Trace, kept: Kept) -> dict[str, Any]:
    record = kept.records.get((found.log.topic, found.log.partition, found.offset))
    return {
        "in_kafka": kept.how_much(found.number, found.log, found.start.ranges),
        "timestamp": None if record is None or record.timestamp is None else record.timestamp.isoformat(),
        "run_id": None if record is None else record.run_id,
        "code_version": None if record is None else record.code_version,
        "trace_id": None if record is None else record.trace_id,
        "key_hash": None if record is None else record.key_hash,
    }


def _schemas(each: Stretch) -> dict[str, Any]:
    return {
        "schema": None if each.schema is None else schema_document(each.schema),
        "key_schema": None if each.key_schema is None else schema_document(each.key_schema),
    }


def _place(log: Log) -> dict[str, Any]:
    place = {"topic": log.topic, "topic_id": log.topic_id, "partition": log.partition}
    return place if log.cluster is None else {**place, "cluster": log.cluster}


def _ranges(ranges: Ranges) -> dict[str, Any]:
    return {"count": ranges.count, "ranges": [list(bounds) for bounds in ranges]}


def _said(log: Log) -> str:
    return f"{log.topic}[{log.partition}]" + (f" of {log.cluster}" if log.cluster else "")

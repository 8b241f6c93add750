"""If this failed, the index would hold an incident as it was and not as it is, or lose it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from stream_lineage.index.incident_rows import indexed_incident, indexed_incidents, whole_incident
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import Entry, IndexWriter, Source
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.provenance.incident_codec import incident_document, incident_of

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBER = Member("f" * 32, "e" * 32, "mean", Severity.WARNING, "orders", None, None, "dataset:kafka://lab/orders", "off",
                AT, AT, once=False)  # fmt: skip
OPEN = Incident(
    "a" * 32, IncidentState.OPEN, 1, Severity.WARNING, AT, AT,
    IncidentBreach(MEMBER.node, "mean", None, AT), (MEMBER,),
)  # fmt: skip


def entry(incident: Incident) -> Entry:
    return Entry("incidents", orjson.dumps(incident_document(incident, "http://ui")))


def test_the_newest_revision_of_each_is_kept(tmp_path: Path) -> None:
    over = replace(OPEN, state=IncidentState.RESOLVED, revision=3, resolved_at=AT + timedelta(hours=1))
    other = replace(OPEN, id="b" * 32, opened_at=AT + timedelta(minutes=1))
    writer = IndexWriter(tmp_path / "index.sqlite")
    broken = Entry("incidents", b'{"id": 1}')
    left_out = writer.write([entry(OPEN), entry(over), entry(other), broken], {Source("lineage.incidents", 0): 4})
    writer.write([entry(replace(OPEN, revision=2))], {Source("lineage.incidents", 0): 5})
    writer.close()
    assert left_out == 1
    with ProvenanceIndex(tmp_path / "index.sqlite") as index:
        assert [each["id"][0] for each in indexed_incidents(index)] == ["b", "a"]
        assert [each["id"][0] for each in indexed_incidents(index, resolved=False)] == ["b"]
        assert indexed_incident(index, "c" * 32) is None
        found = indexed_incident(index, "a" * 32)
    assert found is not None
    assert incident_of(found) == over


def test_incidents_that_are_one_are_found_from_each_of_them(tmp_path: Path) -> None:
    def opened(name: str, minutes: int, into: str | None) -> Entry:
        at = AT + timedelta(minutes=minutes)
        last = at + timedelta(minutes=30)
        return entry(replace(OPEN, id=name, opened_at=at, updated_at=last, merged_into=into))

    writer = IndexWriter(tmp_path / "index.sqlite")
    told = [("a", 0, None), ("b", 5, "a"), ("c", 9, "b"), ("d", 9, None), ("e", 9, "d"), ("f", 1, "gone")]
    writer.write([opened(*each) for each in told], {})
    writer.close()
    with ProvenanceIndex(tmp_path / "index.sqlite") as index:
        wholes = {}
        for name, *_ in told:
            body = indexed_incident(index, name)
            assert body is not None
            whole, ones = whole_incident(index, body)
            wholes[name] = whole["id"], "".join(sorted(ones))
    assert wholes == {
        "a": ("a", "abc"), "b": ("a", "abc"), "c": ("a", "abc"), "d": ("d", "de"), "e": ("d", "de"), "f": ("f", "f"),
    }  # fmt: skip

"""If this failed, what is told of schemas, edges, groups and incidents would have other names than documented."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage import model
from stream_lineage.model.baseline import FileSource, Sample, TopicSource
from stream_lineage.model.edge import Edge
from stream_lineage.model.finding import Compatibility
from stream_lineage.model.graph import (
    LONGEST_DETAIL,
    LONGEST_NAME,
    MOST_DETAILS,
    Evidence,
    EvidenceClass,
    GraphEdge,
    GraphEvent,
    Node,
    NodeKind,
    detail,
)
from stream_lineage.model.group import PartitionRead
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.record_edge import ParentRange
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.model.schema_files import schema_text

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AVRO = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, id=7, subject="clicks-value", version=3)
GUID = replace(AVRO, framing=Framing.GUID_HEADER, guid="g-1")
SINGLE = SchemaReference(SchemaType.AVRO, Framing.SINGLE_OBJECT, crc64="63dd24e7cc258f8a")
CONNECT = SchemaReference(SchemaType.JSON, Framing.CONNECT_JSON, fingerprint="0123456789abcdef")


@pytest.mark.parametrize(
    ("reference", "wire_name", "label"),
    [
        (AVRO, 7, "clicks-value v3 (id 7)"),
        (replace(AVRO, version=None), 7, "clicks-value (id 7)"),
        (replace(AVRO, subject=None), 7, "AVRO id 7"),
        (GUID, "g-1", "clicks-value v3 (id 7)"),
        (replace(GUID, id=None), "g-1", "clicks-value v3 (id g-1)"),
        (replace(GUID, id=None, subject=None), "g-1", "AVRO id g-1"),
        (replace(GUID, guid=None), 7, "clicks-value v3 (id 7)"),
        (replace(AVRO, unresolved=True), 7, "unresolved id 7"),
        (SINGLE, "crc64:63dd24e7cc258f8a", "Avro single object 63dd24e7cc258f8a"),
        (replace(SINGLE, crc64=None), None, "Avro single object"),
        (CONNECT, None, "JSON with its own schema 0123456789ab"),
        (replace(CONNECT, fingerprint=None), None, "JSON with its own schema"),
        (PLAIN_JSON, None, "JSON without schema"),
        (OPAQUE, None, "opaque bytes, by coordinates only"),
    ],
)
def test_how_schemas_are_called(reference: SchemaReference, wire_name: int | str | None, label: str) -> None:
    assert reference.wire_name == wire_name
    assert reference.label() == label


def test_spans_of_one_schema_are_told_from_those_of_two() -> None:
    assert AVRO.same_schema(replace(AVRO))
    assert not AVRO.same_schema(replace(AVRO, version=4))


@pytest.mark.parametrize(
    ("backward", "forward", "verdict"),
    [(True, True, "full"), (True, False, "backward"), (False, True, "forward"), (False, False, "none")],
)
def test_how_compatible_schemas_are(backward: bool, forward: bool, verdict: str) -> None:
    found = Compatibility(backward, forward)
    assert (found.verdict, found.full) == (verdict, verdict == "full")


def node(kind: NodeKind, name: str = "orders", field: str | None = None) -> Node:
    return Node(kind, "kafka://h:9092", name, field)


def test_how_nodes_are_called() -> None:
    topic, column = node(NodeKind.DATASET), node(NodeKind.COLUMN, field="user.id")
    assert (topic.label, topic.dataset) == ("orders", None)
    assert (column.label, column.dataset) == ("orders:user.id", topic)
    odd = [node(NodeKind.DATASET, name) for name in ("a/b", "a b", 'a"<b>', "a%2Fb")]
    odd.append(node(NodeKind.COLUMN, "a", "b"))
    assert len({each.id for each in odd}) == len(odd)
    assert not any(set(each.id) & set(' "<>') for each in odd)
    assert column.id.startswith(topic.id.replace("dataset:", "column:"))


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        (NodeKind.DATASET, "", None),
        (NodeKind.DATASET, "a\nb", None),
        (NodeKind.DATASET, "a" * (LONGEST_NAME + 1), None),
        (NodeKind.DATASET, "a", "f"),
        (NodeKind.COLUMN, "a", None),
        (NodeKind.COLUMN, "a", ""),
    ],
)
def test_what_is_no_node(kind: NodeKind, name: str, field: str | None) -> None:
    with pytest.raises(ValueError, match=r"characters|columns have a field"):
        node(kind, name, field)


def test_edges_lead_from_one_node_to_another() -> None:
    one, other = node(NodeKind.DATASET), node(NodeKind.DATASET, "clicks")
    assert GraphEdge(one, other).id == f"{one.id}>{other.id}" != GraphEdge(other, one).id
    with pytest.raises(ValueError, match="another one"):
        GraphEdge(one, one)


@pytest.mark.parametrize(
    ("withdrawn_after", "holds", "at_after"), [(None, True, 60), (30, True, 60), (60, False, 60), (90, False, 90)]
)
def test_evidence_holds_until_it_is_withdrawn_and_again_once_seen(
    withdrawn_after: int | None, holds: bool, at_after: int
) -> None:
    withdrawn = None if withdrawn_after is None else NOON + timedelta(seconds=withdrawn_after)
    seen = NOON + timedelta(seconds=60)
    evidence = Evidence(EvidenceClass.HEADER, "c", NOON, seen, 1.0, withdrawn_at=withdrawn)
    assert evidence.holds is holds
    assert GraphEvent(node(NodeKind.DATASET), evidence).at == NOON + timedelta(seconds=at_after)


def test_details_are_sorted_and_bounded() -> None:
    assert detail(b="2", a="1", c=None, d="") == (("a", "1"), ("b", "2"))
    assert detail(a="x" * (LONGEST_DETAIL + 1)) == (("a", "x" * LONGEST_DETAIL),)
    assert len(detail(**{f"n{number}": "x" for number in range(MOST_DETAILS + 1)})) == MOST_DETAILS


@pytest.mark.parametrize(("committed", "end", "lag"), [(5, 9, 4), (9, 9, 0), (12, 9, 0)])
def test_lag_is_never_below_zero(committed: int, end: int, lag: int) -> None:
    assert PartitionRead(committed, end).lag == lag


def test_ranges_of_parents_hold_both_ends() -> None:
    assert [ParentRange("t", 0, 5, last).length for last in (5, 9)] == [1, 5]


def test_declared_flows_are_called_by_both_ends() -> None:
    assert Edge("job", "a", "b").name == "a -> b"


@pytest.mark.parametrize(
    ("source", "decoder", "is_ordered", "tells_nulls_apart"),
    [
        (FileSource("x.csv", "ab", "csv", 3), Decoder.COLUMNAR, True, False),
        (TopicSource("t", None, ()), Decoder.COLUMNAR, True, True),
        (TopicSource("t", None, ()), Decoder.RECORDS, True, True),
        (TopicSource("t", None, ()), Decoder.JSON, False, True),
    ],
)
def test_what_a_sample_knows_of_its_fields(
    source: FileSource | TopicSource, decoder: Decoder, is_ordered: bool, tells_nulls_apart: bool
) -> None:
    sample = Sample(source, Profile(decoder, Decoder.OPAQUE, 9, 1, None, (), ()), "key")
    assert (sample.records, sample.is_ordered, sample.tells_nulls_apart) == (9, is_ordered, tells_nulls_apart)


def test_values_are_values() -> None:
    """Whoever is given one may keep it: it never changes."""
    for module in pkgutil.iter_modules(model.__path__, f"{model.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                with pytest.raises(dataclasses.FrozenInstanceError):
                    object.__new__(value).__setattr__(dataclasses.fields(value)[0].name, None)


def test_a_schema_file_that_is_not_there() -> None:
    assert '"Observation"' in schema_text("observation.avsc")
    with pytest.raises(FileNotFoundError, match="no schema file"):
        schema_text("unheard-of.avsc")

"""If this failed, a topic with a strange name would break a diagram, or run as a statement in somebody's database."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

from stream_lineage.graph.cypher import cypher
from stream_lineage.graph.dot import dot
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.mermaid import mermaid
from stream_lineage.graph.openlineage_events import openlineage_events
from stream_lineage.graph.picture import Picture, document, whole
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind, legal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = [
    'a"b', "a\\", "a\\\\", "a'b", "a'}) DETACH DELETE n //", 'x"] --> y["', "`**bold**`", "<script>", "#quot;", "a;b",
    "\\u0027", "\\N", "end", "%%{init}%%", "a|b", "[(x)]", "&amp;", "ü€", '"; }', "/* x */", "null",
]  # fmt: skip
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=12).filter(legal))


def seen(sure: float, by: EvidenceClass = EvidenceClass.DECLARED, **detail: str) -> Evidence:
    return Evidence(by, "a 'source'", NOW, NOW, sure, tuple(detail.items()))


def picture(one: str, other: str) -> Picture:
    dataset, job = Node(NodeKind.DATASET, "kafka://test", one), Node(NodeKind.JOB, "kafka://test", other)
    column, model = Node(NodeKind.COLUMN, "kafka://test", one, other), Node(NodeKind.MODEL, other, one)
    target = Node(NodeKind.DATASET, "postgres://db", one)
    from_, to = (Node(NodeKind.COLUMN, "kafka://test", name, one) for name in (one, other + "-"))
    events = [
        GraphEvent(GraphEdge(dataset, job), seen(1.0)),
        GraphEvent(GraphEdge(job, target), seen(0.3, EvidenceClass.VALUES)),
        GraphEvent(GraphEdge(from_, to), seen(1.0)),
        GraphEvent(column, seen(1.0)),
        GraphEvent(model, seen(1.0)),
        GraphEvent(dataset, seen(1.0, owner=other)),
        GraphEvent(GraphEdge(dataset, target), seen(1.0, EvidenceClass.HEADER)),
    ]
    return whole(Graph(events))


PICTURES = st.builds(picture, NAMES, NAMES)
EVIL = picture("a'}) DETACH DELETE n //", 'x"]; y["')


def test_a_picture_as_json_is_what_is_known() -> None:
    found = json.loads(json.dumps(document(EVIL)))
    assert len(found["nodes"]) == len({node["id"] for node in found["nodes"]}) == 7
    ids = {node["id"] for node in found["nodes"]}
    assert all({each["from"], each["to"]} <= ids for each in found["edges"])
    assert [each["confidence"] for each in found["edges"]].count(0.3) == 1


_STRING = r'"((?:[^"\\]|\\.)*)"'
_DOT_NODE = re.compile(rf"    {_STRING} \[label={_STRING}, shape=[a-z]+(?:, penwidth=3)?\];")
_DOT_EDGE = re.compile(rf"    {_STRING} -> {_STRING} \[label={_STRING}(?:, style=dashed)?\];")


@given(PICTURES)
@example(EVIL)
@settings(deadline=None, max_examples=40)
def test_graphviz_reads_the_names_that_were_written(found: Picture) -> None:
    head, ranks, *lines, tail = dot(found).splitlines()
    assert [head, ranks, tail] == ["digraph lineage {", "    rankdir=LR;", "}"]
    nodes, edges = {}, set()
    for line in lines:
        if node := _DOT_NODE.fullmatch(line):
            nodes[unescaped(node[1])] = unescaped(node[2])
        else:
            edge = _DOT_EDGE.fullmatch(line)
            assert edge is not None, line
            edges.add((unescaped(edge[1]), unescaped(edge[2])))
    assert nodes == {node.id: node.label for node in found.nodes}
    assert edges == {(each.edge.source.id, each.edge.target.id) for each in found.edges}


def unescaped(text: str) -> str:
    """As Graphviz takes a label; any other escape would be one of its own."""
    assert not re.search(r"(?<!\\)(?:\\\\)*\\[^\\\"]", text), text
    return re.sub(r"\\(.)", r"\1", text)


_MERMAID_NODE = re.compile(r'    n(\d+)(\[\(|\[/|\[|\(\[|\{\{)"([^"]*)"(\)\]|/\]|\]|\]\)|\}\})')
_MERMAID_EDGE = re.compile(r'    n(\d+) (-\.->|-->)\|"([a-z, ]+)"\| n(\d+)')


@given(PICTURES)
@example(EVIL)
@settings(deadline=None, max_examples=40)
def test_mermaid_sees_plain_text_only(found: Picture) -> None:
    first, *lines = mermaid(found).splitlines()
    assert first == "flowchart LR"
    labels, edges = {}, set()
    for line in lines:
        if node := _MERMAID_NODE.fullmatch(line):
            text = node[3]
            rest = re.sub(r"#\d+;", "", text)
            assert re.fullmatch(r"[\w .:/-]*", rest), line  # nothing that Mermaid, Markdown or HTML knows
            labels[int(node[1])] = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text)
        else:
            edge = _MERMAID_EDGE.fullmatch(line)
            assert edge is not None, line
            edges.add((labels[int(edge[1])], labels[int(edge[4])]))
    assert sorted(labels.values()) == sorted(node.label for node in found.nodes)
    assert edges == {(each.edge.source.label, each.edge.target.label) for each in found.edges}


_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?|-\[|\]->|[(){}\[\]:,.=;]|\s+"""
)  # fmt: skip


@given(PICTURES)
@example(EVIL)
@settings(deadline=None, max_examples=40)
def test_cypher_holds_names_in_strings_only(found: Picture) -> None:
    words = {"MERGE", "MATCH", "SET", "FEEDS", "n", "a", "b", "e", "id", "namespace", "name", "kind", "field",
             "confidence", "evidence", "first_seen", "last_seen"}  # fmt: skip
    words |= {kind.capitalize() for kind in NodeKind}
    strings: list[str] = []
    for line in cypher(found).splitlines():
        at = 0
        while at < len(line):
            token = _TOKEN.match(line, at)
            assert token is not None, line[at:]
            at, text = token.end(), token[0]
            if text.startswith("'"):
                strings.append(re.sub(r"\\(.)", r"\1", text[1:-1]))
            elif text[0].isalpha():
                assert text in words, line
        assert line.endswith(";")
        assert line.count("MERGE (") == 1 - line.startswith("MATCH") + line.count("MERGE (a)")
    assert {node.id for node in found.nodes} <= set(strings)
    assert {node.name for node in found.nodes} <= set(strings)


SPEC = os.environ.get("OPENLINEAGE_SPEC_DIR")


@pytest.mark.skipif(not SPEC, reason="OPENLINEAGE_SPEC_DIR says where the specification lies")
def test_openlineage_events_are_as_the_specification_says() -> None:
    files = [json.loads(path.read_text()) for path in Path(SPEC or "").rglob("*.json")]
    registry = Registry().with_resources((file["$id"], Resource.from_contents(file)) for file in files)

    def valid(what: Any, url: str) -> None:
        jsonschema.Draft202012Validator({"$ref": url}, registry=registry).validate(what)

    facets = 0
    for event in openlineage_events(EVIL, NOW):
        valid(event, event["schemaURL"])
        about = event.get("dataset") or event["job"]
        for facet in about["facets"].values():
            valid(facet, facet["_schemaURL"])
            facets += 1
    assert facets >= 5


def test_openlineage_events_hold_what_is_sure_and_nothing_else() -> None:
    events = openlineage_events(EVIL, NOW)
    name, other = "a'}) DETACH DELETE n //", 'x"]; y["'
    [job] = [each for each in events if each.get("job", {}).get("name") == other]
    assert [each["name"] for each in job["inputs"]] == [name]
    assert job["outputs"] == []  # only guessed
    lineage = [each["dataset"]["facets"]["lineage"] for each in events if "lineage" in str(each.get("dataset", ""))
               and "lineage" in each["dataset"]["facets"]]  # fmt: skip
    assert [source["namespace"] for each in lineage for source in each["inputs"]] == ["kafka://test"]
    columns = [each["dataset"]["facets"].get("columnLineage") for each in events if "dataset" in each]
    assert [each["fields"] for each in columns if each] == [
        {name: {"inputFields": [{"namespace": "kafka://test", "name": name, "field": name}]}}
    ]

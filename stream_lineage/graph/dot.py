"""A picture in Graphviz's language."""

from __future__ import annotations

from stream_lineage.graph.known import LOW
from stream_lineage.graph.picture import Picture
from stream_lineage.model.graph import NodeKind

_SHAPES = {
    NodeKind.DATASET: "cylinder",
    NodeKind.JOB: "box",
    NodeKind.COLUMN: "ellipse",
    NodeKind.MODEL: "hexagon",
    NodeKind.DASHBOARD: "parallelogram",
}


def dot(picture: Picture) -> str:
    """A directed graph from left to right. Edges that are only guessed are dashed."""
    lines = ["digraph lineage {", "    rankdir=LR;"]
    for node in picture.nodes:
        bold = ", penwidth=3" if node == picture.start else ""
        lines.append(f"    {quoted(node.id)} [label={quoted(node.label)}, shape={_SHAPES[node.kind]}{bold}];")
    for each in picture.edges:
        classes = sorted({evidence.by.value for evidence in each.evidence if evidence.holds})
        style = ", style=dashed" if each.confidence < LOW else ""
        ends = f"{quoted(each.edge.source.id)} -> {quoted(each.edge.target.id)}"
        lines.append(f"    {ends} [label={quoted(', '.join(classes))}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    """As a quoted string, whose backslashes Graphviz must not take for line breaks or names."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

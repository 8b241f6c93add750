"""A picture in Mermaid's language, which GitHub, GitLab and many editors draw."""

from __future__ import annotations

from stream_lineage.graph.known import LOW
from stream_lineage.graph.picture import Picture
from stream_lineage.model.graph import NodeKind

_SHAPES = {
    NodeKind.DATASET: ('[("', '")]'),
    NodeKind.JOB: ('["', '"]'),
    NodeKind.COLUMN: ('(["', '"])'),
    NodeKind.MODEL: ('{{"', '"}}'),
    NodeKind.DASHBOARD: ('[/"', '"/]'),
}
_PLAIN = frozenset(" _.:/-")


def mermaid(picture: Picture) -> str:
    """A flowchart from left to right. Edges that are only guessed are dotted."""
    numbers = {node: number for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    for node, number in numbers.items():
        begin, end = _SHAPES[node.kind]
        lines.append(f"    n{number}{begin}{mermaid_text(node.label)}{end}")
    for each in picture.edges:
        arrow = "-.->" if each.confidence < LOW else "-->"
        classes = sorted({evidence.by.value for evidence in each.evidence if evidence.holds})
        label = mermaid_text(", ".join(classes))
        lines.append(f'    n{numbers[each.edge.source]} {arrow}|"{label}"| n{numbers[each.edge.target]}')
    if picture.start is not None:
        lines.append(f"    style n{numbers[picture.start]} stroke-width:4px")
    return "\n".join(lines) + "\n"


def mermaid_text(text: str) -> str:
    """With everything that could mean something to Mermaid, Markdown or HTML as the number of its character."""
    return "".join(letter if letter.isalnum() or letter in _PLAIN else f"#{ord(letter)};" for letter in text)

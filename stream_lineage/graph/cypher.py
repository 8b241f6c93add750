"""A picture as Cypher statements that put it into Neo4j, or into whatever else reads Cypher. Run twice, they change
nothing."""

from __future__ import annotations

from stream_lineage.graph.codec import time_to_json
from stream_lineage.graph.picture import Picture


def cypher(picture: Picture) -> str:
    """One statement a line."""
    lines = []
    for node in picture.nodes:
        known = {"namespace": node.namespace, "name": node.name, "kind": node.kind.value}
        if node.field is not None:
            known["field"] = node.field
        lines.append(f"MERGE (n:{node.kind.capitalize()} {{id: {literal(node.id)}}}) SET {_set('n', known)};")
    for each in picture.edges:
        held = [evidence for evidence in each.evidence if evidence.holds] or list(each.evidence)
        classes = ", ".join(literal(by) for by in sorted({evidence.by.value for evidence in held}))
        times = {
            "first_seen": time_to_json(min(evidence.first_seen for evidence in held)),
            "last_seen": time_to_json(max(evidence.last_seen for evidence in held)),
        }
        source, target = (
            f"({name}:{end.kind.capitalize()} {{id: {literal(end.id)}}})"
            for name, end in (("a", each.edge.source), ("b", each.edge.target))
        )
        lines.append(
            f"MATCH {source}, {target} MERGE (a)-[e:FEEDS]->(b) "
            f"SET e.confidence = {each.confidence!r}, e.evidence = [{classes}], {_set('e', times)};"
        )
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _set(name: str, known: dict[str, str]) -> str:
    return ", ".join(f"{name}.{key} = {literal(value)}" for key, value in known.items())

"""What a Kafka Connect cluster says of its connectors, as evidence of the class ``declared``.

A source writes the topics that Connect has seen it write; a sink reads those that it is configured with, or that
Connect has seen it read. Where its configuration says which tables, collections or files are at the other end, those
are datasets under OpenLineage's names; where it does not, nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.naming import Naming
from stream_lineage.model.graph import Detail, EvidenceClass, GraphEdge, Node, NodeKind, detail, legal

SOURCE = "connect/"
_JDBC = re.compile(r"jdbc:(?P<kind>[a-z0-9]+):(?://)?(?P<rest>[^?;]*)")
_TABLES = ("table.whitelist", "table.include.list")


@dataclass(frozen=True, slots=True)
class Connector:
    """``topics`` are those that it was seen to use since it was started; none while it is idle. ``config`` holds no
    more than what is asked here."""

    name: str
    kind: Literal["source", "sink"]
    config: Mapping[str, str]
    topics: frozenset[str]


CONFIG = frozenset(
    {"topics", "file", "connection.url", "database.hostname", "database.port", "database.dbname", "s3.bucket.name",
     "connector.class", *_TABLES}
)  # fmt: skip
"""The settings of connectors that are looked at. Others may be secrets."""


def claims_of_connectors(connectors: Sequence[Connector], naming: Naming) -> Iterator[Claim]:
    """A connector is the job that its consumer group ``connect-NAME`` is too, where it is a sink."""
    for each in connectors:
        if not legal(SOURCE + each.name):
            continue
        job = naming.group(f"connect-{each.name}")
        topics = [naming.topic(name) for name in sorted(each.topics | _configured(each)) if legal(name)]
        known = detail(application="kafka-connect", connector=each.name, plugin=each.config.get("connector.class"))
        yield Claim(job, EvidenceClass.DECLARED, SOURCE + each.name, 1.0, known)
        others = list(_outside(each))
        for topic in topics:
            yield from _edge(job, topic, each, known) if each.kind == "source" else _edge(topic, job, each, known)
        for other in others:
            yield from _edge(other, job, each, known) if each.kind == "source" else _edge(job, other, each, known)


def _configured(connector: Connector) -> frozenset[str]:
    """Of a sink. A source's setting of this name, if it has one, means something else."""
    if connector.kind != "sink":
        return frozenset()
    return frozenset(name.strip() for name in connector.config.get("topics", "").split(",") if name.strip())


def _outside(connector: Connector) -> Iterator[Node]:
    config = connector.config
    if file := config.get("file"):
        yield from _dataset("file", file)
    if bucket := config.get("s3.bucket.name"):
        yield from _dataset(f"s3://{bucket}", "/")
    namespace, database = _database(config)
    if namespace is None:
        return
    tables = next((config[name] for name in _TABLES if config.get(name)), "")
    for table in tables.split(","):
        name = table.strip()
        if name and re.fullmatch(r"[\w.$ -]+", name):  # not a pattern
            yield from _dataset(namespace, f"{database}.{name}" if database else name)


def _database(config: Mapping[str, str]) -> tuple[str | None, str]:
    """The namespace of its database, and its name."""
    if host := config.get("database.hostname"):
        port = config.get("database.port")
        kind = _kind(config.get("connector.class", ""))
        return f"{kind}://{host}:{port}" if port else f"{kind}://{host}", config.get("database.dbname", "")
    match = _JDBC.match(config.get("connection.url", ""))
    if match is None:
        return None, ""
    try:
        parts = urlsplit(f"//{match['rest']}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None, ""
    kind = match["kind"].replace("postgresql", "postgres")
    return (f"{kind}://{parts.hostname}{port}", parts.path.strip("/")) if parts.hostname else (None, "")


def _kind(plugin: str) -> str:
    kinds = {"postgres": "postgres", "mysql": "mysql", "sqlserver": "mssql", "oracle": "oracle"}
    return next((kind for word, kind in kinds.items() if word in plugin.lower()), "database")


def _dataset(namespace: str, name: str) -> Iterator[Node]:
    if legal(namespace) and legal(name):
        yield Node(NodeKind.DATASET, namespace, name)


def _edge(source: Node, target: Node, connector: Connector, known: Detail) -> Iterator[Claim]:
    yield Claim(GraphEdge(source, target), EvidenceClass.DECLARED, SOURCE + connector.name, 1.0, known)

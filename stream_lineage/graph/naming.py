"""Names of datasets and jobs as OpenLineage has them, so that what several sources say meets at one node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream_lineage.model.graph import GraphEdge, Node, NodeKind

_KAFKA = re.compile(r"(?:(?:kafka|plaintext|ssl|sasl_plaintext|sasl_ssl)://)+", re.IGNORECASE)
_DEFAULT_PORT = "9092"


@dataclass(frozen=True, slots=True)
class Naming:
    """How nodes of one cluster are called: ``kafka://NAME``. ``addresses`` are those under which it is known, too."""

    cluster: str
    addresses: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Consumer groups by name, and the job that each of them is."""

    @property
    def namespace(self) -> str:
        return f"kafka://{self.cluster}"

    def topic(self, name: str) -> Node:
        return Node(NodeKind.DATASET, self.namespace, name)

    def column(self, topic: str, path: str) -> Node:
        return Node(NodeKind.COLUMN, self.namespace, topic, path)

    def job(self, name: str) -> Node:
        return Node(NodeKind.JOB, self.namespace, name)

    def group(self, name: str) -> Node:
        """The job that a consumer group is."""
        return self.job(self.aliases.get(name, name))

    def namespaced(self, namespace: str) -> str:
        """The namespace under which a cluster goes, whichever of its bootstrap addresses is said and how. Others than
        Kafka's stay as they are.

        ``SASL_SSL://b1:9093,b2:9093`` and ``kafka://b1:9093`` are the same.
        """
        if _KAFKA.match(namespace.strip()) is None:
            return namespace
        addresses = [each for part in namespace.split(",") if (each := address(part))]
        if self.cluster in addresses or self.addresses.intersection(map(_with_port, addresses)):
            return self.namespace
        return f"kafka://{addresses[0]}" if addresses else namespace


def address(text: str) -> str:
    """One bootstrap address, or the alias of a cluster, without protocols before and slashes behind it."""
    bare = _KAFKA.sub("", text.strip(), count=1).rstrip("/")
    return bare.lower() if _has_port(bare) else bare


def _with_port(bare: str) -> str:
    return bare.lower() if _has_port(bare) else f"{bare.lower()}:{_DEFAULT_PORT}"


def _has_port(bare: str) -> bool:
    return re.fullmatch(r"(?:\[[^]]*\]|[^:]+):\d+", bare) is not None


def naming(
    cluster: str,
    addresses: Iterable[tuple[str, int]],
    aliases: Mapping[str, str] | None = None,
    others: Iterable[str] = (),
) -> Naming:
    """Of the cluster with this name or alias, which is reached by these bootstrap addresses, and which others know by
    other addresses or names."""
    bracketed = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses]
    known = [each.lower() for each in bracketed] + [_with_port(address(each)) for each in others]
    return Naming(cluster, frozenset(known), aliases or {})


def edge(source: Node, target: Node) -> GraphEdge | None:
    """Null where something would lead to itself."""
    return None if source == target else GraphEdge(source, target)

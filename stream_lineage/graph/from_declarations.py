"""Evidence of the class ``declared``: the lineage file, and the jobs of the alert rules; what applications say is in
``from_applications``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.declarations import ColumnLink, Declarations, DeclaredJob, Reference
from stream_lineage.graph.naming import Naming, edge
from stream_lineage.model.edge import Edge
from stream_lineage.model.graph import Detail, EvidenceClass, Node, NodeKind, Subject, detail

FILE = "lineage_declarations"
RULES = "alert_rules"
SOURCES = (FILE, RULES)
_DECLARED = EvidenceClass.DECLARED


def claims_of_file(declared: Declarations, naming: Naming) -> Iterator[Claim]:
    """Each with the confidence of 1: whoever declares something has to know."""
    for dataset in declared.datasets:
        namespace = naming.namespace if dataset.namespace is None else naming.namespaced(dataset.namespace)
        node = Node(NodeKind.DATASET, namespace, dataset.name)
        yield _claim(node, FILE, detail(owner=dataset.owner, description=dataset.description))
    for job in declared.jobs:
        yield from claims_of_job(job, naming, FILE)
    for model in declared.models:
        node = Node(NodeKind.MODEL, naming.namespace, model.name)
        yield from _node(node, model.inputs, model.outputs, naming, model.owner, model.description)
    for dashboard in declared.dashboards:
        node = Node(NodeKind.DASHBOARD, naming.namespace, dashboard.name)
        yield from _node(node, dashboard.inputs, (), naming, dashboard.owner, dashboard.description)
        for name in dashboard.models:
            yield from _edge(Node(NodeKind.MODEL, naming.namespace, name), node, FILE)


def claims_of_job(job: DeclaredJob, naming: Naming, source: str) -> Iterator[Claim]:
    """What ``source`` declares of one job."""
    started = {"parent": job.parent, "root": job.root}
    yield from _node(naming.job(job.name), job.inputs, job.outputs, naming, job.owner, job.description, source, started)
    for link in job.columns:
        yield from _columns(link, naming, job.name, source)


def claims_of_rules(edges: Iterable[Edge], naming: Naming) -> Iterator[Claim]:
    """The jobs that what goes in is held against what comes out of."""
    for each in edges:
        job = naming.job(each.job)
        yield from _edge(naming.topic(each.input), job, RULES)
        yield from _edge(job, naming.topic(each.output), RULES)
        for source, target in (each.fields or {}).items():
            yield from _edge(
                naming.column(each.input, source), naming.column(each.output, target), RULES, detail(job=each.job)
            )


def _node(
    node: Node,
    inputs: Iterable[Reference],
    outputs: Iterable[Reference],
    naming: Naming,
    owner: str | None,
    description: str | None,
    by: str = FILE,
    more: Mapping[str, str | None] | None = None,
) -> Iterator[Claim]:
    yield _claim(node, by, detail(owner=owner, description=description, **(more or {})))
    for source in inputs:
        yield from _edge(_dataset(source, naming), node, by)
    for target in outputs:
        yield from _edge(node, _dataset(target, naming), by)


def _columns(link: ColumnLink, naming: Naming, job: str, by: str) -> Iterator[Claim]:
    source, target = (naming.column(*text.split(":", 1)) for text in (link.source, link.target))
    yield from _edge(source, target, by, detail(job=job))


def _dataset(reference: Reference, naming: Naming) -> Node:
    if isinstance(reference, str):
        return naming.topic(reference)
    return Node(NodeKind.DATASET, naming.namespaced(reference.namespace), reference.name)


def _edge(source: Node, target: Node, by: str, known: Detail = ()) -> Iterator[Claim]:
    found = edge(source, target)
    if found is not None:
        yield _claim(found, by, known)


def _claim(subject: Subject, source: str, known: Detail = ()) -> Claim:
    return Claim(subject, _DECLARED, source, 1.0, known)

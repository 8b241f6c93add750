"""Evidence of the class ``openlineage``: what RunEvents, JobEvents and DatasetEvents say.

Events of all versions of the specification are taken, as dicts. What is missing or of another shape is left out:
whoever sends it knows better than to be refused for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.naming import Naming, edge
from stream_lineage.model.graph import Detail, EvidenceClass, Node, NodeKind, Subject, detail, legal
from stream_lineage.wire.openlineage import RunName, run_name

STATED = 1.0
_FAILED = ("FAIL", "ABORT")
_LONGEST = 200


def claims_of_event(event: Mapping[str, Any], naming: Naming) -> Iterator[Claim]:
    """What one event says. Of a run that failed only what it read: nobody knows whether it wrote anything."""
    job = _job(event.get("job"), naming)
    source = _source(event)
    if job is not None:
        # At once: of two things that are said of one time only one counts.
        yield _claim(job, source, detail(owner=_owners(event["job"]), **_started_by(event, naming)))
        for each in _list(event.get("inputs")):
            if (read := _dataset(each, naming)) is not None:
                yield from _edge(read, job, source)
                yield from _owner(read, each, source)
        for each in () if event.get("eventType") in _FAILED else _list(event.get("outputs")):
            if (written := _dataset(each, naming)) is not None:
                yield from _edge(job, written, source)
                yield from _facets(written, each, naming, source, job.name)
        return
    dataset = _dataset(event.get("dataset"), naming)
    if dataset is not None:
        yield _claim(dataset, source)
        yield from _facets(dataset, event["dataset"], naming, source, None)


def subject_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Namespace and name of the job that an event is about, or of the dataset where it has no job; null where it has
    neither."""
    for member in ("job", "dataset"):
        found = _mapping(event.get(member))
        namespace, name = found.get("namespace"), found.get("name")
        if isinstance(namespace, str) and isinstance(name, str) and legal(namespace) and legal(name):
            return namespace, name
    return None


def _started_by(event: Mapping[str, Any], naming: Naming) -> dict[str, str | None]:
    """Which run this one is part of, and which one all of it began with, as its parent facet says; and which run says
    so. Older events call the facet ``parentRun``."""
    run = _mapping(event.get("run"))
    facets = _mapping(run.get("facets"))
    facet = _mapping(facets.get("parent") or facets.get("parentRun"))
    parent, root = (_run_name(each, naming) for each in (facet, facet.get("root")))
    this = run.get("runId")
    if parent is None or not isinstance(this, str) or not legal(this):
        return {}
    return {"parent": parent, "root": root, "run": this}


def _run_name(found: Any, naming: Naming) -> str | None:
    """A run of a job as ``run_name`` reads it."""
    found = _mapping(found)
    job, run = _job(found.get("job"), naming), _mapping(found.get("run")).get("runId")
    if job is None or not isinstance(run, str):
        return None
    read = run_name(str(RunName(job.namespace, job.name, run)))
    return None if read is None else str(read)


def _facets(node: Node, dataset: Any, naming: Naming, source: str, job: str | None) -> Iterator[Claim]:
    yield from _owner(node, dataset, source)
    facets = _mapping(_mapping(dataset).get("facets"))
    for each in _list(_mapping(facets.get("lineage")).get("inputs")):
        other = _dataset(each, naming) if _mapping(each).get("type", "DATASET") == "DATASET" else _job(each, naming)
        if other is not None:
            yield from _edge(other, node, source)
    for path, made in _mapping(_mapping(facets.get("columnLineage")).get("fields")).items():
        for each in _list(_mapping(made).get("inputFields")):
            first, last = _column(each, naming), _of(node, path)
            if first is not None and last is not None:
                yield from _edge(first, last, source, detail(job=job, transformation=_transformation(each, made)))


def _transformation(column: Any, made: Any) -> str | None:
    """How a column is made of another one, as newer events say of each, and older ones of all: ``DIRECT IDENTITY``,
    or ``INDIRECT FILTER`` where it only decides which values there are."""
    kinds = [
        " ".join(part for name in ("type", "subtype") if isinstance(part := _mapping(each).get(name), str) and part)
        for each in _list(_mapping(column).get("transformations"))
    ]
    older = _mapping(made).get("transformationType")
    kinds += [older] if isinstance(older, str) else []
    return ", ".join(sorted({kind for kind in kinds if kind and legal(kind)}))[:_LONGEST] or None


def _owner(node: Node, dataset: Any, source: str) -> Iterator[Claim]:
    if (owners := _owners(dataset)) is not None:
        yield _claim(node, source, detail(owner=owners))


def _owners(found: Any) -> str | None:
    """Of a dataset or a job."""
    facet = _mapping(_mapping(_mapping(found).get("facets")).get("ownership"))
    names = [_mapping(each).get("name") for each in _list(facet.get("owners"))]
    return ", ".join(sorted(name for name in names if isinstance(name, str) and legal(name))) or None


def _job(found: Any, naming: Naming) -> Node | None:
    return _node(NodeKind.JOB, found, naming)


def _dataset(found: Any, naming: Naming) -> Node | None:
    return _node(NodeKind.DATASET, found, naming)


def _column(found: Any, naming: Naming) -> Node | None:
    node = _dataset(found, naming)
    return None if node is None else _of(node, _mapping(found).get("field"))


def _of(dataset: Node, path: Any) -> Node | None:
    if not isinstance(path, str) or not legal(path):
        return None
    return Node(NodeKind.COLUMN, dataset.namespace, dataset.name, path)


def _node(kind: NodeKind, found: Any, naming: Naming) -> Node | None:
    found = _mapping(found)
    namespace, name = found.get("namespace"), found.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str) or not legal(namespace) or not legal(name):
        return None
    try:
        return Node(kind, naming.namespaced(namespace), name)
    except ValueError:  # as it is called here it is longer than it was sent
        return None


def _source(event: Mapping[str, Any]) -> str:
    producer = event.get("producer")
    return producer if isinstance(producer, str) and legal(producer) else "unknown producer"


def _edge(source: Node, target: Node, by: str, known: Detail = ()) -> Iterator[Claim]:
    found = edge(source, target)
    if found is not None:
        yield _claim(found, by, known)


def _claim(subject: Subject, source: str, known: Detail = ()) -> Claim:
    return Claim(subject, EvidenceClass.OPENLINEAGE, source, STATED, known)


def _list(found: Any) -> Iterable[Any]:
    return found if isinstance(found, list) else ()


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}

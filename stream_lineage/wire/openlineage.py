"""What all of our OpenLineage events are made of (spec 2-0-2): for the service and for applications, so it needs the
standard library alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

PRODUCER = "https://stream-lineage.io"
"""By which what the service tells others is told, wherever it comes back: it is no evidence."""
SDK_PRODUCER = "https://stream-lineage.io/sdk"
"""By which events are told that applications send by our SDK: they are evidence."""
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
"""The environment variable by which schedulers tell a process which run has started it: ``namespace/name/run id``."""
ROOT_VARIABLE = "OPENLINEAGE_ROOT_PARENT_ID"
"""Likewise the run that all of it began with."""
_FACETS = "https://openlineage.io/spec/facets"
_LONGEST = 900
_SLASH = "%2F"


@dataclass(frozen=True, slots=True)
class RunName:
    """A run of a job: the job's namespace and name, and the run's id, a UUID."""

    namespace: str
    name: str
    run_id: str

    def __str__(self) -> str:
        """As ``run_name`` reads it: slashes in the job's name are ``%2F``."""
        return f"{self.namespace}/{self.name.replace('/', _SLASH)}/{self.run_id}"

    def to_json(self) -> dict[str, Any]:
        """As facets have it."""
        return {"run": {"runId": self.run_id}, "job": {"namespace": self.namespace, "name": self.name}}


def run_name(text: str | None) -> RunName | None:
    """What ``namespace/name/run id`` says; null where it says nothing of the kind. Namespaces may hold slashes."""
    parts = (text or "").strip().rsplit("/", 2)
    if len(parts) != 3 or not all(parts) or not parts[0].isprintable() or not parts[1].isprintable():
        return None
    try:
        run_id = str(UUID(parts[2]))
    except ValueError:
        return None
    return None if len(text or "") > _LONGEST else RunName(parts[0], parts[1].replace(_SLASH, "/"), run_id)


def parents_of_process(environment: Mapping[str, str] | None = None) -> tuple[RunName | None, RunName | None]:
    """The run that has started this process and the one that all began with, as the environment says."""
    known = os.environ if environment is None else environment
    return run_name(known.get(PARENT_VARIABLE)), run_name(known.get(ROOT_VARIABLE))


def facet(version: str, file: str, definition: str | None = None, /, **content: Any) -> dict[str, Any]:
    """A facet of ours, by the file of the specification that it is as."""
    url = f"{_FACETS}/{version}/{file}.json#/$defs/{definition or file}"
    return {"_producer": PRODUCER, "_schemaURL": url, **content}


def parent_facet(parent: RunName, root: RunName | None = None) -> dict[str, Any]:
    """The run that a run belongs to, and the one that all of it began with, where that is known."""
    more = {} if root is None else {"root": root.to_json()}
    return facet("1-2-0", "ParentRunFacet", **parent.to_json(), **more)


def error_facet(message: str, language: str = "unknown", stack_trace: str | None = None) -> dict[str, Any]:
    """What went wrong in a run, or does."""
    more = {} if stack_trace is None else {"stackTrace": stack_trace}
    return facet("1-0-1", "ErrorMessageRunFacet", message=message, programmingLanguage=language, **more)


def engine_facet(name: str, version: str = "unknown") -> dict[str, Any]:
    """What a run runs on. DataHub takes no run without it of a producer that it does not know."""
    return facet("1-1-1", "ProcessingEngineRunFacet", name=name, version=version)


def job_type_facet(processing: str, integration: str, kind: str) -> dict[str, Any]:
    """``processing`` is STREAMING or BATCH; ``kind`` what the integration calls such a job, in capitals."""
    return facet("2-0-4", "JobTypeJobFacet", processingType=processing, integration=integration, jobType=kind)


def schema_facet(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names of fields and their types, in this order. Each has a type: some who read it fail without."""
    return facet("1-2-0", "SchemaDatasetFacet", fields=[{"name": name, "type": type_} for name, type_ in fields])


def run_event(
    kind: str,
    at: str,
    run: tuple[str, Mapping[str, Any]],
    job: tuple[str, str, Mapping[str, Any]],
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
    *,
    producer: str = PRODUCER,
) -> dict[str, Any]:
    """A RunEvent.

    Args:
        kind: START, RUNNING, COMPLETE, FAIL, ABORT or OTHER.
        at: the time, in RFC 3339 with a zone.
        run: its id, and facets by name.
        job: namespace, name, and facets by name.
        inputs: datasets, each with its namespace and name, ``facets`` and ``inputFacets``.
        outputs: likewise, with ``outputFacets``.
        producer: who tells it.
    """
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": producer,
        "schemaURL": f"{SPEC}#/$defs/RunEvent",
        "run": {"runId": run[0], "facets": dict(run[1])},
        "job": {"namespace": job[0], "name": job[1], "facets": dict(job[2])},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }

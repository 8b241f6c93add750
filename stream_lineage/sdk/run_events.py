"""Runs as OpenLineage's events (spec 2-0-2), with facets of our own for what its facets have no room for
(``transformation.schema.json``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stream_lineage.frames.difference import difference
from stream_lineage.frames.measure import Measure
from stream_lineage.frames.recognise import Library, library_version
from stream_lineage.sdk.code_version import CodeVersion, code_version
from stream_lineage.sdk.datasets import Dataset, dataset
from stream_lineage.sdk.run_sender import Ending
from stream_lineage.sdk.runs import Run, Use
from stream_lineage.wire.openlineage import (
    PRODUCER,
    engine_facet,
    error_facet,
    facet,
    job_type_facet,
    parent_facet,
    run_event,
    schema_facet,
)

SDK = f"{PRODUCER}/sdk"
"""The producer of these events. Those of the service itself have another one, since it does not take its own back."""
SCHEMA = "https://stream-lineage.io/schemas/transformation.schema.json"
MOST_COLUMNS = 1_000
"""Of one frame, in its facets."""
LARGEST_EVENT = 900_000
"""Bytes, as our API takes them."""


def run_event_of(run: Run, ending: Ending, inputs: Sequence[Use], outputs: Sequence[Use]) -> dict[str, Any]:
    """START, COMPLETE, FAIL or ABORT of a run. A START only names the datasets."""
    over = ending is not Ending.NONE
    if not over:
        inputs, outputs = ([Use(each.dataset, each.label) for each in uses] for uses in (inputs, outputs))
    at = run.ended if over else run.started
    event = _event(run, ending, at, inputs, outputs)
    if len(json.dumps(event)) > LARGEST_EVENT:  # wide frames with long names: without what is known of their columns
        for each in (*event["inputs"], *event["outputs"]):
            each["facets"] = {}
            each.pop("inputFacets", None)
        event["run"]["facets"].pop("streamLineage_transformation", None)
    return event


def _event(
    run: Run, ending: Ending, at: datetime | None, inputs: Sequence[Use], outputs: Sequence[Use]
) -> dict[str, Any]:
    code = code_version(*run.code)
    event = run_event(
        ending.value,
        "" if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        (run.run_id, _run_facets(run, ending, code, inputs, outputs)),
        (run.namespace, run.name, _job_facets(run, code)),
        [_input(each) for each in inputs if each.dataset is not None],
        [_output(each, run) for each in outputs if each.dataset is not None],
    )
    return {**event, "producer": SDK}


def _run_facets(
    run: Run, ending: Ending, code: CodeVersion, inputs: Sequence[Use], outputs: Sequence[Use]
) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if run.parent is not None:
        facets["parent"] = parent_facet(run.parent, run.root)
    if run.parameters:
        parameters = [{"key": name, "name": name, "value": value} for name, value in tuple(run.parameters.items())]
        facets["executionParameters"] = facet("1-0-0", "ExecutionParametersRunFacet", parameters=parameters)
    if run.failure is not None:
        trail = "\n".join(run.failure.trail) or None
        facets["errorMessage"] = error_facet(str(run.failure), "Python", trail)
    libraries = {each.measure.library for each in (*inputs, *outputs) if each.measure is not None}
    versions = {library_version(each) for each in libraries - {Library.ROWS}} - {None}
    names = " ".join(sorted({each.value.split(" ", maxsplit=1)[0] for each in libraries - {Library.ROWS}}))
    facets["processing_engine"] = engine_facet(names or "Python", *(versions if len(versions) == 1 else ()))
    own: dict[str, Any] = {"nodeId": run.node_id, "code": _known(code)}
    if ending is not Ending.NONE:
        own["durationSeconds"] = run.seconds
        frames = [_frame("input", each) for each in inputs if each.measure is not None]
        frames += [_frame("output", each) for each in outputs if each.measure is not None]
        own["frames"] = frames
        own["differences"] = _differences(inputs, outputs)
    facets["streamLineage_transformation"] = _own("TransformationRunFacet", **own)
    return facets


def _job_facets(run: Run, code: CodeVersion) -> dict[str, Any]:
    facets: dict[str, Any] = {"jobType": job_type_facet("BATCH", "PYTHON", "TRANSFORMATION")}
    if code.url is not None:
        place = f"{code.url}/blob/{code.version}/{code.path}" if code.version and code.path else code.url
        known = {"repoUrl": code.url, "path": code.path, "version": code.version, "branch": code.branch}
        facets["sourceCodeLocation"] = facet(
            "1-1-0", "SourceCodeLocationJobFacet", type="git", url=place,
            **{name: value for name, value in known.items() if value is not None},
        )  # fmt: skip
    if run.owner is not None:
        facets["ownership"] = facet("1-0-1", "OwnershipJobFacet", owners=[{"name": run.owner}])
    if run.description is not None:
        facets["documentation"] = facet("1-1-0", "DocumentationJobFacet", description=run.description)
    return facets


def _known(code: CodeVersion) -> dict[str, str]:
    found = {
        "function": code.function,
        "sourceHash": code.source_hash,
        "version": code.version,
        "branch": code.branch,
        "path": code.path,
    }
    return {name: value for name, value in found.items() if value is not None}


def _input(use: Use) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    measure = use.measure
    if measure is not None and measure.rows is not None:
        facets["inputStatistics"] = facet("1-0-0", "InputStatisticsInputDatasetFacet", rowCount=measure.rows)
    metrics = _metrics(measure)
    if metrics is not None:
        facets["dataQualityMetrics"] = facet("1-0-3", "DataQualityMetricsInputDatasetFacet", **metrics)
    if use.assertions:
        facets["dataQualityAssertions"] = facet(
            "1-1-0", "DataQualityAssertionsDatasetFacet", assertions=list(use.assertions)
        )
    return {**_called(use), "facets": _dataset_facets(use), "inputFacets": facets}


def _output(use: Use, run: Run) -> dict[str, Any]:
    written: dict[str, Any] = {}
    facets = _dataset_facets(use)
    if use.measure is not None and use.measure.rows is not None:
        written["outputStatistics"] = facet("1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=use.measure.rows)
    metrics = _metrics(use.measure)
    if metrics is not None:
        facets["dataQualityMetrics"] = facet("1-0-0", "DataQualityMetricsDatasetFacet", **metrics)
    fields: dict[str, list[dict[str, Any]]] = {}
    for source, source_path, target, path in run.made_of:
        if dataset(target) == use.dataset:
            fields.setdefault(path, []).append({**dataset(source).to_json(), "field": source_path})
    if fields:
        made = {path: {"inputFields": found} for path, found in fields.items()}
        facets["columnLineage"] = facet("1-2-0", "ColumnLineageDatasetFacet", fields=made)
    return {**_called(use), "facets": facets, "outputFacets": written}


def _called(use: Use) -> dict[str, str]:
    assert isinstance(use.dataset, Dataset)  # noqa: S101
    return use.dataset.to_json()


def _dataset_facets(use: Use) -> dict[str, Any]:
    measure = use.measure
    if measure is None:
        return {}
    fields = [(each.name, each.type) for each in measure.columns[:MOST_COLUMNS]]
    return {"schema": schema_facet(fields), "streamLineage_frame": _own("FrameDatasetFacet", **_content(use, measure))}


def _metrics(measure: Measure | None) -> dict[str, Any] | None:
    if measure is None or measure.evaluated is None:
        return None
    columns = {
        each.name: {"nullCount": each.nulls} for each in measure.columns[:MOST_COLUMNS] if each.nulls is not None
    }
    return {"rowCount": measure.evaluated, "columnMetrics": columns}


def _content(use: Use, measure: Measure) -> dict[str, Any]:
    ratios = {each.name: measure.null_ratio(each) for each in measure.columns[:MOST_COLUMNS]}
    found: dict[str, Any] = {
        "library": measure.library.value,
        "rows": measure.rows,
        "evaluatedRows": measure.evaluated,
        "columns": len(measure.columns),
        "schemaHash": measure.schema_hash,
        "nullRatios": {name: ratio for name, ratio in ratios.items() if ratio is not None},
        "whole": use.whole,
    }
    if measure.key:
        found |= {"key": list(measure.key), "keyChecksum": measure.key_checksum if use.whole else None}
    return found


def _frame(role: str, use: Use) -> dict[str, Any]:
    """What the run says of a frame that has no dataset; of others their dataset says it."""
    assert use.measure is not None  # noqa: S101
    about = {"role": role, "name": use.label}
    known = _content(use, use.measure) if use.dataset is None else {"dataset": use.dataset.to_json()}
    return {**about, **known}


def _differences(inputs: Sequence[Use], outputs: Sequence[Use]) -> list[dict[str, Any]]:
    """Of each frame that came out, against the first one that went in."""
    before = next((each for each in inputs if each.measure is not None and each.whole), None)
    if before is None or before.measure is None:
        return []
    return [
        {"from": before.label, "to": each.label, **difference(before.measure, each.measure)}
        for each in outputs
        if each.measure is not None and each.whole
    ]


def _own(definition: str, **content: Any) -> dict[str, Any]:
    return {"_producer": SDK, "_schemaURL": f"{SCHEMA}#/$defs/{definition}", **content}

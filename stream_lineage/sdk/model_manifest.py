"""``lineage_manifest``: what a model was made of, as a file beside the model, and in MLflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_lineage.errors import SchemaError
from stream_lineage.frames.held import columns_of_rows, held
from stream_lineage.frames.recognise import Library, library_of
from stream_lineage.sdk.code_version import code_version
from stream_lineage.sdk.manifest import Manifest
from stream_lineage.sdk.parents import add_parent, named
from stream_lineage.sdk.provenance import provenance_of
from stream_lineage.sdk.runs import current_run
from stream_lineage.wire.openlineage import parents_of_process
from stream_lineage.wire.parent_ranges import ParentRanges

FILE = "lineage_manifest.json"
"""The artifact in MLflow."""
TAG = "stream_lineage."
"""What the names of tags in MLflow start with."""
_BLOCK = 1 << 20


def lineage_manifest(
    model: str,
    model_version: str,
    *,
    features: Iterable[str] | None = None,
    training_data: Any = None,
    offsets: Any = None,
    schemas: Mapping[str, Any] | None = None,
    schema_hash: str | None = None,
    feature_version: str | None = None,
    run_id: str | None = None,
    ignore: Iterable[str] = (),
    path: str | Path | None = None,
    mlflow: bool | str = False,
) -> Manifest:
    """What a model was made of (docs/specs/manifest.md). ``verify_input`` compares records with it later.

    Args:
        model: its name.
        model_version: of the model.
        features: names in the order in which the model takes them; null: the columns of the training data, without
            those of ``ignore``.
        training_data: the frame that it was trained on, the path of a file or several of them, or a hash as a text
            that starts with ``sha256:``.
        offsets: of which records the data was made: messages, coordinates ``(topic, partition, first, last)``, or a
            window, as ``LineageProducer.produce`` takes them as ``parents``.
        schemas: by topic, the version of the schema in the registry, or a mapping with ``version``, ``id``,
            ``fingerprint``, or several. Messages among ``offsets`` say which ids they claim.
        schema_hash: of the schema that records for the model are written under; ``verify_input`` compares it.
        feature_version: of the feature definitions.
        run_id: of the pipeline; null: the run that is going on here, else the one that the environment names.
        ignore: names in records that are no features, such as keys.
        path: a file to write it to.
        mlflow: put it into MLflow's active run, or the one with this id.

    Raises:
        SchemaError: there are no features, or something is not what it should be.
        OSError: a file cannot be read or written.
        ImportError: MLflow is asked for, and not installed (``pip install stream-lineage[mlflow]``).
    """
    ignored = list(ignore)
    more: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    columns: list[str] | None = None
    if training_data is not None:
        more["training_data"], columns = _training_data(training_data)
    if features is None and columns is None:
        raise SchemaError("a manifest needs features", hint="Name them, or give the frame as training_data.")
    wanted = [name for name in columns or () if name not in ignored] if features is None else list(features)
    ranges, claimed = _offsets(offsets)
    if ranges:
        more["offsets"] = ranges
    known = _schemas(schemas or {}, claimed)
    if known:
        more["schemas"] = known
    if feature_version is not None:
        more["feature_version"] = str(feature_version)
    run = _run(run_id)
    if run is not None:
        more["run"] = run
    made = Manifest.of(
        {
            "features": wanted, "ignore": ignored, "schema_hash": schema_hash, "model": model,
            "model_version": str(model_version), **more,
        }
    )  # fmt: skip
    if path is not None:
        made.write(path)
    if mlflow:
        log_to_mlflow(made, None if mlflow is True else str(mlflow))
    return made


def log_to_mlflow(manifest: Manifest, run_id: str | None = None) -> None:
    """Put a manifest into MLflow: as the artifact ``lineage_manifest.json`` of a run, and its main members as tags.

    Args:
        manifest: of the model.
        run_id: MLflow's; null: the run that is active.

    Raises:
        ImportError: MLflow is not installed.
        SchemaError: there is no run.
    """
    try:
        import mlflow
    except ModuleNotFoundError as error:
        raise ImportError("MLflow is not installed: pip install 'stream-lineage[mlflow]'") from error
    if run_id is None:
        active = mlflow.active_run()
        if active is None:
            raise SchemaError("no run of MLflow is active", hint="Call it inside mlflow.start_run(), or name the run.")
        run_id = active.info.run_id
    client = mlflow.MlflowClient()
    client.log_dict(run_id, manifest.document, FILE)
    for name, value in _tags(manifest.document).items():
        client.set_tag(run_id, TAG + name, value)


def data_hash(frame: Any) -> str:
    """A hash of all that is in a frame, as ``sha256:...``: the same for the same rows in whatever order, and whichever
    library holds them, if it has the same types for them.

    Raises:
        SchemaError: it is no frame that can be read without running a query.
    """
    return str(_of_frame(frame)[0]["hash"])


def _training_data(said: Any) -> tuple[dict[str, Any], list[str] | None]:
    if isinstance(said, str) and said.startswith("sha256:"):
        return {"hash": said}, None
    if isinstance(said, str | Path):
        return {"hash": f"sha256:{_of_files([Path(said)])}", "files": 1}, None
    if isinstance(said, Sequence) and said and all(isinstance(each, str | Path) for each in said):
        return {"hash": f"sha256:{_of_files([Path(each) for each in said])}", "files": len(said)}, None
    return _of_frame(said)


def _of_files(paths: Sequence[Path]) -> str:
    """Of one file the hash of its bytes, as any tool gives it; of several the hash of their hashes in order."""
    hashes = []
    for path in paths:
        found = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
        hashes.append(found.hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _of_frame(frame: Any) -> tuple[dict[str, Any], list[str]]:
    from stream_lineage.frames.checksum import double_checksum

    library = library_of(frame)
    if library is None or library.schema_only:
        raise SchemaError(
            "the training data is no frame that can be read",
            hint="Give a frame of pandas, Polars or PyArrow, a list of dicts, files, or a hash as sha256:...",
        )
    measure = held(frame, library).measure()
    if library is Library.ROWS:  # of which a sample was looked at
        measure = replace(measure, columns=columns_of_rows(frame))
    names = [column.name for column in measure.columns]
    rows = measure.rows or 0
    try:
        sums = double_checksum(_columns(frame, library, names), rows, library)
    except Exception as error:
        raise SchemaError("the training data has values that cannot be hashed", hint="Give its files.") from error
    text = json.dumps([measure.schema_hash, rows, *(f"{each:016x}" for each in sums)])
    whole = hashlib.sha256(text.encode()).hexdigest()
    return {"hash": f"sha256:{whole}", "rows": rows, "schema_hash": measure.schema_hash}, names


def _columns(frame: Any, library: Library, names: Sequence[str]) -> list[Any]:
    if library is Library.PANDAS:
        return [frame.iloc[:, place] for place in range(len(names))]
    if library is Library.POLARS:
        return list(frame.get_columns())
    if library is Library.PYARROW:
        return list(frame.columns)
    return [[row.get(name) for row in frame] for name in names]


def _offsets(said: Any) -> tuple[dict[str, list[dict[str, Any]]], dict[str, set[int]]]:
    """Ranges by topic, and the ids of schemas that messages claim."""
    ranges = ParentRanges()
    claimed: dict[str, set[int]] = {}
    for each in () if said is None else named(said):
        try:
            add_parent(ranges, each)
        except Exception as error:
            raise SchemaError("offsets are messages, coordinates or a window") from error
        known = provenance_of(each)
        if known is not None and known.schema_id is not None:
            claimed.setdefault(known.topic, set()).add(known.schema_id)
    if ranges.incomplete:
        raise SchemaError("offsets hold something that has no coordinates")
    found: dict[str, list[dict[str, Any]]] = {}
    for each in ranges:
        place: dict[str, Any] = {
            "partition": each.partition, "first_offset": each.first_offset, "last_offset": each.last_offset,
        }  # fmt: skip
        if each.widened:
            place["widened"] = True
        if each.cluster is not None:
            place["cluster"] = each.cluster
        found.setdefault(each.topic, []).append(place)
    return found, claimed


def _schemas(said: Mapping[str, Any], claimed: Mapping[str, set[int]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, each in said.items():
        several = each if isinstance(each, list | tuple) else [each]
        found[str(topic)] = [_schema(one) for one in several]
    for topic, ids in claimed.items():
        if topic not in found:
            found[topic] = [{"id": number} for number in sorted(ids)]
    return found


def _schema(said: Any) -> dict[str, Any]:
    if isinstance(said, int) and not isinstance(said, bool):
        return {"version": said}
    if isinstance(said, Mapping) and said and set(said) <= {"version", "id", "fingerprint"}:
        return dict(said)
    raise SchemaError("a schema is a version, or a mapping with version, id or fingerprint")


def _run(run_id: str | None) -> dict[str, Any] | None:
    run = current_run()
    if run_id is not None:
        return {"id": str(run_id)}
    if run is None:
        parent, root = parents_of_process()
        if parent is None:
            return None
        known: dict[str, Any] = {"id": parent.run_id, "job": {"namespace": parent.namespace, "name": parent.name}}
        return known if root is None else {**known, "root": root.run_id}
    code = code_version(*run.code)
    known = {"id": run.run_id, "job": {"namespace": run.namespace, "name": run.name}}
    if run.root is not None:
        known["root"] = run.root.run_id
    if code.version is not None:
        known["code_version"] = code.version
    return known


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    found = {name: document.get(name) for name in ("model", "model_version", "feature_version", "schema_hash")}
    found["training_data_hash"] = (document.get("training_data") or {}).get("hash")
    found["run_id"] = (document.get("run") or {}).get("id")
    found["topics"] = ",".join(document.get("offsets") or ()) or None
    return {name: str(value)[:500] for name, value in found.items() if value is not None}

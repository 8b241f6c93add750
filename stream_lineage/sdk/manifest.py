"""Manifests of models (docs/specs/manifest.md), and whether what a model is given is what it was trained on: by name,
order and number of its features, and by schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_lineage.errors import InputMismatch, SchemaError

MANIFEST_VERSION = 1
_MOST_NAMED = 20
_OWN = frozenset(("manifest_version", "features", "schema_hash", "model", "model_version", "ignore"))


@dataclass(frozen=True, slots=True)
class InputReport:
    """How a record differs from what the model was trained on.

    ``missing`` and ``extra`` features are by name, twenty at most. ``reordered``: the names are all there in another
    order. ``count`` is how many features the record has; null: it could not be told. ``schema_hash`` is the record's,
    where it is another one than the manifest's.
    """

    ok: bool
    count: int | None
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    reordered: bool = False
    schema_hash: str | None = None

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.ok:
            return "as the model was trained"
        said = []
        if self.count is None:
            said.append("not a record")
        if self.missing:
            said.append(f"missing: {', '.join(self.missing)}")
        if self.extra:
            said.append(f"not known to the model: {', '.join(self.extra)}")
        if self.reordered:
            said.append("features in another order")
        if self.schema_hash is not None:
            said.append(f"another schema: {self.schema_hash}")
        return "; ".join(said) or f"{self.count} features"


class Manifest:
    """What a model was trained on. Read once and used for every record; it counts what was checked.

    ``lineage_manifest`` makes one that says more: ``document`` is all that is known.

    Args:
        features: names in the order in which the model takes them.
        schema_hash: of the training data's schema, as schema references have it (``fingerprint``).
        model, model_version: which model this is.
        ignore: names in records that are no features, such as keys.
        more: other members of the document.
    """

    __slots__ = (
        "_ignored",
        "_right",
        "checked",
        "document",
        "features",
        "ignore",
        "mismatched",
        "model",
        "model_version",
        "schema_hash",
    )

    def __init__(
        self,
        features: Iterable[str],
        *,
        schema_hash: str | None = None,
        model: str | None = None,
        model_version: str | None = None,
        ignore: Iterable[str] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.features = tuple(features)
        self.schema_hash = schema_hash
        self.model = model
        self.model_version = model_version
        self.ignore = tuple(ignore)
        self.checked = 0
        """Records, about, where several threads check."""
        self.mismatched = 0
        self._ignored = frozenset(self.ignore)
        known = {"model": model, "model_version": model_version, "schema_hash": schema_hash}
        self.document: dict[str, Any] = {
            "manifest_version": MANIFEST_VERSION,
            **{name: value for name, value in known.items() if value is not None},
            "features": list(self.features),
            **({"ignore": list(self.ignore)} if self.ignore else {}),
            **(more or {}),
        }
        self._right = InputReport(True, len(self.features))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Manifest:
        """From a document with the members ``features``, ``schema_hash``, ``model``, ``model_version`` and ``ignore``,
        of which only the first one must be there. Others are kept as they are.

        Raises:
            SchemaError: it is no manifest, or one of a later format.
        """
        version = document.get("manifest_version", MANIFEST_VERSION)
        if version != MANIFEST_VERSION:
            raise SchemaError(f"a manifest of format {version}, of which this version knows {MANIFEST_VERSION}")
        features, ignore = document.get("features"), document.get("ignore") or ()
        texts = [document.get(name) for name in ("schema_hash", "model", "model_version")]
        if not _are_names(features) or not _are_names(ignore):
            raise SchemaError("a manifest needs features: a list of names", hint="ignore is a list of names too.")
        if not all(text is None or isinstance(text, str) for text in texts):
            raise SchemaError("schema_hash, model and model_version of a manifest are texts")
        more = {name: value for name, value in document.items() if name not in _OWN}
        return cls(
            features,  # type: ignore[arg-type]
            schema_hash=texts[0],
            model=texts[1],
            model_version=texts[2],
            ignore=ignore,
            more=more,
        )

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """From a JSON file.

        Raises:
            SchemaError: it is no manifest.
            OSError: it cannot be read.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise SchemaError(f"{path} is no JSON") from error
        if not isinstance(document, dict):
            raise SchemaError(f"{path} is no manifest")
        return cls.of(document)

    def write(self, path: str | Path) -> None:
        """As a JSON file; one that is there is replaced at once and whole.

        Raises:
            OSError: it cannot be written.
        """
        target = Path(path)
        beside = target.with_name(f"{target.name}.{os.getpid()}.part")
        beside.write_text(self.to_json(), encoding="utf-8")
        beside.replace(target)

    def to_json(self) -> str:
        """The document as text."""
        return json.dumps(self.document, ensure_ascii=False, indent=2) + "\n"

    def check(self, record: Any, schema_hash: str | None = None) -> InputReport:
        """See ``verify_input``."""
        self.checked += 1
        wrong_schema = (
            schema_hash if None not in (schema_hash, self.schema_hash) and schema_hash != self.schema_hash else None
        )
        try:
            names = self._names(record)
            if wrong_schema is None and names == self.features:
                return self._right
            if isinstance(names, int):
                report = InputReport(names == len(self.features) and wrong_schema is None, names)
            else:
                report = self._differences(names)
        except Exception:  # noqa: BLE001  (whatever was given is reported)
            report = InputReport(False, None)
        if wrong_schema is not None:
            report = InputReport(False, report.count, report.missing, report.extra, report.reordered, wrong_schema)
        self.mismatched += not report.ok
        return report

    def _names(self, record: Any) -> tuple[str, ...] | int:
        """The features of a record, or only how many there are where it does not name them."""
        if type(record) is not dict and not isinstance(record, Mapping):
            if isinstance(record, str | bytes):
                raise TypeError("a text is no record")
            arrow = type(record).__module__.startswith("pyarrow.")  # whose columns are not names
            columns = getattr(record, "column_names" if arrow else "columns", None)
            if columns is None:
                shape = getattr(record, "shape", None)
                return len(record) if not shape else int(shape[-1])
            record = columns
        if self._ignored:
            return tuple([name for name in record if name not in self._ignored])
        return tuple(record)

    def _differences(self, names: tuple[str, ...]) -> InputReport:
        own, known = set(names), set(self.features)
        missing = tuple(name for name in self.features if name not in own)[:_MOST_NAMED]
        extra = tuple(str(name) for name in names if name not in known)[:_MOST_NAMED]
        right = names == self.features
        return InputReport(right, len(names), missing, extra, not (right or missing or extra))


def verify_input(
    record: Any, manifest: Manifest, *, schema_hash: str | None = None, raise_on_mismatch: bool = False
) -> InputReport:
    """Compare a record with what the model was trained on.

    Args:
        record: a mapping or a data frame, whose names are compared; a list or an array, of which only the number of
            features can be told.
        manifest: of the model.
        schema_hash: of the schema that the record was written under. Compared where it and the manifest's are known.
        raise_on_mismatch: for callers that rather stop.

    Raises:
        InputMismatch: only if asked to; ``str`` of it says what is wrong.
    """
    report = manifest.check(record, schema_hash)
    if raise_on_mismatch and not report.ok:
        raise InputMismatch(f"not what {manifest.model or 'the model'} was trained on: {report}")
    return report


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)

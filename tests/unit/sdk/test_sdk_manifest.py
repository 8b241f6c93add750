"""If this failed, a model would be given what it was not trained on and nobody would be told, or be stopped unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import InputMismatch, SchemaError
from stream_lineage.sdk import InputReport, Manifest, verify_input

MANIFEST = Manifest(["age", "amount", "country"], schema_hash="ab12", model="fraud", ignore=["id"])
RIGHT = {"id": 7, "age": 1, "amount": 2.0, "country": "DE"}


class Frame:
    def __init__(self, *columns: str) -> None:
        self.columns = columns


@pytest.mark.parametrize(
    ("record", "schema_hash", "expected"),
    [
        (RIGHT, None, InputReport(True, 3)),
        (RIGHT, "ab12", InputReport(True, 3)),
        ({name: RIGHT[name] for name in ("age", "amount", "country")}, None, InputReport(True, 3)),
        (Frame("age", "amount", "id", "country"), None, InputReport(True, 3)),
        (RIGHT, "cd34", InputReport(False, 3, schema_hash="cd34")),
        ({"age": 1, "country": "", "amount": 2}, None, InputReport(False, 3, reordered=True)),
        ({"age": 1, "amount": 2}, None, InputReport(False, 2, missing=("country",))),
        ({**RIGHT, "more": 1}, None, InputReport(False, 4, extra=("more",))),
        ({"ages": 1, "amount": 2, "country": ""}, "cd34", InputReport(False, 3, ("age",), ("ages",), False, "cd34")),
        ([1, 2.0, 3], None, InputReport(True, 3)),
        (np.zeros((100, 3)), None, InputReport(True, 3)),
        (np.zeros(4), None, InputReport(False, 4)),
        ((1, 2), None, InputReport(False, 2)),
        (None, None, InputReport(False, None)),
        ("abc", None, InputReport(False, None)),
        (pa.table({"id": [1], "age": [2], "amount": [3], "country": ["DE"]}), None, InputReport(True, 3)),
        (pa.table({"age": [2], "amount": [3]}), None, InputReport(False, 2, missing=("country",))),
        (7, "cd34", InputReport(False, None, schema_hash="cd34")),
        ({1: 2}, None, InputReport(False, 1, ("age", "amount", "country"), ("1",))),
    ],
)
def test_table(record: Any, schema_hash: str | None, expected: InputReport) -> None:
    assert verify_input(record, MANIFEST, schema_hash=schema_hash) == expected
    assert bool(expected) is expected.ok
    if expected.ok:
        assert verify_input(record, MANIFEST, schema_hash=schema_hash, raise_on_mismatch=True).ok
    else:
        with pytest.raises(InputMismatch, match="fraud") as error:
            verify_input(record, MANIFEST, schema_hash=schema_hash, raise_on_mismatch=True)
        assert str(expected) in str(error.value)


@given(st.lists(st.sampled_from("abcd"), unique=True), st.lists(st.sampled_from("abcd"), unique=True))
def test_names_and_their_order_are_the_models(trained: list[str], given_: list[str]) -> None:
    report = verify_input(dict.fromkeys(given_, 0), Manifest(trained))
    assert report.ok is (trained == given_)
    assert set(report.missing) == set(trained) - set(given_)
    assert set(report.extra) == set(given_) - set(trained)


def test_it_counts() -> None:
    manifest = Manifest(["a"])
    for record in ({"a": 1}, {"b": 1}, object(), {"a": 2}):
        verify_input(record, manifest)
    assert (manifest.checked, manifest.mismatched) == (4, 2)


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(
        json.dumps({"features": ["a", "b"], "schema_hash": "x", "model_version": "7", "offset_ranges": {"t": [0, 9]}})
    )
    manifest = Manifest.read(path)
    assert (manifest.features, manifest.schema_hash, manifest.model_version) == (("a", "b"), "x", "7")
    assert verify_input({"a": 1, "b": 2}, manifest, schema_hash="x").ok


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"features": "ab"}', '{"features": [1]}', '{"features": ["a"], "schema_hash": 7}']
)
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(SchemaError):
        Manifest.read(path)

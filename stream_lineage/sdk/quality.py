"""What Great Expectations found, as the assertions of OpenLineage's ``dataQualityAssertions`` facet.

Results of its versions 0.1x and 1.x are read: its own objects, or what became of them as JSON. Examples of values that
are not as expected are left out, and so are values that were observed, unless they are numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

Assertion = dict[str, Any]
"""As the facet has them: ``assertion``, ``success``, and ``column``, ``severity``, ``actual`` where they are known."""
MOST_ASSERTIONS = 1_000
_LONGEST = 500
_WHERE = frozenset(("column", "batch_id", "result_format", "catch_exceptions"))


def assertions_of(result: Any) -> list[Assertion]:
    """The assertions that a result holds: of a checkpoint, a validation or a single expectation.

    Raises:
        ValueError: it is no result of Great Expectations.
    """
    return [_assertion(each) for each, _ in zip(_results(_document(result)), range(MOST_ASSERTIONS), strict=False)]


def _document(result: Any) -> Any:
    if isinstance(result, str | bytes):
        return json.loads(result)
    if isinstance(result, Mapping):
        return result
    to_json = getattr(result, "to_json_dict", None)
    if callable(to_json):
        return to_json()
    results = getattr(result, "run_results", None)  # a checkpoint's, which is not always JSON
    if isinstance(results, Mapping):
        return {"run_results": results}
    raise ValueError("not a result of Great Expectations")


def _results(document: Any) -> Iterator[Mapping[str, Any]]:
    document = _document(document)
    if "expectation_config" in document:
        yield document
    elif isinstance(document.get("results"), list):
        for each in document["results"]:
            yield from _results(each)
    elif isinstance(document.get("run_results"), Mapping):
        for each in document["run_results"].values():
            yield from _results(each)
    elif "validation_result" in document:  # in a checkpoint's result before 1.0
        yield from _results(document["validation_result"])
    else:
        raise ValueError("not a result of Great Expectations")


def _assertion(result: Mapping[str, Any]) -> Assertion:
    config = result["expectation_config"]
    arguments = config.get("kwargs") or {}
    found: Assertion = {
        "assertion": str(config.get("type") or config["expectation_type"])[:_LONGEST],
        "success": bool(result["success"]),
    }
    column = arguments.get("column")
    if isinstance(column, str):
        found["column"] = column
    severity = config.get("severity")
    if isinstance(severity, str):
        found["severity"] = "error" if severity == "critical" else "warn"
    expected = {name: value for name, value in arguments.items() if name not in _WHERE}
    if expected:
        found["expected"] = json.dumps(expected, default=str, sort_keys=True)[:_LONGEST]
    actual = _actual(result)
    if actual is not None:
        found["actual"] = actual
    return found


def _actual(result: Mapping[str, Any]) -> str | None:
    if _raised(result.get("exception_info")):
        return "could not be evaluated"
    known = result.get("result") or {}
    observed, unexpected, rows = known.get("observed_value"), known.get("unexpected_count"), known.get("element_count")
    if isinstance(observed, bool | int) or (isinstance(observed, float) and math.isfinite(observed)):
        return str(observed)
    if isinstance(unexpected, int):
        return f"{unexpected} unexpected" + (f" of {rows}" if isinstance(rows, int) else "")
    return None


def _raised(info: Any) -> bool:
    """By itself, or by metric since 1.0."""
    if not isinstance(info, Mapping):
        return False
    return info.get("raised_exception") is True or any(
        isinstance(each, Mapping) and each.get("raised_exception") is True for each in info.values()
    )

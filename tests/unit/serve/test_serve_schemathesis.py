"""If this failed, a request could make the API fail, or be answered otherwise than its OpenAPI document says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from asking import MadeLineage, Told
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance

CHECKS: list[Any] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip
EXAMPLES = 12
"""Of each path. More finds more: 500 of each were tried."""


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory: Path = tmp_path_factory.mktemp("api")
    app = make_app(MadeLineage(directory), Told(), Entrance(None))
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)


def test_no_request_makes_it_fail_or_say_what_is_not_documented(schema: Any) -> None:
    asked = 0
    for each in schema.get_all_operations():
        operation = each.ok()
        if operation.path in ("/api/v1/alerts/stream", "/readyz"):
            continue  # the one never ends, the other one says 503 here as it should

        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.validate_response(case.call(), checks=CHECKS)

        suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
        quickly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=suppressed, database=None)
        quickly(given(case=operation.as_strategy())(ask))()
    assert asked > 10 * EXAMPLES

"""The API as an ASGI application: paths, errors, who may ask, and OpenAPI 3.1."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from stream_lineage.model.telemetry import Telemetry
from stream_lineage.otel import tracer
from stream_lineage.serve import problems
from stream_lineage.serve.exposition import Exposition
from stream_lineage.serve.guard import OPEN_PATHS, Entrance, Guard
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.request_spans import RequestSpans, Templates
from stream_lineage.serve.routes.alerts import alerts
from stream_lineage.serve.routes.datasets import datasets
from stream_lineage.serve.routes.graph import graph
from stream_lineage.serve.routes.health import health
from stream_lineage.serve.routes.incidents import incidents
from stream_lineage.serve.routes.openlineage import openlineage
from stream_lineage.serve.routes.records import records
from stream_lineage.serve.routes.schemas import schemas
from stream_lineage.serve.routes.trends import trends
from stream_lineage.serve.shortcut import Shortcut, ways
from stream_lineage.serve.threads import Threads

PREFIX = "/api/v1"
_ROUTERS = (records, datasets, schemas, graph, alerts, incidents, trends, openlineage)


def make_app(lineage: Lineage, telemetry: Telemetry, entrance: Entrance) -> FastAPI:
    """The application; start it with any ASGI server."""
    ours = version("stream-lineage")
    app = FastAPI(
        title="stream-lineage",
        version=ours,
        summary="Where records come from, what changed, and who is hit.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        # Ours has no paths in it, and is not looked for with each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    api, threads = APIRouter(prefix=PREFIX), Threads()
    made = [router(lineage, threads) for router in _ROUTERS]
    for router in made:
        api.include_router(router)
    app.include_router(api)
    app.include_router(health(telemetry, Exposition(telemetry, role="serve", version=ours)))
    problems.install(app)
    routes = [(PREFIX + each.path, each) for router in made for each in router.routes if isinstance(each, APIRoute)]
    app.add_middleware(Shortcut, ways=ways(routes))
    app.add_middleware(Guard, entrance=entrance)
    if (traces := tracer()) is not None:
        templates = Templates([*(path for path, _ in routes), f"{PREFIX}/openapi.json"])
        # Around the guard: who is refused has asked, too.
        app.add_middleware(RequestSpans, tracer=traces, templates=templates)
    app.openapi = lambda: _documented(app)  # type: ignore[method-assign]
    return app


def _documented(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        components = found.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = problems.Problem.model_json_schema()
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "`stream-lineage token create` makes one."}
        }
        for path, operations in found["paths"].items():
            for operation in operations.values():
                operation["security"] = [] if path in OPEN_PATHS else [{"token": []}]
        app.openapi_schema = found
    return app.openapi_schema

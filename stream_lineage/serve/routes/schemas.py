"""Registered schemas and what changed between them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from stream_lineage.detect.schema_diff import diff_document, diff_schemas
from stream_lineage.errors import NotFound, SchemaError
from stream_lineage.provenance.documents import schema_document
from stream_lineage.serve.answers import Json
from stream_lineage.serve.documents import SchemaDiffDocument, SchemaText
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import documented
from stream_lineage.serve.threads import Threads

_VERSION = r"^(latest|[1-9][0-9]{0,8})$"
Subject = Annotated[str, Path(min_length=1, max_length=500, description="A subject of the registry.")]
Version = Annotated[str, Path(pattern=_VERSION, description="A number, or `latest`.")]
Side = Annotated[
    str,
    Query(pattern=r"^.{1,500}:(latest|[1-9][0-9]{0,8})$", description="SUBJECT:VERSION, or SUBJECT:latest."),
]


def schemas(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/schemas``."""
    router = APIRouter(tags=["schemas"], responses=documented(HTTPStatus.NOT_FOUND))

    @router.get("/schemas/diff", responses={200: {"model": SchemaDiffDocument}}, response_class=Json)
    @threads.slowly
    def diff(old: Side, new: Side) -> Any:
        """The changes from one registered schema to another, and what each one breaks."""
        before, after = (lineage.schema(*_side(each)) for each in (old, new))
        if before.type is not after.type:
            raise SchemaError(f"{old} is {before.type.value} and {new} {after.type.value}: they cannot be compared")
        return Json(
            diff_document(diff_schemas(before.type, before.text, after.text, before.references, after.references))
        )

    @router.get(
        "/schemas/{subject:path}/versions/{version}", responses={200: {"model": SchemaText}}, response_class=Json
    )
    @threads.slowly
    def text(subject: Subject, version: Version) -> Any:
        """A schema's text."""
        found = lineage.schema(*_side(f"{subject}:{version}"))
        return Json(
            {
                "schema": schema_document(found.reference),
                "text": found.text,
                "references": dict(found.references),
            }
        )

    return router


def _side(text: str) -> tuple[str, int | None]:
    subject, _, version = text.rpartition(":")
    if not subject.isprintable() or subject in (".", ".."):
        raise NotFound("there is no such subject")
    return subject, None if version == "latest" else int(version)

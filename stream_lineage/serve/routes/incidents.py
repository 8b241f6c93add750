"""Incidents: those that there are, one with its answer, what explains it elsewhere, and what people found it to be."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from stream_lineage.errors import NotFound
from stream_lineage.index.incident_rows import incidents_before, indexed_incident, whole_incident
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.serve.answers import Json, Page, page, place
from stream_lineage.serve.documents import (
    BundleDocument,
    IncidentDocument,
    IncidentLabel,
    LabelledIncident,
    ReplayPlans,
)
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import BadBody, documented
from stream_lineage.serve.routes.parameters import Cursor, Limit, Moment
from stream_lineage.serve.threads import Threads

Id = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Of an incident.")]
_STATE = Query(pattern="^(open|updated|root-cause|escalated|resolved|reopened)$")
_TOPIC = Query(min_length=1, max_length=300, description="One of its alerts is about this topic.")

_RESOLVED = Query(description="Only those that are over, or only those that are not.")


def incidents(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/incidents``."""
    router = APIRouter(tags=["incidents"], responses=documented(HTTPStatus.NOT_FOUND))

    def known(incident_id: str) -> dict[str, Any]:
        with lineage.index() as index:
            return in_index(index, incident_id)

    def in_index(index: ProvenanceIndex, incident_id: str) -> dict[str, Any]:
        found = indexed_incident(index, incident_id)
        if found is None:
            raise NotFound(f"there is no incident {incident_id}")
        return found

    @router.get("/incidents", responses={200: {"model": Page[IncidentDocument]}}, response_class=Json)
    @threads.quickly
    def listed(
        state: Annotated[str | None, _STATE] = None,
        severity: Annotated[str | None, Query(pattern="^(info|warning|critical)$")] = None,
        topic: Annotated[str | None, _TOPIC] = None,
        resolved: Annotated[bool | None, _RESOLVED] = None,
        since: Annotated[Moment | None, Query(description="Opened then or later.")] = None,
        until: Annotated[Moment | None, Query(description="Opened before.")] = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Any:
        """Incidents in their newest revision, the one that was opened last first."""
        before = place(cursor, int, str)
        with lineage.index() as index:
            found, following = incidents_before(
                index, None if before is None else (before[0], before[1]), limit, state=state, severity=severity,
                topic=topic, resolved=resolved, since=since, until=until,
            )  # fmt: skip
        return Json(page(found, following))

    @router.get("/incidents/{incident_id}", responses={200: {"model": LabelledIncident}}, response_class=Json)
    @threads.slowly
    def single(incident_id: Id) -> Any:
        """One incident with its answer: what broke first, the first bad records, what else is hit, the way back; and
        what people found it to be."""
        with lineage.index() as index:
            found = in_index(index, incident_id)
            _, one = whole_incident(index, found)
        return Json({**found, "label": lineage.incident_label(one)})

    @router.get("/incidents/{incident_id}/bundle", responses={200: {"model": BundleDocument}}, response_class=Json)
    @threads.slowly
    def bundle(incident_id: Id) -> Any:
        """What `stream-lineage explain BUNDLE.json` reads: graph, series and events, without payload values. Read from
        the graph and the store as they are."""
        return Json(lineage.incident_bundle(known(incident_id)))

    @router.get("/incidents/{incident_id}/replay", responses={200: {"model": ReplayPlans}}, response_class=Json)
    @threads.slowly
    def replay(incident_id: Id) -> Any:
        """To which offsets consumer groups have to go back, as they stand now: before the first bad records that are
        known of it. Changes nothing."""
        return Json({"items": lineage.incident_replay(known(incident_id))})

    @router.put("/incidents/{incident_id}/label", responses={200: {"model": IncidentLabel}}, response_class=Json)
    @threads.slowly
    def label(incident_id: Id, said: IncidentLabel) -> Any:
        """Say whether it was one, and which node broke first in fact. What was said before is replaced. Said of one
        that has turned out to be part of another, it is said of that one."""
        if said.cause is not None and not said.verdict:
            raise BadBody("a false alarm has no cause")
        with lineage.index() as index:
            whole, _ = whole_incident(index, in_index(index, incident_id))
        return Json(lineage.label_incident(whole, said.verdict, said.cause))

    return router

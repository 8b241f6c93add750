"""What all dashboards have in common."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery, DashboardCursorSync

from boards import links, variables

REFRESH = "30s"


def board(
    uid: str,
    title: str,
    about: str,
    chosen: Sequence[variables.Variable],
    annotations: Sequence[Builder[AnnotationQuery]],
    since: str = "now-6h",
) -> dashboard.Dashboard:
    """A dashboard without panels yet."""
    made = dashboard.Dashboard(title).uid(uid).description(about).tags([links.TAG]).timezone("browser")
    made = made.time(since, "now").refresh(REFRESH).tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    for link in links.between():
        made = made.link(link)
    for variable in (variables.datasource(), variables.ui(), *chosen):
        made = made.with_variable(variable)
    for annotation in annotations:
        made = made.annotation(annotation)
    return made

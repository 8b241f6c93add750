"""The alert about more series than may be written: once a day while it lasts, the same whichever worker tells it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.store.health import Health
from stream_lineage.store.series_cap import OTHER

KIND = "series-cap"


class SeriesWatch:
    """``look`` now and then; what it returns is to be published, then ``told``."""

    def __init__(
        self,
        health: Callable[[], Health],
        cluster: str,
        public_url: str,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._health = health
        self._cluster = cluster
        self._public_url = public_url
        self._wall = wall
        self._day = ""

    def look(self) -> list[Alert]:
        """The alert, where it is due."""
        health = self._health()
        now = self._wall()
        if not health.series_left_out or self._day == f"{now:%Y-%m-%d}":
            return []
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        found = Finding(
            kind=KIND,
            severity=Severity.WARNING,
            topic=OTHER,
            field_path=None,
            summary="there are more metric series than max_series: metrics of what exceeds it are not kept one by one",
            fingerprint=finding_fingerprint(KIND, self._cluster, ""),
            first_offsets={},
        )
        place = Place(f"{KIND}/{now:%Y-%m-%d}", self._cluster, midnight)
        return [alert(found, "anomaly", place, self._public_url)]

    def told(self) -> None:
        """The alert is on its topic."""
        self._day = f"{self._wall():%Y-%m-%d}"

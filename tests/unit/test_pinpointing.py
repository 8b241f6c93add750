"""If this failed, bad records that the observation log has forgotten would count as those before the fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.explain.first_bad import By, Sought
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import PLAIN_JSON
from stream_lineage.model.span import OffsetSpan
from stream_lineage.pinpointing import Place, _Search

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("whole", "zone", "by"), [(True, (300, 320), By.OBSERVATIONS), (False, (210, 330), By.TIME)])
def test_where_the_log_has_not_all_of_the_time_records_are_told_by_their_own(
    monkeypatch: pytest.MonkeyPatch, whole: bool, zone: tuple[int, int], by: By
) -> None:
    search = object.__new__(_Search)
    search._place = Place("orders", Sought("null_ratio", "amount", True), NOW - timedelta(seconds=60), NOW)
    search._notes, search._whole = [], whole
    monkeypatch.setattr(_Search, "_first_at", lambda _, at: {0: 210 if at < NOW else 330})
    at = NOW - timedelta(seconds=5)
    seen = Observation(
        "a", ObservationKind.OBSERVATION, "lab", "orders", None, "one", at, PLAIN_JSON, PLAIN_JSON, 20, 100, 0, None,
        (OffsetSpan(0, 300, 319, 20),), None, (),
    )  # fmt: skip
    assert search._zones([seen], {0: 0}, {0: 500}) == ({0: zone}, by)
    assert bool(search._notes) is not whole

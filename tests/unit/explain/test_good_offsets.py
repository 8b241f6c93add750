"""If this failed, people would be sent back to offsets that are bad, or to offsets of another occurrence or topic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.errors import NotFound
from stream_lineage.explain.good_offsets import good_offsets, is_bad
from stream_lineage.index.alert_onset import onset_of, onsets
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.finding import Severity
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.codec import encode_observation

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def seen(first: int, last: int, *, minute: int = 0, gap: tuple[int, int] | None = None, life: str = "id") -> Entry:
    gaps = () if gap is None else (MissingRange(*gap, MissingReason.COMPACTED),)
    span = OffsetSpan(0, first, last, last - first + 1 - sum(each.length for each in gaps), gaps)
    at = NOW + timedelta(minutes=minute)
    made = Observation(
        f"o{first}", ObservationKind.OBSERVATION, "prod", "clicks", life, "c", at, OPAQUE, OPAQUE, span.count, 0, 0,
        None, (span,), None, (),
    )  # fmt: skip
    return Entry("observations", encode_observation(made))


def alert(minute: int, phase: str | None, first: int, last: int | None = None, **more: Any) -> Entry:
    document = {
        "kind": "mean", "severity": "warning", "phase": phase, "summary": "far off", "topic": "clicks",
        "field_path": None, "after": None, "fingerprint": "f" * 32, "first_offsets": {"0": first},
        "last_offsets": {} if last is None else {"0": last},
        "observed_at": (NOW + timedelta(minutes=minute)).isoformat(), **more,
    }  # fmt: skip
    return Entry("alerts", json.dumps(document).encode(), f"id{minute}")


def built(path: Path, entries: Sequence[Entry]) -> ProvenanceIndex:
    writer = IndexWriter(path / "i")
    assert writer.write(entries, {}) == 0
    writer.close()
    return ProvenanceIndex(path / "i")


@dataclass(frozen=True)
class Case:
    """Alerts about ``clicks``, of which offsets 0 to 99 were observed unless ``observed`` says otherwise."""

    why: str
    alerts: tuple[Entry, ...]
    good: int | None
    others: int = 0
    observed: tuple[Entry, ...] = (seen(0, 99),)


OTHER: dict[str, Any] = {"fingerprint": "e" * 32}
CASES = [
    Case("nothing was told", (), 99),
    Case("before the first bad one", (alert(0, "open", 30),), 29),
    Case("it is over", (alert(0, "open", 30), alert(1, "close", 30, 60)), 99),
    Case("it is over, and has come again", (alert(0, "open", 30), alert(1, "close", 30, 60), alert(2, "open", 80)), 79),
    Case("an update with an earlier one", (alert(0, "open", 30), alert(1, "update", 20)), 19),
    Case("an update that says less", (alert(0, "open", 30), alert(1, "update", 40)), 29),
    Case("the first of two", (alert(0, "open", 50), alert(1, "open", 30, **OTHER)), 29, 1),
    Case("another one is over", (alert(0, "open", 50), alert(1, "open", 30, **OTHER), alert(2, "close", 30, 40, **OTHER)), 49),  # noqa: E501
    Case("too mild to count", (alert(0, "open", 30, severity="info"),), 99),
    Case("told once, lately", (alert(0, None, 30, kind="schema-drift"),), 29),
    Case("told once, long ago", (alert(-60 * 24 * 3, None, 30, kind="schema-drift"),), 99),
    Case("told once, and at an end", (alert(0, None, 30, 39, kind="data-loss"),), 99),
    Case("of a group", (alert(0, "open", 30, kind="group-stalled"),), 99),
    Case("of another topic", (alert(0, "open", 30, topic="orders"),), 99),
    Case("of another partition", (alert(0, "open", 30, first_offsets={"1": 30}),), 99),
    Case("from the first record on", (alert(0, "open", 0),), None),
    Case("before all that was observed", (alert(0, "open", 45),), None, observed=(seen(50, 99),)),
    Case("what holds no record is none", (alert(0, "open", 30),), 24, observed=(seen(0, 99, gap=(25, 29)),)),
    Case("not observed so far", (alert(0, "open", 500),), 99),
    Case("of an earlier topic of that name", (alert(1, "open", 3),), 9, observed=(seen(0, 99, minute=-5), seen(0, 9, minute=5, life="id2"))),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_last_good_offset(tmp_path: Path, case: Case) -> None:
    with built(tmp_path, [*case.observed, *case.alerts]) as index:
        since = NOW - timedelta(days=1)
        bad = [each for each in onsets(index) if is_bad(each, since=since, at_least=Severity.WARNING)]
        [found] = good_offsets(index, bad)
    assert (found.topic, found.partition, found.offset, found.others) == ("clicks", 0, case.good, case.others)


def test_an_alert_is_found_with_all_that_was_told_of_it(tmp_path: Path) -> None:
    told = (
        alert(0, "open", 30),
        alert(1, "update", 20),
        alert(2, "close", 20, 60),
        alert(3, "open", 80),
        alert(4, None, 10, kind="schema-drift", fingerprint="a" * 32),
        alert(5, None, 10, kind="schema-drift", fingerprint="a" * 32, first_offsets={"0": 10, "1": 5}),
        alert(6, None, 70, kind="schema-drift", fingerprint="a" * 32),
    )
    with built(tmp_path, [seen(0, 99), *told]) as index:
        for name in ("id0", "id1", "id2"):
            found = onset_of(index, name)
            assert (found.first, found.last, found.closed_at) == ({0: 20}, {0: 60}, NOW + timedelta(minutes=2))
        assert (onset_of(index, "id3").first, onset_of(index, "id3").open) == ({0: 80}, True)
        assert onset_of(index, "f" * 32).first == {0: 80}  # by its fingerprint, the newest
        assert onset_of(index, "id4").first == onset_of(index, "id5").first == {0: 10, 1: 5}
        assert onset_of(index, "id6").first == {0: 70}  # the same once more, later
        assert onset_of(index, "a" * 32).first == {0: 70}
        with pytest.raises(NotFound, match="no alert nope"):
            onset_of(index, "nope")

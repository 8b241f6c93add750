"""If this failed, records written while the registry was away would never get their schema's name and version."""

from __future__ import annotations

import pytest

from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE
from stream_lineage.provenance.codec import decode_with_digest, encode_observation
from stream_lineage.provenance.log import LogEntry
from stream_lineage.provenance.lookup import sighting
from stream_lineage.provenance.spans import SpanIndex
from stream_lineage.testing.observations import avro_reference, observation, span, unresolved_reference

UNRESOLVED = observation(unresolved_reference(7), span(0, 0, 9))
RESOLUTION = observation(avro_reference(7), kind=ObservationKind.RESOLUTION)
LATER = observation(avro_reference(7), span(0, 10, 19))
AS_KEY = observation(OPAQUE, span(0, 10, 19), key=avro_reference(7))
ELSEWHERE = observation(avro_reference(7), span(0, 10, 19), topic="other")
OTHER_ID = observation(avro_reference(8), span(0, 10, 19))


@pytest.mark.parametrize(
    ("others", "completed"),
    [
        ([RESOLUTION], True),
        ([LATER], True),  # heads remember a few unresolved schemas only
        ([LATER, RESOLUTION], True),
        ([AS_KEY], False),
        ([ELSEWHERE], False),
        ([OTHER_ID], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_completes_a_span(others: list[Observation], completed: bool, first: bool) -> None:
    log = [UNRESOLVED, *others] if first else [*others, UNRESOLVED]
    index = SpanIndex()
    entries: list[LogEntry] = []
    for each in log:
        index.add(each)
        decoded = decode_with_digest(encode_observation(each))
        entries.append(LogEntry(0, len(entries), b"clicks", decoded, None, None))
    expected = avro_reference(7) if completed else unresolved_reference(7)
    epoch = next(epoch for epoch in index.epochs() if epoch.topic == "clicks")
    assert next(index.merged(epoch)).schema == expected
    found = sighting(entries, "clicks", 0, 4, "epoch-1")
    assert found is not None
    assert found.schema == expected


def test_completed_spans_merge() -> None:
    index = SpanIndex()
    for each in (UNRESOLVED, LATER):
        index.add(each)
    [merged] = index.merged(index.epochs()[0])
    assert (merged.span.first_offset, merged.span.last_offset, merged.schema) == (0, 19, avro_reference(7))

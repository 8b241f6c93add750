"""If this failed, what a worker noted before it died would be told by its heir in other words, or not at all."""

from __future__ import annotations

import random

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Changed, Outcome
from stream_lineage.agents.faust_table import behind
from stream_lineage.agents.journal import LARGEST_ROW, cleared, journal_key, noted, written

OUTCOME = Outcome(
    (Alert("drift", "id", "übergänge".encode(), '{"ä": "\\u0000"}'.encode(), (("ce_id", b"id"), ("ce_type", b"t"))),),
    (Changed("schema-drift/übergänge".encode(), b'{"position": [1, 2]}'), Changed(b"other/t", b"{}")),
)


def test_what_is_noted_is_found_as_it_was() -> None:
    row = written(3, OUTCOME, {})
    assert row is not None
    assert noted(3, {row.key: row.value}) == OUTCOME
    assert noted(4, {row.key: row.value}) is None
    done = cleared(3, {row.key: row.value})
    assert noted(3, {done.key: done.value}) is None
    assert noted(3, {}) is None


def test_what_is_written_late_by_a_worker_that_was_taken_for_dead_is_behind() -> None:
    late = written(3, OUTCOME, {})
    own = written(3, OUTCOME, {})
    assert late is not None
    assert own is not None
    done = cleared(3, {own.key: own.value})
    assert behind(late.value, done.value)
    assert not behind(done.value, late.value)
    following = written(3, OUTCOME, {done.key: done.value})
    assert following is not None
    assert behind(done.value, following.value)


def test_what_no_broker_would_take_is_not_noted() -> None:
    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4 * LARGEST_ROW))
    large = Outcome((Alert("drift", "id", b"t", noise.encode(), ()),), ())
    assert written(3, large, {}) is None
    assert journal_key(3) == b"journal/3"

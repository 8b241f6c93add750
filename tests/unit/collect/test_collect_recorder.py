"""If this failed, an observation would hold whatever stands in a header, or leave out those who wrote most."""

from __future__ import annotations

from stream_lineage.collect.recorder import named_producers
from stream_lineage.model.observation import Producer


def test_the_most_frequent_ones_with_a_printable_name_are_kept() -> None:
    seen = {b"/shop": 3, "/käse".encode(): 7, b"a\nb": 50, b"\x1b[31m": 60, b"/app": 3}
    assert named_producers(seen) == (Producer("/käse", 7), Producer("/app", 3), Producer("/shop", 3))
    many = named_producers({b"p%d" % number: number for number in range(100)})
    assert [each.sampled for each in many] == list(range(99, 83, -1))

"""If this failed, a search would find records whose number was not typed, or miss those whose number was."""

from __future__ import annotations

import numpy as np
import pytest

from stream_lineage.collect.value_search import Wanted
from stream_lineage.wire.columns import Numbers, Part


@pytest.mark.parametrize(
    ("typed", "value", "same"),
    [
        ("1000", 1000, True),
        ("1e3", 1000, True),
        ("1000.0", 1000.0, True),
        ("1_000", 1000, False),
        ("1_000", 1000.0, False),
        (" 1000", 1000, False),
        ("+1000", 1000, False),
        ("9007199254740993", 2**53, False),
        ("9007199254740993.0", 2**53, False),
        ("9223372036854775807", 2**63 - 1, True),
        ("9223372036854775808", 2**63 - 1, False),
        ("0e9", 0, True),
    ],
)
def test_numbers_are_what_json_calls_so(typed: str, value: float, same: bool) -> None:
    part: Part = (
        Numbers("integer", np.array([value], np.int64))
        if isinstance(value, int)
        else Numbers("number", np.array([value], np.float64))
    )
    assert Wanted(typed).among([part]) is same

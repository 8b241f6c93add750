"""If this failed, bytes of somebody else's would end a process of ours, or be taken for what they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_mutation import mutated
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = 150


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_was_found_once(target: str) -> None:
    """Seeds, and what has failed before."""
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        TARGETS[target](file.read_bytes())


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_short_run(target: str) -> None:
    seeds = [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(mutated(seeds), st.binary(max_size=200)))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()

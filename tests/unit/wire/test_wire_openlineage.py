"""If this failed, a run would be told under a parent that it does not have, or its own parent would be lost."""

from __future__ import annotations

import pytest

from stream_lineage.wire.openlineage import (
    PARENT_VARIABLE,
    ROOT_VARIABLE,
    RunName,
    parents_of_process,
    run_name,
)

RUN = "0195c2d4-7a3b-7def-8123-456789abcdef"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"ns/job/{RUN}", RunName("ns", "job", RUN)),
        (f" http://h/ns/job/{RUN.upper()}\n", RunName("http://h/ns", "job", RUN)),
        (f"ns/dag%2Ftask/{RUN}", RunName("ns", "dag/task", RUN)),
        (f"ns//{RUN}", None),
        (f"job/{RUN}", None),
        ("ns/job/run", None),
        (f"n\ts/job/{RUN}", None),
        (f"ns/j\tob/{RUN}", None),
        (f"{'n' * 900}/job/{RUN}", None),
        ("", None),
        (None, None),
    ],
)
def test_names_of_runs(text: str | None, found: RunName | None) -> None:
    assert run_name(text) == found
    assert parents_of_process({} if text is None else {PARENT_VARIABLE: text}) == (found, None)
    assert parents_of_process({} if text is None else {ROOT_VARIABLE: text}) == (None, found)


def test_a_name_with_slashes_is_read_as_it_was() -> None:
    run = RunName("kafka://b1:9092", "dag/task/", RUN)
    assert run_name(str(run)) == run

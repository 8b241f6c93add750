"""If this failed, events of others would be kept otherwise than they were sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import MadeLineage, Told
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.problems import BadBody
from stream_lineage.serve.routes.openlineage import accepted

JOB = '"job" : {"namespace":"n", "name" :"j"}'
BLANKS = st.text(" \t\n\r", max_size=3)
ODD = ["1.00", "-0", "1e3", "123456789012345678901234567890", "0.1000000000000000055511151231257827", r'"\u0041\n"']
"""Values that say the same otherwise when they are read and written again."""


@st.composite
def facets(draw: st.DrawFn) -> str:
    plain = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)
    made = draw(st.recursive(plain, lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(), each)))
    text = json.dumps(
        made, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")]))
    )
    return text.encode(errors="replace").decode()


@st.composite
def events(draw: st.DrawFn) -> str:
    unknown = ",".join(
        f'"f{n}": {each}' for n, each in enumerate(draw(st.lists(st.sampled_from(ODD) | facets(), max_size=3)))
    )
    return "{" + draw(BLANKS) + JOB + draw(BLANKS) + (f", {unknown}" if unknown else "") + "}"


@settings(max_examples=150, database=None)
@given(st.lists(events(), max_size=4), BLANKS, BLANKS)
def test_events_of_an_array_are_kept_byte_by_byte(texts: list[str], before: str, after: str) -> None:
    body = f"{before}[{after}{f'{before},{after}'.join(texts)}{after}]{before}"
    assert [value.decode() for _, value in accepted(body.encode())] == texts


def test_a_large_array_is_taken_like_a_small_one(tmp_path: Path) -> None:
    lineage = MadeLineage(tmp_path)
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    text = "{" + JOB + ', "sql": "' + "x" * 90_000 + '", "n": 1.0}'
    answer = client.post("/api/v1/lineage", content=f"[{text}, {text}]", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (201, {"accepted": 2})
    assert [value.decode() for _, value in lineage.taken] == [text, text]


@pytest.mark.parametrize("depth", [300, 900])
def test_an_event_that_is_nested_too_deeply_is_named(depth: int) -> None:
    deep = "{" + JOB + ', "x": ' + "[" * depth + "]" * depth + "}"
    with pytest.raises(BadBody, match="nested"):
        accepted(f"[{deep}]".encode())

"""If this failed, a replay would skip bad records, move groups where nobody said, or run what a group is called."""

from __future__ import annotations

import csv
import io
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.explain import reset_file
from stream_lineage.explain.replay import (
    Bounds,
    GroupPlan,
    GroupStand,
    Means,
    Plan,
    Start,
    Verdict,
    group_plans,
    put_back,
    replayed,
)
from stream_lineage.explain.replay_notes import log_notes
from stream_lineage.explain.reset_file import (
    Row,
    go_back_csv,
    read_rows,
    reset_csv,
    reset_script,
    rows_of,
    split_by_line_end,
)


@dataclass(frozen=True)
class Case:
    """A group that stands at ``committed`` of a log from ``log[0]`` on, whose end is ``log[1]``."""

    why: str
    first_bad: int
    log: tuple[int, int]
    committed: int
    verdict: Verdict
    target: int | None = None
    again: int = 0
    lost: int = 0


CASES = [
    Case("it has read bad records", 50, (0, 100), 90, Verdict.RESET, 50, 40),
    Case("it has read the first bad record and no other", 50, (0, 100), 51, Verdict.RESET, 50, 1),
    Case("it reads the first bad record next", 50, (0, 100), 50, Verdict.NOT_REACHED),
    Case("it has not come so far", 50, (0, 100), 10, Verdict.NOT_REACHED),
    Case("some are gone", 50, (70, 100), 90, Verdict.RESET, 70, 20, 20),
    Case("all that it has read is gone", 50, (95, 100), 90, Verdict.GONE, lost=40),
    Case("the log begins where it stands", 50, (90, 100), 90, Verdict.GONE, lost=40),
    Case("it has not come so far, and its place is gone", 50, (70, 100), 10, Verdict.NOT_REACHED),
    Case("everything is gone", 50, (100, 100), 90, Verdict.GONE, lost=40),
    Case("it stands beyond the end", 50, (0, 100), 120, Verdict.RESET, 50, 70),
    Case("it stands beyond the end of an empty log", 50, (60, 60), 120, Verdict.RESET, 60, 60, 10),
    Case("from the begin", 0, (0, 100), 1, Verdict.RESET, 0, 1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_where_a_group_goes_back_to(case: Case) -> None:
    start = Start("t", 0, case.first_bad, Means.GIVEN, Bounds(*case.log))
    found = replayed(start, case.committed)
    assert (found.verdict, found.target, found.again, found.lost) == (case.verdict, case.target, case.again, case.lost)


offsets = st.integers(0, 200)


@given(first=offsets, begin=offsets, length=offsets, committed=st.integers(0, 500))
def test_no_group_goes_forward_or_out_of_the_log_and_none_misses_a_bad_record(
    first: int, begin: int, length: int, committed: int
) -> None:
    log = Bounds(begin, begin + length)
    found = replayed(Start("t", 0, first, Means.TIME, log), committed)
    bad = set(range(first, committed))  # what it has read and should not have
    again = set(range(committed if found.target is None else found.target, committed))
    there = set(range(log.start, max(log.end, committed)))
    if first <= log.end:  # anything else is refused before
        assert again >= bad & there
    assert found.again == len(again)
    if found.target is not None:
        assert log.start <= found.target <= log.end
        assert found.target < committed


def test_back_may_be_forward_and_says_so() -> None:
    log = Bounds(10, 100)
    ahead = put_back(Start("t", 0, 90, Means.GIVEN, log), 50)
    assert (ahead.target, ahead.forward, ahead.again) == (90, True, 0)
    stays = put_back(Start("t", 0, 50, Means.GIVEN, log), 50)
    assert (stays.verdict, stays.forward) == (Verdict.AS_IT_IS, False)
    gone = put_back(Start("t", 0, 5, Means.GIVEN, log), 50)
    assert (gone.target, gone.forward, gone.lost) == (10, False, 5)


def test_groups_by_partition_and_only_those_that_read_it() -> None:
    log = Bounds(0, 100)
    starts = [Start("a", 0, 50, Means.ALERT, log), Start("b", 1, 5, Means.EDGES, log)]
    stands = [
        GroupStand("z", "EMPTY", {("a", 0): 90, ("a", 1): 90, ("b", 1): 3}),
        GroupStand("other", "EMPTY", {("c", 0): 90}),
        GroupStand("m", "STABLE", {("a", 0): 60}),
    ]
    plans = group_plans(stands, starts)
    assert [(each.group, each.stopped, len(each.partitions), len(each.resets)) for each in plans] == [
        ("m", False, 1, 1),
        ("z", True, 2, 1),
    ]
    plan = Plan("r", datetime(2026, 3, 1, tzinfo=UTC), tuple(starts), (*plans, GroupPlan("none", "EMPTY", True, ())))
    assert [each.group for each in plan.changing] == ["m", "z"]
    assert rows_of(plan) == [Row("m", "a", 0, 50), Row("z", "a", 0, 50)]


names = st.text("a,\"'\r\n #$ü", min_size=1, max_size=5)
rows = st.builds(Row, names, st.sampled_from(["orders", "a.b-c_D"]), st.integers(0, 9), st.integers(0, 2**53))
files = st.lists(rows, min_size=1, max_size=8, unique_by=lambda row: (row.group, row.topic, row.partition))


@given(files)
def test_what_is_left_to_go_back_with_is_read_as_it_was(written: list[Row]) -> None:
    assert read_rows(go_back_csv(written)) == written


@given(files)
def test_a_file_for_kafkas_tool_is_csv_line_by_line(written: list[Row]) -> None:
    groups = {row.group for row in written}
    if len(groups) > 1 and split_by_line_end(groups):
        with pytest.raises(ValueError, match="line end"):
            reset_csv(written)
        return
    lines = reset_csv(written).removesuffix("\n").split("\n")
    cells = [next(csv.reader(io.StringIO(line, newline=""))) for line in lines]  # the tool cuts at line ends first
    expected = [[row.group, row.topic, str(row.partition), str(row.offset)] for row in written]
    assert cells == (expected if len(groups) > 1 else [each[1:] for each in expected])


def test_what_has_to_be_quoted_is_and_what_is_between_files_is_read() -> None:
    """By hand: the form of Kafka's own export, RFC 4180 with a line feed at the end of each line."""
    one = [Row("a,b", "orders", 0, 5), Row("a,b", "orders", 1, 6)]
    assert reset_csv(one) == "orders,0,5\norders,1,6\n"
    assert go_back_csv(one) == '"a,b",orders,0,5\n"a,b",orders,1,6\n'
    several = [*one, Row('say "x"', "clicks", 0, 7), Row("plain", "clicks", 2, 8)]
    assert reset_csv(several).splitlines()[1:] == [
        '"a,b",orders,1,6', '"say ""x""",clicks,0,7', "plain,clicks,2,8",
    ]  # fmt: skip
    assert read_rows(reset_csv(several)) == several
    assert read_rows("\n" + reset_csv(several).replace("\n", "\n\n")) == several  # empty lines say nothing
    odd = [Row("a\rb", "orders", 0, 5), Row("two\nlines", "orders", 0, 5), Row("plain", "orders", 0, 5)]
    assert split_by_line_end(row.group for row in odd) == ["a\rb", "two\nlines"]
    with pytest.raises(ValueError, match="line end"):
        reset_csv(odd)
    assert reset_csv(odd[:1]) == "orders,0,5\n"
    assert read_rows(go_back_csv(odd)) == odd


def test_a_file_of_more_lines_than_can_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset_file, "_MOST_ROWS", 3)
    lines = [f"g,orders,{number},1\n" for number in range(4)]
    assert len(read_rows("".join(lines[:3]))) == 3
    with pytest.raises(DecodeError, match="more than 3 lines"):
        read_rows("".join(lines))


BAD_FILES = [
    ("", "empty"),
    ("orders,0,50\n", "line 1"),
    ("g,orders,0,50\ng,orders,x,50\n", "line 2"),
    ("g,orders,0,-1\n", "line 1"),
    ("g,or ders,0,1\n", "line 1"),
    (",orders,0,1\n", "line 1"),
    ("g,orders,2147483648,1\n", "line 1"),
    ("g,orders,0,1\ng,orders,0,2\n", "line 2"),
    ('"g,orders,0,1\n', "CSV"),
]


@pytest.mark.parametrize(("text", "said"), BAD_FILES)
def test_a_file_that_is_none_says_where(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        read_rows(text)


def test_a_script_says_every_name_as_it_is_and_runs_none(tmp_path: Path) -> None:
    hostile = [
        "a'b",
        '"q"',
        f"$(touch {tmp_path}/ran)",
        f"`touch {tmp_path}/ran`",
        "two\nlines",
        "-x",
        "END",
        "\\",
        "ü",
    ]
    about = f"cause\ntouch {tmp_path}/ran"
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\nfor each; do printf "%s\\0" "$each"; done; cat "$6"; printf "\\0"\n')
    tool.chmod(0o755)
    script = tmp_path / "replay.sh"
    script.write_text(reset_script([Row(name, "orders", 3, 7) for name in hostile], "b1:9092,b2:9092; false", about))
    environment = {"KAFKA_CONSUMER_GROUPS": str(tool), "PATH": "/usr/bin:/bin"}
    for how in ("--dry-run", "--execute"):
        done = subprocess.run(["/bin/sh", script, how], env=environment, capture_output=True, check=True)
        calls = done.stdout.decode().split("\0")[:-1]
        assert len(calls) == 8 * len(hostile)
        for number, name in enumerate(hostile):
            call = calls[8 * number : 8 * number + 8]
            assert call[:4] == ["--bootstrap-server", "b1:9092,b2:9092; false", "--reset-offsets", f"--group={name}"]
            assert (call[4], call[6], call[7]) == ("--from-file", how, "orders,3,7\n")
    assert not (tmp_path / "ran").exists()
    assert (
        subprocess.run(["/bin/sh", script, "--exceute"], env=environment, capture_output=True, check=False).returncode
        == 2
    )


def test_what_the_logs_no_longer_have_is_said() -> None:
    log = Bounds(70, 100)
    lost = Start("a", 0, 50, Means.ALERT, log)
    late, whole = Start("b", 0, 70, Means.TIME, log), Start("c", 0, 71, Means.TIME, log)
    groups = group_plans(
        [
            GroupStand("early", "EMPTY", {("a", 0): 10}),
            GroupStand("beyond", "STABLE", {("a", 0): 120}),
            GroupStand("well", "EMPTY", {("a", 0): 100}),  # of which nothing has to be said, nor of one at the begin
            GroupStand("well, too", "EMPTY", {("a", 0): 70}),
        ],
        [lost],
    )
    policies = {"a": "compact,delete", "b": None, "c": "delete"}
    assert [note[:44] for note in log_notes([lost, late, whole], groups, policies)] == [
        "a[0]: 20 offsets can no longer be read again",
        "b[0] begins at 70: records before it, some o",
        "a is compacted (cleanup.policy=compact,delet",
        "b: whether it is compacted may not be known ",
        "beyond: a[0] stands at 120, beyond the end o",
        "early: a[0] stands at 10, before the log's b",
        "beyond has members (stable): stop them befor",
    ]

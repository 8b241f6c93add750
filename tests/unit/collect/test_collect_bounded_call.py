"""If this failed, a client library that waits for ever would stop the collector for ever."""

from __future__ import annotations

import threading

import pytest

from stream_lineage.collect.bounded_call import within


def test_a_call_that_returns_is_waited_for() -> None:
    done: list[int] = []
    within(30, lambda: done.append(1))
    assert done == [1]


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(30, lambda: 1 / 0)


def test_a_call_that_does_not_return_is_left_alone() -> None:
    waiting, ended = threading.Event(), threading.Event()

    def call() -> None:
        waiting.wait(30)
        ended.set()

    with pytest.raises(TimeoutError):
        within(0.05, call)
    assert not ended.is_set()
    waiting.set()
    assert ended.wait(30)

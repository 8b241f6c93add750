"""If this failed, a collector that Kafka has forgotten would stand still for ever, or a healthy one would end."""

from __future__ import annotations

import threading

import pytest

from stream_lineage.collect.outsider import AGAIN_SECONDS, IDLE_SECONDS, Outsider
from stream_lineage.errors import KafkaUnavailable


class Group:
    """Answers how many members there are, and is the clock."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.now = 1000.0

    def members(self) -> int | None:
        return self.answers.pop(0)

    def turns(self, outsider: Outsider, seconds: float, *, owns: bool = False) -> None:
        """Turns of the collector, one a second, with all answers at hand."""
        for _ in range(int(seconds)):
            self.now += 1
            outsider.check(owns=owns)
            for thread in threading.enumerate():
                if thread.name == "collect-members":
                    thread.join(5)


LONG = IDLE_SECONDS + 3 * AGAIN_SECONDS


def test_a_group_without_members_ends_it() -> None:
    group = Group(0, 0)
    outsider = Outsider(group.members, clock=lambda: group.now)
    group.turns(outsider, IDLE_SECONDS + AGAIN_SECONDS)
    with pytest.raises(KafkaUnavailable, match="no member"):
        group.turns(outsider, AGAIN_SECONDS)


@pytest.mark.parametrize("answers", [(1, 1, 1), (None, None, None), (0, 1, 0), (0, None, 0)])
def test_it_goes_on_where_it_may_be_a_member(answers: tuple[int | None, ...]) -> None:
    group = Group(*answers, 1)
    group.turns(Outsider(group.members, clock=lambda: group.now), LONG)
    assert len(group.answers) < len(answers) + 1


def test_whoever_owns_something_does_not_ask() -> None:
    group = Group()
    outsider = Outsider(group.members, clock=lambda: group.now)
    for _ in range(5):
        group.turns(outsider, IDLE_SECONDS - 1)
        group.turns(outsider, 1, owns=True)
    group.turns(outsider, LONG, owns=True)


def test_it_does_not_wait_for_an_answer() -> None:
    answered = threading.Event()
    group = Group()

    def slow() -> int:
        answered.wait(30)
        return 1

    outsider = Outsider(slow, clock=lambda: group.now)
    for _ in range(int(LONG)):
        group.now += 1
        outsider.check(owns=False)
    assert sum(thread.name == "collect-members" for thread in threading.enumerate()) == 1
    answered.set()

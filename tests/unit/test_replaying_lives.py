"""If this failed, readers would be sent to offsets of a topic that was deleted, in another one of its name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from stream_lineage.errors import NotFound
from stream_lineage.replay_survey import Question, Survey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Facts:
    def __init__(self, known: str | None) -> None:
        self._known = known

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str | None]:
        return {} if self._known is None else dict.fromkeys(topics, self._known)


class Index:
    """Which topic of the name there was at a time."""

    def __init__(self, then: str | None) -> None:
        self.logs, self._then = self, then

    def life_at(self, topic: str, at: int) -> str | None:
        assert (topic, at) == ("orders", int(NOW.timestamp() * 1000))
        return self._then


@pytest.mark.parametrize(
    ("said", "then", "now", "same"),
    [
        ("a", None, "a", True),
        ("a", None, "b", False),
        ("a", "b", "a", True),  # what is said of the offsets counts
        (None, "a", "b", False),
        (None, "a", "a", True),
        (None, None, "a", True),
        ("a", None, None, True),  # the brokers do not tell
    ],
)
def test_offsets_of_an_earlier_topic_mean_nothing(
    said: str | None, then: str | None, now: str | None, same: bool
) -> None:
    cluster: Any = object.__new__(Survey)
    cluster._facts, cluster._index = Facts(now), Index(then)
    question = Question("why", "orders", {0: 3}, observed_at=NOW, topic_id=said)
    if same:
        cluster._same_life(question)
        return
    with pytest.raises(NotFound, match="deleted and created again"):
        cluster._same_life(question)


def test_where_no_alert_is_asked_about_nothing_is_known_of_its_time() -> None:
    cluster: Any = object.__new__(Survey)
    cluster._facts, cluster._index = Facts("b"), Index("a")
    cluster._same_life(Question("why", "orders", {0: 3}))

"""What the index and the graph answer to the event loop: at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.walk import Direction
from stream_lineage.indexing import behind
from stream_lineage.serve.ports import Ends, TakesLonger
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.settings import Settings

T = TypeVar("T")
ROOM = 50
"""Edges of an answer: a few milliseconds of a path."""


class AtOnce:
    """``serve.ports.Sources``, in the thread of the event loop alone."""

    room = ROOM

    def __init__(self, settings: Settings, fold: GraphFold, naming: Naming, pool: IndexPool) -> None:
        self._settings = settings
        self._fold = fold
        self._pool = pool
        self.naming = naming

    def index(self) -> AbstractContextManager[ProvenanceIndex]:
        return self._pool.open_at_once()

    def ask(self, question: Callable[[Graph], T], at: datetime | None = None) -> T:
        """Only of the graph as it is, and only while nothing is taken in and who leads to whom is known."""
        if at is not None:
            raise TakesLonger

        def asked(graph: Graph) -> T:
            if not graph.is_indexed:
                raise TakesLonger
            return question(graph)

        answers = self._fold.ask_at_once(asked)
        if answers is None:
            raise TakesLonger
        return answers[0]

    def doubts(
        self, index: ProvenanceIndex, direction: Direction, begun: datetime, ends: Ends | None = None
    ) -> Sequence[str]:
        return behind(self._settings, index, direction, offline=True, begun=begun, ends=ends)

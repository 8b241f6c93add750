"""What a detector is: a pure rule over observations.

``observe`` takes the state that it returned last for this topic, one observation and the time, and returns the next
state and what it found. It has no clock, does no I/O of its own and keeps nothing between calls. The state is JSON, is
bounded by constants and by the topic's partitions, and is the same object when nothing changed, so that the caller can
tell that there is nothing to write. Observations that it has seen change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Observation
from stream_lineage.model.schema import SchemaReference

State = dict[str, Any]
"""JSON: only dictionaries with text keys, lists, texts, numbers, booleans and null."""

Channel = Literal["drift", "anomaly"]
"""Which alert topic a detector's findings go to."""


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema as the registry holds it, and the texts of the schemas that it refers to, by the names it does so
    under."""

    text: str
    references: Mapping[str, str] = field(default_factory=dict)


class SchemaTexts(Protocol):
    """What a detector may ask about schemas."""

    def text(self, reference: SchemaReference) -> SchemaText | None:
        """The schema's text, or null where nobody can tell it."""
        ...

    def registered(self, reference: SchemaReference) -> bool | None:
        """Whether the registry knows the id or GUID and can give its schema; null where it does not say: it is away,
        or there is none. Never waits long."""
        ...

    def has_subject(self, subject: str) -> bool | None:
        """Whether the registry has a subject that is not deleted; null where it does not say. Never waits long."""
        ...


class Detector(Protocol):
    """One rule. ``name`` is stable: its state is kept under it."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> Channel: ...

    def initial(self) -> State:
        """The state of a topic that has not been seen."""
        ...

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        """The next state, which is ``state`` itself when nothing changed, and what was found, in order."""
        ...

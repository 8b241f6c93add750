"""Epochs of a topic: what is deleted and created again under the same name starts over at offset 0."""

from __future__ import annotations

from typing import Any, Literal

REMEMBERED = 8
"""So many epochs back a late observation is still recognised as one of the past."""

Turn = Literal["same", "new", "past"]


def turn(state: dict[str, Any], topic_id: str | None) -> Turn:
    """How an observation's topic id relates to the state's ``epoch`` and ``past_epochs``. An unknown id is the same."""
    if topic_id is None or state["epoch"] in (None, topic_id):
        return "same"
    return "past" if topic_id in state["past_epochs"] else "new"


def entered(state: dict[str, Any], topic_id: str | None) -> dict[str, Any]:
    """The epoch members of the state once ``topic_id`` is the current epoch."""
    past = state["past_epochs"] if state["epoch"] is None else [*state["past_epochs"], state["epoch"]]
    return {"epoch": topic_id, "past_epochs": past[-REMEMBERED:]}

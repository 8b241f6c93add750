"""Waiting for the schemas of records that are read once: nobody comes back for them later."""

from __future__ import annotations

import time
from collections.abc import Iterable

from stream_lineage.collect.flush import GroupKey
from stream_lineage.collect.resolver import SchemaResolver
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.errors import RegistryUnavailable

_REGISTRY_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 0.2


def settle_values(
    keys: Iterable[GroupKey], answers: SchemaAnswers, resolver: SchemaResolver, *, asks_registry: bool
) -> None:
    """Have the schemas of values answered for, as long as there is somebody who may answer.

    Raises:
        RegistryUnavailable: the registry does not answer for a schema.
    """
    questions = [question for key in keys for question in answers.questions(key) if question.role == "value"]
    deadline = time.monotonic() + _REGISTRY_SECONDS
    resolver.settle(questions)
    while asks_registry:
        open_ones = [
            question
            for question in questions
            if resolver.answer(question) is None
            and not resolver.is_unknown(question)
            and not resolver.looks_opaque(question.topic, question.role)
        ]
        if not open_ones:
            return
        if time.monotonic() > deadline:
            raise RegistryUnavailable(
                f"the schema registry does not answer for schema {open_ones[0].key.id}",
                hint="Check schema_registry_url; `stream-lineage doctor` tells more.",
            )
        time.sleep(_ASK_AGAIN_SECONDS)
        resolver.settle(open_ones)

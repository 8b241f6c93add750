"""The decoders of values by the schemas that records name, for whoever reads records once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from stream_lineage.collect.decode_process import DecodeSchema
from stream_lineage.collect.flush import Group
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.errors import SchemaError
from stream_lineage.wire.decoder import RecordDecoder, decoder_for


class ValueDecoders:
    """Each is made once."""

    def __init__(self, answers: SchemaAnswers) -> None:
        self._answers = answers
        self._known: dict[DecodeSchema, RecordDecoder | None] = {}

    def of(self, group: Group) -> tuple[RecordDecoder | None, int]:
        """What decodes the values of a group, null where nothing does, and how many bytes of framing precede them."""
        plan = self._answers.plan(group, values_only=True)
        if plan is None:
            return None, 0
        schema = plan.value
        if schema not in self._known:
            made = None
            with suppress(SchemaError, ValueError, RecursionError):
                references: Mapping[str, str] = dict(schema.references)
                made = decoder_for(
                    schema.type, schema.framing, schema.text, references, tail=schema.tail, indexes=schema.indexes
                )
            self._known[schema] = made
        return self._known[schema], plan.skips[0]

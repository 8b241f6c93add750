"""Which decoder reads the records of a schema: decided once per schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import orjson

from stream_lineage.errors import SchemaError
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.wire.avro_columns import AvroColumns
from stream_lineage.wire.avro_records import AvroRecords
from stream_lineage.wire.avro_schema import References, parse_schema
from stream_lineage.wire.columns import Batch, Decoded
from stream_lineage.wire.connect_json import as_json_schema
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.json_schema import Place, declared_by, declared_by_document
from stream_lineage.wire.limits import DEFAULT_LIMITS, DecodeLimits
from stream_lineage.wire.plain_text import looks_like_text
from stream_lineage.wire.protobuf_columns import ProtobufColumns
from stream_lineage.wire.protobuf_compile import parse_schema as parse_protobuf

__all__ = ["DecodeLimits", "OpaqueRecords", "RecordDecoder", "decoder_for"]


class RecordDecoder(Protocol):
    """Turns batches of payloads of one schema, without their framing, into columns. Belongs to one thread."""

    @property
    def kind(self) -> Decoder:
        """How it decodes."""
        ...

    def decode(self, batch: Batch) -> Decoded:
        """The columns of all records that can be read, and the others by index.

        Raises:
            ValueError: a record of the batch is outside of its data.
        """
        ...


class OpaqueRecords:
    """Looks at no record's inside: no columns, and none is bad. Only whether they look like text is told."""

    kind = Decoder.OPAQUE

    def decode(self, batch: Batch) -> Decoded:
        """No columns."""
        return Decoded(len(batch), [], [], text=looks_like_text(batch))


def decoder_for(
    type_: SchemaType,
    framing: Framing,
    text: str | None,
    references: References = (),
    limits: DecodeLimits = DEFAULT_LIMITS,
    *,
    tail: int = 0,
    indexes: bytes | None = None,
) -> RecordDecoder:
    """The decoder for records of a schema.

    Avro is decoded in columns, and record by record where the schema is recursive. JSON is decoded as it is, and
    compared with its schema where it has one. Protobuf is decoded in columns. Bytes without a schema are opaque.

    ``tail`` is how many bytes of framing stand behind each payload of JSON. ``indexes`` are the message indexes of all
    payloads of Protobuf; null where they stand before each.

    Raises:
        SchemaError: the schema is Avro or Protobuf, and missing, malformed or beyond a bound.
    """
    if type_ is SchemaType.JSON or (type_ is SchemaType.NONE and framing is Framing.PLAIN_JSON):
        return JsonRecords(limits, _declared(framing, text, references), tail=tail)
    if type_ is SchemaType.NONE:
        return OpaqueRecords()
    if text is None:
        raise SchemaError(f"{type_.value} cannot be decoded without its schema")
    if type_ is SchemaType.PROTOBUF:
        files = references if isinstance(references, Mapping) else {}
        return ProtobufColumns(parse_protobuf(text, files), limits, indexes)
    schema = parse_schema(text, references)
    return AvroRecords(schema, limits) if schema.recursive else AvroColumns(schema, limits)


def _declared(framing: Framing, text: str | None, references: References) -> Place | None:
    """What is declared of JSON records; null where nothing is, or where the schema cannot be used: the records can."""
    if text is None:
        return None
    try:
        if framing is Framing.CONNECT_JSON:
            return declared_by_document(as_json_schema(orjson.loads(text)))
        return declared_by(text, references if isinstance(references, Mapping) else {})
    except (SchemaError, ValueError):
        return None

"""Schema references as JSON: in detector states and in alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_lineage.model.schema import Framing, SchemaReference, SchemaType


def reference_to_json(reference: SchemaReference) -> dict[str, Any]:
    """All members, null where nothing is known."""
    return {
        "type": reference.type.value,
        "framing": reference.framing.value,
        "id": reference.id,
        "guid": reference.guid,
        "subject": reference.subject,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
    }


def reference_from_json(document: Mapping[str, Any]) -> SchemaReference:
    """The inverse of ``reference_to_json``."""
    return SchemaReference(
        SchemaType(document["type"]),
        Framing(document["framing"]),
        document["id"],
        document["guid"],
        document["subject"],
        document["version"],
        document["fingerprint"],
    )

"""Avro values under schemas of a registry, as most teams' own code writes and reads them."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import fastavro
import httpx

_PREFIX = struct.Struct(">bI")
_TIMEOUT_SECONDS = 20.0


class AvroWriter:
    """Values of one schema, which is registered first. ``schema_id`` is what the registry gave it."""

    def __init__(self, registry_url: str, subject: str, schema_text: str) -> None:
        answer = httpx.post(
            f"{registry_url}/subjects/{subject}/versions",
            json={"schema": schema_text},
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )
        answer.raise_for_status()
        self.schema_id: int = answer.json()["id"]
        self._schema = fastavro.parse_schema(json.loads(schema_text))

    def encode(self, value: dict[str, Any]) -> bytes:
        """A zero byte, the schema's id, the value."""
        out = io.BytesIO()
        out.write(_PREFIX.pack(0, self.schema_id))
        fastavro.schemaless_writer(out, self._schema, value)
        return out.getvalue()


class AvroReader:
    """Values under whatever schema they were written with; the registry is asked once for each."""

    def __init__(self, registry_url: str) -> None:
        self._client = httpx.Client(base_url=registry_url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._schemas: dict[int, Any] = {}

    def decode(self, data: bytes) -> dict[str, Any]:
        _, schema_id = _PREFIX.unpack_from(data)
        if schema_id not in self._schemas:
            answer = self._client.get(f"/schemas/ids/{schema_id}")
            answer.raise_for_status()
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(answer.json()["schema"]))
        payload = io.BytesIO(data[_PREFIX.size :])
        value: dict[str, Any] = fastavro.schemaless_reader(payload, self._schemas[schema_id], None)
        return value

    def close(self) -> None:
        self._client.close()


def allow_any_change(registry_url: str, subject: str) -> None:
    """Switch the registry's compatibility check off for a subject: how faults like the demo's come to be."""
    httpx.put(
        f"{registry_url}/config/{subject}",
        json={"compatibility": "NONE"},
        timeout=_TIMEOUT_SECONDS,
        trust_env=False,
    ).raise_for_status()

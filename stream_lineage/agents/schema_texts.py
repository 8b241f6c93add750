"""Schema texts for the detectors, from the registry."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream_lineage.detect.detector import SchemaText
from stream_lineage.errors import NotFound, RegistryUnavailable, SchemaError, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.model.schema import SchemaReference
from stream_lineage.wire.registry import SchemaRegistry

_log = get_logger("stream_lineage.agents")


class RegistryTexts:
    """Asks the registry, and again for up to ``patience_seconds`` while it does not answer.

    Larger patience: more alerts that name the changes although the registry hiccups, each of them as much later. When
    it runs out the alert goes out without them, since a change on the wire is a fact whatever the registry says.
    """

    def __init__(
        self,
        registry: SchemaRegistry | None,
        *,
        patience_seconds: float = 10.0,
        pause_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry = registry
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._sleep = sleep

    def text(self, reference: SchemaReference) -> SchemaText | None:
        if self._registry is None or (reference.id is None and reference.guid is None):
            return None
        deadline = self._clock() + self._patience_seconds
        while True:
            try:
                return _asked(self._registry, reference)
            except RegistryUnavailable as error:
                if self._clock() >= deadline:
                    _log.warning("schema text not available", schema=reference.label(), error=error.message)
                    return None
                self._sleep(self._pause_seconds)
            except StreamLineageError as error:
                _log.warning("schema text not available", schema=reference.label(), error=error.message)
                return None

    def registered(self, reference: SchemaReference) -> bool | None:
        """Asked once: what is not answered now is asked again with the topic's next observation."""
        if self._registry is None or (reference.id is None and reference.guid is None):
            return None
        try:
            _asked(self._registry, reference)
        except (NotFound, SchemaError):
            return False
        except StreamLineageError:
            return None
        return True

    def has_subject(self, subject: str) -> bool | None:
        """Asked once."""
        if self._registry is None:
            return None
        try:
            return bool(self._registry.versions(subject, deleted=False))
        except NotFound:
            return False
        except StreamLineageError:
            return None


def _asked(registry: SchemaRegistry, reference: SchemaReference) -> SchemaText:
    # The topic and the role only choose among the names of a schema: its text is the same under all of them.
    topic = (reference.subject or "").removesuffix("-value").removesuffix("-key")
    role = "key" if (reference.subject or "").endswith("-key") else "value"
    if reference.id is not None:
        found = registry.by_id(reference.id, topic=topic, role="key" if role == "key" else "value")
    else:
        found = registry.by_guid(reference.guid or "", topic=topic, role="key" if role == "key" else "value")
    return SchemaText(found.text, dict(found.references))

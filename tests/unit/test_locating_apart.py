"""If this failed, incidents of a secured cluster would have no first bad records: nobody who looks would get in."""

from __future__ import annotations

import orjson
import pytest

from stream_lineage.errors import WorkerLost
from stream_lineage.locating_apart import LocatingApart, request_of
from stream_lineage.settings import Settings, load_settings


def test_the_process_that_looks_has_the_same_settings_with_their_secrets() -> None:
    given = {
        "bootstrap_servers": "kafka:9093", "hash_key": "k" * 32, "include": ("^a.*",), "topic_prefix": "own.",
        "kafka": {"sasl.password": "hidden"}, "schema_registry_url": "http://user:word@registry:8081",
    }  # fmt: skip
    settings = load_settings(given, {})
    sent = orjson.loads(request_of(settings, []))
    found = Settings.model_validate(sent["settings"])
    assert (found.kafka, found.registry, found.collect, found.agents) == (
        settings.kafka, settings.registry, settings.collect, settings.agents,
    )  # fmt: skip
    assert found.kafka.client_config()["sasl.password"] == "hidden"


def test_nothing_is_begun_when_the_service_ends() -> None:
    asked = LocatingApart(load_settings({}, {}))
    asked.close()
    with pytest.raises(WorkerLost):
        asked([])

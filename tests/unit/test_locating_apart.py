"""If this failed, incidents of a secured cluster would have no first bad records, for nobody who looks would get in; or
what unpacks to more than there is would take the agents with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from stream_lineage.errors import WorkerLost
from stream_lineage.locating_apart import MEMORY_MB, TOO_MUCH, LocatingApart, request_of
from stream_lineage.settings import Settings, load_settings


def test_the_process_that_looks_has_the_same_settings_with_their_secrets() -> None:
    given = {
        "bootstrap_servers": "kafka:9093", "hash_key": "k" * 32, "include": ("^a.*",), "topic_prefix": "own.",
        "kafka": {"sasl.password": "hidden"}, "schema_registry_url": "http://user:word@registry:8081",
        "influx_url": "http://influx:8086", "influx_token": "hidden",
    }  # fmt: skip
    settings = load_settings(given, {})
    sent = orjson.loads(request_of(settings, []))
    found = Settings.model_validate(sent["settings"])
    assert (found.kafka, found.registry, found.collect, found.agents, found.store) == (
        settings.kafka, settings.registry, settings.collect, settings.agents, settings.store,
    )  # fmt: skip
    assert found.kafka.client_config()["sasl.password"] == "hidden"


def test_nothing_is_begun_when_the_service_ends() -> None:
    asked = LocatingApart(load_settings({}, {}))
    asked.close()
    with pytest.raises(WorkerLost):
        asked([])


HOARDING = """
import threading
from stream_lineage import graphing, locating, locating_apart
def hoard(*_):
    held = bytearray(b"x" * 100_000_000)
    threading.Event().wait(60)
graphing.lineage_graph = lambda _: None
locating.located = hoard
locating_apart.MEMORY_MB = 50
locating_apart.main()
"""


def test_the_process_that_looks_ends_by_itself_before_it_takes_all_memory() -> None:
    asked = request_of(load_settings({}, {}), [])
    done = subprocess.run([sys.executable, "-c", HOARDING], input=asked, capture_output=True, check=False)
    assert done.returncode == TOO_MUCH, done.stderr.decode()


def test_it_is_said_that_it_took_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\nexit {TOO_MUCH}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(WorkerLost, match=f"{MEMORY_MB} MiB"):
        LocatingApart(load_settings({}, {}))([])

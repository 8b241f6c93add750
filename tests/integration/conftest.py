"""Fixtures for tests that run the real collector on a real Kafka."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that the tests find ``collecting``

from collecting import Lab, Offline
from securing import SecuredLab, warmed_up

from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sandbox.security import LISTENERS


@pytest.fixture
def lab(cluster: Any, tmp_path: Path) -> Iterator[Lab]:
    """Names of one test alone on the shared cluster; no collector outlives the test."""
    made = Lab(cluster.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def offline(tmp_path: Path) -> Offline:
    """The command line without a Kafka."""
    return Offline(tmp_path)


@pytest.fixture(scope="session")
def secured(sandbox_artifacts: None) -> Iterator[Sandbox]:
    """A Kafka with every kind of listener, and ACLs behind them; its registry is that of ``cluster``."""
    with Sandbox(SandboxSettings(registry=False, security=LISTENERS)) as sandbox:
        yield warmed_up(sandbox)


@pytest.fixture
def secured_lab(secured: Sandbox, cluster: Any, tmp_path: Path) -> Iterator[SecuredLab]:
    """Names of one test alone on the secured cluster."""
    made = SecuredLab(secured, cluster.schema_registry_url, tmp_path)
    yield made
    made.close()

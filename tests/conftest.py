"""Fixtures that every suite shares: a real Kafka, a real schema registry, a real InfluxDB."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, is_hypothesis_test, settings

from stream_lineage import logs
from stream_lineage.errors import SandboxError
from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sandbox.progress import StderrReporter
from stream_lineage.testing.influxd import Influxd, find_influxd

# Examples are not timed: a busy machine is no reason to fail.
# Where one run decides, it decides alike each time; elsewhere every run looks further.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ or "STREAM_LINEAGE_REQUIRE_KAFKA" in os.environ,
)
settings.load_profile("tests")

UNIT_TESTS = Path(__file__).parent / "unit"
MEASURED = {"detect", "explain", "graph", "model", "profile", "provenance", "sdk", "wire"}
"""Folders of the unit tests that are to reach every branch of what ``[tool.coverage]`` in pyproject.toml names. Others
do not count, nor do those that are random, for a branch that is reached by chance is not tested, nor those that are
marked ``unmeasured``: simulations pass through all that there is, and take minutes under a tracer."""

ALONE = ("detect", "explain", "graph", "model", "profile", "provenance")
"""Unit tests of what waits for nothing: one of these that fails has failed."""

REQUIRED = {"kafka": "STREAM_LINEAGE_REQUIRE_KAFKA", "influx": "STREAM_LINEAGE_REQUIRE_INFLUX",
            "chromium": "STREAM_LINEAGE_REQUIRE_CHROMIUM"}  # fmt: skip
"""By marker: the variable that says that this machine has what the test needs, so that skipping it is a failure."""


def pytest_configure() -> None:
    """Under ``nohup`` every process that a test starts would ignore the signal that some are sent."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Servers, processes and threads on a machine that does other things, too: a test that fails is run once more,
    where it is not of what has none of these. What is reached counts where it is by a unit test of a pure package, and
    the same in every run."""
    for item in items:
        is_random = isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
        counts = not is_random and item.get_closest_marker("unmeasured") is None
        if counts and any(item.path.is_relative_to(UNIT_TESTS / folder) for folder in MEASURED):
            item.add_marker(pytest.mark.measured)
        if not any(item.path.is_relative_to(UNIT_TESTS / folder) for folder in ALONE):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A first failure is shown whole: it may be a defect that is rare."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed at first: {report.nodeid}", "-", yellow=True)
        report.toterminal(terminalreporter._tw)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure where the machine is said to have what the test needs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.skipped:
        return
    for marker, variable in REQUIRED.items():
        if item.get_closest_marker(marker) is not None and os.environ.get(variable) == "1":
            report.outcome = "failed"
            report.longrepr = f"{variable}=1, but the test was skipped: {report.longrepr}"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that are run inside a test configure this process's logging: no test after it shall notice."""
    levels = {logger: logger.level for logger in _loggers()}
    handlers, processors = logging.getLogger().handlers[:], logs._processors[:]
    yield
    logging.getLogger().handlers[:], logs._processors[:] = handlers, processors
    for logger in _loggers():
        logger.setLevel(levels.get(logger, logging.NOTSET))
    structlog.reset_defaults()


def _loggers() -> list[logging.Logger]:
    known = logging.getLogger().manager.loggerDict.values()
    return [logging.getLogger(), *(logger for logger in known if isinstance(logger, logging.Logger))]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the tests' Kafka is. ``sandbox`` is None when the user pointed the tests at a cluster of their own."""

    bootstrap_servers: str
    schema_registry_url: str
    sandbox: Sandbox | None


@pytest.fixture(scope="session")
def sandbox_artifacts() -> None:
    """Kafka and the registry are in the cache. Skips where not, or fails if STREAM_LINEAGE_REQUIRE_KAFKA=1."""
    try:
        Sandbox(reporter=StderrReporter()).download()
    except SandboxError as error:
        reason = " ".join(filter(None, [f"no Kafka to test with: {error}.", error.hint]))
        if os.environ.get("STREAM_LINEAGE_REQUIRE_KAFKA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One Kafka and one schema registry for the whole session.

    The user's own where STREAM_LINEAGE_TEST_BOOTSTRAP and STREAM_LINEAGE_TEST_REGISTRY say so, else a sandbox.
    """
    bootstrap = os.environ.get("STREAM_LINEAGE_TEST_BOOTSTRAP")
    registry = os.environ.get("STREAM_LINEAGE_TEST_REGISTRY")
    if bootstrap and registry:
        yield Cluster(bootstrap, registry, None)
        return
    if bootstrap or registry:
        pytest.fail("set STREAM_LINEAGE_TEST_BOOTSTRAP and STREAM_LINEAGE_TEST_REGISTRY both, or neither")
    request.getfixturevalue("sandbox_artifacts")
    with Sandbox(SandboxSettings()) as sandbox:
        url = sandbox.schema_registry_url
        assert url is not None
        yield Cluster(sandbox.bootstrap_servers, url, sandbox)


@pytest.fixture(scope="session")
def influxd_binary() -> Path:
    """Skips where there is no InfluxDB, or fails if STREAM_LINEAGE_REQUIRE_INFLUX=1."""
    binary = find_influxd()
    if binary is not None:
        return binary
    reason = "no InfluxDB to test with: INFLUXD_BIN names no file, and influxd is not on PATH"
    if os.environ.get("STREAM_LINEAGE_REQUIRE_INFLUX") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def influx(influxd_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """One InfluxDB for the whole session: each test writes into a bucket of its own, and does not stop it."""
    server = Influxd(influxd_binary, tmp_path_factory.mktemp("influx"))
    try:
        server.start()
        yield server
    finally:
        server.stop()

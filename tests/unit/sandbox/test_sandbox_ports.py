"""If this fails, a sandbox starts on a port that somebody else uses, or one that its own clients may take from it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stream_lineage.sandbox import ports


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_free_port_can_be_listened_on() -> None:
    port = ports.free_port()
    with socket.create_server((ports.LOOPBACK, port)):
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_taken_ports_are_left_out() -> None:
    first = ports.free_port()
    everything_else = frozenset(range(20_000, 32_000)) - {first}
    assert ports.free_port(taken=everything_else) == first


def test_it_keeps_out_of_the_range_of_outgoing_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "ip_local_port_range"
    setting.write_text("20100\t60999\n")
    monkeypatch.setattr(ports, "_EPHEMERAL_RANGE", setting)
    assert all(ports.free_port() < 20_100 for _ in range(20))


def test_a_system_that_gives_every_port_to_connections_gets_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "ip_local_port_range"
    setting.write_text("1024 65535\n")
    monkeypatch.setattr(ports, "_EPHEMERAL_RANGE", setting)
    assert ports.is_free(ports.free_port())

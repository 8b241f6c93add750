"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from stream_lineage.errors import SandboxError

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 20_000, 32_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: else a connection of the previous server in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(*, taken: frozenset[int] = frozenset()) -> int:
    """A port that nothing listens on, outside the range that the system hands to outgoing connections.

    Asking the system for port 0 would give one of that range. While a broker restarts, a client that keeps reconnecting
    to such a port is now and then given the very same one as its source, connects to itself, and the broker finds its
    port taken.
    """
    first, last = _ephemeral_range()
    untaken = [port for port in range(_LOWEST, _HIGHEST) if port not in taken]
    candidates = [port for port in untaken if not first <= port <= last] or untaken
    for port in random.sample(candidates, k=min(200, len(candidates))):
        if is_free(port):
            return port
    raise SandboxError(f"no free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK}", hint="Name a port yourself.")


def _ephemeral_range() -> tuple[int, int]:
    try:
        first, last = _EPHEMERAL_RANGE.read_text(encoding="ascii").split()
        return int(first), int(last)
    except (OSError, ValueError):
        return 32_768, 65_535  # not Linux: others start at 49152

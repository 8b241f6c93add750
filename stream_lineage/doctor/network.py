"""Whether addresses have a host behind them that listens."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stream_lineage.doctor.check import Check, fail, ok, warn

T = TypeVar("T")

Address = tuple[str, int]

_AT_ONCE = 16


def reachable(name: str, addresses: Iterable[Address], *, timeout_seconds: float, mend: str) -> Check:
    """Looks up and connects to each address. One that answers is enough to start; the others are warned of."""
    wanted = list(dict.fromkeys(addresses))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        problems = dict(zip(wanted, pool.map(lambda address: _problem(address, timeout_seconds), wanted), strict=True))
    wrong = [f"{shown(address)}: {problem}" for address, problem in problems.items() if problem]
    right = [shown(address) for address, problem in problems.items() if not problem]
    if not wrong:
        return ok(name, f"{', '.join(right)} can be connected to")
    detail = "; ".join(wrong)
    return (
        warn(name, f"{len(right)} of {len(wanted)} can be connected to; {detail}", mend)
        if right
        else fail(name, detail, mend)
    )


def shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _problem(address: Address, timeout_seconds: float) -> str | None:
    host, port = address
    try:
        found = _in_time(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), timeout_seconds)
    except TimeoutError:
        return f"the name lookup took longer than {timeout_seconds:g} s"
    except (OSError, UnicodeError):
        return "no such host"
    problem = "no address"
    for family, kind, protocol, _, place in found:
        try:
            with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
                probe.settimeout(timeout_seconds)
                probe.connect(place)
                return None
        except TimeoutError:
            problem = f"no answer within {timeout_seconds:g} s (a firewall?)"
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
    return problem


def _in_time(call: Callable[[], T], timeout_seconds: float) -> T:
    """The result of a call that knows no timeout. When it takes too long it is left to end by itself."""
    results: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((call(), None))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            results.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        result, error = results.get(timeout=timeout_seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]

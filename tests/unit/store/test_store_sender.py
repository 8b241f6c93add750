"""If this failed, one bad line would hold up all others, or a busy InfluxDB would be asked again and again."""

from __future__ import annotations

import errno
import gzip
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.influx_api import InfluxApi
from stream_lineage.store.outbox import Outbox
from stream_lineage.store.sender import MAX_IN_VAIN, Sender
from stream_lineage.store.set_aside import REFUSED, SetAside

Answered = tuple[int, dict[str, str], str]
WAIT_SECONDS = 60.0
GOOD: Answered = (204, {}, "")
CODES = {400: "invalid", 422: "unprocessable entity"}
NGINX: Answered = (400, {"Content-Type": "text/html"}, "<h1>400 The plain HTTP request was sent to HTTPS port</h1>")


@dataclass
class Door:
    """An InfluxDB of our own: ``rule`` says what becomes of a request with these lines."""

    rule: Callable[[list[str]], Answered] = lambda _: GOOD
    requests: list[tuple[float, list[str]]] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, lines: list[str]) -> Answered:
        with self.lock:
            self.requests.append((time.monotonic(), lines))
            found = self.rule(lines)
            if found[0] == 204:
                self.arrived += lines
            return found


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, headers, text = found.answer(body.decode().split("\n"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            data = text.encode("utf-8", "surrogateescape")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def said(status: int, message: str, **headers: str) -> Answered:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, names, json.dumps({"code": CODES.get(status, "any"), "message": message})


def lines(*numbers: int) -> list[str]:
    return [f"m,t={n} n={n}.0 1" for n in numbers]


@contextmanager
def sending(path: Path, door: Door, **changed: Any) -> Iterator[tuple[Outbox, Sender]]:
    with closing(InfluxApi(door.url, "org", "token-of-the-test")) as api:
        outbox = Outbox(path, max_bytes=1 << 30, max_age_seconds=3600)
        sender = Sender(outbox, partial(api.write, "bucket"), **changed)
        thread = threading.Thread(target=sender.run)
        thread.start()
        yield outbox, sender
        sender.stop()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
        outbox.close()


def put(outbox: Outbox, sender: Sender, given: list[str]) -> None:
    outbox.append(line.encode() for line in given)
    sender.wake()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_put_in_arrives(tmp_path: Path, door: Door) -> None:
    with sending(tmp_path, door) as (outbox, sender):
        put(outbox, sender, lines(1, 2))
        until(lambda: outbox.empty)
        assert door.arrived == lines(1, 2)
        assert (sender.sent, sender.refused, sender.trouble) == (2, 0, "")


@pytest.mark.parametrize("status", [400, 422])
def test_bad_lines_are_isolated_and_counted(tmp_path: Path, door: Door, status: int) -> None:
    bad = set(lines(3, 64, 99))
    door.rule = lambda given: said(status, "field type conflict") if bad & set(given) else GOOD
    with sending(tmp_path, door, refusals=SetAside(tmp_path, REFUSED)) as (outbox, sender):
        put(outbox, sender, lines(*range(100)))
        until(lambda: outbox.empty)
        assert sorted(door.arrived) == sorted(set(lines(*range(100))) - bad)
        until(lambda: (sender.sent, sender.refused) == (97, 3))
        assert (tmp_path / REFUSED).read_text().splitlines() == lines(3, 64, 99)
        # Halving: not one request for each line.
        assert len(door.requests) < 60


def test_refused_lines_are_bounded_and_counted_all_the_same(tmp_path: Path, door: Door) -> None:
    door.rule = lambda given: said(400, "field type conflict")
    room = SetAside(tmp_path, REFUSED, max_bytes=len(lines(1)[0]) + 1)
    with sending(tmp_path, door, refusals=room) as (outbox, sender):
        put(outbox, sender, lines(1, 2))
        until(lambda: outbox.empty)
        until(lambda: (sender.sent, sender.refused) == (0, 2))
        assert room.path.read_text().splitlines() == lines(1)


def test_what_cannot_be_kept_waits_and_counts_once(tmp_path: Path, door: Door) -> None:
    door.rule = lambda given: said(400, "field type conflict") if set(lines(1)) & set(given) else GOOD
    gone = SetAside(tmp_path / "not-there", REFUSED)
    with sending(tmp_path, door, refusals=gone, first_wait_seconds=0.02) as (outbox, sender):
        put(outbox, sender, lines(1, 2))
        until(lambda: "cannot be kept" in sender.trouble)
        assert (outbox.empty, sender.refused) == (False, 0)
        (tmp_path / "not-there").mkdir()
        until(lambda: outbox.empty)
        until(lambda: (sender.sent, sender.refused) == (1, 1))
        assert gone.path.read_text().splitlines() == lines(1)


@pytest.mark.parametrize(
    "answer",
    [
        NGINX,
        (400, {}, '{"code": 400, "message": "bad request"}'),
        (422, {}, ""),
        (200, {"Content-Type": "text/html"}, "<form>Please log in</form>"),
        (202, {}, "{}"),
        (200, {}, "\udcff"),
    ],
)
def test_an_answer_that_is_not_influxdbs_drops_nothing_and_is_said(
    tmp_path: Path, door: Door, answer: Answered
) -> None:
    door.rule = lambda _: answer
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(*range(100)))
        until(lambda: len(door.requests) >= 5)
        until(lambda: len(door.requests[-1][1]) == 100)
        assert (sender.sent, sender.refused, sender.set_aside, outbox.waiting) == (0, 0, 0, 100)
        assert "InfluxDB" in sender.trouble
        assert "is not InfluxDB" in sender.trouble or "utf-8" in sender.trouble
        door.rule = lambda _: GOOD
        until(lambda: outbox.empty)
        assert sorted(door.arrived) == sorted(lines(*range(100)))
        until(lambda: sender.trouble == "")


def test_a_line_that_a_proxy_refuses_is_set_aside_and_holds_up_nothing(tmp_path: Path, door: Door) -> None:
    [bad] = lines(64)
    door.rule = lambda given: NGINX if bad in given else GOOD
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(*range(100)))
        until(lambda: outbox.empty)
        assert aside(tmp_path) == [bad]
        assert set(door.arrived) == set(lines(*range(100))) - {bad}
        until(lambda: (sender.sent, sender.refused, sender.set_aside) == (99, 0, 1))


def failing_on(*numbers: int) -> Callable[[list[str]], Answered]:
    bad = set(lines(*numbers))
    return lambda given: said(500, "panic: interface conversion") if bad & set(given) else GOOD


def patient(path: Path) -> dict[str, Any]:
    return {"aside": SetAside(path), "isolate_after": 2, "first_wait_seconds": 0.02}


def aside(path: Path) -> list[str]:
    file = SetAside(path).path
    return file.read_text().splitlines() if file.exists() else []


def test_lines_on_which_it_fails_are_set_aside_and_all_others_arrive(tmp_path: Path, door: Door) -> None:
    door.rule = failing_on(0, 64, 99)
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(*range(100)))
        until(lambda: outbox.empty)
        assert aside(tmp_path) == lines(0, 64, 99)
        assert set(door.arrived) == set(lines(*range(100))) - set(lines(0, 64, 99))
        until(lambda: sender.trouble == "")
        assert (sender.sent, sender.refused, sender.set_aside) == (97, 0, 3)
        assert [given for _, given in door.requests[:2]] == [lines(*range(100))] * 2, "it is tried again first"


def test_where_it_fails_on_everything_nothing_is_set_aside(tmp_path: Path, door: Door) -> None:
    door.rule = lambda _: said(500, "internal error")
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(*range(400)))
        until(lambda: len(door.requests) > MAX_IN_VAIN)
        until(lambda: len(door.requests[-1][1]) == 400)  # it is tried as a whole again
        assert aside(tmp_path) == []
        assert len(door.requests) <= MAX_IN_VAIN + 5
        door.rule = lambda _: GOOD
        until(lambda: outbox.empty)
        assert set(door.arrived) == set(lines(*range(400)))
        until(lambda: sender.sent == 400)
        assert sender.set_aside == 0


def test_when_it_begins_to_fail_on_everything_meanwhile_nothing_is_set_aside(tmp_path: Path, door: Door) -> None:
    bad = failing_on(3)
    taken: list[list[str]] = []

    def rule(given: list[str]) -> Answered:
        if len(taken) >= 2 or bad(given) != GOOD:
            return said(500, "internal error")
        taken.append(given)
        return GOOD

    door.rule = rule
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(*range(100)))
        until(lambda: len(taken) == 2)
        seen = len(door.requests)
        until(lambda: lines(*range(100)) in [given for _, given in door.requests[seen:]])
        assert aside(tmp_path) == []
        door.rule = lambda _: GOOD
        until(lambda: outbox.empty)
        until(lambda: sender.sent == 100)
        assert sender.set_aside == 0


def test_a_point_alone_waits_until_another_is_taken(tmp_path: Path, door: Door) -> None:
    door.rule = failing_on(1)
    with sending(tmp_path, door, **patient(tmp_path)) as (outbox, sender):
        put(outbox, sender, lines(1))
        until(lambda: len(door.requests) >= 4)
        assert (aside(tmp_path), outbox.waiting) == ([], 1)
        put(outbox, sender, lines(2))
        until(lambda: outbox.empty)
        assert aside(tmp_path) == lines(1)
        until(lambda: sender.sent == 1)


def test_a_full_file_is_said_and_holds_up_nothing(tmp_path: Path) -> None:
    file = SetAside(tmp_path, max_bytes=10)
    assert [file.put(b"m n=1 1"), file.put(b"m n=2 2")] == [True, False]
    assert file.path.read_bytes() == b"m n=1 1\n"


def test_what_is_set_aside_is_whole_lines_whatever_the_disk_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real, left = SetAside(tmp_path), os.write, [5]

    def write(handle: int, data: bytes) -> int:
        """A disk with room for so many bytes, which takes three at a time."""
        count = real(handle, bytes(data[: min(3, left[0])])) if left[0] else 0
        left[0] -= count
        if not count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return count

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        file.put(b"m n=1 1")
    assert file.path.read_bytes() == b""
    left[0] = 100
    assert file.put(b"m n=2 2")
    with file.path.open("ab") as torn:  # a crash of the machine
        torn.write(b"m n=")
    assert file.put(b"m n=3 3")
    assert file.path.read_bytes() == b"m n=2 2\nm n=\nm n=3 3\n"


def test_too_much_at_once_is_sent_in_pieces_and_a_line_that_is_too_long_is_left_out(tmp_path: Path, door: Door) -> None:
    long = "m,t=long n=1 " + "1" * 3000
    door.rule = lambda given: said(413, "too large") if sum(map(len, given)) > 2000 else GOOD
    with sending(tmp_path, door) as (outbox, sender):
        put(outbox, sender, [*lines(*range(500)), long])
        until(lambda: outbox.empty)
        assert sorted(door.arrived) == sorted(lines(*range(500)))
        assert (sender.sent, sender.refused) == (500, 1)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "not accept our token"),
        (403, "not let our token"),
        (404, "no such bucket"),
        (500, "answered 500"),
    ],
)
def test_what_others_can_mend_is_said_and_waited_for(tmp_path: Path, door: Door, status: int, words: str) -> None:
    door.rule = lambda _: said(status, "as it is")
    with sending(tmp_path, door) as (outbox, sender):
        put(outbox, sender, lines(1))
        until(lambda: len(door.requests) >= 2)
        assert words in sender.trouble
        assert str(status) in sender.trouble
        assert "token-of-the-test" not in sender.trouble
        assert sender.refused == 0
        door.rule = lambda _: GOOD
        until(lambda: outbox.empty)
        assert door.arrived == lines(1)
        until(lambda: sender.trouble == "")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(tmp_path: Path, door: Door, status: int, as_date: bool) -> None:
    def busy(_: list[str]) -> Answered:
        # A date has whole seconds: up to one less.
        return said(status, "busy", Retry_After=formatdate(time.time() + 3, usegmt=True) if as_date else "2")

    door.rule = busy
    with sending(tmp_path, door) as (outbox, sender):
        put(outbox, sender, lines(1))
        until(lambda: bool(door.requests))
        door.rule = lambda _: GOOD
        for n in range(2, 12):  # what comes meanwhile is no reason to ask earlier
            put(outbox, sender, lines(n))
            time.sleep(0.05)
        until(lambda: outbox.empty)
        assert door.requests[1][0] - door.requests[0][0] >= 1.5
        assert sorted(door.arrived) == sorted(lines(*range(1, 12)))


def test_without_an_answer_it_comes_back_less_and_less_often(tmp_path: Path) -> None:
    asked: list[float] = []

    def nobody(_: bytes) -> Any:
        asked.append(time.monotonic())
        raise ConnectionFailed("nobody is there")

    outbox = Outbox(tmp_path, max_bytes=1 << 30, max_age_seconds=3600)
    sender = Sender(outbox, nobody, chance=lambda: 1.0)
    thread = threading.Thread(target=sender.run)
    thread.start()
    outbox.append([b"m n=1 1"])
    sender.wake()
    until(lambda: len(asked) == 4)
    sender.stop()
    thread.join(WAIT_SECONDS)
    first, second, third = (later - earlier for earlier, later in itertools.pairwise(asked[:4]))
    assert first >= 0.5
    assert second >= 1.0
    assert third >= 2.0
    assert outbox.waiting == 1
    outbox.close()


def test_the_backlog_does_not_hold_up_what_comes(tmp_path: Path, door: Door) -> None:
    earlier = Outbox(tmp_path, max_bytes=1 << 30, max_age_seconds=3600)
    for n in range(0, 100_000, 1000):
        earlier.append(line.encode() for line in lines(*range(n, n + 1000)))
    earlier.close()

    def slow(_: list[str]) -> Answered:
        time.sleep(0.05)
        return GOOD

    door.rule = slow
    with sending(tmp_path, door, batch_bytes=20_000) as (outbox, sender):
        until(lambda: len(door.requests) > 3)
        places: list[int] = []
        for n in range(200_000, 200_020):
            put(outbox, sender, lines(n))
            before = len(door.requests)
            [line] = lines(n)
            until(lambda: any(line in given for _, given in door.requests))  # noqa: B023
            places.append(next(at for at, (_, given) in enumerate(door.requests) if line in given))
            assert places[-1] - before <= 2
        door.rule = lambda _: GOOD
        until(lambda: outbox.empty)
        assert places[0] < len(door.requests) / 2  # there was a backlog meanwhile
        assert set(door.arrived) == set(lines(*range(100_000), *range(200_000, 200_020)))

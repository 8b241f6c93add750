"""If this failed, a target that hangs, drips, redirects or lies could hold up the sender or lead it elsewhere."""

from __future__ import annotations

import itertools
import logging
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from stream_lineage.notify.address import AddressRefused, Policy, network
from stream_lineage.notify.post import MOST_BYTES, Caller, NoReply, caller, told_to_wait
from stream_lineage.sandbox.certificates import Authority
from stream_lineage.testing.receiver import Received, Receiver, answer, nobody

LOCAL = Policy((network("127.0.0.0/8"),), http=True)
SHORT, LONG = 0.3, 60.0
"""Seconds: where the end of the time is what is looked at, and where it must not come."""


def calls(seconds: float = LONG) -> Caller:
    return Caller(LOCAL, seconds=seconds)


def test_what_is_sent_arrives_whole_and_the_answer_comes_back() -> None:
    with Receiver(lambda _: answer(202, b"taken")) as receiver:
        reply = calls().call("POST", f"{receiver.url}/a/b?c=%20d", {"Content-Type": "text/plain", "X-A": "1"}, b"x" * 9)
        [got] = receiver.received
    assert (reply.status, reply.body, reply.retry_after) == (202, b"taken", None)
    assert (got.method, got.path, got.body) == ("POST", "/a/b?c=%20d", b"x" * 9)
    assert (got.headers["host"], got.headers["x-a"]) == (f"127.0.0.1:{receiver.port}", "1")


def test_one_that_never_answers_is_left_in_time() -> None:
    with Receiver(lambda _: None) as receiver, pytest.raises(NoReply, match="did not answer within") as raised:
        calls(SHORT).call("POST", receiver.url, {}, b"x")
    assert not raised.value.unsent


def test_one_that_answers_drop_by_drop_is_left_in_time() -> None:
    class Dripping(Receiver):
        def _serve(self, plain: object) -> None:
            with plain as connection:  # type: ignore[attr-defined]
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not self._closing.wait(0.02):
                    try:
                        connection.sendall(b"X-Drop: 1\r\n")
                    except OSError:
                        return

    with Dripping() as receiver, pytest.raises(NoReply, match="did not answer within"):
        calls(SHORT).call("POST", receiver.url, {}, b"x")


GARBAGE = [
    b"", b"\x00" * 1000, b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
]  # fmt: skip


@pytest.mark.parametrize("said", GARBAGE)
def test_garbage_is_no_answer(said: bytes) -> None:
    with Receiver(lambda _: said) as receiver, pytest.raises(NoReply) as raised:
        calls().call("POST", receiver.url, {}, b"x")
    assert not raised.value.unsent


def test_of_an_endless_answer_only_so_much_is_read() -> None:
    with Receiver(lambda _: answer(200, b"x" * 3_000_000)) as receiver:
        assert len(calls().call("GET", receiver.url, {}).body) == MOST_BYTES


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Receiver() as inner, Receiver(lambda _: answer(status, Location=inner.url)) as receiver:
        assert calls().call("POST", receiver.url, {}, b"x").status == status
        assert not inner.connections


def test_nobody_listens() -> None:
    with nobody() as url, pytest.raises(NoReply) as raised:
        calls().call("POST", url, {}, b"x")
    assert raised.value.unsent


def test_it_is_the_address_that_was_looked_at_that_is_connected_to() -> None:
    answers: Iterator[Sequence[str]] = iter([["127.0.0.2"], ["10.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    policy = Policy((network("127.0.0.1/32"),), http=True)
    with Receiver() as receiver:
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.2"):
            Caller(policy, seconds=LONG, resolve=rebinding).call("POST", f"http://a.test:{receiver.port}", {}, b"x")
        first = itertools.count()

        def once(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"] if next(first) == 0 else ["10.0.0.1"]

        reply = Caller(policy, seconds=LONG, resolve=once).call("POST", f"http://a.test:{receiver.port}", {}, b"x")
        assert reply.status == 200
        assert next(first) == 1  # asked once
        assert receiver.received[0].headers["host"] == f"a.test:{receiver.port}"
    assert asked == ["a.test"]


def test_a_name_that_nobody_knows_is_no_refusal() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("nobody knows it")

    with pytest.raises(NoReply, match=r"a\.test cannot be resolved") as raised:
        Caller(LOCAL, seconds=LONG, resolve=unknown).call("POST", "http://a.test/", {}, b"x")
    assert raised.value.unsent


def test_of_several_addresses_one_that_answers_is_enough() -> None:
    with Receiver() as receiver:
        made = Caller(LOCAL, seconds=LONG, resolve=lambda *_: ["127.9.9.9", "127.0.0.1"])
        assert made.call("POST", f"http://a.test:{receiver.port}/", {}, b"x").status == 200


def test_the_certificate_must_be_the_names_although_the_address_is_connected_to(tmp_path: Path) -> None:
    authority = Authority("test")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    certificate, key = authority.issue("hooks", hosts=["hooks.test"]).write(tmp_path, "hooks")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    policy = Policy((network("127.0.0.0/8"),))
    made = caller(policy, seconds=LONG, ca_location=tmp_path / "ca.pem", resolve=lambda *_: ["127.0.0.1"])
    with Receiver(tls=context) as receiver:
        assert made.call("POST", f"https://hooks.test:{receiver.port}/", {}, b"x").status == 200
        with pytest.raises(NoReply, match="certificate verify failed"):
            made.call("POST", f"https://other.test:{receiver.port}/", {}, b"x")
        with pytest.raises(NoReply, match="certificate verify failed"):
            made.call("POST", f"https://127.0.0.1:{receiver.port}/", {}, b"x")


def test_no_log_has_the_url_whose_path_may_be_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver() as receiver:
        calls().call("POST", f"{receiver.url}/services/T0/B0/geheim", {"Authorization": "Bearer geheim"}, b"x")
    assert "geheim" not in caplog.text


def test_what_retry_after_says() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for text, least, most in (("7", 7, 7), ("7.5", 7.5, 7.5), ("-3", 0, 0), (later, 1800, 3601)):
        found = told_to_wait(text)
        assert found is not None
        assert least <= found <= most
    for none in (None, "", "soon", "nan", "inf", "1e999"):
        assert told_to_wait(none) is None


def test_a_script_is_given_what_came() -> None:
    def echo(request: Received) -> bytes:
        return answer(429, request.body, Retry_After="3")

    with Receiver(echo) as receiver:
        reply = calls().call("PUT", receiver.url, {}, b"said")
    assert (reply.status, reply.body, reply.retry_after) == (429, b"said", 3.0)


@pytest.mark.parametrize("secret", ["Bearer one\ntwo", "Bearer \u00e9", "Bearer \x00"])
def test_a_secret_that_is_no_header_is_not_said(secret: str) -> None:
    with Receiver(lambda _: answer(200, b"")) as receiver, pytest.raises(NoReply, match="Authorization") as raised:
        calls().call("POST", receiver.url, {"Authorization": secret}, b"x")
    assert "Bearer" not in str(raised.value)
    assert raised.value.unsent
    assert not receiver.received

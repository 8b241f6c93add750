"""If this failed, a client would come with a token that has run out, ask for one at every call, or show its secret."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.sandbox.certificates import Authority
from stream_lineage.sandbox.tokens import TokenServer
from stream_lineage.wire.oauth import ClientCredentials, TokenSource
from stream_lineage.wire.tls import TlsMaterial

SECRET = "s3cret-of-me"


@pytest.fixture
def server() -> Iterator[TokenServer]:
    made = TokenServer({"me": SECRET}, audience="kafka", lifetime_seconds=100)
    made.start()
    yield made
    made.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def credentials(url: str, **more: object) -> ClientCredentials:
    given: dict[str, object] = {"client_id": "me", "client_secret": SECRET, "settings": "the.settings", **more}
    return ClientCredentials(url, **given)  # type: ignore[arg-type]


def test_a_token_is_kept_for_four_fifths_of_its_life(server: TokenServer) -> None:
    clock = Clock()
    source = TokenSource(credentials(server.url), clock=clock)
    first = source.token()
    clock.now = 79.9
    assert source.token() == first
    assert asyncio.run(source.fresh()) == first
    clock.now = 80.1
    second = asyncio.run(source.fresh())
    assert second != first
    assert source.token() == second
    source.forget()
    assert source.token() not in (first, second)
    assert len(server.issued) == 3
    claims = json.loads(base64.urlsafe_b64decode(first.split(".")[1] + "=="))
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == ("me", "kafka", 100)


def test_many_who_ask_at_once_cause_one_question(server: TokenServer) -> None:
    source = TokenSource(credentials(server.url))
    with ThreadPoolExecutor(8) as pool:
        tokens = {future.result() for future in [pool.submit(source.token) for _ in range(8)]}
    assert len(tokens) == len(server.issued) == 1


def test_refusals_name_the_endpoint_and_not_the_secret(server: TokenServer) -> None:
    for wrong, said in (
        (credentials(server.url, client_id="you"), "refused client you (401: invalid_client"),
        (credentials(server.url, client_secret="s3cret-of-you"), "refused client me (401: invalid_client"),
        (credentials(f"{server.url}/elsewhere"), "answered 404 without an access_token"),
        (credentials("http://127.0.0.1:9/token"), "cannot be reached"),
    ):
        with pytest.raises(ConnectionFailed) as caught:
            TokenSource(wrong, timeout_seconds=5).token()
        assert f"token endpoint {wrong.endpoint} {said}" in caught.value.message
        assert "the.settings" in str(caught.value.hint)
        assert "s3cret" not in f"{caught.value!r}{caught.value.hint}{wrong!r}"


def test_the_endpoint_is_trusted_by_its_authority_only(tmp_path: Path) -> None:
    authority = Authority("ours")
    identity = authority.issue("tokens", hosts=("127.0.0.1",)).write(tmp_path, "tokens")
    secured = TokenServer({"me": SECRET}, audience="kafka", tls=identity)
    secured.start()
    try:
        trusting = TlsMaterial("x", ca_pem=authority.certificate)
        assert TokenSource(credentials(secured.url, tls=trusting)).token()
        with pytest.raises(ConnectionFailed, match="certificate") as caught:
            TokenSource(credentials(secured.url, tls=TlsMaterial("x", ca_pem=Authority("x").certificate))).token()
        assert "authority" in str(caught.value.hint)
        with pytest.raises(SettingsError):
            TokenSource(credentials(secured.url, tls=TlsMaterial("x", ca_location=Path("/no/such"))))
    finally:
        secured.close()

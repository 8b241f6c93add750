"""If this failed, a receiver could not tell our messages from forged ones with a library for Standard Webhooks."""

from __future__ import annotations

import pytest

from stream_lineage.notify.signature import signed, signing_key


def test_the_specifications_own_example() -> None:
    """The vector that the specification's libraries are tested with."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_that_is_no_base64_is_taken_as_it_is() -> None:
    assert signing_key("a text that is long enough") == b"a text that is long enough"


@pytest.mark.parametrize("secret", ["", "short", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ="])
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"bytes at least|base64"):
        signing_key(secret)

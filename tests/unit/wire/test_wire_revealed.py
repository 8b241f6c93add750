"""If this failed, a process of ours would be given hidden secrets, and could log in nowhere."""

from __future__ import annotations

from pydantic import SecretStr

from stream_lineage.wire.revealed import revealed
from stream_lineage.wire.settings import KafkaSettings


def test_secrets_are_in_clear_however_deep_they_are() -> None:
    secret = SecretStr("hunter22")
    given = {"a": secret, "b": [secret, {"c": (secret, 3)}], "d": None, "e": "text"}
    assert revealed(given) == {"a": "hunter22", "b": ["hunter22", {"c": ["hunter22", 3]}], "d": None, "e": "text"}
    settings = KafkaSettings(kafka={"sasl.password": "hunter22"})
    assert KafkaSettings(**revealed(settings.model_dump())) == settings

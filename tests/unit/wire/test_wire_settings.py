"""If this failed, secrets would have to stand in command lines, or two ways to log in would be taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from stream_lineage.wire.settings import KafkaSettings, RegistrySettings

TOKEN_URL = "sasl.oauthbearer.token.endpoint.url"


def test_secrets_by_their_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-the-file\n")
    found = KafkaSettings(kafka={"sasl.password_file": str(file), "ssl.key.pem_file": str(file)})
    assert found.kafka == {"sasl.password": SecretStr("from-the-file"), "ssl.key.pem": SecretStr("from-the-file")}
    assert found.client_config()["sasl.password"] == "from-the-file"
    assert "from-the-file" not in repr(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sasl.password_file": "/no/such"}, "sasl.password_file: /no/such cannot be read"),
        ({"sasl.password_file": "{empty}"}, "is empty"),
        ({"sasl.password_file": "{empty}", "sasl.password": "hunter22"}, "exclude each other"),
        ({"sasl.username_file": "/no/such"}, ""),  # no secret: librdkafka will say that it does not know this
    ],
)
def test_files_that_hold_none(given: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    settings = {name: value.format(empty=tmp_path / "empty") for name, value in given.items()}
    if not said:
        assert KafkaSettings(kafka=settings).kafka == settings
        return
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(kafka=settings)
    assert said in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_tokens_are_fetched_where_an_endpoint_is_named() -> None:
    config = KafkaSettings(kafka={"sasl.mechanisms": "OAUTHBEARER", TOKEN_URL: "https://h/token"}).client_config()
    assert config["sasl.oauthbearer.method"] == "oidc"
    chosen = {"sasl.mechanisms": "OAUTHBEARER", TOKEN_URL: "https://h/token", "sasl.oauthbearer.method": "default"}
    assert KafkaSettings(kafka=chosen).client_config()["sasl.oauthbearer.method"] == "default"
    assert "sasl.oauthbearer.method" not in KafkaSettings(kafka={"sasl.mechanisms": "PLAIN"}).client_config()


CLIENT = {"schema_registry_client_id": "me", "schema_registry_client_secret": "hunter22"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schema_registry_token_url": "https://h"}, "go together"),
        ({**CLIENT}, "go together"),
        ({**CLIENT, "schema_registry_token_url": "ftp://h"}, "must be http(s)://host"),
        ({**CLIENT, "schema_registry_token_url": "https://u:hunter22@h"}, "without user and password"),
        ({**CLIENT, "schema_registry_token_url": "https://h", "schema_registry_bearer_token": "t"}, "exclude each"),
        ({**CLIENT, "schema_registry_token_url": "https://h", "schema_registry_basic_auth": "a:b"}, "exclude each"),
        ({"schema_registry_key_pem": "hunter22"}, "needs schema_registry_certificate_location"),
        ({"schema_registry_ca_pem": "x", "schema_registry_ca_location": "/c"}, "exclude each other"),
    ],
)
def test_one_way_into_the_registry(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RegistrySettings.model_validate(given)
    assert said in str(caught.value)
    assert "hunter22" not in str(caught.value)

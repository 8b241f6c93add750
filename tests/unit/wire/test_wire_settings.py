"""If this failed, secrets would have to stand in command lines, or two ways to log in would be taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bootstrap_servers": ""}, "at least one host:port"),
        ({"bootstrap_servers": "h:0"}, "must be host:port"),
        ({"bootstrap_servers": "h:70000"}, "must be host:port"),
        ({"bootstrap_servers": "h:9092,http://h/x"}, "must be host:port"),
        ({"topic_prefix": "a b"}, "must be made of letters"),
        ({"replication_factor": 0}, "at least 1"),
        ({"kafka": 3}, "valid dictionary"),
        ({"kafka": {"Bad Name": "x"}}, "names a setting"),
        ({"kafka": {"group.id": "x"}}, "cannot be set"),
        ({"kafka": {"sasl.password_file": 3}}, "must be the path of a file"),
    ],
)
def test_what_no_cluster_is_called(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        KafkaSettings(**given)


@pytest.mark.parametrize(
    ("servers", "addresses", "name"),
    [
        ("broker", (("broker", 9092),), "broker:9092"),
        ("SASL_SSL://h:1, i:2", (("h", 1), ("i", 2)), "h:1"),
        ("[::1]:9094", (("::1", 9094),), "[::1]:9094"),
    ],
)
def test_where_the_brokers_are(servers: str, addresses: tuple[tuple[str, int], ...], name: str) -> None:
    found = KafkaSettings(bootstrap_servers=servers)
    assert (found.addresses, found.cluster_name) == (addresses, name)
    assert KafkaSettings(bootstrap_servers=servers, cluster="eu").cluster_name == "eu"


def test_settings_of_librdkafka_are_text() -> None:
    given: dict[str, Any] = {"enable.ssl.certificate.verification": False, "socket.timeout.ms": 5, "client.id": "a"}
    assert KafkaSettings(kafka=given, topic_prefix="x.", bootstrap_servers="h:1").client_config() == {
        "bootstrap.servers": "h:1",
        "enable.ssl.certificate.verification": "false",
        "socket.timeout.ms": "5",
        "client.id": "a",
    }
    assert KafkaSettings(topic_prefix="x.").topic("observations") == "x.observations"
    assert [KafkaSettings(replication_factor=factor).replication_factor for factor in (-1, 3)] == [-1, 3]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schema_registry_url": "registry"}, "http"),
        ({"schema_registry_url": "http://h:port"}, "http"),
        ({"schema_registry_url": "http://["}, "http"),
        ({"schema_registry_url": 3}, "valid string"),
        ({"schema_registry_url": "http://a:b@h,http://c:d@i"}, "more than one user"),
        ({"schema_registry_url": "http://a:b@h", "schema_registry_basic_auth": "a:b"}, "more than one user"),
        ({"schema_registry_basic_auth": "hunter22"}, "must be user:password"),
        ({**{"schema_registry_token_url": "ftp://h"}}, "must be http"),
        ({"schema_registry_token_url": "https://a:b@h"}, "without user and password"),
        ({"schema_registry_key_pem": "x"}, "needs schema_registry_certificate"),
        ({"schema_registry_ca_pem": "x", "schema_registry_ca_location": "y"}, "exclude each other"),
    ],
)
def test_what_no_registry_is_called(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        RegistrySettings(**given)
    assert "hunter22" not in str(caught.value)


def test_credentials_in_the_address_of_a_registry_are_hidden() -> None:
    found = RegistrySettings(schema_registry_url="https://me:hunt%40er22@h:1/x/, https://me:hunt%40er22@i")
    assert found.urls == ("https://h:1/x", "https://i")
    assert found.schema_registry_basic_auth == SecretStr("me:hunt@er22")
    assert "er22" not in repr(found)
    assert RegistrySettings(schema_registry_url=" ").urls == RegistrySettings().urls == ()


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

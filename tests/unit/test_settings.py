"""If this failed, a mistyped setting would be ignored, or a password would be shown in an error."""

from __future__ import annotations

import json
import pickle
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from stream_lineage.collect.settings import CollectSettings
from stream_lineage.errors import SettingsError
from stream_lineage.index.settings import IndexSettings
from stream_lineage.settings import Settings, load_settings
from stream_lineage.settings.composed import KNOWN, SECTIONS
from stream_lineage.settings.setting import Kind
from stream_lineage.settings.sources import split_list
from stream_lineage.wire.settings import RESERVED_KAFKA_SETTINGS, KafkaSettings, RegistrySettings


def refused(flags: Any = None, environ: Any = None, config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags or {}, environ or {}, config)
    assert caught.value.hint
    assert caught.value.__cause__ is None
    return caught.value.message


def yaml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings({}, {})
    assert settings == Settings()
    assert settings.kafka.addresses == (("localhost", 9092),)
    assert settings.registry.urls == ()


def test_flags_before_environment_before_yaml_before_defaults(tmp_path: Path) -> None:
    path = yaml(tmp_path, "group_id: yaml\nflush_max_records: 1\nmax_fields: 11\nkafka: {a.a: y, b.b: y, c.c: y}")
    environ = {
        "STREAM_LINEAGE_GROUP_ID": "environment",
        "STREAM_LINEAGE_FLUSH_MAX_RECORDS": "2",
        "STREAM_LINEAGE_KAFKA_A_A": "e",
        "STREAM_LINEAGE_KAFKA_B_B": "e",
    }
    settings = load_settings({"group_id": "flag", "max_fields": None, "kafka": ("a.a=f",)}, environ, path)
    assert settings.collect.group_id == "flag"
    assert settings.collect.flush_max_records == 2
    assert settings.collect.max_fields == 11
    assert settings.collect.flush_interval_seconds == 1.0
    assert settings.kafka.kafka == {"a.a": "f", "b.b": "e", "c.c": "y"}


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = yaml(tmp_path, "group_id: here")
    assert load_settings({}, {"STREAM_LINEAGE_CONFIG": str(path)}).collect.group_id == "here"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_setting_has_one_name_in_all_places(name: str, tmp_path: Path) -> None:
    setting = KNOWN[name]
    text, parsed = {
        Kind.TEXT: ("http://h:1", "http://h:1"),
        Kind.CHOICE: (setting.choices[-1] if setting.choices else "", setting.choices[-1] if setting.choices else ""),
        Kind.INTEGER: ("5000", 5_000),
        Kind.NUMBER: ("7.5", 7.5),
        Kind.BOOLEAN: ("true", True),
        Kind.PATH: ("/some/where", Path("/some/where")),
        Kind.LIST: ("one,two", ("one", "two")),
        Kind.SECRET: ("user:sixteen-or-more", SecretStr("user:sixteen-or-more")),
        Kind.PROPERTIES: ('{"fetch.min.bytes": "5"}', {"fetch.min.bytes": "5"}),
    }[setting.kind]
    if name in {"bootstrap_servers", "instance_id", "topic_prefix", "tap_suffix", "agents_id"}:
        text, parsed = "host", "host"
    if name == "metric_window_seconds":
        text, parsed = "2", 2
    if name == "key_fields":
        text, parsed = "topic:one,topic:two", ("topic:one", "topic:two")
    if name == "notify_private_networks":
        text, parsed = "10.0.0.0/8,fd00::/8", ("10.0.0.0/8", "fd00::/8")
    if name in {"telemetry_listen", "serve_listen"}:
        text, parsed = "host:1", "host:1"
    # A key has no meaning without its certificate, nor has a client without its secret and where to show it.
    beside = {"schema_registry_certificate_location": "/c"} if name.startswith("schema_registry_key") else {}
    if name == "key_fields":
        (tmp_path / "hash-key").write_text("sixteen letters or more", encoding="utf-8")
        beside = {"hash_key_file": str(tmp_path / "hash-key")}
    client = {"schema_registry_token_url": "http://h:2", "schema_registry_client_id": "me"}
    if name in (*client, "schema_registry_client_secret"):
        secret = tmp_path / "client-secret"
        secret.write_text("user:sixteen-or-more", encoding="utf-8")
        beside = {**client, "schema_registry_client_secret_file": str(secret)}
        beside.pop(name, None)
        if name == "schema_registry_client_secret":
            del beside["schema_registry_client_secret_file"]
    from_environment = load_settings(beside, {f"STREAM_LINEAGE_{name.upper()}": text})
    written = yaml(tmp_path, json.dumps({name: parsed if isinstance(parsed, bool | int | float) else json_form(text)}))
    from_yaml = load_settings(beside, {}, written)
    if setting.kind is Kind.SECRET:
        secret = tmp_path / "secret"
        secret.write_text(text + "\n", encoding="utf-8")
        from_flag = load_settings({**beside, f"{name}_file": str(secret)}, {})
    else:
        flag = {Kind.LIST: parsed, Kind.PROPERTIES: ("fetch.min.bytes=5",)}.get(setting.kind, text)
        from_flag = load_settings({**beside, name: flag}, {})
    for settings in (from_environment, from_yaml, from_flag):
        assert getattr(getattr(settings, setting.section), name) == parsed


def json_form(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


def test_names_are_unique_and_described() -> None:
    names = Counter(name for model in SECTIONS.values() for name in model.model_fields)
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name, setting in KNOWN.items() if not setting.description.endswith(".")] == []
    assert not any(name.startswith("kafka_") for name in KNOWN)  # STREAM_LINEAGE_KAFKA_* is librdkafka's
    assert not any(name.endswith("_file") for name in KNOWN)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"STREAM_LINEAGE_GROPU_ID": "x"},
            "STREAM_LINEAGE_GROPU_ID is not a setting; did you mean STREAM_LINEAGE_GROUP_ID?",
        ),
        (
            {"STREAM_LINEAGE_FLUSH_INTERVAL_SECONDS": "0"},
            "FLUSH_INTERVAL_SECONDS: should be greater than 0",
        ),
        ({"STREAM_LINEAGE_FLUSH_MAX_RECORDS": "many"}, "STREAM_LINEAGE_FLUSH_MAX_RECORDS: should be a valid integer"),
        ({"STREAM_LINEAGE_START_FROM": "middle"}, "should be 'beginning' or 'end' (it is 'middle')"),
        ({"STREAM_LINEAGE_INCLUDE": "ok, (broken"}, "STREAM_LINEAGE_INCLUDE: '(broken' is not a regular expression"),
        ({"STREAM_LINEAGE_KAFKA": "[1]"}, "STREAM_LINEAGE_KAFKA: must be JSON"),
        (
            {"STREAM_LINEAGE_KAFKA_GROUP_ID": "x"},
            "KAFKA_GROUP_ID: cannot be set: use the setting group_id",
        ),
        ({"STREAM_LINEAGE_BOOTSTRAP_SERVERS": "a:1,b:x"}, "STREAM_LINEAGE_BOOTSTRAP_SERVERS: must be host:port"),
        ({"STREAM_LINEAGE_BOOTSTRAP_SERVERS": "a:0"}, "must be host:port"),
        ({"STREAM_LINEAGE_BOOTSTRAP_SERVERS": ","}, "must name at least one"),
        ({"STREAM_LINEAGE_TOPIC_PREFIX": "a b"}, "STREAM_LINEAGE_TOPIC_PREFIX: must be made of"),
        ({"STREAM_LINEAGE_REPLICATION_FACTOR": "0"}, "must be -1"),
        ({"STREAM_LINEAGE_WORKER_MEMORY_MB": "64", "STREAM_LINEAGE_FLUSH_MAX_BYTES": "64000000"}, "at most half"),
        ({"STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "h:8081"}, "must be http(s)://host:port"),
        ({"STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "http://[::1"}, "must be http(s)://host:port"),
        ({"STREAM_LINEAGE_SCHEMA_REGISTRY_KEY_LOCATION": "/k"}, "needs schema_registry_certificate_location"),
        ({"STREAM_LINEAGE_PUBLIC_URL": "host"}, "must be http(s)://host:port"),
        ({"STREAM_LINEAGE_HASH_KEY": "short"}, "STREAM_LINEAGE_HASH_KEY: must be at least 16"),
        ({"STREAM_LINEAGE_HASH_KEY_FILE": "/no/such"}, "STREAM_LINEAGE_HASH_KEY_FILE: /no/such cannot be read"),
        ({"STREAM_LINEAGE_GROUP_ID_FILE": "/no/such"}, "STREAM_LINEAGE_GROUP_ID_FILE is not a setting"),
        ({"STREAM_LINEAGE_CONFIG": "/no/such"}, "/no/such: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(environ: dict[str, str], said: str) -> None:
    assert said in refused(environ=environ)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gruop_id: x", "gruop_id is not a setting; did you mean group_id?"),
        ("group_id: [1", "line 1: is not valid YAML"),
        ("- group_id", "must hold settings as 'name: value'"),
        ("group_id: 5", "group_id: should be a valid string"),
        ("group_id: a\ngroup_id: b", "line 2: is not valid YAML: 'group_id' is given twice"),
        ("kafka: {fetch.min.bytes: {a: b}}", "kafka: fetch.min.bytes: "),
        ("kafka: {Fetch Min: 5}", "is not how librdkafka names a setting"),
        ("kafka: 5", "kafka: "),
        ("hash_key_file: [1]", "must be the path of a file"),
        ("state_dir: 5", "state_dir: "),
        ("5: x", "5 is not a setting"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_file(text: str, said: str, tmp_path: Path) -> None:
    message = refused(config=yaml(tmp_path, text))
    assert said in message
    assert "config.yaml" in message


def test_all_problems_at_once(tmp_path: Path) -> None:
    message = refused(
        {"kafka": ("nothing",)},
        {"STREAM_LINEAGE_NONSENSE": "1", "STREAM_LINEAGE_MAX_FIELDS": "0"},
        yaml(tmp_path, "stroe: sqlite\nkafka: {group.id: a, acks: 1}"),
    )
    assert message.startswith("6 settings are wrong:")
    for part in ("--kafka", "NONSENSE", "MAX_FIELDS", "stroe", "kafka: group.id", "kafka: acks"):
        assert part in message


@pytest.mark.parametrize("name", sorted(RESERVED_KAFKA_SETTINGS))
def test_settings_that_would_break_exactly_once_are_refused_with_the_reason(name: str) -> None:
    assert RESERVED_KAFKA_SETTINGS[name] in refused({"kafka": (f"{name}=x",)})


def test_lists_and_yaml_values(tmp_path: Path) -> None:
    path = yaml(
        tmp_path, "include: [a, b]\nexclude: c d\nkafka: {socket.keepalive.enable: true, fetch.min.bytes: 5}\ncluster:"
    )
    settings = load_settings({}, {}, path)
    assert settings.collect.include == ("a", "b")
    assert settings.collect.exclude == ("c", "d")
    assert settings.kafka.kafka == {"socket.keepalive.enable": "true", "fetch.min.bytes": "5"}
    assert settings.kafka.cluster is None


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ("a", "b")),
        (" a  b ,, c\n", ("a", "b", "c")),
        ("a{1,2},b", ("a{1,2}", "b")),
        ("[a,z]x,(b,c)", ("[a,z]x", "(b,c)")),
        ('["a,b", "c d"]', ("a,b", "c d")),
        ("[0-9]+", ("[0-9]+",)),
        ("[1]", ("[1]",)),
        (r"a\[,b", (r"a\[", "b")),
        ("items[].sku tags{}", ("items[].sku", "tags{}")),
        ("", ()),
    ],
)
def test_how_lists_are_split(text: str, items: tuple[str, ...]) -> None:
    assert split_list(text) == items


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1)))
def test_any_list_can_be_given_as_json(items: list[str]) -> None:
    assert split_list(json.dumps(items)) == tuple(items)


def test_the_state_directory_holds_the_rest() -> None:
    settings = load_settings({"state_dir": "/s"}, {"STREAM_LINEAGE_SQLITE_PATH": "/elsewhere.sqlite"})
    assert settings.agents.agents_state_dir == Path("/s/agents")
    assert settings.store.sqlite_path == Path("/elsewhere.sqlite")
    assert load_settings({"state_dir": "/s"}, {}).store.sqlite_path == Path("/s/metrics.sqlite")


@pytest.mark.parametrize(
    "environ",
    [
        {"STREAM_LINEAGE_TEST_BOOTSTRAP": "x", "STREAM_LINEAGE_REQUIRE_KAFKA": "1", "STREAM_LINEAGE_CACHE_DIR": "/c"},
        {"STREAM_LINEAGE_PORT": "tcp://10.0.0.1:80", "STREAM_LINEAGE_SERVICE_HOST": "10.0.0.1"},
        {"STREAM_LINEAGE_SERVICE_PORT_HTTP": "80", "STREAM_LINEAGE_PORT_80_TCP_ADDR": "10.0.0.1"},
        {"STREAM_LINEAGE_AGENTS_PORT": "tcp://10.0.0.1:80", "STREAM_LINEAGE_AGENTS_SERVICE_PORT": "80"},
        {"STREAM_LINEAGE_GROUP_ID": ""},
        {"OTHER_STREAM_LINEAGE_GROUP_ID": "x"},
    ],
)
def test_variables_that_are_no_settings(environ: dict[str, str]) -> None:
    assert load_settings({}, environ) == Settings()


def test_kafka_settings_from_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("from a file\n", encoding="utf-8")
    settings = load_settings(
        {},
        {
            "STREAM_LINEAGE_KAFKA": '{"security.protocol": "SSL", "fetch.min.bytes": 5, "check.crcs": true}',
            "STREAM_LINEAGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "STREAM_LINEAGE_KAFKA_SASL_PASSWORD_FILE": str(secret),
        },
    )
    assert settings.kafka.client_config() == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "SASL_SSL",
        "fetch.min.bytes": "5",
        "check.crcs": "true",
        "sasl.password": "from a file",
    }


SECRETS = ("hunter2222222222", "tokentokentoken", "pppppppp", "kkkkkkkk", "keykeykeykeykeykey")


def test_secrets_are_shown_nowhere() -> None:
    settings = load_settings(
        {"kafka": ("sasl.password=pppppppp", "ssl.key.pem=kkkkkkkk", "sasl.username=me")},
        {
            "STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "http://u:hunter2222222222@h:1,http://u:hunter2222222222@i:2",
            "STREAM_LINEAGE_HASH_KEY": "keykeykeykeykeykey",
        },
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert [secret for secret in SECRETS if secret in shown] == []
    assert settings.registry.urls == ("http://h:1", "http://i:2")
    assert settings.registry.schema_registry_basic_auth == SecretStr("u:hunter2222222222")
    assert settings.kafka.client_config()["sasl.password"] == "pppppppp"
    assert set(SECRETS) - set(settings.secrets()) == {"tokentokentoken"}
    assert pickle.loads(pickle.dumps(settings.collect)) == settings.collect  # noqa: S301 - what we have just written


def test_secrets_are_in_no_error(tmp_path: Path) -> None:
    path = yaml(
        tmp_path,
        "hash_key: {a: hunter2222222222}\n"
        "kafka: {sasl.password: {x: pppppppp}, ssl.key.pem: [kkkkkkkk]}\n"
        "schema_registry_bearer_token: [tokentokentoken]\n",
    )
    messages = [
        refused(config=path),
        refused(environ={"STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "ftp://u:hunter2222222222@h"}),
        refused(environ={"STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "http://u:pppp/pppp@h:x"}),
        refused(environ={"STREAM_LINEAGE_SCHEMA_REGISTRY_URL": "http://a:pppppppp@h,http://b:kkkkkkkk@i"}),
        refused(environ={"STREAM_LINEAGE_SCHEMA_REGISTRY_BASIC_AUTH": "hunter2222222222"}),
        refused({"kafka": ("pppppppp",)}),
        refused(config=yaml(tmp_path, "hash_key: 'hunter2222222222\n")),
        refused(environ={"STREAM_LINEAGE_KAFKA": '{"sasl.password": "pppppppp"'}),
    ]
    text = "\n".join(messages)
    assert [secret for secret in (*SECRETS, "pppp/pppp") if secret in text] == []


def test_key_fields_are_refused_without_a_key_that_nobody_guesses() -> None:
    said = refused({"key_fields": ("orders:id",)})
    for part in ("key_fields needs hash_key", "guessing", "openssl rand -hex 32", "STREAM_LINEAGE_HASH_KEY_FILE"):
        assert part in said
    with pytest.raises(ValidationError):
        Settings(index=IndexSettings(key_fields=("orders:id",)))
    given_key = {"STREAM_LINEAGE_HASH_KEY": "sixteen letters or more"}
    assert load_settings({"key_fields": ("orders:id",)}, given_key).index.key_fields == ("orders:id",)


def test_settings_made_in_code_are_checked_and_frozen() -> None:
    with pytest.raises(ValidationError):
        CollectSettings(flush_interval_seconds=0)
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(kafka={"sasl.password": 5, "acks": "hunter2222222222"})
    assert "hunter2222222222" not in str(caught.value)
    with pytest.raises(ValidationError):
        RegistrySettings(nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        setattr(CollectSettings(), "group_id", "x")  # noqa: B010 - the type checker knows already


@pytest.mark.parametrize(
    ("servers", "cluster", "name"),
    [
        ("a:1,b:2", None, "a:1"),
        ("a", None, "a:9092"),
        ("SASL_SSL://a:1", None, "a:1"),
        ("[::1]:5", None, "[::1]:5"),
        ("a:1", "payments", "payments"),
    ],
)
def test_the_clusters_name(servers: str, cluster: str | None, name: str) -> None:
    assert KafkaSettings(bootstrap_servers=servers, cluster=cluster).cluster_name == name


def test_our_topics_names() -> None:
    assert KafkaSettings(topic_prefix="x-").topic("observations") == "x-observations"


@pytest.mark.parametrize(
    ("environ", "home", "platform", "expected"),
    [
        ({"XDG_STATE_HOME": "/x"}, "/h", "linux", "/x/stream-lineage"),
        ({}, "/h", "linux", "/h/.local/state/stream-lineage"),
        ({}, "/h", "darwin", "/h/Library/Application Support/stream-lineage"),
        ({}, None, "linux", "/var/lib/stream-lineage"),
    ],
)
def test_where_state_is_kept_by_default(
    environ: dict[str, str], home: str | None, platform: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_home() -> Path:
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", find_home)
    monkeypatch.setattr(sys, "platform", platform)
    assert str(CollectSettings().state_dir) == expected


def test_secret_files(tmp_path: Path) -> None:
    good, empty, binary = (tmp_path / name for name in ("good", "empty", "binary"))
    good.write_text("sixteen letters or more\r\n", encoding="utf-8")
    empty.touch()
    binary.write_bytes(b"\xff\xfe")
    written = yaml(tmp_path, f"hash_key_file: {good}")
    for settings in (
        load_settings({}, {}, written),
        load_settings({}, {"STREAM_LINEAGE_HASH_KEY_FILE": str(good)}),
        load_settings({"hash_key_file": str(good)}, {}),
    ):
        assert settings.collect.hash_key == SecretStr("sixteen letters or more")
    assert "is empty" in refused({"hash_key_file": str(empty)})
    assert "is not UTF-8" in refused({"hash_key_file": str(binary)})
    both = {"STREAM_LINEAGE_HASH_KEY": "x" * 20, "STREAM_LINEAGE_HASH_KEY_FILE": str(good)}
    assert "exclude each other" in refused(environ=both)
    assert "exclude each other" in refused(config=yaml(tmp_path, f"hash_key: {'x' * 20}\nhash_key_file: {good}"))


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"group_id: \xff")
    assert "is not UTF-8" in refused(config=path)
    assert load_settings({}, {}, yaml(tmp_path, "")) == Settings()


def test_flags_by_a_wrong_name() -> None:
    assert "gruop_id is not a setting; did you mean group_id?" in refused({"gruop_id": "x"})
    assert load_settings({"kafka": {"fetch.min.bytes": "5"}}, {}).kafka.kafka == {"fetch.min.bytes": "5"}


@pytest.mark.parametrize(("seconds", "taken"), [("1", True), ("6", True), ("7", False), ("0", False), ("30", False)])
def test_windows_divide_a_minute(seconds: str, taken: bool) -> None:
    with nullcontext() if taken else pytest.raises(SettingsError, match="METRIC_WINDOW_SECONDS"):
        load_settings({}, {"STREAM_LINEAGE_METRIC_WINDOW_SECONDS": seconds})

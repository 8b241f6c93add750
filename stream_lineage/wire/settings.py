"""How to reach Kafka and the schema registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

DEFAULT_KAFKA_PORT = 9092

_FILE_SUFFIX = "_file"
_MAX_SECRET_BYTES = 1_000_000

_NO_URL = "schema_registry_url must be http(s)://host:port, with a path if need be"

RESERVED_KAFKA_SETTINGS: Mapping[str, str] = {
    "bootstrap.servers": "use the setting bootstrap_servers",
    "metadata.broker.list": "use the setting bootstrap_servers",
    "group.id": "use the setting group_id",
    "group.instance.id": "use the setting instance_id",
    "group.protocol": "use the setting group_protocol",
    "auto.offset.reset": "use the setting start_from",
    "enable.auto.commit": "offsets are committed with the observations, in one transaction",
    "auto.commit.interval.ms": "offsets are committed with the observations, in one transaction",
    "auto.commit.enable": "offsets are committed with the observations, in one transaction",
    "enable.auto.offset.store": "offsets are committed with the observations, in one transaction",
    "isolation.level": "aborted records must not be counted: it is read_committed, except for our own probes",
    "enable.partition.eof": "the end of a partition is told by it",
    "transactional.id": "fencing needs one that is stable per instance: it is derived from group_id and instance_id",
    "transaction.timeout.ms": "use the setting transaction_timeout_seconds",
    "session.timeout.ms": "use the setting session_timeout_seconds",
    "enable.idempotence": "transactions need it on",
    "acks": "transactions need all of them",
    "request.required.acks": "transactions need all of them",
    "max.in.flight": "transactions bound it",
    "max.in.flight.requests.per.connection": "transactions bound it",
    "partitioner": "the collector and the agents must use the same one",
    "partition.assignment.strategy": "cooperative rebalancing needs the one that is set",
    "queued.max.messages.kbytes": "use the setting prefetch_kilobytes",
}
"""librdkafka settings that do not pass through, with what to do instead or why not."""

_SECRET_KAFKA_SETTING = re.compile(r"password|secret|\.key\.pem$|(^|\.)key$|jaas|oauthbearer\.config|assertion.*pem")
_KAFKA_SETTING = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")
_LISTENER = re.compile(
    r"(?:(?P<protocol>[A-Za-z_]+)://)?(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^\s:/\[\],@]+)(?::(?P<port>\d+))?"
)


def is_secret_kafka_setting(name: str) -> bool:
    """Whether the value of a librdkafka setting must never be shown, such as ``sasl.password``."""
    return _SECRET_KAFKA_SETTING.search(name) is not None


def _passes_through(name: str) -> str:
    if not _KAFKA_SETTING.fullmatch(name):
        raise ValueError("is not how librdkafka names a setting (lower case, with dots)")
    if name in RESERVED_KAFKA_SETTINGS:
        raise ValueError(f"cannot be set: {RESERVED_KAFKA_SETTINGS[name]}")
    return name


class KafkaSettings(BaseModel):
    """The cluster whose topics are watched, which also holds our own topics."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str = Field(
        default=f"localhost:{DEFAULT_KAFKA_PORT}",
        description="Kafka brokers to ask first, as host:port, separated by commas.",
        examples=["broker-1:9092,broker-2:9092"],
    )
    kafka: dict[Annotated[str, AfterValidator(_passes_through)], str | SecretStr] = Field(
        default={},
        description="Any librdkafka setting, passed on to every Kafka client. Those that would break exactly-once "
        "delivery are refused. Secrets may be named by their file, with _file at the end of the name.",
        examples=[{"security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512"}],
    )
    cluster: str | None = Field(
        default=None,
        min_length=1,
        max_length=249,
        description="Name of the cluster in lineage (kafka://NAME). Without one, the first bootstrap address.",
        examples=["payments-eu"],
    )
    cluster_aliases: tuple[str, ...] = Field(
        default=(),
        description="Other addresses or names of this cluster, by which others that send lineage know it. Its "
        "bootstrap addresses need not be said.",
        examples=[["kafka-internal:9093", "payments"]],
    )
    topic_prefix: str = Field(default="lineage.", description="What the names of our own topics start with.")
    replication_factor: int = Field(
        default=-1,
        ge=-1,
        le=32_767,
        description="Replicas of our own topics when we create them; -1 is the broker's default.",
    )
    observation_partitions: int = Field(
        default=6,
        ge=1,
        le=10_000,
        description="Partitions of the observation topic when we create it. Agents scale up to it.",
    )
    edges_retention_days: float = Field(
        default=365.0,
        gt=0,
        le=36_500,
        description="How long record edges are kept, and hashes of key fields, when we create their topics: records "
        "cannot be traced for longer.",
    )
    edges_retention_bytes: int = Field(
        default=10 * 1024**3,
        ge=-1,
        le=2**62,
        description="Bytes of record edges that are kept on each replica, over all partitions, when we create their "
        "topic: the oldest are deleted. As many of hashes of key fields. -1: as many as there are.",
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses_are_whole(cls, text: str) -> str:
        _addresses(text)
        return text

    @field_validator("topic_prefix")
    @classmethod
    def _prefix_is_legal(cls, prefix: str) -> str:
        if not _TOPIC_PREFIX.fullmatch(prefix):
            raise ValueError("must be made of letters, digits, '.', '_' and '-'")
        return prefix

    @field_validator("replication_factor")
    @classmethod
    def _some_replica(cls, factor: int) -> int:
        if factor == 0:
            raise ValueError("must be -1 (the broker's default) or at least 1")
        return factor

    @field_validator("kafka", mode="before")
    @classmethod
    def _as_librdkafka_writes_it(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        read: dict[Any, Any] = {}
        for name, value in given.items():
            whole = name.removesuffix(_FILE_SUFFIX) if isinstance(name, str) else name
            if whole == name or not is_secret_kafka_setting(whole):
                read[name] = _kafka_value(value)
            elif whole in given:
                raise ValueError(f"{name} and {whole} exclude each other")
            else:
                read[whole] = SecretStr(_secret_of(name, value))
        mechanism = str(read.get("sasl.mechanisms") or read.get("sasl.mechanism") or "").upper()
        if mechanism == "OAUTHBEARER" and "sasl.oauthbearer.token.endpoint.url" in read:
            read.setdefault("sasl.oauthbearer.method", "oidc")
        return read

    @field_validator("kafka")
    @classmethod
    def _secrets_are_hidden(cls, given: dict[str, str | SecretStr]) -> dict[str, str | SecretStr]:
        return {
            name: SecretStr(value) if is_secret_kafka_setting(name) and isinstance(value, str) else value
            for name, value in given.items()
        }

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each bootstrap broker."""
        return _addresses(self.bootstrap_servers)

    @property
    def cluster_name(self) -> str:
        """The alias, or host:port of the first bootstrap broker."""
        if self.cluster is not None:
            return self.cluster
        host, port = self.addresses[0]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def topic(self, name: str) -> str:
        """The full name of one of our own topics: ``observations`` is ``lineage.observations``."""
        return self.topic_prefix + name

    def client_config(self) -> dict[str, str]:
        """What every client is configured with. Holds secrets in clear: for the client's constructor only."""
        revealed = {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in self.kafka.items()}
        return {"bootstrap.servers": self.bootstrap_servers, **revealed}


class RegistrySettings(BaseModel):
    """The schema registry. Without a URL every schema id stays unresolved."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_registry_url: str | None = Field(
        default=None,
        description="Schema registry with the Confluent API. Several, separated by commas, are tried in turn.",
        examples=["https://registry-1:8081,https://registry-2:8081"],
    )
    schema_registry_basic_auth: SecretStr | None = Field(
        default=None, description="user:password for the registry. May also stand in its URL."
    )
    schema_registry_bearer_token: SecretStr | None = Field(default=None, description="Bearer token for the registry.")
    schema_registry_token_url: str | None = Field(
        default=None,
        description="Where bearer tokens for the registry are fetched by client credentials (OAuth).",
    )
    schema_registry_client_id: str | None = Field(default=None, description="Client id to fetch tokens with.")
    schema_registry_client_secret: SecretStr | None = Field(
        default=None, description="Client secret to fetch tokens with."
    )
    schema_registry_token_scope: str | None = Field(default=None, description="Scope to ask for with each token.")
    schema_registry_token_ca_location: Path | None = Field(
        default=None, description="PEM file of the authorities that may sign the token endpoint's certificate."
    )
    schema_registry_ca_location: Path | None = Field(
        default=None, description="PEM file of the authorities that may sign the registry's certificate."
    )
    schema_registry_ca_pem: str | None = Field(default=None, description="The same as text instead of a file.")
    schema_registry_certificate_location: Path | None = Field(
        default=None, description="PEM file of the client certificate for the registry."
    )
    schema_registry_certificate_pem: str | None = Field(default=None, description="The same as text instead of a file.")
    schema_registry_key_location: Path | None = Field(
        default=None, description="PEM file of the client certificate's key, when it is not in the same file."
    )
    schema_registry_key_pem: SecretStr | None = Field(
        default=None, description="The client certificate's key as text instead of a file."
    )
    schema_registry_key_password: SecretStr | None = Field(
        default=None, description="What the client certificate's key opens with."
    )
    avro_schemas: Path | None = Field(
        default=None,
        description="Directory of .avsc files with the schemas of Avro single objects, where no registry has them.",
    )
    registry_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="How long one registry call may take in all."
    )
    registry_patience_seconds: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="How long a flush waits for schemas that it meets first, while the registry answers. Records whose "
        "schema comes later are recorded without a profile.",
    )
    registry_negative_ttl_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How long an id that the registry does not know is not asked for again.",
    )
    registry_retry_seconds: float = Field(
        default=5.0, gt=0, le=3_600, description="How long a registry that did not answer is left alone."
    )

    @model_validator(mode="before")
    @classmethod
    def _credentials_leave_the_url(cls, given: Any) -> Any:
        """Moves user:password from the URL to ``schema_registry_basic_auth``: a URL is shown, credentials are not."""
        if not isinstance(given, Mapping) or not isinstance(given.get("schema_registry_url"), str):
            return given
        bare, found = [], set()
        for url in _split(given["schema_registry_url"]):
            parts = _parsed(url)
            userinfo, _, _ = parts.netloc.rpartition("@")
            if userinfo:
                found.add(unquote(userinfo))
            bare.append(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
        if not found:
            return given
        if len(found) > 1 or given.get("schema_registry_basic_auth") is not None:
            raise ValueError("schema_registry_url and schema_registry_basic_auth name more than one user and password")
        return {**given, "schema_registry_url": ",".join(bare), "schema_registry_basic_auth": SecretStr(found.pop())}

    @field_validator("schema_registry_url")
    @classmethod
    def _urls_are_whole(cls, text: str | None) -> str | None:
        if text is None or not text.strip():
            return None
        for url in _split(text):
            parts = _parsed(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(_NO_URL)
        return text

    @field_validator("schema_registry_basic_auth")
    @classmethod
    def _user_and_password(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and ":" not in secret.get_secret_value():
            raise ValueError("must be user:password")
        return secret

    @field_validator("schema_registry_token_url")
    @classmethod
    def _token_url_is_whole(cls, text: str | None) -> str | None:
        if text is not None and (urlsplit(text).scheme not in ("http", "https") or "@" in urlsplit(text).netloc):
            raise ValueError("must be http(s)://host, without user and password in it")
        return text

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> RegistrySettings:
        ways = {
            "schema_registry_basic_auth": self.schema_registry_basic_auth,
            "schema_registry_bearer_token": self.schema_registry_bearer_token,
            "schema_registry_token_url": self.schema_registry_token_url,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        client = (self.schema_registry_client_id, self.schema_registry_client_secret)
        if any((self.schema_registry_token_url is None) is not (part is None) for part in client):
            raise ValueError(
                "schema_registry_token_url, schema_registry_client_id and schema_registry_client_secret go together"
            )
        key = self.schema_registry_key_location or self.schema_registry_key_pem
        if key is not None and not (self.schema_registry_certificate_location or self.schema_registry_certificate_pem):
            raise ValueError(
                "a schema_registry_key needs schema_registry_certificate_location or schema_registry_certificate_pem"
            )
        for name in ("ca", "certificate", "key"):
            both = f"schema_registry_{name}_location", f"schema_registry_{name}_pem"
            if all(getattr(self, part) is not None for part in both):
                raise ValueError(f"{' and '.join(both)} exclude each other")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """The registry's addresses without a slash at the end, none of which holds credentials."""
        return tuple(url.rstrip("/") for url in _split(self.schema_registry_url or ""))


def _secret_of(name: str, path: Any) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
    except TypeError:
        raise ValueError(f"{name} must be the path of a file") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ValueError(f"{name}: {path} cannot be read: {why}") from None
    if not content:
        raise ValueError(f"{name}: {path} is empty")
    return content


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at for its ValueError
    except ValueError:
        raise ValueError(_NO_URL) from None
    return parts


def _addresses(text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in _split(text):
        match = _LISTENER.fullmatch(part)
        port = int(match["port"] or DEFAULT_KAFKA_PORT) if match else 0
        if match is None or not 1 <= port <= 65_535:
            raise ValueError("must be host:port, several separated by commas")
        found.append((match["host"].strip("[]"), port))
    if not found:
        raise ValueError("must name at least one host:port")
    return tuple(found)


def _kafka_value(value: Any) -> Any:
    """YAML says ``true`` and ``5`` where librdkafka wants text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value

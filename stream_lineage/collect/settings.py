"""What the collector watches, how much it holds, and when it writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from stream_lineage.collect.watch import mirror
from stream_lineage.state_dir import default_state_dir

MEBIBYTE = 1024 * 1024
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,200}")


class CollectSettings(BaseModel):
    """One collector. Several with the same ``group_id`` share the partitions of the watched topics."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    group_id: str = Field(
        default="stream-lineage",
        min_length=1,
        max_length=249,
        description="Consumer group of the collectors. What it has committed is what has been observed.",
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="How the group agrees on who reads what. classic: the collectors do, on every version of Kafka. "
        "consumer (KIP-848, brokers of 4.0 and later): the brokers do, and only those concerned notice; better for "
        "thousands of partitions. A group may be changed from one to the other while it runs.",
    )
    instance_id: str | None = Field(
        default=None,
        description="Name of this collector, unique in its group and the same after a restart (static membership). "
        "Without one, a name that is kept in the state directory.",
        examples=["collector-0"],
    )
    include: tuple[str, ...] = Field(
        default=(".*",),
        description="Regular expressions of topics to watch. One must match the whole name, or its beginning when it "
        "starts with ^ and does not end in $.",
        examples=[["clicks", "orders-.*"]],
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Regular expressions of topics to leave out; wins over include.", examples=[[".*-dlq"]]
    )
    include_internal: bool = Field(
        default=False,
        description="Also watch internal topics: those that start with '_' or end in '-changelog', '-repartition' or "
        "the tap_suffix. Our own are never watched.",
    )
    tap: tuple[str, ...] = Field(
        default=(),
        description="Regular expressions, as for include, of watched topics whose records are republished to "
        "<topic><tap_suffix> with their provenance as a header, exactly once.",
        examples=[["orders"]],
    )
    tap_suffix: str = Field(
        default=".traced",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="What the names of traced topics end in. They are not watched unless include_internal is set.",
        examples=[".copy"],
    )
    start_from: Literal["beginning", "end"] = Field(
        default="beginning", description="Where a partition starts that the group has no committed offset for."
    )
    until_end: bool = Field(default=False, description="Observe up to the end offsets at the start, then exit.")
    topic_refresh_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3_600,
        description="How often to look for new, changed and deleted topics: at least 1 ms for each partition apart.",
    )

    flush_interval_seconds: float = Field(
        default=1.0, gt=0, le=60, description="How often observations are written. Larger: fewer, and alerts later."
    )
    flush_max_records: int = Field(
        default=500_000, ge=1, le=100_000_000, description="Records after which a flush comes early."
    )
    flush_max_bytes: int = Field(
        default=16 * MEBIBYTE,
        ge=1,
        le=2**31 - 1,
        description="Bytes of keys and values after which a flush comes early.",
    )
    flush_max_spans: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Offset spans after which a flush comes early: mixed schemas make many.",
    )
    edges_max_bytes: int = Field(
        default=8 * MEBIBYTE,
        ge=0,
        le=256 * MEBIBYTE,
        description="Bytes of record edges (which records a record was made from, by its headers) after which a flush "
        "comes early. 0: no edges are recorded.",
    )
    mirrored: tuple[str, ...] = Field(
        default=(),
        description="Topics whose records were copied from another cluster with their headers under the same name "
        "(mirrors that rename nothing, restored backups): regular expressions, as for include, or cluster=expression. "
        "Parents that such records name without a cluster are of that one, or of one that nobody knows.",
        examples=[["payments-eu=orders-.*", "restored"]],
    )
    observation_max_bytes: int = Field(
        default=65_536, ge=4_096, le=900_000, description="Size that the observation of a quiet topic stays below."
    )
    dead_letter_limit: int = Field(
        default=1_000,
        ge=0,
        le=100_000,
        description="Dead letters per flush; more are counted but not listed one by one.",
    )

    worker_memory_mb: int = Field(
        default=192, ge=64, le=65_536, description="Memory of the process that decodes records, in MiB. More kills it."
    )
    worker_deadline_seconds: float = Field(
        default=20.0, gt=0, le=120, description="How long the worker may take for one batch before it is killed."
    )
    max_fields: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Field paths profiled per schema; more are counted as truncated.",
    )
    reveal_fields: tuple[str, ...] = Field(
        default=(),
        description="Field paths whose categorical values may be stored and shown. Those of all others are stored as "
        "keyed hashes.",
        examples=[["event_type", "items[].category"]],
    )
    producer_headers: tuple[str, ...] = Field(
        default=("lineage-producer", "ce_source"),
        description="Record headers that name who wrote a record; the first one that is there counts. Alerts on mixed "
        "versions name the producers. An empty list: none is looked at.",
        examples=[["ce_source"]],
    )
    hash_key: SecretStr | None = Field(
        default=None,
        description="Key of the hashes that stand for values, and of checkpoints. Give all processes the same one. "
        "Without one it is derived from the cluster's id: values are then hidden from a casual look only.",
    )

    memory_limit_mb: int = Field(
        default=1_024,
        ge=0,
        le=1_048_576,
        description="Memory that the collector may hold beside its decoding process, in MiB. With more it starts again "
        "and looks for the partition that is to blame. Must be below what a container gives it; 0 is no limit.",
    )
    prefetch_kilobytes: int = Field(
        default=16_384, ge=64, le=2_097_151, description="What the Kafka client may fetch ahead, in KiB."
    )
    unreadable_retry_seconds: float = Field(
        default=60.0,
        ge=1,
        le=86_400,
        description="Longest pause before a partition that cannot be read is tried again. The first is a second, each "
        "twice as long as the one before.",
    )
    session_timeout_seconds: float = Field(
        default=10.0,
        ge=1,
        le=1_800,
        description="How long a collector may be silent before others take its partitions: longer where there are more "
        "than 3,000 partitions (3 ms for each). Under group_protocol consumer the brokers' "
        "group.consumer.session.timeout.ms decides.",
    )
    transaction_timeout_seconds: float = Field(
        default=10.0, ge=1, le=900, description="How long one of our transactions may stay open. It holds readers back."
    )
    shutdown_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long SIGTERM may take to write what has been read."
    )
    state_dir: Path = Field(
        default_factory=default_state_dir,
        description="Directory for what survives a restart on this machine: instance name, hash key, metric store.",
        json_schema_extra={"shown_default": "the platform's state directory, such as ~/.local/state/stream-lineage"},
    )

    @field_validator("mirrored")
    @classmethod
    def _mirrors_compile(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        cls._patterns_compile(tuple(pattern for _, pattern in map(mirror, entries)))
        return entries

    @field_validator("include", "exclude", "tap")
    @classmethod
    def _patterns_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return patterns

    @field_validator("include")
    @classmethod
    def _something_to_watch(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not patterns:
            raise ValueError("must hold at least one pattern; '.*' watches every topic")
        return patterns

    @field_validator("instance_id")
    @classmethod
    def _instance_is_legal(cls, name: str | None) -> str | None:
        if name is not None and not _INSTANCE.fullmatch(name):
            raise ValueError("must be made of letters, digits, '.', '_' and '-', at most 200 of them")
        return name

    @field_validator("hash_key")
    @classmethod
    def _key_is_hard_to_guess(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 16:
            raise ValueError("must be at least 16 characters long")
        return key

    @model_validator(mode="after")
    def _bounds_fit_together(self) -> CollectSettings:
        if self.flush_max_bytes > self.worker_memory_mb * MEBIBYTE // 2:
            raise ValueError(
                "flush_max_bytes must be at most half of worker_memory_mb: the worker holds the whole flush"
            )
        return self

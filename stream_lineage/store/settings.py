"""Where metrics, alerts and indexes are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from stream_lineage.state_dir import default_state_dir


class StoreSettings(BaseModel):
    """The metric store: InfluxDB 2 where its address is given, else one SQLite file. See docs/stores.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store: Literal["auto", "sqlite", "influx"] = Field(
        default="auto", description="Kind of metric store; auto is InfluxDB where influx_url is set, else SQLite."
    )
    retention_days: float = Field(
        default=30.0,
        ge=0.1,
        le=36_500,
        description="How long points are kept as they were written. InfluxDB takes it over when `stream-lineage store "
        "setup` is run.",
    )
    five_minute_days: float = Field(
        default=180.0, ge=1, le=36_500, description="How long windows of five minutes are kept, as retention_days."
    )
    hour_days: float = Field(
        default=1095.0, ge=1, le=36_500, description="How long windows of an hour are kept, as retention_days."
    )
    max_series: int = Field(
        default=100_000,
        ge=100,
        description="Series that one process writes at most; what exceeds it is added up as __other__, with an alert.",
    )
    sqlite_path: Path = Field(
        default_factory=lambda: default_state_dir() / "metrics.sqlite",
        description="File of the embedded store. It can be deleted: what it holds is rebuilt from Kafka.",
        json_schema_extra={"shown_default": "metrics.sqlite in state_dir"},
    )
    influx_url: str | None = Field(
        default=None,
        description="Address of InfluxDB 2. Metrics are written there instead of into a file.",
        examples=["http://influxdb:8086"],
    )
    influx_org: str = Field(default="stream-lineage", min_length=1, description="Organisation in InfluxDB.")
    influx_bucket: str = Field(
        default="stream_lineage", min_length=1, pattern=r"^[^_]", description="Bucket in InfluxDB for points."
    )
    influx_token: SecretStr | None = Field(default=None, description="Token that may read and write the bucket.")
    influx_admin_token: SecretStr | None = Field(
        default=None,
        description="Token that may make buckets, tasks and tokens; only `stream-lineage store setup` uses it.",
    )
    influx_ca_location: Path | None = Field(
        default=None, description="PEM file of the authorities that may sign InfluxDB's certificate."
    )
    influx_timeout_seconds: float = Field(
        default=10.0, gt=0, le=300, description="How long one call to InfluxDB may take."
    )

    outbox_path: Path = Field(
        default_factory=lambda: default_state_dir() / "outbox",
        description="Directory for points that have not arrived in InfluxDB yet.",
        json_schema_extra={"shown_default": "outbox in state_dir"},
    )
    outbox_max_mb: int = Field(
        default=1024,
        ge=1,
        description="Points that wait for InfluxDB take up so many MiB at most, in each process. Beyond it the oldest "
        "are dropped, and counted.",
    )
    outbox_max_hours: float = Field(
        default=72.0, gt=0, description="Points that have waited for so long are dropped, and counted."
    )

    @field_validator("influx_url")
    @classmethod
    def _url_is_whole(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise ValueError("must be http(s)://host:port, with a path if need be; the token is a setting of its own")
        return url.rstrip("/")

    @property
    def kind(self) -> Literal["sqlite", "influx"]:
        """What is used."""
        if self.store == "auto":
            return "sqlite" if self.influx_url is None else "influx"
        return self.store

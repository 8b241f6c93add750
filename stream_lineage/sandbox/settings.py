"""What can be said about a sandbox."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stream_lineage.sandbox.security import Listener

MOST_BROKERS = 5
HEAP, SHARED_HEAP = "400m", "256m"
KAFKA_VERSION = "4.1.0"
APICURIO_VERSION = "3.3.3"


class SandboxSettings(BaseModel):
    """One broker or several, and a schema registry beside them.

    A port of None means a free one; ``kafka_port`` is that of the first broker. Without ``data_dir`` the data lives in
    a temporary directory, removed at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: bool = True
    brokers: int = Field(default=1, ge=1, le=MOST_BROKERS, description="each is a controller too")
    kafka_port: int | None = Field(default=None, ge=1, le=65_535)
    registry_port: int | None = Field(default=None, ge=1, le=65_535)
    data_dir: Path | None = None
    security: tuple[Listener, ...] = Field(default=(), description="listeners with passwords, tokens or certificates")
    heap: str | None = Field(default=None, pattern=r"^\d+[kKmMgG]?$", description="each broker's -Xmx")
    jvm_options: tuple[str, ...] = Field(default=(), description="more options for the broker's Java machine")
    broker_config: dict[str, str] = Field(default={}, description="server.properties, over the sandbox's own")
    registry_heap: str = Field(default="256m", pattern=r"^\d+[kKmMgG]?$", description="the registry's -Xmx")
    registry_config: dict[str, str] = Field(default={}, description="Apicurio's system properties")
    start_timeout_seconds: float = Field(default=120.0, gt=0, description="for all servers to answer")
    stop_timeout_seconds: float = Field(default=30.0, gt=0, description="for each server, before it is killed")
    kafka_version: str = KAFKA_VERSION
    apicurio_version: str = APICURIO_VERSION

    @property
    def broker_heap(self) -> str:
        """``heap``, or what does for a broker alone or for one of several."""
        return self.heap or (HEAP if self.brokers == 1 else SHARED_HEAP)

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, directory: Path | None) -> Path | None:
        return None if directory is None else directory.expanduser().absolute()

    @model_validator(mode="after")
    def _one_broker_is_convinced(self) -> SandboxSettings:
        if self.security and self.brokers > 1:
            raise ValueError("listeners with security are there for a single broker only")
        return self

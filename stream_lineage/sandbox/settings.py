"""What can be said about a sandbox."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_lineage.sandbox.security import Listener

KAFKA_VERSION = "4.1.0"
APICURIO_VERSION = "3.3.3"


class SandboxSettings(BaseModel):
    """One broker, and a schema registry beside it.

    A port of None means a free one. Without ``data_dir`` the data lives in a temporary directory, removed at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: bool = True
    kafka_port: int | None = Field(default=None, ge=1, le=65_535)
    registry_port: int | None = Field(default=None, ge=1, le=65_535)
    data_dir: Path | None = None
    security: tuple[Listener, ...] = Field(default=(), description="listeners with passwords, tokens or certificates")
    heap: str = Field(default="400m", pattern=r"^\d+[kKmMgG]?$", description="the broker's -Xmx")
    jvm_options: tuple[str, ...] = Field(default=(), description="more options for the broker's Java machine")
    broker_config: dict[str, str] = Field(default={}, description="server.properties, over the sandbox's own")
    registry_heap: str = Field(default="256m", pattern=r"^\d+[kKmMgG]?$", description="the registry's -Xmx")
    registry_config: dict[str, str] = Field(default={}, description="Apicurio's system properties")
    start_timeout_seconds: float = Field(default=120.0, gt=0, description="for both servers to answer")
    stop_timeout_seconds: float = Field(default=30.0, gt=0, description="for each server, before it is killed")
    kafka_version: str = KAFKA_VERSION
    apicurio_version: str = APICURIO_VERSION

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, directory: Path | None) -> Path | None:
        return None if directory is None else directory.expanduser().absolute()

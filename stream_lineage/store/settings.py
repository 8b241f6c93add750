"""Where metrics, alerts and indexes are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stream_lineage.state_dir import default_state_dir


class StoreSettings(BaseModel):
    """The metric store."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store: Literal["sqlite"] = Field(default="sqlite", description="Kind of metric store.")
    sqlite_path: Path = Field(
        default_factory=lambda: default_state_dir() / "metrics.sqlite",
        description="File of the embedded store. It can be deleted: what it holds is rebuilt from Kafka.",
        json_schema_extra={"shown_default": "metrics.sqlite in state_dir"},
    )

"""Where the provenance index is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from stream_lineage.state_dir import default_state_dir


class IndexSettings(BaseModel):
    """The provenance index, by which records are traced. See docs/trace.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    index_path: Path = Field(
        default_factory=lambda: default_state_dir() / "index.sqlite",
        description="File of the provenance index. It can be deleted: `stream-lineage index rebuild` makes it again.",
        json_schema_extra={"shown_default": "index.sqlite in state_dir"},
    )

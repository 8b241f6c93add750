"""Where the provenance index is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stream_lineage.state_dir import default_state_dir


class IndexSettings(BaseModel):
    """The provenance index, by which records are traced. See docs/trace.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    index_path: Path = Field(
        default_factory=lambda: default_state_dir() / "index.sqlite",
        description="File of the provenance index. It can be deleted: `stream-lineage index rebuild` makes it again.",
        json_schema_extra={"shown_default": "index.sqlite in state_dir"},
    )
    key_fields: tuple[str, ...] = Field(
        default=(),
        description="Fields by which people ask for records, as TOPIC:FIELD. Collectors write keyed hashes of their "
        "values, by which `stream-lineage trace FIELD=VALUE` finds a record in the index. FIELD is @key for the "
        "record's key. Give collectors and readers the same. Needs hash_key: see docs/trace.md.",
        examples=["predictions:prediction_id"],
    )

    @field_validator("key_fields")
    @classmethod
    def _have_both_parts(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for each in fields:
            topic, _, path = each.partition(":")
            if not topic or not path:
                raise ValueError(f"{each!r} is not TOPIC:FIELD")
        return fields

    def topics_with(self, path: str) -> list[str]:
        """The topics that have a key field of this path."""
        return [topic for topic, _, own in (each.partition(":") for each in self.key_fields) if own == path]

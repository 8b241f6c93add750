"""If this failed, a checkpoint that somebody edited would be believed, or one of ours would not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from stream_lineage.errors import NotFound, ProvenanceError
from stream_lineage.provenance.checkpoint import read_checkpoint, write_checkpoint
from stream_lineage.provenance.spans import TopicEpoch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADS = {
    (TopicEpoch("b", "id"), 1): b"\x01" * 32,
    (TopicEpoch("b", "id"), 0): b"\x02" * 32,
    (TopicEpoch("a", None), 7): b"\x03" * 32,
}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    assert write_checkpoint(path, HEADS, b"secret", NOON) == 3
    assert read_checkpoint(path, b"secret") == HEADS
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.json"]


def test_another_secret_or_an_edit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.json"
    write_checkpoint(path, HEADS, b"secret", NOON)
    with pytest.raises(ProvenanceError, match="signature"):
        read_checkpoint(path, b"other")
    path.write_bytes(path.read_bytes().replace(b"0101", b"0102", 1))
    with pytest.raises(ProvenanceError, match="signature"):
        read_checkpoint(path, b"secret")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"null", orjson.dumps({"version": 1, "written_at": "", "heads": [], "signature": "ü"})],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(ProvenanceError, match="is no checkpoint"):
        read_checkpoint(path, b"secret")
    with pytest.raises(ProvenanceError, match="is no checkpoint"):
        read_checkpoint(tmp_path, b"secret")
    with pytest.raises(NotFound):
        read_checkpoint(tmp_path / "other", b"secret")

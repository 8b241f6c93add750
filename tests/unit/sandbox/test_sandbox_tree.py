"""If this fails, a failed start leaves no log, or an ended sandbox leaves its data, or deletes somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_lineage.sandbox.tree import remove_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for path in ("kafka/data/topic-0/0.log", "kafka/server.log", "registry/scratch/some.so"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")
    return root


def test_all_of_it(tree: Path) -> None:
    remove_tree(tree)
    assert not tree.exists()
    remove_tree(tree)


def test_what_is_kept(tree: Path) -> None:
    remove_tree(tree, keep=["server.log", "service.log"])
    assert [path for path in tree.rglob("*") if path.is_file()] == [tree / "kafka" / "server.log"]


def test_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (tree / "link").symlink_to(outside)
    remove_tree(tree)
    assert (outside / "file").exists()
    assert not tree.exists()

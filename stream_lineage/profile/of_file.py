"""The profile of a CSV or Parquet file, made like that of records, batch by batch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.model.baseline import FileSource
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.wire.columns import Decoded
from stream_lineage.wire.csv_file import csv_batches, csv_layout
from stream_lineage.wire.parquet_file import parquet_batches

Progress = Callable[[int, int], None]
_PART_BATCHES = 8
"""So many batches make a part with its own categories, as a flush has: the parts are merged."""
_UNBOUNDED = 1 << 40
_HASHED_BYTES = 1 << 20
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(slots=True)
class FileProfile:
    """``left_out`` counts rows that could not be read, by why; ``unnamed`` columns were left out."""

    source: FileSource
    profile: Profile
    left_out: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0


def profile_of_file(
    path: Path,
    options: ProfileOptions,
    *,
    nulls: frozenset[str] = frozenset({""}),
    delimiter: str | None = None,
    progress: Progress | None = None,
) -> FileProfile:
    """Read a file. ``nulls`` (texts that stand for null) and ``delimiter`` are for CSV.

    Raises:
        NotFound: the file is not there or cannot be read.
        DecodeError: it is not of its format, holds nothing, or was changed while it was read.
        SettingsError: what reads Parquet is not installed.
    """
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise DecodeError(f"{path.name} is of no format that is read", hint="Name it .csv, .tsv or .parquet.")
    sha256, size = _digest(path)
    unnamed = 0
    if format_ == "csv":
        layout = csv_layout(path, nulls, delimiter)
        unnamed = layout.unnamed
        batches = csv_batches(path, layout, nulls, progress)
    else:
        batches = parquet_batches(path, progress)
    left_out: Counter[str] = Counter()
    profile = _profile(batches, options, left_out)
    if profile is None or not profile.decoded:
        raise DecodeError(f"{path.name} holds no rows")
    if _digest(path)[0] != sha256:
        raise DecodeError(f"{path.name} was changed while it was read", hint="Try again.")
    return FileProfile(FileSource(path.name, sha256, format_, size), profile, left_out, unnamed)


def _profile(batches: Iterator[Decoded], options: ProfileOptions, left_out: Counter[str]) -> Profile | None:
    whole: Profile | None = None
    builder, held = ProfileBuilder(options), 0
    for batch in batches:
        left_out.update(record.kind for record in batch.bad)
        builder.add(batch)
        held += 1
        if held == _PART_BATCHES:
            whole = _with(whole, builder)
            builder, held = ProfileBuilder(options), 0
    return _with(whole, builder) if held else whole


def _with(whole: Profile | None, builder: ProfileBuilder) -> Profile:
    part = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, _UNBOUNDED)
    return part if whole is None else merge_profiles(whole, part)


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_HASHED_BYTES):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest(), size

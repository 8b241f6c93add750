"""Options that say which records a baseline is made of or compared with, and how samples are shown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_lineage.cli.reading import reading
from stream_lineage.collect.range_bounds import Bound, parse_bound
from stream_lineage.model.baseline import FileSource, Sample
from stream_lineage.provenance.baselines import is_legal_name
from stream_lineage.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class BoundType(click.ParamType):
    """An offset, offsets by partition, or a time."""

    name = "bound"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bound:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return parse_bound(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NameType(click.ParamType):
    """A baseline's name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_legal_name(value):
            self.fail(
                "a name is made of letters, digits, '.', '_' and '-', at most 100 of them, and starts with a letter "
                "or a digit",
                param,
                ctx,
            )
        return str(value)


@dataclass(frozen=True, slots=True)
class Source:
    """What the options say."""

    topic: str | None
    begin: Bound | None
    end: Bound | None
    file: Path | None
    nulls: tuple[str, ...]
    delimiter: str | None

    def check(self) -> None:
        """Raises UsageError where options do not go together."""
        if self.file is not None and (self.begin is not None or self.end is not None):
            raise click.UsageError("--from and --to are for topics: a file is read as a whole.")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise click.UsageError("--delimiter is one character.")


def source_options(command: Command) -> Command:
    """Adds the options of a source; the command gets ``source``."""
    path = click.Path(path_type=Path, exists=True, dir_okay=False)

    @functools.wraps(command)
    def called(*args: Any, **given: Any) -> Any:
        source = Source(
            given.pop("source_topic"), given.pop("source_from"), given.pop("source_to"), given.pop("source_file"),
            given.pop("source_null"), given.pop("source_delimiter"),
        )  # fmt: skip
        source.check()
        return command(*args, source=source, **given)

    decorated: Any = called
    bound = BoundType()
    for option in reversed(
        (
            click.option("--topic", "source_topic", metavar="TOPIC", help="The topic that is read, or a file is for."),
            click.option(
                "--from", "source_from", type=bound, metavar="OFFSETS|TIME",
                help="First record: an offset of all partitions (150), offsets by partition (0:100-200,1:50-), a time "
                "(2026-03-01T12:00Z, UTC unless it says so) or '2h ago'.",
            ),
            click.option(
                "--to", "source_to", type=bound, metavar="OFFSETS|TIME",
                help="Last record: offsets are inclusive, of a time it is the last one before it.",
            ),
            click.option("--file", "source_file", type=path, metavar="FILE", help="A CSV or Parquet file instead."),
            click.option(
                "--null", "source_null", multiple=True, default=("",), metavar="TEXT",
                help="Text that stands for null in a CSV file. Repeatable.  [default: nothing between delimiters]",
            ),
            click.option(
                "--delimiter", "source_delimiter", metavar="CHARACTER",
                help="Between the columns of a CSV file.  [default: , ; tab or |, by the first row]",
            ),
        )
    ):  # fmt: skip
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def sampled(settings: Settings, source: Source, topic: str | None) -> Sample:
    """Read the source. ``topic`` is that of the file, or the one that is read."""
    from stream_lineage import baselining

    if source.file is None:
        assert topic is not None  # noqa: S101  (callers have asked)
        with reading(f"reading {topic}") as progress:
            return baselining.sample_of_topic(settings, topic, source.begin, source.end, progress)
    nulls = frozenset(source.nulls)
    with reading(f"reading {source.file.name}") as progress:
        found = baselining.sample_of_file(
            settings, source.file, topic, nulls=nulls, delimiter=source.delimiter, progress=progress
        )
    if found.unnamed:
        click.echo(f"note: {found.unnamed} columns have no name and are left out", err=True)
    return found.sample


def shown_source(sample: Sample) -> str:
    """``clicks 0:100-200,1:50-90`` or ``train.csv (sha256 0123456789ab)``."""
    source = sample.source
    if isinstance(source, FileSource):
        return f"{source.name} (sha256 {source.sha256[:12]})"
    ranges = ",".join(f"{each.partition}:{each.first_offset}-{each.last_offset}" for each in source.ranges)
    return f"{source.topic} {ranges}"


def shown_left_out(sample: Sample) -> str | None:
    return ", ".join(f"{count} {why}" for why, count in sample.left_out.items()) or None

"""``stream-lineage backtest``."""

from __future__ import annotations

import csv
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, TABLE, print_details, print_json, print_table
from stream_lineage.cli.series_file import Row, series_file
from stream_lineage.cli.timestamps import TimestampReader
from stream_lineage.detect.series.audit import Alarm, Audit, Incident, alarms, audited
from stream_lineage.detect.series.detector import DEFAULT_SENSITIVITY, SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.live_series import LiveSeries
from stream_lineage.errors import NotFound
from stream_lineage.settings import Settings
from stream_lineage.store.ports import Bucket

STDOUT = "-"
CANDIDATES = (0.005, 0.05, 0.5, 5.0, 50.0)
_AT_ONCE = 4096
_SHOWN = 20


@dataclass(slots=True)
class Run:
    """What the detector said of one series."""

    name: str
    window_seconds: float
    alarms: list[Alarm] = field(default_factory=list)
    alert_rows: int = 0
    highest: float = 0.0
    highest_at: str = ""
    first: float | None = None
    last: float | None = None
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    weights: array[float] = field(default_factory=lambda: array("d"))


@click.command()
@click.argument("file", required=False, type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--time", "time_column", default="timestamp", show_default=True, help="Column of the timestamps.")
@click.option("--value", "value_column", default="value", show_default=True, help="Column of the values.")
@click.option("--weight", "weight_column", help="Column of how many samples a value was made of.")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in SeriesKind]),
    default=SeriesKind.LEVEL.value,
    show_default=True,
    help="What the values are: events in a window, a share from 0 to 1, or anything else.",
)
@click.option(
    "--sensitivity",
    type=click.FloatRange(1e-6, 1e3),
    default=DEFAULT_SENSITIVITY,
    show_default=True,
    help="False alarms to expect of a series in a month.",
)
@click.option(
    "--window",
    type=click.FloatRange(min=1e-3),
    metavar="SECONDS",
    help="How far the values are apart.  [default: what the timestamps show; from the store: 60]",
)
@click.option("--measurement", help="Take series from the store: this measurement's.")
@click.option("--field", "field_name", default="value", show_default=True, help="Field of the measurement.")
@click.option("--tag", multiple=True, metavar="NAME=VALUE", help="Only series with this tag. Repeatable.")
@click.option("--from", "start", metavar="TIME", help="Start in the store.  [default: 30 days before the end]")
@click.option("--to", "end", metavar="TIME", help="End in the store.  [default: now]")
@click.option(
    "--incidents",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="CSV file of past incidents (start,end,name): shows what each sensitivity would have found.",
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg", help="Draw the audit.")
@click.option(
    "--output",
    default=TABLE,
    show_default=True,
    metavar="table|json|-|FILE",
    help="A summary as a table or JSON; or the scores as CSV to stdout (-) or into a file.",
)
@settings_options("store", defer=True)
def backtest(
    load: Callable[[], Settings],
    file: str | None,
    time_column: str,
    value_column: str,
    weight_column: str | None,
    kind: str,
    sensitivity: float,
    window: float | None,
    measurement: str | None,
    field_name: str,
    tag: tuple[str, ...],
    start: str | None,
    end: str | None,
    incidents: Path | None,
    plot: Path | None,
    output: str,
) -> int:
    """Run the metric detector over recorded series: a CSV FILE (- for stdin), or series of the store.

    It is the detector that agents run, with the same defaults, one value at a time and without looking ahead. Scores
    are written as timestamp,value,score,alert, a row for each row: score, from 0 to 1, is for ranking; alert is 1 while
    an alert would be open. Cells that cannot be read are counted and told, and their rows are written, too.

    \b
    stream-lineage backtest cpu.csv --time timestamp --value value --output scores.csv
    stream-lineage backtest cpu.csv --incidents incidents.csv --plot audit.svg
    stream-lineage backtest --measurement topic --field records --tag topic=clicks --incidents incidents.csv
    """
    from stream_lineage.cli.incident_file import incident_file

    if (file is None) == (measurement is None):
        raise click.UsageError("give a FILE, or a --measurement of the store")
    if plot is not None and incidents is None:
        raise click.UsageError("--plot draws an audit: it needs --incidents")
    if file is not None and output not in (TABLE, JSON, STDOUT) and _same_file(file, output):
        raise click.UsageError("--output would overwrite FILE")
    known = None if incidents is None else incident_file(incidents)
    settings = _Detectors(SeriesKind(kind), keep=known is not None)
    counts: dict[str, int]
    with _scores(output, series=measurement is not None) as write:
        if file is not None:
            with series_file(file, time_column, value_column, weight_column, window) as source:
                runs = [settings.run(file, source.rows, source.window_seconds, sensitivity, write)]
                counts = source.counts
        else:
            found = _stored(load(), measurement or "", field_name, tag, start, end, window or 60.0)
            runs = [settings.run(name, rows, window or 60.0, sensitivity, write) for name, rows in found]
            counts = {"rows": sum(len(rows) for _, rows in found)}
    audits = [] if known is None else [(each, settings.audit(runs, each, known)) for each in _candidates(sensitivity)]
    if plot is not None:
        from stream_lineage.cli.audit_plot import audit_svg

        plot.write_text(audit_svg(audits, ", ".join(run.name for run in runs[:3])), encoding="utf-8")
    _report(runs, counts, audits, sensitivity, output)
    return 0


@dataclass(frozen=True, slots=True)
class _Detectors:
    kind: SeriesKind
    keep: bool

    def live(self, window_seconds: float, sensitivity: float) -> LiveSeries:
        detector = SeriesDetector(self.kind, sensitivity=sensitivity, window_seconds=window_seconds)
        return detector.resume(detector.initial())

    def run(
        self,
        name: str,
        rows: Iterable[Row],
        window_seconds: float,
        sensitivity: float,
        write: Callable[[str, list[tuple[Any, ...]]], None],
    ) -> Run:
        run = Run(name, window_seconds)
        observe = self.live(window_seconds, sensitivity).observe
        alert, opened, latest = False, 0.0, 0.0
        batch: list[tuple[Any, ...]] = []
        for row in rows:
            at, score = row.at, 0.0
            if at is not None:
                verdict = observe(at, row.value, row.weight)
                score = verdict.score
                if verdict.alert:
                    if not alert:
                        opened = at
                    latest = at
                elif alert:
                    run.alarms.append(Alarm(opened, max(opened, latest)))
                alert = verdict.alert
                if run.first is None:
                    run.first = at
                run.last = at
                if score > run.highest:
                    run.highest, run.highest_at = score, row.time_text
                if self.keep and row.value is not None:
                    run.times.append(at)
                    run.values.append(row.value)
                    run.weights.append(row.weight)
            run.alert_rows += alert
            batch.append((row.time_text, row.value_text, f"{score:.6f}", "1" if alert else "0"))
            if len(batch) >= _AT_ONCE:
                write(name, batch)
                batch = []
        if alert:
            run.alarms.append(Alarm(opened, max(opened, latest)))
        write(name, batch)
        return run

    def audit(self, runs: Iterable[Run], sensitivity: float, incidents: list[Incident]) -> Audit:
        total = Audit(0, 0, 0, 0, (), 0.0)
        for run in runs:
            if not run.times:
                continue
            rows = zip(run.times, run.values, run.weights, strict=True)
            found = alarms(self.live(run.window_seconds, sensitivity), rows)
            total += audited(found, incidents, min(run.times), max(run.times))
        return total


@contextmanager
def _scores(output: str, *, series: bool) -> Iterator[Callable[[str, list[tuple[Any, ...]]], None]]:
    """Where scores go. Those of the store have their series' name in a first column."""
    if output in (TABLE, JSON):
        yield lambda _name, _rows: None
        return
    if output == STDOUT:
        yield _writer(sys.stdout, series=series)
        sys.stdout.flush()
        return
    try:
        stream = Path(output).open("w", encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as error:
        raise NotFound(f"{output} cannot be written: {error.strerror}") from error
    with stream:
        yield _writer(stream, series=series)


def _writer(stream: TextIO, *, series: bool) -> Callable[[str, list[tuple[Any, ...]]], None]:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*(["series"] if series else []), "timestamp", "value", "score", "alert"])

    def write(name: str, rows: list[tuple[Any, ...]]) -> None:
        writer.writerows([(name, *row) for row in rows] if series else rows)

    return write


def _stored(
    settings: Settings,
    measurement: str,
    field_name: str,
    tags: tuple[str, ...],
    start: str | None,
    end: str | None,
    window: float,
) -> list[tuple[str, list[Row]]]:
    """The series of the store that were asked for, by name."""
    from stream_lineage.store.open import open_store

    wanted = {}
    for each in tags:
        name, mark, value = each.partition("=")
        if not mark:
            raise click.UsageError(f"--tag {each!r} is not NAME=VALUE")
        wanted[name] = value
    until = datetime.now(UTC) if end is None else _moment(end)
    since = until - timedelta(days=30) if start is None else _moment(start)
    store = open_store(settings.store)
    try:
        buckets = store.aggregate(measurement, field_name, since, until, window_seconds=window, tags=wanted)
    finally:
        store.close()
    found: dict[str, list[Row]] = {}
    for bucket in buckets:
        found.setdefault(_series_name(measurement, bucket), []).append(_row(bucket))
    if not found:
        raise NotFound(
            f"the store has no {field_name} of {measurement} from {since.isoformat()} to {until.isoformat()}",
            hint="--from, --to and --tag choose; --field is the field's name.",
        )
    return sorted(found.items())


def _series_name(measurement: str, bucket: Bucket) -> str:
    return ",".join([measurement, *(f"{name}={value}" for name, value in sorted(bucket.tags.items()))])


def _row(bucket: Bucket) -> Row:
    return Row(bucket.time.timestamp(), bucket.value, 1.0, bucket.time.isoformat(), repr(bucket.value))


def _moment(text: str) -> datetime:
    at = TimestampReader().read(text)
    if at is None or at != at:  # noqa: PLR0124
        raise click.UsageError(f"not a time: {text!r}")
    return datetime.fromtimestamp(at, UTC)


def _candidates(sensitivity: float) -> list[float]:
    return sorted({*CANDIDATES, sensitivity})


def _same_file(one: str, other: str) -> bool:
    return one != STDOUT and Path(one).resolve() == Path(other).resolve()


def _report(
    runs: list[Run], counts: dict[str, int], audits: list[tuple[float, Audit]], sensitivity: float, output: str
) -> None:
    alarms = [(run, alarm) for run in runs for alarm in run.alarms]
    if output == JSON:
        print_json(
            {
                **counts,
                "sensitivity": sensitivity,
                "series": [
                    {
                        "name": run.name,
                        "window_seconds": run.window_seconds,
                        "alert_rows": run.alert_rows,
                        "highest_score": round(run.highest, 6),
                        "highest_score_at": run.highest_at or None,
                        "alerts": [{"start": _time(alarm.start), "end": _time(alarm.end)} for alarm in run.alarms],
                    }
                    for run in runs
                ],
                "audit": [{"sensitivity": each, **_audit_document(audit)} for each, audit in audits],
            }
        )
        return
    if output != TABLE:  # stdout may be the scores': what is to be told goes to stderr
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
        click.echo(f"{told or 'no rows'}, {len(alarms)} alerts", err=True)
        if output == STDOUT:
            return
    else:
        highest = max(runs, key=lambda run: run.highest, default=None)
        details: dict[str, Any] = {name.replace("_", " "): count for name, count in counts.items()}
        details["series"] = len(runs)
        details["window"] = ", ".join(dict.fromkeys(f"{run.window_seconds:g} s" for run in runs))
        details["alerts"] = len(alarms)
        if highest is not None and highest.highest_at:
            details["highest score"] = f"{highest.highest:.3f} at {highest.highest_at}"
        print_details(details)
        if alarms:
            shown = [(run.name, _time(alarm.start), _time(alarm.end)) for run, alarm in alarms[:_SHOWN]]
            title = "Alerts" if len(alarms) <= _SHOWN else f"The first {_SHOWN} of {len(alarms)} alerts"
            print_table(["series", "from", "to"], shown, title=title)
    if audits:
        _print_audit(audits)


def _print_audit(audits: list[tuple[float, Audit]]) -> None:
    columns = ["sensitivity", "alerts", "right", "precision", "found", "recall", "median delay", "false per month"]
    rows = [
        (
            f"{sensitivity:g}",
            audit.alarms,
            audit.right,
            _share(audit.precision),
            f"{audit.found} of {audit.incidents}",
            _share(audit.recall),
            "" if audit.median_delay_seconds is None else f"{audit.median_delay_seconds:g} s",
            "" if audit.false_per_month is None else f"{audit.false_per_month:.2f}",
        )
        for sensitivity, audit in audits
    ]
    print_table(columns, rows, title="Held against the incidents", right=columns)


def _audit_document(audit: Audit) -> dict[str, object]:
    return {
        "alerts": audit.alarms,
        "right": audit.right,
        "precision": audit.precision,
        "incidents": audit.incidents,
        "found": audit.found,
        "recall": audit.recall,
        "median_delay_seconds": audit.median_delay_seconds,
        "false_per_month": audit.false_per_month,
    }


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f}%"


def _time(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"

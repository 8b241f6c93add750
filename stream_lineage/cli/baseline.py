"""``stream-lineage baseline``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from stream_lineage.cli.baseline_source import (
    NameType,
    Source,
    sampled,
    shown_left_out,
    shown_source,
    source_options,
)
from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_details, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.collect.range_bounds import At
from stream_lineage.detect.training import compare as compare_samples
from stream_lineage.detect.training_finding import TrainingComparison, TrainingFinding, shown_share
from stream_lineage.errors import StreamLineageError
from stream_lineage.model.baseline import Baseline, Sample
from stream_lineage.model.profile import FieldProfile
from stream_lineage.profile.reading import (
    distinct_estimate,
    item_counts,
    missing_ratio,
    null_ratio,
    quantiles,
    variance,
)
from stream_lineage.provenance.baselines import baseline_document, sample_document, unknown_baseline
from stream_lineage.settings import Settings

DRIFTED = 3
"""The exit code where ``--fail-on`` finds what it names."""
_DECODING = (
    "max_fields",
    "reveal_fields",
    "hash_key",
    "worker_memory_mb",
    "worker_deadline_seconds",
    "prefetch_kilobytes",
    "flush_max_records",
    "flush_max_bytes",
    "group_id",
)
"""The collector's settings that decide how records are read, decoded and profiled."""
_QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
_STYLES = {"critical": "red", "warning": "yellow"}
_MOST_CATEGORIES = 50
_LATEST = timedelta(hours=1)


@click.group()
def baseline() -> None:
    """Training baselines: what a model was trained on, compared with what it is given now."""


@baseline.command()
@click.argument("name", type=NameType())
@source_options
@click.option(
    "--ignore", multiple=True, metavar="PATH",
    help="Field paths that are not compared, such as ids and times; * stands for anything. Repeatable.",
)  # fmt: skip
@click.option("--replace", "replaces", is_flag=True, help="Take the place of a baseline of this name.")
@settings_options("kafka", "registry", single=_DECODING)
@output_option
def create(settings: Settings, name: str, source: Source, ignore: tuple[str, ...], replaces: bool, output: str) -> None:
    """Make the baseline NAME from records of a topic, or from a CSV or Parquet file.

    The records are read from Kafka itself, decoded as the collector decodes them, in no group and without commits.
    Values are hidden as in all profiles (hash_key, reveal_fields). Columns of files are named as field paths.

    \b
    stream-lineage baseline create churn-7 --topic clicks --from 0:100-200,1:50-
    stream-lineage baseline create churn-8 --topic clicks --from 2026-03-01 --to 2026-03-08 --ignore 'ids.*'
    stream-lineage baseline create churn-9 --file train.csv --topic clicks
    """
    from stream_lineage import baselining

    if source.file is None and source.topic is None:
        raise click.UsageError("Say what the baseline is made of: --topic TOPIC, or --file FILE.")
    _may_use(settings, source)
    if not replaces and name in baselining.kept_baselines(settings, name):
        raise StreamLineageError(f"there is a baseline {name} already", hint="Say --replace, or choose another name.")
    sample = sampled(settings, source, source.topic)
    made = Baseline(name, source.topic, datetime.now(UTC), sample, ignore)
    baselining.keep_baseline(settings, made)
    if output == JSON:
        print_json(baseline_document(made))
        return
    print_details(_details(made), title=f"baseline {name}")


@baseline.command(name="list")
@settings_options(single=TO_READ_OURS)
@output_option
def list_(settings: Settings, output: str) -> None:
    """List the baselines."""
    from stream_lineage import baselining

    _may_use(settings)
    with reading("reading the baselines") as progress:
        found = baselining.kept_baselines(settings, progress=progress)
    if output == JSON:
        print_json([baseline_document(each) for each in found.values()])
    elif not found:
        click.echo("there are no baselines: make one with `stream-lineage baseline create`")
    else:
        print_table(
            ["name", "topic", "created", "records", "fields", "source"],
            [
                [each.name, each.topic, _time(each), each.sample.records, len(each.sample.profile.fields),
                 shown_source(each.sample)]
                for each in found.values()
            ],
            right=["records", "fields"],
        )  # fmt: skip


@baseline.command()
@click.argument("name", type=NameType())
@settings_options(single=TO_READ_OURS)
@output_option
def show(settings: Settings, name: str, output: str) -> None:
    """Show the baseline NAME: what it was made of, and each field."""
    _may_use(settings)
    found = _named(settings, name)
    rows = [_field_document(field) for field in found.sample.profile.fields]
    if output == JSON:
        print_json({**baseline_document(found), "fields": rows})
        return
    print_details(_details(found), title=f"baseline {name}")
    print_table(
        ["field", "types", "null", "missing", "range", "p05, p50, p95", "distinct", "categories"],
        [_field_row(row) for row in rows],
        right=["null", "missing", "distinct"],
    )


@baseline.command()
@click.argument("name", type=NameType())
@settings_options(single=TO_READ_OURS)
@output_option
def delete(settings: Settings, name: str, output: str) -> None:
    """Delete the baseline NAME."""
    from stream_lineage import baselining

    _may_use(settings)
    _named(settings, name)
    baselining.delete_baseline(settings, name)
    if output == JSON:
        print_json({"deleted": name})
    else:
        click.echo(f"deleted baseline {name}")


@baseline.command()
@click.argument("name", type=NameType())
@source_options
@click.option("--ignore", multiple=True, metavar="PATH", help="Further field paths that are not compared. Repeatable.")
@click.option(
    "--fail-on", type=click.Choice(["drift", "any"]),
    help="Exit with 3 where something has drifted from training; any: also where something is merely new.",
)  # fmt: skip
@settings_options("kafka", "registry", single=_DECODING)
@output_option
def compare(
    settings: Settings, name: str, source: Source, ignore: tuple[str, ...], fail_on: str | None, output: str
) -> int:
    """Compare records with the baseline NAME: those of its topic from the last hour, or those that are named.

    \b
    stream-lineage baseline compare churn-7
    stream-lineage baseline compare churn-7 --topic clicks-eu --from '1d ago' --fail-on drift
    stream-lineage baseline compare churn-9 --file tomorrow.csv --output json
    """
    _may_use(settings, source)
    known = _named(settings, name)
    topic = source.topic or known.topic
    if source.file is None and topic is None:
        raise click.UsageError(f"The baseline {name} is of no topic: say --topic TOPIC or --file FILE.")
    if source.file is None and source.begin is None and source.end is None:
        source = replace(source, begin=At(datetime.now(UTC) - _LATEST))
    given = sampled(settings, source, topic)
    found = compare_samples(known.sample, given, (*known.ignored, *ignore))
    if output == JSON:
        print_json(_comparison_document(known, given, found))
    else:
        _print_comparison(known, given, found)
    failed = found.has_drifted if fail_on == "drift" else fail_on == "any" and bool(found.findings)
    return DRIFTED if failed else 0


def _may_use(settings: Settings, source: Source | None = None) -> None:
    from stream_lineage.doctor.preflight import preflight

    named = (source.topic,) if source is not None and source.topic is not None and source.file is None else ()
    preflight(settings, "baseline", named=named)


def _named(settings: Settings, name: str) -> Baseline:
    from stream_lineage import baselining

    found = baselining.kept_baselines(settings, name)
    if name not in found:
        raise unknown_baseline(name, baselining.kept_baselines(settings))
    return found[name]


def _time(found: Baseline) -> str:
    return found.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _details(found: Baseline) -> Mapping[str, Any]:
    sample = found.sample
    profile = sample.profile
    return {
        "topic": found.topic,
        "created": _time(found),
        "made of": shown_source(sample),
        "records": sample.records,
        "left out": shown_left_out(sample),
        "fields": len(profile.fields),
        "fields left out": profile.truncated_fields or None,
        "schemas": ", ".join(f"{share.reference.label()}: {share.records}" for share in sample.schemas) or None,
        "not compared": ", ".join(found.ignored) or None,
    }


def _field_document(field: FieldProfile) -> dict[str, Any]:
    numeric = field.numeric
    values = quantiles(field, list(_QUANTILES.values()))
    categories = item_counts(field)
    return {
        "path": field.path,
        "types": {count.type: count.count for count in field.types},
        "slots": field.slots,
        "null_ratio": null_ratio(field),
        "missing_ratio": missing_ratio(field),
        "numeric": None
        if numeric is None
        else {
            "count": numeric.count,
            "not_finite": numeric.not_finite,
            "min": numeric.min,
            "max": numeric.max,
            "mean": numeric.mean,
            "variance": variance(field),
            "quantiles": None if values is None else dict(zip(_QUANTILES, values, strict=True)),
        },
        "distinct": distinct_estimate(field),
        "categories": None if categories is None else dict(list(categories.items())[:_MOST_CATEGORIES]),
        "category_count": None if categories is None else len(categories),
    }


def _field_row(row: Mapping[str, Any]) -> list[Any]:
    numeric = row["numeric"]
    has_range = numeric is not None and numeric["min"] is not None
    ranks = numeric["quantiles"] if numeric is not None else None
    distinct = row["distinct"]
    return [
        row["path"],
        ", ".join(row["types"]),
        shown_share(row["null_ratio"]),
        shown_share(row["missing_ratio"]),
        f"{numeric['min']:.6g} to {numeric['max']:.6g}" if has_range else None,
        ", ".join(f"{ranks[rank]:.4g}" for rank in ("p05", "p50", "p95")) if ranks else None,
        None if distinct is None else round(distinct),
        row["category_count"],
    ]


def _comparison_document(known: Baseline, given: Sample, found: TrainingComparison) -> dict[str, Any]:
    return {
        "baseline": known.name,
        "expected": sample_document(known.sample),
        "given": sample_document(given),
        "judged": found.is_judged,
        "fields_compared": found.fields,
        "drift": found.has_drifted,
        "findings": [_finding_document(finding) for finding in found.findings],
        "notes": list(found.notes),
    }


def _finding_document(finding: TrainingFinding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "field": finding.field_path,
        "expected": finding.expected,
        "given": finding.given,
        "effect": finding.effect,
        "drift": finding.is_drift,
    }


def _print_comparison(known: Baseline, given: Sample, found: TrainingComparison) -> None:
    title = f"{shown_source(given)} ({given.records} records) against {known.name} ({known.sample.records} records)"
    if found.findings:
        print_table(
            ["severity", "what", "field", "in training", "given", "effect"],
            [
                [
                    finding.severity.value,
                    finding.kind.value,
                    finding.field_path,
                    finding.expected,
                    finding.given,
                    None if finding.effect is None else f"{finding.effect:.3g}",
                ]
                for finding in found.findings
            ],
            title=title,
            right=["effect"],
            styles=_STYLES,
        )
    elif found.is_judged:
        click.echo(f"{title}: no difference in {found.fields} fields")
    else:
        click.echo(f"{title}: not judged")
    left_out = shown_left_out(given)
    if left_out:
        click.echo(f"note: left out: {left_out}")
    for note in found.notes:
        click.echo(f"note: {note}")

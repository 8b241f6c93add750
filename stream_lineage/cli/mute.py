"""``stream-lineage mute``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = timedelta(days=366)


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        parts = re.findall(r"(\d{1,6})([smhdw])", str(value))
        if not parts or "".join(number + unit for number, unit in parts) != str(value):
            self.fail(f"{value!r} is no duration: write 30m, 2h, 1d12h", param, ctx)
        found = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
        if not timedelta(0) < found <= _LONGEST:
            self.fail("must be more than nothing and at most a year", param, ctx)
        return found


@click.command()
@click.argument("fingerprint", required=False)
@click.option("--for", "duration", type=_Duration(), metavar="DURATION", help="How long: 30m, 2h, 1d12h.")
@click.option("--reason", default="", help="Why, for those who see the list.")
@click.option("--list", "listed", is_flag=True, help="Show what is muted.")
@click.option("--lift", is_flag=True, help="Lift the mute of FINGERPRINT.")
@output_option
@settings_options("kafka", single=("agents_id",))
def mute(
    settings: Settings,
    fingerprint: str | None,
    duration: timedelta | None,
    reason: str,
    listed: bool,
    lift: bool,
    output: str,
) -> None:
    """Do not publish alerts of one FINGERPRINT for a while.

    All agents know within seconds. The problem is still followed: what of it lasts beyond the mute is told by its next
    update. Rules that hold for good are in the file `alert_rules`.

    \b
    stream-lineage mute 2f1c0a9d8b7e6f5a4c3b2a1908f7e6d5 --for 2h --reason "known, being mended"
    stream-lineage mute --list
    stream-lineage mute 2f1c0a9d8b7e6f5a4c3b2a1908f7e6d5 --lift
    """
    from stream_lineage.agents.mutes import FINGERPRINT, Mute, lifted, put_mute, read_mutes
    from stream_lineage.provenance.topics import ensure_topics
    from stream_lineage.wire.kafka import admin

    kafka, group_id = settings.kafka, settings.agents.agents_id
    now = datetime.now(UTC)
    if listed:
        if fingerprint is not None or duration is not None or lift:
            raise click.UsageError("--list stands alone")
        found = read_mutes(kafka, group_id, now)
    else:
        if fingerprint is None or FINGERPRINT.fullmatch(fingerprint) is None:
            raise click.UsageError("FINGERPRINT is needed: the 32 hexadecimal digits of an alert")
        if lift == (duration is not None):
            raise click.UsageError("say either --for DURATION or --lift")
        if duration is None:
            found = [lifted(kafka, group_id, fingerprint, now)]
        else:
            ensure_topics(admin(kafka), kafka)
            found = [Mute(fingerprint, now + duration, reason)]
            put_mute(kafka, fingerprint, found[0])
    if output == JSON:
        rows_ = [{"fingerprint": each.fingerprint, "until": each.until, "reason": each.reason} for each in found]
        print_json([{**row, "lifted": lift} for row in rows_])
    elif lift:
        click.echo(f"{found[0].fingerprint} is told again")
    else:
        rows = [(each.fingerprint, each.until.strftime("%Y-%m-%d %H:%M:%S UTC"), each.reason) for each in found]
        print_table(("fingerprint", "muted until", "reason"), rows)

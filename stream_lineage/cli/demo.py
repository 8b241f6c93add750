"""``stream-lineage demo``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

import click

_port = click.IntRange(1, 65_535)


@click.command()
@click.option(
    "--scenario",
    type=click.Choice(["schema", "nulls", "drop", "unit-change", "late"]),
    default="schema",
    show_default=True,
    help="The fault: a field of another type; values that become null; records that are lost; another unit; records "
    "that are late. The alert comes after half a minute, in the others after 50 to 90 s: what is usual must be known.",
)
@click.option(
    "--exit", "exits", is_flag=True, help="End with the root cause: status 0 only if fault and cause are as planted."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3_600),
    help="How long all goes well before the fault.  [default: 10; 25 to 60 where it must be known what is usual]",
)
@click.option("--kafka-port", type=_port, help="Kafka's port.  [default: a free one]")
@click.option("--registry-port", type=_port, help="The schema registry's port.  [default: a free one]")
@click.option(
    "--telemetry-port",
    type=click.IntRange(1, 65_533),
    help="Where the service answers /metrics, at this port and the two behind it.  [default: nowhere]",
)
@click.option("--api-port", type=_port, help="Where the API answers.  [default: a free port]")
@click.option("--influx-url", help="Address of an InfluxDB 2 that metrics go to, for Grafana.  [default: a file]")
@click.option("--influx-org", default="stream-lineage", show_default=True, help="Organisation in InfluxDB.")
@click.option("--influx-bucket", default="stream_lineage", show_default=True, help="Bucket in InfluxDB.")
@click.option(
    "--influx-token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a token that may read and write the bucket.",
)
def demo(
    scenario: str,
    exits: bool,
    seconds: float | None,
    kafka_port: int | None,
    registry_port: int | None,
    telemetry_port: int | None,
    api_port: int | None,
    influx_url: str | None,
    influx_org: str,
    influx_bucket: str,
    influx_token_file: Path | None,
) -> int:
    """Watch it find a fault in a click-stream, on a real Kafka and schema registry on this machine.

    Producers and stream jobs write customers, clicks, features and predictions. After a while a new release breaks
    something: customer.age turns from int to string, unless --scenario says otherwise. An alert says so, with the first
    bad offset of each partition, which is compared with what Kafka acknowledged to the producer; an incident says what
    broke first, which is compared with what was planted, and the way back follows. Runs until Ctrl-C and leaves nothing
    behind. The first run downloads about 200 MB.
    """
    from stream_lineage.sandbox.demo.narrator import Narrator
    from stream_lineage.sandbox.demo.roles import Influx
    from stream_lineage.sandbox.demo.scenarios import SCENARIOS
    from stream_lineage.sandbox.demo.show import Show, ShowSettings

    if (influx_url is None) != (influx_token_file is None):
        raise click.UsageError("--influx-url and --influx-token-file go together")
    influx = None
    if influx_url is not None and influx_token_file is not None:
        influx = Influx(influx_url, influx_org, influx_bucket, influx_token_file)
    narrator = Narrator()
    settings = ShowSettings(
        SCENARIOS[scenario], seconds, exits, kafka_port, registry_port, telemetry_port, influx, api_port
    )  # fmt: skip
    with _Interrupts().handled() as interrupts:
        show = Show(settings, narrator, lambda: interrupts.requested)
        found = False
        try:
            with interrupts.raised():
                show.start_sandbox()
            found = show.play()
        finally:
            show.close()
        if interrupts.requested:
            narrator.say("Ended; nothing is left behind.")
            return 130 if exits and not found else 0
    return 1 if exits and not found else 0


class _Interrupts:
    """SIGINT, SIGTERM and SIGHUP: an exception where that was asked for, else only noted, so that nothing is ended
    halfway and no clean-up is disturbed."""

    def __init__(self) -> None:
        self.requested = False
        self._raises = False

    @contextmanager
    def handled(self) -> Iterator[Self]:
        """Handle them from here to the end of the context."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise KeyboardInterrupt, once."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raises, self._raises = self._raises, False
        self.requested = True
        if raises:
            raise KeyboardInterrupt

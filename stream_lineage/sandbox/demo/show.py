"""The demo from its first to its last second."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.demo.logged_process import LoggedProcess
from stream_lineage.sandbox.demo.narrator import Narrator
from stream_lineage.sandbox.demo.picture import alert_lines, effects_line, question_lines, result_line, summary, table
from stream_lineage.sandbox.demo.pipeline import Pipeline
from stream_lineage.sandbox.demo.planted import Verdict, judge
from stream_lineage.sandbox.demo.questions import program, questions
from stream_lineage.sandbox.demo.roles import Influx, run_command
from stream_lineage.sandbox.demo.shop import NEW_EVENT
from stream_lineage.sandbox.demo.topics import create_topics
from stream_lineage.sandbox.demo.watch import Watch
from stream_lineage.sandbox.settings import SandboxSettings

_TICK_SECONDS = 0.1
_OBSERVED_SECONDS = 90.0
_ALERT_SECONDS = 60.0
_EFFECTS_SECONDS = 5.0
_NULLS_TO_SHOW = 0.1
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ShowSettings:
    """``healthy_seconds`` is how long all goes well; with ``exits``, the show ends once the fault was found or not.
    ``influx`` is where metrics go instead of into a file of the demo's own; ``telemetry_port`` is where the service
    answers for itself, with its roles at the two ports behind it."""

    healthy_seconds: float = 10.0
    exits: bool = False
    kafka_port: int | None = None
    registry_port: int | None = None
    telemetry_port: int | None = None
    influx: Influx | None = None


class Show:
    """Plays once. ``ended`` says whether its user has seen enough."""

    def __init__(self, settings: ShowSettings, narrator: Narrator, ended: Callable[[], bool]) -> None:
        self._settings = settings
        self._narrator = narrator
        self._ended = ended
        self._phase = Text()
        self._sandbox = Sandbox(
            SandboxSettings(kafka_port=settings.kafka_port, registry_port=settings.registry_port), reporter=narrator
        )

    def start_sandbox(self) -> None:
        """The one part that takes long, and may be interrupted. Raises SandboxError."""
        self._narrator.say(Text("A click-stream on a real Kafka, on this machine only. Ctrl-C ends it.", style="bold"))
        self._sandbox.start()

    def close(self) -> None:
        """End Kafka and the registry; may be called more than once."""
        self._sandbox.close()

    def play(self) -> bool:
        """Whether the planted fault was found with exactly the offsets that the producer's broker had acknowledged.

        Raises SandboxError if a part ends by itself, or nothing is observed.
        """
        with ExitStack() as stack:
            scratch = Path(tempfile.mkdtemp(prefix="stream-lineage-demo-"))
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            directory = scratch / "files"  # which a supervisor removes, and then what it is in, should this be killed
            directory.mkdir()
            stage = stack.enter_context(self._stage(directory))
            with self._narrator.table(stage.render):
                return self._acts(stage)

    @contextmanager
    def _stage(self, directory: Path) -> Iterator[_Stage]:
        kafka, registry = self._sandbox.bootstrap_servers, self._sandbox.schema_registry_url or ""
        create_topics(kafka)
        roles = LoggedProcess(
            "stream-lineage run",
            run_command(kafka, registry, directory, self._settings.influx, self._settings.telemetry_port),
            directory / "run.log",
            grace_seconds=_STOP_SECONDS,
            remove_when_orphaned=directory,
        )
        pipeline, watch = Pipeline(kafka, registry, directory), Watch(kafka)
        try:
            pipeline.start()
            watch.start()
            self._narrator.say("Started the collector, the agents and the pipeline:")
            self._narrator.tell(_parts(roles.pid, directory, self._settings.influx))
            yield _Stage(directory, roles, pipeline, watch, lambda: self._phase)
        finally:
            self._phase = Text("Ending ...", style="dim")
            roles.ask_to_stop()
            pipeline.stop()
            roles.stop(_STOP_SECONDS)
            watch.stop()

    def _acts(self, stage: _Stage) -> bool:
        narrator = self._narrator
        if not self._wait(
            stage, stage.all_observed, _OBSERVED_SECONDS, "waiting for the first observations of every topic"
        ):
            if self._ended():
                return False
            raise SandboxError(f"nothing was observed within {_OBSERVED_SECONDS:.0f} s\n{stage.roles_tail()}")
        narrator.say("Every topic is observed. All is well.")
        healthy = self._settings.healthy_seconds
        self._wait(stage, lambda: False, healthy, "healthy; the fault comes in {left}")
        if self._ended():
            return False
        stage.pipeline.release()
        released = time.monotonic()
        narrator.say(Text("The fault: two teams roll out new releases.", style="bold yellow"))
        narrator.tell(
            [
                Text('crm-sync sends customers\' ages as bands such as "35-44": customer.age was an int, is a string.'),
                Text("web-tracker sends events of a new type: scroll."),
            ]
        )
        self._wait(stage, lambda: stage.judged().exact, _ALERT_SECONDS, "the fault is in; waiting for the alert")
        verdict = stage.judged()
        if verdict.alert is None and self._ended():
            return False
        self._conclude(stage, verdict, released)
        self._wait(stage, stage.effects_seen, _EFFECTS_SECONDS, "looking at what it does downstream")
        if self._ended():
            return verdict.exact
        narrator.say("Downstream the stream goes on as if nothing had happened. Only the profiles show it:")
        narrator.tell([Text(effects_line(stage.watch.effects()))])
        if not self._settings.exits:
            self._wait(stage, lambda: False, None, f"{result_line(verdict)} Running on until Ctrl-C.")
        return verdict.exact

    def _conclude(self, stage: _Stage, verdict: Verdict, released: float) -> None:
        narrator = self._narrator
        acknowledged = stage.acknowledged()
        if verdict.alert is not None:
            first = next(a for a in stage.watch.alerts() if a.fingerprint == verdict.alert.fingerprint)
            title = f"Alert on lineage.drift-alerts, {first.arrived - released:.1f} s after the release"
            if first != verdict.alert:
                title += f", of all partitions after {verdict.alert.arrived - released:.1f} s"
            narrator.frame(title, alert_lines(verdict, verdict.alert, acknowledged), "red")
        if verdict.exact:
            narrator.say(
                Text("Found: the first bad offset of every partition is the one that was acknowledged.", "bold green")
            )
        else:
            narrator.say(Text("NOT as planted:", style="bold red"))
            narrator.tell([Text(difference) for difference in verdict.differences])
        metrics = stage.directory / "state" / "metrics.sqlite" if self._settings.influx is None else None
        index = stage.directory / "state" / "index.sqlite"
        asked = questions(program(), self._sandbox.bootstrap_servers, acknowledged, index, metrics)
        note = " (only while it runs: leave out --exit)" if self._settings.exits else ", in another terminal"
        narrator.say(f"Ask about any record{note}:")
        narrator.tell(question_lines(asked), whole=True)

    def _wait(self, stage: _Stage, until: Callable[[], bool], seconds: float | None, phase: str) -> bool:
        """Whether ``until`` came true, before the time was over or the user had enough."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._ended():
            left = "" if deadline is None else f"{max(0, deadline - time.monotonic()):.0f} s"
            self._phase = Text(phase.format(left=left), style="bold")
            stage.check()
            self._sandbox.check()
            self._narrator.pulse(stage.line)
            if until():
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(_TICK_SECONDS)
        return False


@dataclass(frozen=True, slots=True)
class _Stage:
    directory: Path
    roles: LoggedProcess
    pipeline: Pipeline
    watch: Watch
    phase: Callable[[], Text]

    def check(self) -> None:
        self.roles.check()
        self.pipeline.check()
        self.watch.check()

    def all_observed(self) -> bool:
        return all(state.observed > 0 for state in self.watch.topics())

    def effects_seen(self) -> bool:
        effects = self.watch.effects()
        return (effects.null_ages or 0.0) >= _NULLS_TO_SHOW and NEW_EVENT in effects.event_types

    def acknowledged(self) -> dict[int, int]:
        """The first record of the second schema in each partition of ``customers``: the planted fault."""
        schemas = self.pipeline.first_acknowledged()
        return schemas[1] if len(schemas) > 1 else {}

    def judged(self) -> Verdict:
        return judge(self.acknowledged(), self.watch.alerts())

    def render(self) -> RenderableType:
        return table(self.watch.topics(), self.watch.effects(), self.phase())

    def line(self) -> str:
        effects = effects_line(self.watch.effects())
        return summary(self.watch.topics()) + (f"; {effects}" if effects else "")

    def roles_tail(self) -> str:
        return "\n".join((self.directory / "run.log").read_text(encoding="utf-8").splitlines()[-15:])


def _parts(pid: int, directory: Path, influx: Influx | None) -> list[Text]:
    kept = ("logs and metrics", f"{directory}, removed at the end")
    if influx is not None:
        kept = ("logs", f"{directory}, removed at the end; metrics go to {influx.url}")
    rows = [
        ("stream-lineage run", f"collector and agents, pid {pid}"),
        ("crm-sync", "-> customers"),
        ("web-tracker", "-> clicks"),
        ("feature-builder", "customers, clicks -> features"),
        ("purchase-scorer", "features -> predictions"),
        kept,
    ]
    return [Text.assemble((f"{name:<20}", "bold"), what) for name, what in rows]

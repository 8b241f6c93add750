"""The demo from its first to its last second."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient
from rich.console import RenderableType
from rich.text import Text

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.api import Api, links
from stream_lineage.sandbox.demo.clients import admin, assigned
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.logged_process import LoggedProcess
from stream_lineage.sandbox.demo.narrator import Narrator
from stream_lineage.sandbox.demo.picture import (
    alert_lines,
    effects_line,
    incident_lines,
    link_lines,
    message_lines,
    plan_lines,
    question_lines,
    result_line,
    summary,
    table,
)
from stream_lineage.sandbox.demo.pipeline import Pipeline
from stream_lineage.sandbox.demo.planted import Verdict, cause_differences, incident_of, judge
from stream_lineage.sandbox.demo.questions import Found, program, questions
from stream_lineage.sandbox.demo.roles import COLLECTORS, Influx, run_command
from stream_lineage.sandbox.demo.scenarios import SCHEMA, Scenario
from stream_lineage.sandbox.demo.topics import TOPICS, create_topics
from stream_lineage.sandbox.demo.watch import Watch
from stream_lineage.sandbox.demo.way_back import PlanAsked
from stream_lineage.sandbox.ports import free_port
from stream_lineage.sandbox.settings import SandboxSettings

_TICK_SECONDS = 0.1
_COLLECTED_SECONDS = 30.0
_OBSERVED_SECONDS = 90.0
_ALERT_SECONDS = 60.0
_WARM_SECONDS = 120.0
_CAUSE_SECONDS = 60.0
_LOCATED_SECONDS = 30.0
_PLAN_SECONDS = 30.0
_LINKED_SECONDS = 60.0
_SHOWN_BESIDES = 6
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ShowSettings:
    """``healthy_seconds`` is how long all goes well, the scenario's own time where it is null; with ``exits``, the show
    ends once the fault and its cause were found or not. ``influx`` is where metrics go instead of into a file of the
    demo's own; ``telemetry_port`` is where the service answers for itself, with its roles at the two ports behind it.
    ``api_port`` is where the API answers, at a free port where it is null."""

    scenario: Scenario = SCHEMA
    healthy_seconds: float | None = None
    exits: bool = False
    kafka_port: int | None = None
    registry_port: int | None = None
    telemetry_port: int | None = None
    influx: Influx | None = None
    api_port: int | None = None


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
        """Whether the planted fault was found with exactly the offsets that the producer's broker had acknowledged, its
        cause was named, and the link to it answers.

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
        scenario, telemetry = self._settings.scenario, self._settings.telemetry_port
        taken = frozenset() if telemetry is None else frozenset(range(telemetry, telemetry + 3))
        api = Api(self._settings.api_port or free_port(taken=taken), directory.with_name("api"))
        roles = LoggedProcess(
            "stream-lineage run",
            run_command(kafka, registry, directory, scenario, self._settings.influx, telemetry, api.address),
            directory / "run.log",
            grace_seconds=_STOP_SECONDS,
            remove_when_orphaned=directory,
        )
        pipeline, watch = Pipeline(kafka, registry, directory, scenario), Watch(kafka)
        try:
            pipeline.start()
            watch.start()
            self._narrator.say("Started the collector, the agents and the pipeline:")
            self._narrator.tell(_parts(roles.pid, directory, self._settings.influx))
            yield _Stage(directory, scenario, roles, api, pipeline, watch, admin(kafka), lambda: self._phase)
        finally:
            self._phase = Text("Ending ...", style="dim")
            roles.ask_to_stop()
            api.ask_to_stop()
            pipeline.stop()
            roles.stop(_STOP_SECONDS)
            api.stop(_STOP_SECONDS)
            watch.stop()

    def _acts(self, stage: _Stage) -> bool:
        narrator, scenario = self._narrator, self._settings.scenario
        self._wait(stage, stage.collected, _COLLECTED_SECONDS, "waiting for the collector")
        stage.pipeline.begin()
        if not self._wait(
            stage, stage.all_observed, _OBSERVED_SECONDS, "waiting for the first observations of every topic"
        ):
            if self._ended():
                return False
            raise SandboxError(f"nothing was observed within {_OBSERVED_SECONDS:.0f} s\n{stage.roles_tail()}")
        narrator.say("Every topic is observed. All is well.")
        # Only now: until here whatever starts makes all else wait.
        kafka, registry = self._sandbox.bootstrap_servers, self._sandbox.schema_registry_url or ""
        stage.api.start(kafka, registry, stage.directory / "state")
        told = [
            f"What is usual is learned meanwhile, in windows of {scenario.window_seconds} s instead of the usual ten."
        ]
        if scenario.expected is not None:
            told.append(f"The team has declared what it expects of {scenario.topic.name}: {dict(scenario.expected)}.")
        narrator.tell([Text(line) for line in told])
        healthy = self._settings.healthy_seconds
        seconds = scenario.healthy_seconds if healthy is None else healthy
        self._wait(stage, lambda: False, seconds, "healthy; the fault comes in {left}")
        self._wait(stage, stage.warm, _WARM_SECONDS, "healthy; what is usual is being learned")
        if self._ended():
            return False
        if early := stage.watch.alerts():
            narrator.say(f"Told meanwhile, for a machine is never quite even: {len(early)}")
            narrator.tell([Text(each.summary, style="dim") for each in early[:_SHOWN_BESIDES]])
        stage.pipeline.release()
        released = stage.released = time.monotonic()
        narrator.say(Text("The fault: a new release is rolled out.", style="bold yellow"))
        narrator.tell([Text(line) for line in scenario.story])
        self._wait(stage, lambda: stage.judged().exact, _ALERT_SECONDS, "the fault is in; waiting for the alert")
        verdict = stage.judged()
        if verdict.alert is None and self._ended():
            return False
        self._conclude(stage, verdict, released)
        narrator.say("Nobody's job has failed.")
        narrator.tell([Text(scenario.effect)])
        known = verdict.alert is not None and self._root_cause(stage, released)
        if self._ended():
            return verdict.exact and known
        self._questions(stage)
        linked = self._links(stage)
        if self._ended():
            return verdict.exact and known
        if not self._settings.exits:
            self._wait(stage, lambda: False, None, f"{result_line(verdict, known)} Running on until Ctrl-C.")
        else:
            narrator.say(result_line(verdict, known))
        return verdict.exact and known and linked

    def _conclude(self, stage: _Stage, verdict: Verdict, released: float) -> None:
        narrator, scenario = self._narrator, self._settings.scenario
        if verdict.alert is not None:
            first = next(a for a in stage.alerts() if a.fingerprint == verdict.alert.fingerprint)
            channel = "drift" if scenario.name == SCHEMA.name else "anomaly"
            title = f"Alert on lineage.{channel}-alerts, {first.arrived - released:.1f} s after the release"
            if first.first_offsets != verdict.alert.first_offsets:
                title += f", of all partitions after {verdict.alert.arrived - released:.1f} s"
            narrator.frame(title, alert_lines(verdict, verdict.alert, stage.acknowledged()), "red")
        if verdict.exact and scenario.name == SCHEMA.name:
            narrator.say(
                Text("Found: the first bad offset of every partition is the one that was acknowledged.", "bold green")
            )
        elif verdict.exact:
            narrator.say(Text(f"Found: {scenario.what}.", "bold green"))
        else:
            narrator.say(Text("NOT as planted:", style="bold red"))
            narrator.tell([Text(difference) for difference in verdict.differences])
        if verdict.besides:
            narrator.say(f"Told besides, of what follows from it or by chance: {len(verdict.besides)}")
            narrator.tell([Text(each.summary, style="dim") for each in verdict.besides[:_SHOWN_BESIDES]])

    def _root_cause(self, stage: _Stage, released: float) -> bool:
        """Whether the incident names what was planted. It is shown as it is then, with the way back."""
        narrator, scenario = self._narrator, self._settings.scenario
        acknowledged = stage.acknowledged()
        with ExitStack() as stack:
            alert = stage.judged().alert
            asked = None
            if alert is not None:
                asked = PlanAsked(
                    alert.topic, alert.first_offsets, self._sandbox.bootstrap_servers, stage.index, stage.directory
                )
                stack.callback(asked.stop)
            self._wait(stage, stage.cause_is_right, _CAUSE_SECONDS, "looking for what broke first")
            if stage.cause_is_right():
                self._wait(stage, stage.located, _LOCATED_SECONDS, "the bad records are read again")
            incident = stage.incident()
            if incident is None:
                if not self._ended():
                    narrator.say(Text("NO incident was opened for it.", style="bold red"))
                return False
            differences = cause_differences(scenario, incident)
            named = min(
                (each.arrived for each in stage.watch.incidents() if each.id == incident.id and each.causes),
                default=incident.arrived,
            )
            after = named - released
            title = (
                f"Incident {incident.id[:8]} on lineage.incidents: {incident.state}, {after:.1f} s after the release"
            )
            narrator.frame(title, incident_lines(incident, acknowledged), "green" if not differences else "red")
            if differences:
                narrator.say(Text("NOT the cause that was planted:", style="bold red"))
                narrator.tell([Text(each) for each in differences])
            else:
                narrator.say(Text("Right: that is what was planted, and where.", "bold green"))
            narrator.frame("The message that people get", message_lines(incident, stage.api.address), "cyan")
            if asked is not None and self._wait(stage, lambda: asked.done, _PLAN_SECONDS, "planning the way back"):
                narrator.frame("The way back: stream-lineage replay", plan_lines(asked.plan()), "cyan")
            return not differences

    def _questions(self, stage: _Stage) -> None:
        narrator = self._narrator
        shown = self._settings.influx is None and self._settings.scenario is SCHEMA
        metrics = stage.directory / "state" / "metrics.sqlite" if shown else None
        incident = stage.incident()
        found = Found(self._settings.scenario.topic.name, stage.first_bad(), None if incident is None else incident.id)
        asked = questions(program(), self._sandbox.bootstrap_servers, found, stage.index, metrics)
        note = " (only while it runs: leave out --exit)" if self._settings.exits else ", in another terminal"
        narrator.say(f"Ask about any record{note}:")
        narrator.tell(question_lines(asked), whole=True)

    def _links(self, stage: _Stage) -> bool:
        """Whether the address that the message links to has the incident."""
        narrator, incident = self._narrator, stage.incident()
        found = links(stage.api.address, incident, self._settings.scenario.topic.name, stage.first_bad())
        linked = self._wait(stage, lambda: stage.api.answers(found[0].url), _LINKED_SECONDS, "waiting for the API")
        if not linked:
            if not self._ended():
                narrator.say(Text(f"Nothing answers at {found[0].url}", style="bold red"))
            return False
        note = " while it runs" if self._settings.exits else ""
        narrator.say(f"The API answers at {stage.api.address}{note}:")
        narrator.tell(link_lines(found), whole=True)
        return incident is not None

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


@dataclass(slots=True)
class _Stage:
    directory: Path
    scenario: Scenario
    roles: LoggedProcess
    api: Api
    pipeline: Pipeline
    watch: Watch
    client: AdminClient
    phase: Callable[[], Text]
    released: float = 0.0

    def check(self) -> None:
        self.roles.check()
        self.api.check()
        self.pipeline.check()
        self.watch.check()

    def collected(self) -> bool:
        """Whether the collector reads all there is, so that nothing waits for it when the first records come."""
        return assigned(self.client, COLLECTORS) >= sum(topic.partitions for topic in TOPICS)

    def all_observed(self) -> bool:
        return all(state.observed > 0 for state in self.watch.topics())

    def warm(self) -> bool:
        return self.watch.windows(self.scenario.window_seconds) >= self.scenario.windows

    def alerts(self) -> Sequence[Alert]:
        """What was told since the release: a machine that is busy may have had something to tell before."""
        return self.watch.alerts(self.released)

    def acknowledged(self) -> dict[int, int]:
        """The first bad record of each partition: the planted fault."""
        return self.pipeline.first_bad()

    def first_bad(self) -> Mapping[int, int]:
        """Where somebody who asks begins: at the planted fault, else where the alert says that it began."""
        alert = self.judged().alert
        return self.acknowledged() or (alert.first_offsets if alert is not None else {})

    def judged(self) -> Verdict:
        return judge(self.scenario, self.acknowledged(), self.alerts())

    def incident(self) -> Incident | None:
        return incident_of(self.scenario, self.watch.incidents(), self.alerts())

    def cause_is_right(self) -> bool:
        incident = self.incident()
        return incident is not None and not cause_differences(self.scenario, incident)

    def located(self) -> bool:
        incident = self.incident()
        return incident is not None and incident.located

    @property
    def index(self) -> Path:
        return self.directory / "state" / "index.sqlite"

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

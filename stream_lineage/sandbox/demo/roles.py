"""How the demo starts the service: as beside any cluster, with the pipeline's topics and its next deploy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stream_lineage.sandbox.child import module_command
from stream_lineage.sandbox.demo.purchase_scorer import MODEL
from stream_lineage.sandbox.demo.scenarios import Scenario
from stream_lineage.sandbox.demo.topics import PREDICTIONS, TOPICS
from stream_lineage.sandbox.ports import LOOPBACK

_DEPLOY_SECONDS = 30.0
_SETTLING_SECONDS = 45.0
"""So long nothing is told of a topic of which something is declared: what waited for the first reader comes at once."""
_GROUP_POLL_SECONDS = 5.0
"""Shorter than usual: nobody watches the demo for long."""
COLLECTORS = "stream-lineage"
"""The collector's consumer group."""
_FLUSH_SECONDS = 0.2
"""Shorter than usual as the windows are, so that there are as many observations in each."""


@dataclass(frozen=True, slots=True)
class Influx:
    """An InfluxDB of the user's, and the file with the token for it."""

    url: str
    org: str
    bucket: str
    token_file: Path

    def arguments(self) -> list[str]:
        return [
            "--influx-url", self.url, "--influx-org", self.org, "--influx-bucket", self.bucket,
            "--influx-token-file", str(self.token_file.absolute()),
        ]  # fmt: skip


def run_command(
    bootstrap_servers: str,
    registry_url: str,
    directory: Path,
    scenario: Scenario,
    influx: Influx | None,
    telemetry_port: int | None,
    public_url: str,
) -> list[str]:
    """The command, whose file of alert rules is in ``directory`` when this returns. Its messages link to
    ``public_url``."""
    rules = directory / "alert-rules.yaml"
    rules.write_text(json.dumps(alert_rules(datetime.now(UTC), scenario)), encoding="utf-8")  # JSON is YAML
    include = [text for topic in TOPICS for text in ("--include", topic.name)]
    return [
        *module_command("stream_lineage.cli.main"),
        "run",
        "--bootstrap-servers",
        bootstrap_servers,
        "--schema-registry-url",
        registry_url,
        *include,
        "--group-id",
        COLLECTORS,
        "--reveal-fields",
        "event_type",
        "--alert-rules",
        str(rules),
        "--group-poll-seconds",
        str(_GROUP_POLL_SECONDS),
        "--metric-window-seconds",
        str(scenario.window_seconds),
        "--flush-interval-seconds",
        str(_FLUSH_SECONDS),
        "--state-dir",
        str(directory / "state"),
        "--log-format",
        "console",
        "--public-url",
        public_url,
        *([] if influx is None else influx.arguments()),
        *([] if telemetry_port is None else ["--telemetry-listen", f"{LOOPBACK}:{telemetry_port}"]),
    ]


def alert_rules(now: datetime, scenario: Scenario) -> dict[str, object]:
    """The scorer has just been deployed, with the model that it scores with; and what the team has declared."""
    until = now + timedelta(seconds=_DEPLOY_SECONDS)
    deploy = {
        "topic": PREDICTIONS.name,
        "from": now.isoformat(timespec="milliseconds"),
        "to": until.isoformat(timespec="milliseconds"),
        "reason": f"purchase-scorer with model {MODEL}",
    }
    if scenario.expected is None:
        return {"deploys": [deploy]}
    settling = {**deploy, "topic": scenario.topic.name, "reason": "its writer has just been started"}
    settling["to"] = (now + timedelta(seconds=_SETTLING_SECONDS)).isoformat(timespec="milliseconds")
    return {"deploys": [deploy, settling], "expectations": {scenario.topic.name: dict(scenario.expected)}}

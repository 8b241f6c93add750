"""Which alerts are published. What is muted is found all the same: it changes states, and is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import orjson

from stream_lineage.agents.alert_rules import AlertRules
from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.mutes import Mute
from stream_lineage.logs import get_logger
from stream_lineage.model.finding import Finding

_MOST_SAID = 1000
_log = get_logger("stream_lineage.agents")


class KnownMutes(Protocol):
    def find(self, fingerprint: str, at: datetime) -> Mute | None: ...


class Muting:
    """By the rules of the file, then by the mutes of people. Judged by the time that an alert is about."""

    def __init__(self, rules: AlertRules, mutes: KnownMutes | None = None) -> None:
        self._rules = rules
        self._mutes = mutes
        self._said: set[str] = set()
        self.counts: Counter[str] = Counter()

    def told(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those of alerts about what happens once that are to be published."""
        if self._mutes is None and not self._rules.mute and not self._rules.deploys:
            return list(alerts)
        found = []
        for alert in alerts:
            if alert.channel == "incident":  # of what was not muted
                found.append(alert)
                continue
            body = orjson.loads(alert.value)
            at = datetime.fromisoformat(body["observed_at"])
            if not self._muted(body["topic"], body["field_path"], body["kind"], body["fingerprint"], at):
                found.append(alert)
        return found

    def mutes(self, finding: Finding, at: datetime) -> bool:
        """Whether a finding is not to be published. One that lasts is asked about again, until it may be."""
        return self._muted(finding.topic, finding.field_path, finding.kind, finding.fingerprint, at)

    def _muted(self, topic: str, field: str | None, kind: str, fingerprint: str, at: datetime) -> bool:
        by = self._rules.muted_by(topic, field, kind, at)
        if by is None and self._mutes is not None:
            mute = self._mutes.find(fingerprint, at)
            by = None if mute is None else f"mute {mute.reason}".strip()
        if by is None:
            self._said.discard(fingerprint)
            return False
        self.counts[by] += 1
        if fingerprint not in self._said:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said.add(fingerprint)
            _log.info("alert muted", topic=topic, kind=kind, fingerprint=fingerprint, by=by, muted=self.counts[by])
        return True

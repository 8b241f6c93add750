"""Detectors from other packages: found by entry point, contained so that they cannot harm the pipeline.

A package names its detector under the entry point group ``stream_lineage.detectors``; what the entry point loads is
called without arguments and gives the detector. One that cannot be loaded or whose name is taken is left out. One that
raises, takes too long or returns what it must not is switched off until the worker starts again. Either is logged as an
error and raises no alert; the other detectors go on. What a plugin does besides, such as never to return, is not
contained: the worker's watchdog ends it then.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

import orjson

from stream_lineage.detect.detector import Channel, Detector, SchemaTexts, State
from stream_lineage.logs import get_logger
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation

GROUP = "stream_lineage.detectors"
KIND = re.compile(r"x-[a-z0-9-]{1,60}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
MAX_STATE_BYTES = 200_000
"""Of one topic's state as JSON: each change of it is one message."""
MAX_FINDINGS = 20
"""Findings of one observation."""
MAX_FINDING_BYTES = 100_000
MAX_SECONDS = 10.0
"""Of one call. All detectors of a worker wait for each other."""
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_log = get_logger("stream_lineage.agents")


class _Refused(Exception):
    """What a plugin gave is not what a detector gives."""


def plugins(
    reserved: Collection[str], found: Iterable[EntryPoint] | None = None, *, quiet: bool = False
) -> tuple[dict[str, Detector], dict[str, str]]:
    """The plugins that are installed, by name and contained, and why others are left out, by entry point.

    ``reserved`` are names that are taken. Of two plugins of one name the one whose entry point sorts first is there.
    ``quiet`` logs nothing.
    """
    taken = set(reserved)
    usable: dict[str, Detector] = {}
    refused: dict[str, str] = {}
    every = entry_points(group=GROUP) if found is None else found
    for entry in sorted(every, key=lambda each: (each.name, each.value)):
        shown = f"{entry.name} = {entry.value}"
        try:
            detector = entry.load()()
            name = _name_of(detector)
            if name in taken:
                raise _Refused(f"there is a detector {name} already")
            initial = detector.initial()
            _state(initial)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (anything may come out of foreign code)
            refused[shown] = str(error) or type(error).__name__
            if not quiet:
                _log.error("detector plugin left out", plugin=shown, error=refused[shown])
            continue
        taken.add(name)
        usable[name] = Contained(detector, name)
    return usable, refused


class Contained:
    """A plugin as a detector that neither raises nor returns what it must not."""

    def __init__(self, plugin: Any, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._plugin = plugin
        self._clock = clock
        self.name = name
        self.channel: Channel = plugin.channel
        self.switched_off: str | None = None

    def initial(self) -> State:
        try:
            state: State = orjson.loads(_state(self._plugin.initial()))
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._switch_off(error)
            return {}
        return state

    def observe(
        self, state: State, observation: Observation, now: datetime, schemas: SchemaTexts
    ) -> tuple[State, tuple[Finding, ...]]:
        """As the plugin does; nothing at all once it is switched off."""
        if self.switched_off is not None:
            return state, ()
        try:
            before = _state(state)
            # A copy: it may change what it is given, which it must not.
            started = self._clock()
            after, findings = self._plugin.observe(orjson.loads(before), observation, now, schemas)
            if (took := self._clock() - started) > MAX_SECONDS:
                raise _Refused(f"it took {took:.0f} s")
            dumped = _state(after)
            checked = _findings(findings, observation)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            self._switch_off(error, topic=observation.topic)
            return state, ()
        return (state if dumped == before else orjson.loads(dumped)), checked

    def _switch_off(self, error: BaseException, **where: str) -> None:
        if self.switched_off is None:
            self.switched_off = str(error) or type(error).__name__
            refused = isinstance(error, _Refused)
            _log.error(
                "detector plugin switched off",
                plugin=self.name,
                error=f"{type(error).__name__}: {self.switched_off}" if not refused else self.switched_off,
                exc_info=None if refused else error,
                **where,
            )


def _name_of(detector: Any) -> str:
    name = getattr(detector, "name", None)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise _Refused("its name is not of lower case letters, digits and hyphens")
    if getattr(detector, "channel", None) not in get_args(Channel):
        raise _Refused(f"its channel is none of {', '.join(get_args(Channel))}")
    return name


def _state(state: Any) -> bytes:
    """A state as JSON."""
    if not isinstance(state, dict):
        raise _Refused(f"its state is no dictionary but {type(state).__name__}")
    try:
        dumped = orjson.dumps(state)
    except TypeError as error:
        raise _Refused(f"its state is not JSON: {error}") from None
    if len(dumped) > MAX_STATE_BYTES:
        raise _Refused(f"its state of a topic has {len(dumped)} bytes, more than {MAX_STATE_BYTES}")
    if orjson.loads(dumped) != state:
        raise _Refused("its state is not JSON: tuples, NaN, times and the like do not come back as they were")
    return dumped


def _findings(findings: Any, observation: Observation) -> tuple[Finding, ...]:
    checked = tuple(findings)
    if len(checked) > MAX_FINDINGS:
        raise _Refused(f"it found {len(checked)} things at once, more than {MAX_FINDINGS}")
    for finding in checked:
        if not isinstance(finding, Finding):
            raise _Refused(f"it returned a {type(finding).__name__} as a finding")
        if KIND.fullmatch(finding.kind) is None:
            raise _Refused(f"the kind {finding.kind!r} does not start with x-")
        if not isinstance(finding.severity, Severity) or finding.topic != observation.topic or not finding.summary:
            raise _Refused("a finding lacks a severity or a summary, or is of another topic")
        if _FINGERPRINT.fullmatch(finding.fingerprint) is None:
            raise _Refused("a fingerprint is not of 32 hexadecimal digits: use finding_fingerprint")
        for offsets in (finding.first_offsets, finding.last_offsets):
            if not all(type(part) is int and part >= 0 for pair in offsets.items() for part in pair):
                raise _Refused("offsets are not numbers by partition")
        dumped = orjson.dumps(finding, option=orjson.OPT_NON_STR_KEYS)
        if len(dumped) > MAX_FINDING_BYTES:
            raise _Refused(f"a finding has {len(dumped)} bytes, more than {MAX_FINDING_BYTES}")
    return checked

"""If this failed, somebody's detector could stop the pipeline, fill the changelog, or alert in the name of ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from stream_lineage.agents.detection import Detection, LogPosition
from stream_lineage.detect import plugins as module
from stream_lineage.detect.detector import SchemaTexts, State
from stream_lineage.detect.plugins import MAX_FINDINGS, MAX_STATE_BYTES, Contained, plugins
from stream_lineage.detect.registry import detectors
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.observation import Observation
from stream_lineage.testing.detector_suite import DetectorSuite, Schemas
from stream_lineage.testing.observations import NOON, avro_reference, observation, span

SEEN = observation(avro_reference(1), span(0, 0, 9))
FOUND = Finding("x-odd", Severity.INFO, "clicks", None, "clicks: odd", "0" * 32, {0: 5})


class Good:
    """Counts observations and finds each of them."""

    name = "counting"
    channel: Any = "anomaly"

    def initial(self) -> Any:
        return {"seen": []}

    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        if item.observation_id in state["seen"]:
            return state, ()
        return {"seen": [*state["seen"], item.observation_id]}, (replace(FOUND, topic=item.topic),)


def returning(result: Callable[[State], Any]) -> type[Good]:
    class Plugin(Good):
        def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
            return result(state)

    return Plugin


def raises(error: BaseException) -> Callable[..., Any]:
    def result(*_: Any) -> Any:
        raise error

    return result


def installed(monkeypatch: pytest.MonkeyPatch, **loaded: Any) -> list[EntryPoint]:
    """Entry points of these names; what is callable with an argument of ours is put where it can be loaded from."""
    for name, value in loaded.items():
        monkeypatch.setattr(module, f"_test_{name}", value, raising=False)
    return [EntryPoint(name, f"{module.__name__}:_test_{name}", module.GROUP) for name in loaded]


def test_a_plugin_that_is_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    found, refused = plugins(detectors(), installed(monkeypatch, good=Good))
    [detector] = found.values()

    state, findings = detector.observe(detector.initial(), SEEN, NOON, Schemas())

    assert (list(found), refused, detector.channel) == (["counting"], {}, "anomaly")
    assert (state, findings) == ({"seen": [SEEN.observation_id]}, (FOUND,))
    after, findings = detector.observe(state, SEEN, NOON, Schemas())
    assert after is state
    assert findings == ()


def named(name: Any, channel: Any = "drift") -> type[Good]:
    return type("Named", (Good,), {"name": name, "channel": channel})


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (named("schema-drift"), "there is a detector schema-drift already"),
        (named("with/slash"), "its name is not of lower case letters"),
        (named(None), "its name is not of lower case letters"),
        (named("x" * 100), "its name is not of lower case letters"),
        (named("other", "mail"), "its channel is none of drift, anomaly"),
        (raises(RuntimeError("no licence")), "no licence"),
        (raises(SystemExit(3)), "3"),
        (7, "'int' object is not callable"),
        (lambda: None, "its name is not"),
        (type("Odd", (Good,), {"name": "odd", "initial": lambda self: []}), "its state is no dictionary"),
        (type("Odd", (Good,), {"name": "odd", "initial": raises(KeyError("x"))}), "'x'"),
    ],
)
def test_what_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: Any, why: str
) -> None:
    found, refused = plugins(detectors(), installed(monkeypatch, other=Good, what=what))

    assert list(found) == ["counting"]
    assert [why in said for said in refused.values()] == [True], refused
    assert [(line.message, line.levelname) for line in caplog.records] == [("detector plugin left out", "ERROR")]


def test_of_two_of_one_name_the_first_entry_point_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = returning(lambda state: (state, ())), Good
    entries = installed(monkeypatch, a=first, b=second)

    found, refused = plugins((), entries[::-1])

    assert isinstance(found["counting"], Contained)
    assert found["counting"].observe({"seen": []}, SEEN, NOON, Schemas())[1] == ()
    assert list(refused.values()) == ["there is a detector counting already"]


def test_a_module_that_is_not_there() -> None:
    found, refused = plugins((), [EntryPoint("gone", "no_such_module:Detector", module.GROUP)])

    assert found == {}
    assert "no_such_module" in next(iter(refused.values()))


BIG = {"seen": ["x" * MAX_STATE_BYTES]}
LOOP: dict[str, Any] = {}
LOOP["loop"] = LOOP

BAD: list[tuple[str, Callable[[State], Any]]] = [
    ("boom", raises(ValueError("boom"))),
    ("SystemExit", raises(SystemExit())),
    ("recursion", raises(RecursionError("recursion"))),
    ("cannot unpack", lambda state: None),
    ("no dictionary", lambda state: ([1], ())),
    ("not JSON", lambda state: ({"at": NOON}, ())),
    ("not JSON", lambda state: ({"a": math.nan}, ())),
    ("not JSON", lambda state: ({"a": (1, 2)}, ())),
    ("not JSON", lambda state: ({1: 2}, ())),
    ("not JSON", lambda state: ({"a": {1, 2}}, ())),
    ("not JSON", lambda state: ({"a": 1 << 70}, ())),
    ("not JSON", lambda state: (LOOP, ())),
    ("bytes, more than", lambda state: (BIG, ())),
    ("things at once", lambda state: (state, [FOUND] * (MAX_FINDINGS + 1))),
    ("a str as a finding", lambda state: (state, ["found"])),
    ("does not start with x-", lambda state: (state, [replace(FOUND, kind="data-loss")])),
    ("another topic", lambda state: (state, [replace(FOUND, topic="orders")])),
    ("a severity", lambda state: (state, [replace(FOUND, severity="critical")])),
    ("hexadecimal", lambda state: (state, [replace(FOUND, fingerprint="odd")])),
    ("offsets", lambda state: (state, [replace(FOUND, first_offsets={0: -1})])),
    ("offsets", lambda state: (state, [replace(FOUND, first_offsets={"0": 1})])),
    ("bytes, more than", lambda state: (state, [replace(FOUND, summary="x" * 200_000)])),
    ("surrogates", lambda state: (state, [replace(FOUND, summary="\ud800")])),
]


@pytest.mark.parametrize("row", BAD, ids=[f"{n}-{row[0]}" for n, row in enumerate(BAD)])
def test_what_switches_a_plugin_off(caplog: pytest.LogCaptureFixture, row: tuple[str, Callable[[State], Any]]) -> None:
    why, result = row
    detector = Contained(returning(result)(), "counting")
    state: State = {"seen": []}
    results = [detector.observe(state, SEEN, NOON, Schemas()) for _ in range(3)]

    assert results == [(state, ())] * 3
    assert results[0][0] is state
    [line] = caplog.records
    said = vars(line)
    assert (line.message, line.levelname, said["plugin"]) == ("detector plugin switched off", "ERROR", "counting")
    assert why in said["error"], said
    if why in ("boom", "no dictionary"):
        assert bool(line.exc_info and line.exc_info[0]) == (why == "boom"), "where it was, if the plugin raised"


def test_what_is_asked_quietly_is_not_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    found, refused = plugins((), installed(monkeypatch, good=Good, bad=raises(RuntimeError("no licence"))), quiet=True)

    assert (list(found), list(refused.values())) == (["counting"], ["no licence"])
    assert caplog.records == []


def test_one_that_has_no_state_to_begin_with_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """It had one when it was loaded: each topic that is new asks again."""
    late = type("Late", (Good,), {"initial": raises(ValueError("the file is gone"))})
    detector = Contained(late(), "counting")

    assert [detector.initial() for _ in range(2)] == [{}, {}]
    assert detector.observe({}, SEEN, NOON, Schemas()) == ({}, ())
    [line] = caplog.records
    assert (line.message, vars(line)["error"]) == ("detector plugin switched off", "ValueError: the file is gone")


def test_one_that_takes_too_long_is_switched_off() -> None:
    times = iter([0.0, 0.5, 100.0, 111.0])
    detector = Contained(Good(), "counting", clock=lambda: next(times))
    state, findings = detector.observe({"seen": []}, SEEN, NOON, Schemas())
    assert findings == (FOUND,)

    later = observation(avro_reference(1), span(0, 10, 19))
    assert detector.observe(state, later, NOON, Schemas()) == (state, ())
    assert detector.switched_off == "it took 11 s"


def test_one_that_changes_what_it_was_given_changes_a_copy() -> None:
    def change(state: State) -> Any:
        state["seen"].append("x")
        return state, ()

    detector = Contained(returning(change)(), "counting")
    state: State = {"seen": []}

    assert detector.observe(state, SEEN, NOON, Schemas()) == ({"seen": ["x"]}, ())
    assert state == {"seen": []}


def test_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = type("Broken", (returning(raises(ZeroDivisionError())),), {"name": "broken"})
    found, _ = plugins(detectors(), installed(monkeypatch, broken=broken, good=Good))
    detection = Detection([*detectors().values(), *found.values()], Schemas(), "http://ui")
    rows: dict[bytes, bytes] = {}
    kinds = []
    for offset, reference in enumerate((avro_reference(1), avro_reference(2))):
        item = observation(reference, span(0, offset * 10, offset * 10 + 9))
        outcome = detection.observe(item, LogPosition(0, offset), rows)
        rows.update((row.key, row.value) for row in outcome.changed)
        kinds += [(alert.channel, b"x-odd" in alert.value) for alert in outcome.alerts]

    assert kinds == [("anomaly", True), ("drift", False), ("anomaly", True)]
    assert {key.partition(b"/")[0] for key in rows} == {b"schema-drift", b"counting"}


class Forgetful(Good):
    """Keeps what it should have in its state in itself."""

    def __init__(self) -> None:
        self.count = 0

    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        self.count += 1
        return {"seen": [self.count]}, ()


class Mutating(Good):
    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        state["seen"].append(item.observation_id)
        return state, ()


class Repeating(Good):
    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        return state, (FOUND,)


class Nowhere(Good):
    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        return state, (replace(FOUND, first_offsets={}),)


class Growing(Good):
    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        known = item.observation_id in state["seen"]
        return (state if known else {"seen": [*state["seen"], item.observation_id, *["x" * 5000]]}), ()


class Copying(Good):
    def observe(self, state: State, item: Observation, now: datetime, schemas: SchemaTexts) -> Any:
        return dict(state), ()


@pytest.mark.parametrize(
    ("make", "test"),
    [
        (Forgetful, "test_two_of_them_agree"),
        (Mutating, "test_a_state_comes_back_from_json_as_it_was"),
        (Repeating, "test_an_observation_that_comes_again_changes_nothing"),
        (Nowhere, "test_findings_are_whole"),
        (Growing, "test_states_are_small"),
        (Copying, "test_no_change_is_the_same_object"),
    ],
)
def test_the_shared_suite_finds_what_is_wrong(make: type[Good], test: str) -> None:
    suite = type("Suite", (DetectorSuite,), {"make": make, "seeds": 10})()
    with pytest.raises(AssertionError):
        getattr(suite, test)()

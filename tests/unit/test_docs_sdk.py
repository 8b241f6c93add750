"""If this failed, what docs/sdk.md shows would not work."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "sdk"))

from sdk_broker import Broker

from stream_lineage.model.record_edge import ParentRange
from stream_lineage.sdk import Counts, Lineage, declare, provenance_of

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"


def test_the_examples(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "DECLARED", declare.Declared(prefix=""))
    text = PAGE.read_text(encoding="utf-8")
    broker = Broker()
    renamed = {name: broker.topic(name) for name in ("scores", "pairs", "totals")}
    renamed["orders"] = broker.topic("orders", 5)
    declarations = broker.topic("declarations")
    monkeypatch.setattr(declare, "TOPIC", declarations)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 8
    for example in examples:
        code = example.replace("localhost:9092", broker.address).replace("poll(10)", "poll(60)")
        for name, topic in renamed.items():
            code = code.replace(f'"{name}"', f'"{topic}"')
        exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102  (our own page)

    def parents(topic: str, count: int) -> list[list[tuple[str, int, int]]]:
        found = map(provenance_of, broker.read(renamed[topic], count))
        return sorted(sorted((p.topic, p.first_offset, p.last_offset) for p in each.parents) for each in found if each)

    orders, totals = renamed["orders"], renamed["totals"]
    assert parents("scores", 3) == [[(orders, number, number)] for number in range(3)]
    joined = [(orders, 3, 4)]
    three = [(orders, 3, 3), (orders, 4, 4), ("users", 17, 17)]
    assert parents("pairs", 6) == [[], three, [(orders, 3, 3), ("users", 17, 17)], joined, joined, joined]
    assert parents("totals", 2) == [[(orders, 3, 3)], [(orders, 4, 4), (totals, 0, 0)]]
    (declared,) = broker.read(declarations, 1)
    assert (declared.key(), b'"name":"public.users"' in declared.value()) == (b"enrich", True)
    assert "missing: amount" in capsys.readouterr().out
    assert names["consumer"].lineage.counts == Counts(written=10)
    names["consumer"].close()
    faust_agents(names)


def faust_agents(names: dict[str, Any]) -> None:
    """``score`` of the page with what Faust would give it."""
    import faust
    from faust.types import TP, Message

    app = faust.App("docs", store="memory://", autodiscover=False)
    sent: list[dict[str, Any]] = []

    class Stream:
        async def events(self) -> Any:
            for offset in range(3):
                message = Message("orders", 1, offset, 0.0, 0, [], b"k", b"v", None, tp=TP("orders", 1))
                yield faust.Event(app, b"k", b"v", {}, message)

    class Scores:
        def get_topic_name(self) -> str:
            return "scores"

        async def send(self, **options: Any) -> None:
            sent.append(options)

    lineage = Lineage()
    asyncio.run(names["score"](Stream(), Scores(), lineage))
    from stream_lineage.wire.lineage_headers import decode_parents

    found = [decode_parents(dict(each["headers"])["lineage-parents"]) for each in sent]
    assert [each.parents for each in found] == [(ParentRange("orders", 1, number, number),) for number in range(3)]
    assert [(each["key"], each["value"]) for each in sent] == [(b"k", b"v")] * 3

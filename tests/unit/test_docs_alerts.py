"""If this failed, docs/alerts.md or docs/detectors.md would lack a kind, or promise what the code does not do."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from stream_lineage.agents.registry_poll import SUBJECTS_PER_ROUND
from stream_lineage.detect import payload_state, payload_suspects, payload_watch, plugins, schema_sightings
from stream_lineage.model.schema_files import schema_text
from stream_lineage.testing.detector_suite import DetectorSuite

DOCS = Path(__file__).parents[2] / "docs"
ALERTS = (DOCS / "alerts.md").read_text(encoding="utf-8")
DETECTORS = (DOCS / "detectors.md").read_text(encoding="utf-8")
SCHEMA = json.loads(schema_text("alert.schema.json"))
KINDS = set(SCHEMA["properties"]["kind"]["anyOf"][0]["enum"])


def table(text: str, heading: str) -> set[str]:
    """What stands in code in the first column below a heading."""
    part = text.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    return {
        name for cell in re.findall(r"^\| (`.+?) \|", part, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)
    }


def test_every_kind_is_told_and_none_besides() -> None:
    told = table(ALERTS, "### Kinds")

    assert {kind.removeprefix("key-") for kind in KINDS} == told


def test_the_kinds_of_structural_changes() -> None:
    tree = ast.parse(Path(payload_watch.__file__).read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    made = {text for text in texts if re.fullmatch(r"(field|type|required|nullability)-[a-z]+", text)}

    assert made == table(ALERTS, "### JSON without a schema")


def test_the_numbers_of_structural_changes() -> None:
    words = {
        "300 of them": payload_watch.WARM_UP_RECORDS == 300,
        "at least a minute": payload_watch.WARM_UP_SECONDS == 60,
        "at least ten minutes": payload_watch.PRESENCE_SECONDS == 600,
        "20 values in a row": payload_watch.SURE == 20,
        "missing 50 times": payload_suspects.ENOUGH == 50,
        "a twentieth of the values": payload_suspects.MIXED_RATIO == 0.05,
        "over three flushes": payload_suspects.MIXED_FLUSHES == 3,
        "nine tenths": payload_watch.USUAL == 0.9,
        "half of the records": payload_watch.DENSE == 0.5,
        "400 paths": payload_state.MAX_PATHS == 400,
        "ten minutes": schema_sightings.WINDOW_SECONDS == 600,
        "100 subjects": SUBJECTS_PER_ROUND == 100,
    }

    assert {word: word in ALERTS and true for word, true in words.items()} == dict.fromkeys(words, True)


def test_the_bounds_of_plugins() -> None:
    assert (plugins.MAX_STATE_BYTES, plugins.MAX_SECONDS) == (200_000, 10.0)
    assert "at most 200,000 bytes" in DETECTORS
    assert "more than ten seconds" in DETECTORS
    assert plugins.GROUP in DETECTORS


def test_every_shared_test_is_told() -> None:
    tests = {name.removeprefix("test_").replace("_", " ") for name in dir(DetectorSuite) if name.startswith("test_")}
    part = DETECTORS.split("## What every detector must hold\n", 1)[1].split("\n## ", 1)[0]
    told = {cell.lower() for cell in re.findall(r"^\| ([^|`]+?) \| [^|]+ \|$", part, re.MULTILINE)} - {"test", "---"}

    assert told == tests


def test_the_subscriber_has_ten_lines() -> None:
    [code] = re.findall(r"```python\n(import json\n.*?)```", ALERTS, re.DOTALL)

    assert len(code.splitlines()) == 10
    assert "stream_lineage" not in code

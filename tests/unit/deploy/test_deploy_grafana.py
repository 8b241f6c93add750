"""If this failed, the dashboards would not be what generates them, lead nowhere, or not be provisioned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy" / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
PROVISIONED = GRAFANA / "provisioning"
_OF_GRAFANA = re.compile(r"__\w+")
_USED = re.compile(r"\$\{?(\w+)(?:[.:][^}]*)?\}?")


def board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def variables(document: dict[str, Any]) -> set[str]:
    return {each["name"] for each in document["templating"]["list"]}


def every(node: Any, key: str) -> list[Any]:
    """All values that a key has, anywhere."""
    if isinstance(node, list):
        return [found for each in node for found in every(each, key)]
    if not isinstance(node, dict):
        return []
    return [value for name, value in node.items() if name == key] + [
        found for value in node.values() for found in every(value, key)
    ]


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROVISIONED / path).read_text(encoding="utf-8"))
    return found


def test_they_are_what_generates_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(GRAFANA / "generate.py"), "--directory", str(tmp_path)], check=True)
    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert {name: (GRAFANA / name).read_bytes() for name in made} == made, "run `make dashboards`"
    assert {f"dashboards/{path.name}" for path in BOARDS} == {name for name in made if name.startswith("dashboards/")}


def test_each_is_told_apart() -> None:
    documents = [board(path) for path in BOARDS]
    assert {document["uid"] for document in documents} == {
        f"stream-lineage-{name}" for name in ("overview", "topic", "field", "groups", "alerts", "incidents", "health")
    }
    assert len({document["title"] for document in documents}) == 7
    for document in documents:
        ids = [panel["id"] for panel in document["panels"]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_its_datasources_are_variables(path: Path) -> None:
    document = board(path)
    assert "${DS_" not in path.read_text(encoding="utf-8")
    asked = [each for each in every(document, "datasource") if isinstance(each, dict)]
    assert asked
    assert {each["uid"] for each in asked} <= {"${datasource}", "${prometheus}"}
    chosen = {each["name"]: each for each in document["templating"]["list"] if each["type"] == "datasource"}
    provisioned = {
        each["uid"]: each["type"]
        for name in ("influxdb", "prometheus")
        for each in read(f"datasources/{name}.yaml")["datasources"]
    }
    for each in chosen.values():
        assert provisioned[each["current"]["value"]] == each["query"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_it_has_the_variables_that_it_uses_and_no_value_can_change_a_question(path: Path) -> None:
    document = board(path)
    texts = [str(each) for key in ("query", "expr", "url", "displayName", "title") for each in every(document, key)]
    used = {name for text in texts for name in _USED.findall(text)}
    assert {name for name in used if not _OF_GRAFANA.match(name)} <= variables(document)
    for panel in [*document["panels"], *document.get("annotations", {}).get("list", [])]:
        for text in every(panel, "query"):
            # Other formats let a quote or a backslash end the text that they are in.
            assert re.findall(r"\$\{?\w+(?!\w*:regex\})", re.sub(r"\$\{\w+:regex\}", "", text)) == [], text


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_its_links_lead_to_dashboards_and_variables_that_there_are(path: Path) -> None:
    known = {board(each)["uid"]: variables(board(each)) for each in BOARDS}
    led = [url for url in every(board(path), "url") if str(url).startswith("/d/")]
    assert led or path.stem == "health"
    for url in led:
        parts = urlsplit(url)
        uid = parts.path.removeprefix("/d/")
        given = {name for name in parse_qs(parts.query, keep_blank_values=True) if name.startswith("var-")}
        assert {name.removeprefix("var-") for name in given} <= known[uid], url


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_its_columns_and_series_are_named_by_what_its_questions_return(path: Path) -> None:
    for panel in board(path)["panels"]:
        named = re.findall(r"\$\{__field\.labels\.(\w+)\}", json.dumps(panel.get("fieldConfig", {})))
        for target in panel.get("targets", []):
            for label in named:
                assert f'"{label}"' in target["query"], (panel["title"], label)


def test_panels_are_beside_each_other() -> None:
    for path in BOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in board(path)["panels"]:
            x, y, width, height = (panel["gridPos"].get(side, 0) for side in ("x", "y", "w", "h"))
            assert x + width <= 24, panel["title"]
            cells = {(x + right, y + down) for right in range(width) for down in range(height)}
            assert not cells & taken, panel["title"]
            taken |= cells


def test_grafana_takes_all_values_that_a_variable_may_have() -> None:
    """Unless told it takes a thousand rows, and shows an error where there are more."""
    for path in BOARDS:
        for each in board(path)["templating"]["list"]:
            if each["type"] == "query" and each["datasource"]["uid"] == "${datasource}":
                assert each["query"]["maxDataPoints"] * 10 >= 10_000


def test_every_panel_says_what_it_shows() -> None:
    for path in BOARDS:
        for panel in board(path)["panels"]:
            assert panel["description"].endswith("."), panel["title"]


def test_the_datasources_take_everything_from_the_environment() -> None:
    [influx] = read("datasources/influxdb.yaml")["datasources"]
    assert (influx["url"], influx["secureJsonData"]) == ("${INFLUXDB_URL}", {"token": "${INFLUXDB_READ_TOKEN}"})
    assert influx["jsonData"]["version"] == "Flux"
    assert influx["jsonData"]["organization"] == "${INFLUXDB_ORG}"
    assert influx["jsonData"]["defaultBucket"] == "${INFLUXDB_BUCKET}"
    [prometheus] = read("datasources/prometheus.yaml")["datasources"]
    assert prometheus["url"] == "${PROMETHEUS_URL}"


def test_the_rules_say_what_becomes_of_them_without_data_and_where_to_look() -> None:
    [group] = read("alerting/rules.yaml")["groups"]
    [provider] = read("dashboards/stream-lineage.yaml")["providers"]
    # Rules come first and get a folder of any uid: then there could be none of this title with the uid that is wanted.
    assert provider["folderUid"] == "stream-lineage"
    assert group["folder"] != provider["folder"]
    shown = {board(path)["uid"]: board(path) for path in BOARDS}
    sources = {each["uid"] for each in read("datasources/influxdb.yaml")["datasources"]} | {"__expr__"}
    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"])
    for rule in group["rules"]:
        assert rule["noDataState"] in ("OK", "Alerting", "NoData")
        assert rule["execErrState"] == "Error"
        # One without the other is an error with which Grafana does not start.
        assert rule["panelId"] in {panel["id"] for panel in shown[rule["dashboardUid"]]["panels"]}
        assert rule["condition"] in {step["refId"] for step in rule["data"]}
        assert {step["datasourceUid"] for step in rule["data"]} <= sources
        threshold = rule["data"][-1]["model"]["conditions"][0]["evaluator"]
        assert threshold["type"] in ("gt", "lt")
        assert isinstance(threshold["params"][0], int | float)
    assert [rule["title"] for rule in group["rules"] if rule["noDataState"] == "Alerting"] == ["No metrics arrive"]


def test_no_dollar_in_the_rules_could_be_of_the_environment() -> None:
    text = (PROVISIONED / "alerting" / "rules.yaml").read_text(encoding="utf-8")
    assert "$" not in text
    assert "{{ .Labels.topic }}" in text


def test_labels_in_what_a_rule_says_are_those_of_its_answer() -> None:
    [group] = read("alerting/rules.yaml")["groups"]
    for rule in group["rules"]:
        for label in re.findall(r"\.Labels\.(\w+)", json.dumps(rule["annotations"])):
            assert f'"{label}"' in rule["data"][0]["model"]["query"], (rule["title"], label)

"""Writes the dashboards and the alert rules: ``python deploy/grafana/generate.py``, or ``make dashboards``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml
from boards import rules
from boards.alerts import alerts
from boards.field import field
from boards.groups import groups
from boards.health import health
from boards.incidents import incidents
from boards.overview import overview
from boards.topic import topic
from grafana_foundation_sdk.builders.dashboard import Dashboard as DashboardBuilder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

DASHBOARDS = {
    "overview": overview, "topic": topic, "field": field, "consumer-groups": groups, "alerts": alerts,
    "incidents": incidents, "health": health,
}  # fmt: skip
MADE = "# Made by deploy/grafana/generate.py.\n"


class _Block(yaml.SafeDumper):
    """Text of several lines as it is written."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Block.add_representer(str, _text)


def files() -> dict[str, str]:
    """All files that are made, by their places under this directory."""
    boards = {name: _numbered(build()) for name, build in DASHBOARDS.items()}
    made = {
        f"dashboards/{name}.json": json.dumps(each, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
        for name, each in boards.items()
    }
    panels = {
        (str(each.uid), str(panel.title)): int(panel.id_val or 0)
        for each in boards.values()
        for panel in each.panels or ()
        if isinstance(panel, Panel)
    }
    said = yaml.dump(rules.document(panels), Dumper=_Block, sort_keys=False, width=120, allow_unicode=True)
    made["provisioning/alerting/rules.yaml"] = MADE + said
    return made


def _numbered(made: DashboardBuilder) -> Dashboard:
    """With panels that links can name."""
    found = made.build()
    for number, panel in enumerate(found.panels or (), 1):
        panel.id_val = number
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent, help="where they are put")
    directory: Path = parser.parse_args().directory
    for name, text in files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""If this failed, docs/configuration.md would describe other settings than there are."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from stream_lineage.settings import Settings, load_settings
from stream_lineage.settings.composed import KNOWN
from stream_lineage.settings.reference import configuration_markdown, reference_yaml
from stream_lineage.wire.settings import RESERVED_KAFKA_SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_the_one_that_is_generated() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_markdown(), (
        "run: python -m stream_lineage.settings.reference > docs/configuration.md"
    )


def test_every_setting_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows >= set(KNOWN)
    assert all(f"| `{name}` |" in PAGE.read_text(encoding="utf-8") for name in RESERVED_KAFKA_SETTINGS)


def test_the_whole_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(reference_yaml(), encoding="utf-8")
    assert load_settings({}, {}, path) == Settings()


def test_what_is_commented_out_would_load(tmp_path: Path) -> None:
    examples = {}
    for line in reference_yaml().splitlines():
        if match := re.fullmatch(r"# ([a-z_]+): (?!\"?\.\.\.)(.+)", line):
            examples[match[1]] = yaml.safe_load(match[2])
    assert {"instance_id", "cluster", "schema_registry_url", "kafka", "reveal_fields"} <= set(examples)
    with_values = {name: value for name, value in examples.items() if not name.endswith("_file")}
    path = tmp_path / "examples.yaml"
    path.write_text(yaml.safe_dump(with_values), encoding="utf-8")
    settings = load_settings({}, {"STREAM_LINEAGE_HASH_KEY": "key_fields have no meaning without"}, path)
    assert settings.collect.instance_id == examples["instance_id"]


def test_the_page_names_no_path_of_the_machine_that_wrote_it() -> None:
    home = str(Path.home())
    assert home == "/" or home not in PAGE.read_text(encoding="utf-8")

"""If this failed, `run` would start its roles with other settings than it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.settings import load_settings
from stream_lineage.supervision.environment import settings_environment

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
PATTERN = st.sampled_from([".*", "a,b", r"c\.d{1,2}", "[a-z ]+", "(x|y) z", '"q"', "ä"])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "include": st.lists(PATTERN, min_size=1, max_size=4).map(tuple),
            "exclude": st.lists(PATTERN, max_size=4).map(tuple),
            "include_internal": st.booleans(),
            "start_from": st.sampled_from(["beginning", "end"]),
            "flush_interval_seconds": st.floats(0.1, 60),
            "max_fields": st.integers(1, 10_000),
            "group_id": st.from_regex(r"[a-z-]{1,20}", fullmatch=True),
            "hash_key": st.from_regex(r"[!-~]{16,40}", fullmatch=True),
            "kafka": st.dictionaries(
                st.sampled_from(["sasl.password", "sasl.username", "security.protocol"]), TEXT, max_size=3
            ),
            "schema_registry_url": st.sampled_from(["http://u:p%40:x@h:1/x", "https://a, https://b"]),
            "log_format": st.sampled_from(["json", "console"]),
        },
    )
)
def test_a_process_with_this_environment_has_the_same_settings(flags: dict[str, Any]) -> None:
    settings = load_settings(flags, {})
    assert load_settings({}, settings_environment(settings, {})) == settings


def test_wherever_they_came_from(tmp_path: Path) -> None:
    config, secret = tmp_path / "config.yaml", tmp_path / "secret"
    secret.write_text("0123456789abcdef\n", encoding="utf-8")
    config.write_text(f"state_dir: {tmp_path}\nkafka: {{sasl.password: from-yaml}}\nexclude: [x]\n", encoding="utf-8")
    environ = {
        "PATH": "/bin",
        "STREAM_LINEAGE_CONFIG": str(config),
        "STREAM_LINEAGE_CACHE_DIR": "/cache",
        "STREAM_LINEAGE_HASH_KEY_FILE": str(secret),
        "STREAM_LINEAGE_KAFKA_SASL_USERNAME": "user",
        "STREAM_LINEAGE_GROUP_ID": "from-environment",
    }
    settings = load_settings({"group_id": "from-flag"}, environ)
    handed = settings_environment(settings, environ)
    config.unlink()
    secret.unlink()
    assert load_settings({}, handed) == settings
    assert handed["STREAM_LINEAGE_GROUP_ID"] == "from-flag"
    assert (handed["PATH"], handed["STREAM_LINEAGE_CACHE_DIR"]) == ("/bin", "/cache")
    assert "STREAM_LINEAGE_HASH_KEY_FILE" not in handed

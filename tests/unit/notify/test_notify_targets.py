"""If this failed, a file of targets with a mistake would be taken, or one that is right be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_lineage.errors import SettingsError
from stream_lineage.notify.matching import About, Match
from stream_lineage.notify.settings import NotifySettings
from stream_lineage.notify.targets import Notifications, read_notifications

HOOK: dict[str, Any] = {"name": "a", "kind": "webhook", "url": "https://a.example/"}


def written(directory: Path, document: Any) -> Path:
    path = directory / "notifications.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


def test_without_a_file_nobody_is_told() -> None:
    assert read_notifications(None).targets == ()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"targets": [{"name": "a", "kind": "mail"}]}, "mail"),
        ({"targets": [HOOK, HOOK]}, "two targets called a"),
        ({"targets": [HOOK], "routes": [{"targets": ["b"]}]}, "no target called b"),
        ({"targets": [HOOK], "otherwise": ["b"]}, "no target called b"),
        ({"targets": [{**HOOK, "urls": "x"}]}, "urls"),
        ({"targets": [{**HOOK, "tell": ["sometimes"]}]}, "tell"),
        ({"targets": [{**HOOK, "secret": "plain"}]}, "secret"),
        ({"targets": [{**HOOK, "secret": {"env": "A", "file": "/b"}}]}, "a secret is in"),
        ({"targets": [{**HOOK, "secret": {"env": "STREAM_LINEAGE_X"}}]}, "are settings"),
        ({"targets": [{**HOOK, "secret": {"env": "NOT_SET_ANYWHERE"}}]}, "NOT_SET_ANYWHERE is not set"),
        ({"targets": [{**HOOK, "secret": {"file": "/no/such/file"}}]}, "cannot be read"),
        ({"targets": [{**HOOK, "headers": {"Host": {"env": "A"}}}]}, "cannot be set"),
        ({"targets": [{**HOOK, "headers": {"webhook-id": {"env": "A"}}}]}, "cannot be set"),
        ({"targets": [{**HOOK, "headers": {"a b": {"env": "A"}}}]}, "no header's name"),
        ({"targets": [{"name": "a", "kind": "slack-webhook", "url": "https://hooks.slack.com/x"}]}, "url"),
        ("targets: [", "is not YAML"),
        ("[]", "notifications.yaml"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, document: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match="notifications") as raised:
        read_notifications(written(tmp_path, document))
    assert problem in raised.value.message


def test_a_secret_in_the_file_by_mistake_is_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, {"targets": [{**HOOK, "secret": "geheim-geheim"}]})
    with pytest.raises(SettingsError) as raised:
        read_notifications(path)
    assert "geheim" not in raised.value.message


def test_secrets_are_read_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_text("0123456789abcdef\n")
    monkeypatch.setenv("HOOK_URL", "https://a.example/secret")
    document = {"targets": [{**HOOK, "url": {"env": "HOOK_URL"}, "secret": {"file": str(tmp_path / "s")}}]}
    [target] = read_notifications(written(tmp_path, document)).targets
    (tmp_path / "s").write_text("another-one-0123456789")
    assert target.kind == "webhook"
    assert target.secret is not None
    assert target.secret.read("x") == "another-one-0123456789"


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"severity": "warning"}, True),
        ({"severity": "critical"}, False),
        ({"owners": ["payments"]}, True),
        ({"owners": ["PAY*"]}, True),
        ({"owners": ["growth", "payments"]}, True),
        ({"owners": ["growth"]}, False),
        ({"nodes": ["raw*"]}, True),
        ({"nodes": ["dataset:kafka://b/raw-orders"]}, True),
        ({"nodes": ["orders"]}, False),
        ({"kinds": ["schema-*"]}, False),
        ({"kinds": ["null-ratio"]}, True),
        ({"min_confidence": 0.9}, True),
        ({"min_confidence": 0.95}, False),
        ({"owners": ["payments"], "kinds": ["schema-*"]}, False),
    ],
)
def test_what_fits(match: dict[str, Any], fits: bool) -> None:
    found = About(
        "cause", "warning", ("payments",), ("dataset:kafka://b/raw-orders", "raw-orders"), ("null-ratio",), 0.9
    )
    assert Match.model_validate(match).fits(found) is fits


def test_routes_without_a_fitting_one_and_without_otherwise_tell_nobody() -> None:
    found = About("opened", "warning", (), (), (), 0.0)
    only = Notifications.model_validate({"targets": [HOOK], "routes": [{"severity": "critical", "targets": ["a"]}]})
    assert only.told(found) == frozenset()
    assert Notifications.model_validate({"targets": [HOOK]}).told(found) == {"a"}


@pytest.mark.parametrize(
    "given",
    [{"step_link": "{node}"}, {"incident_link": "https://x/{secret}"}, {"notify_private_networks": ["10.0.0.1/8"]}],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        NotifySettings.model_validate(given)

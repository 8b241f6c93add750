"""If this failed, a target that can never be told would be noticed with the first incident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_lineage.doctor.check import Status
from stream_lineage.doctor.notify import check_notifications
from stream_lineage.notify.settings import NotifySettings

HOOK = {"name": "hook", "kind": "webhook", "url": "https://hooks.example/x"}


def resolve(host: str, port: int) -> list[str]:
    if host == "away.example":
        raise OSError("nobody knows it")
    return ["10.0.0.1"] if host == "inner.example" else ["8.8.8.8"]


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        ({"targets": [HOOK]}, Status.OK, "1 targets"),
        ({"targets": []}, Status.WARN, "no targets"),
        ({"targets": [{**HOOK, "url": "https://inner.example/"}]}, Status.FAIL, "10.0.0.1, which is private"),
        ({"targets": [{**HOOK, "url": "http://hooks.example/"}]}, Status.FAIL, "https://"),
        ({"targets": [{**HOOK, "url": "https://away.example/"}]}, Status.WARN, "cannot be resolved"),
        ({"targets": [{**HOOK, "secret": {"env": "NOT_SET_ANYWHERE"}}]}, Status.FAIL, "NOT_SET_ANYWHERE"),
        ({"targets": [{**HOOK, "kind": "mail"}]}, Status.FAIL, "mail"),
        ({"targets": [HOOK, {**HOOK, "name": "b"}], "otherwise": ["b"]}, Status.WARN, "no route leads to hook"),
        ({"targets": [{"name": "s", "kind": "slack", "channel": "C", "token": {"env": "HOME"}}]}, Status.OK, "1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, file: dict[str, Any], status: Status, said: str) -> None:
    path = tmp_path / "notifications.yaml"
    path.write_text(yaml.safe_dump(file))
    found = check_notifications(NotifySettings(notifications=path), resolve)
    assert found.status is status
    assert said in found.detail

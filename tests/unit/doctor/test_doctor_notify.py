"""If this failed, a target that can never be told would be noticed with the first incident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_lineage.doctor.check import Status
from stream_lineage.doctor.notify import check_hooks, check_notifications
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


@pytest.mark.parametrize(
    ("hook", "connect", "status", "said"),
    [
        ({"connect": {"connector": "a"}}, ["http://c:8083"], Status.OK, "0 that are live, 1 that are dry runs"),
        ({"connect": {"connector": "a"}, "mode": "live"}, ["http://c:8083"], Status.OK, "1 that are live"),
        ({"connect": {"connector": "a"}}, [], Status.FAIL, "connect_url"),
        ({"command": {"arguments": ["/no/such"]}}, [], Status.FAIL, "/no/such"),
        ({"command": {"arguments": ["/etc/passwd"]}}, [], Status.FAIL, "cannot be executed"),
        ({"command": {"arguments": ["/bin/sh"]}}, [], Status.OK, "1"),
        ({"webhook": {"url": "https://inner.example/"}}, [], Status.FAIL, "private"),
        ({"webhook": {"url": "https://away.example/"}}, [], Status.WARN, "resolved"),
    ],
)
def test_hooks_that_cannot_do_what_they_say(
    tmp_path: Path, hook: dict[str, Any], connect: list[str], status: Status, said: str
) -> None:
    path = tmp_path / "hooks.yaml"
    path.write_text(yaml.safe_dump({"hooks": [{"name": "h", **hook}]}))
    found = check_hooks(NotifySettings(hooks=path), connect, resolve)
    assert found.status is status
    assert said in found.detail

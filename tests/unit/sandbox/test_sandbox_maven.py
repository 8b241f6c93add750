"""If this fails, a network whose Maven Central is a mirror has no sandbox, or a password lands where it should not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox import maven
from stream_lineage.sandbox.maven import Artifact, Repository, central_mirror

_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <servers>
    <server><id>plain</id><username>ada</username><password>${{env.MIRROR_PASSWORD}}</password></server>
    <server><id>encrypted</id><username>ada</username><password>{{COQLCE6DU6GtcS5P=}}</password></server>
  </servers>
  <mirrors>{mirrors}</mirrors>
</settings>
"""


def _mirror(mirror_of: str, url: str = "https://mirror.example/maven/", name: str = "other", more: str = "") -> str:
    return f"<mirror><id>{name}</id><mirrorOf>{mirror_of}</mirrorOf><url>{url}</url>{more}</mirror>"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STREAM_LINEAGE_MAVEN_REPOSITORY", "M2_HOME", "MAVEN_HOME", "XDG_CONFIG_HOME", "JGO_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".m2" / "settings.xml"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize(
    ("mirror_of", "stands_for_central"),
    [
        ("central", True),
        ("*", True),
        ("external:*", True),
        ("internal, central", True),
        ("*,!central", False),
        ("external:http:*", False),
        ("internal", False),
    ],
)
def test_which_mirrors_stand_for_central(settings: Path, mirror_of: str, stands_for_central: bool) -> None:
    settings.write_text(_SETTINGS.format(mirrors=_mirror(mirror_of)))
    expected = Repository("https://mirror.example/maven") if stands_for_central else None
    assert central_mirror(settings) == expected


def test_a_blocked_mirror_is_passed_over(settings: Path) -> None:
    mirrors = _mirror("*", url="http://0.0.0.0/", more="<blocked>true</blocked>") + _mirror("central")
    settings.write_text(_SETTINGS.format(mirrors=mirrors))
    assert central_mirror(settings) == Repository("https://mirror.example/maven")


def test_its_password_is_used_and_not_shown(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRROR_PASSWORD", "s3cret")
    settings.write_text(_SETTINGS.format(mirrors=_mirror("central", name="plain")))
    found = central_mirror(settings)
    assert found == Repository("https://mirror.example/maven", "ada", "s3cret")
    assert "s3cret" not in repr(found)


def test_an_encrypted_password_is_not_sent_as_it_is(settings: Path) -> None:
    settings.write_text(_SETTINGS.format(mirrors=_mirror("central", name="encrypted")))
    assert central_mirror(settings) == Repository("https://mirror.example/maven")


def test_the_order_of_precedence(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jgo")
    central = maven.repository()
    assert central.url.startswith("https://")
    settings.write_text(_SETTINGS.format(mirrors=_mirror("central")))
    assert maven.repository() == Repository("https://mirror.example/maven")
    (settings.parents[1] / ".config").mkdir()
    (settings.parents[1] / ".config" / "jgo.conf").write_text("[repositories]\ncentral = https://jgo.example/maven\n")
    assert maven.repository() == Repository("https://jgo.example/maven")
    monkeypatch.setenv("STREAM_LINEAGE_MAVEN_REPOSITORY", "https://env.example/maven/")
    assert maven.repository() == Repository("https://env.example/maven")


def test_a_broken_settings_file_is_named(settings: Path) -> None:
    settings.write_text("<settings>")
    with pytest.raises(SandboxError, match=r"settings\.xml"):
        central_mirror(settings)


def test_the_path_of_an_artifact() -> None:
    plain = Artifact("org.apache.kafka", "kafka_2.13", "4.1.0")
    assert plain.path == "org/apache/kafka/kafka_2.13/4.1.0/kafka_2.13-4.1.0.jar"
    assert Artifact("a", "b", "1", "tar.gz", "all").file_name == "b-1-all.tar.gz"


def test_the_certificate_bundle_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert maven.certificate_bundle() is None
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert maven.certificate_bundle() is None
    bundle.touch()
    assert maven.certificate_bundle() == str(bundle)

"""Where Maven artifacts come from: the user's own Maven configuration, else Maven Central.

On many networks Maven Central is reached through a mirror only. Whoever set one up for Maven need not set it up again:

1. ``STREAM_LINEAGE_MAVEN_REPOSITORY``, a URL;
2. the repository called ``central`` in jgo's own configuration;
3. a mirror of ``central`` in ``~/.m2/settings.xml`` or ``$M2_HOME/conf/settings.xml``, with the user and
   password of its server.

Proxies are read from the usual environment variables, and a certificate bundle from ``SSL_CERT_FILE``,
``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stream_lineage.errors import SandboxError

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Repository:
    """A Maven repository over HTTP."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a repository."""

    group: str
    name: str
    version: str
    extension: str = "jar"
    classifier: str = ""

    @property
    def file_name(self) -> str:
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{suffix}.{self.extension}"

    @property
    def path(self) -> str:
        """Below the repository's URL, and below the root of the cache."""
        return f"{self.group.replace('.', '/')}/{self.name}/{self.version}/{self.file_name}"


def repository() -> Repository:
    """The repository to use in this environment."""
    if url := os.environ.get("STREAM_LINEAGE_MAVEN_REPOSITORY"):
        return Repository(url.rstrip("/"))
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError:
        raise SandboxError(
            "the sandbox needs jgo to fetch Kafka, which is not installed",
            hint="pip install 'stream-lineage[sandbox]'",
        ) from None
    if url := GlobalSettings.load().repositories.get("central"):
        return Repository(str(url).rstrip("/"))
    for path in _settings_files():
        if path.is_file() and (mirror := central_mirror(path)):
            return mirror
    return Repository(MAVEN_CENTRAL_URL)


def certificate_bundle() -> str | None:
    """The file of certificate authorities that the environment names, if any."""
    return next((path for name in _CA_VARIABLES if (path := os.environ.get(name)) and Path(path).is_file()), None)


def central_mirror(settings_file: Path) -> Repository | None:
    """The first mirror in a Maven ``settings.xml`` that stands for ``central``."""
    try:
        root = ET.parse(settings_file).getroot()  # noqa: S314 - the user's own configuration, expat refuses entity bombs
    except (OSError, ET.ParseError) as error:
        raise SandboxError(
            f"{settings_file} cannot be read: {error}",
            hint="Mend it, or name a repository in STREAM_LINEAGE_MAVEN_REPOSITORY.",
        ) from error
    for mirror in _children(root, "mirrors", "mirror"):
        url = _text(mirror, "url")
        if url and _text(mirror, "blocked") != "true" and _stands_for_central(_text(mirror, "mirrorOf")):
            user, password = _credentials(root, _text(mirror, "id"))
            return Repository(url.rstrip("/"), user, password)
    return None


def _settings_files() -> Iterator[Path]:
    yield Path.home() / ".m2" / "settings.xml"
    for name in ("M2_HOME", "MAVEN_HOME"):
        if home := os.environ.get(name):
            yield Path(home) / "conf" / "settings.xml"


def _stands_for_central(mirror_of: str) -> bool:
    """Maven's rule; ``external:http:*`` is not about Central, which is https."""
    parts = [part.strip() for part in mirror_of.split(",")]
    return "!central" not in parts and not {"central", "*", "external:*"}.isdisjoint(parts)


def _credentials(root: ET.Element, server_id: str) -> tuple[str | None, str | None]:
    for server in _children(root, "servers", "server"):
        user, password = _text(server, "username"), _text(server, "password")
        if _text(server, "id") == server_id and user and not password.startswith("{"):  # {...} is encrypted: not for us
            return user, password
    return None, None


def _children(root: ET.Element, parent: str, child: str) -> Iterator[ET.Element]:
    return (found for element in root.findall(f"{{*}}{parent}") for found in element.findall(f"{{*}}{child}"))


def _text(element: ET.Element, name: str) -> str:
    """With ``${env.NAME}`` and ``${user.home}`` filled in, as Maven does."""
    text = (element.findtext(f"{{*}}{name}") or "").strip()
    text = re.sub(r"\$\{env\.([^}]+)\}", lambda match: os.environ.get(match[1], ""), text)
    return text.replace("${user.home}", str(Path.home()))

"""Which jars a Maven component needs, as jgo resolves them.

jgo does its own HTTP, configured by process-wide environment variables only. It therefore runs in a child process
(``python -m stream_lineage.sandbox.resolve``), whose environment can be ours to set.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.child import module_command, module_environment
from stream_lineage.sandbox.maven import Artifact, Repository, certificate_bundle

_ATTEMPTS = 4
_TIMEOUT_SECONDS = 300


def resolve(component: str, *, cache: Path, repository: Repository) -> list[Artifact]:
    """Every artifact that ``group:name:version`` needs at run time, itself first. POMs are kept in ``cache``."""
    bundle = certificate_bundle()
    environment = module_environment(**({"REQUESTS_CA_BUNDLE": bundle} if bundle else {}))
    request = {"component": component, "cache": str(cache), "url": _with_credentials(repository)}
    complaint = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2**attempt)
        try:
            child = subprocess.run(
                module_command("stream_lineage.sandbox.resolve"),
                input=json.dumps(request),  # not an argument: it may hold a password
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            complaint = f"no answer within {_TIMEOUT_SECONDS} s"
            continue
        if child.returncode == 0:
            return [Artifact(**fields) for fields in json.loads(child.stdout)]
        complaint = _last_line(child.stderr)
        if repository.password:
            complaint = complaint.replace(quote(repository.password, safe=""), "***")
    raise SandboxError(
        f"could not resolve {component} from {repository.url}: {complaint}",
        hint="Check the network; a mirror can be named in STREAM_LINEAGE_MAVEN_REPOSITORY or in Maven's settings.xml.",
    )


def _with_credentials(repository: Repository) -> str:
    if repository.user is None:
        return repository.url
    parts = urlsplit(repository.url)
    userinfo = f"{quote(repository.user, safe='')}:{quote(repository.password or '', safe='')}"
    return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def _main() -> None:
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    request = json.load(sys.stdin)
    context = MavenContext(repo_cache=Path(request["cache"]), remote_repos={"central": request["url"]}, timeout=30)
    coordinate = dataclasses.replace(Coordinate.parse(request["component"]), scope="compile")
    direct, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
    needed = [*direct, *(dependency for dependency in transitive if dependency.scope in ("compile", "runtime"))]
    artifacts = [
        Artifact(found.groupId, found.artifactId, found.version, found.packaging, found.classifier)
        for found in (dependency.artifact for dependency in needed)
    ]
    json.dump([dataclasses.asdict(artifact) for artifact in artifacts], sys.stdout)


if __name__ == "__main__":
    _main()

"""Which jars a Maven component needs, as jgo resolves them.

jgo walks the POMs; fetching them is left to our own downloader, because jgo's keeps what an interrupted download left
behind and does not insist on checksums.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.download import Downloader
from stream_lineage.sandbox.maven import Artifact
from stream_lineage.sandbox.progress import Download

_RUN_TIME_SCOPES = ("compile", "runtime")


def resolve(component: str, *, directory: Path, downloader: Downloader) -> list[Artifact]:
    """Every artifact that ``group:name:version`` needs at run time, itself first.

    POMs are kept in ``directory``, laid out as a Maven repository. Raises SandboxError.
    """
    from jgo.maven import MavenContext, PythonResolver
    from jgo.parse import Coordinate

    class Resolver(PythonResolver):  # type: ignore[misc]  # jgo is untyped
        def download(self, artifact: object) -> Path:
            found = _artifact(artifact)
            target = directory / found.path
            downloader.fetch(found.path, target, Download(), checksums=("sha1",))
            return target

    context = MavenContext(resolver=Resolver(), repo_cache=directory, remote_repos={})
    coordinate = dataclasses.replace(Coordinate.parse(component), scope="compile")
    try:
        direct, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
    except SandboxError:
        raise
    except Exception as error:  # jgo has no errors of its own
        raise SandboxError(f"could not find out what {component} needs: {error}") from error
    needed = [*direct, *(dependency for dependency in transitive if dependency.scope in _RUN_TIME_SCOPES)]
    return [_artifact(dependency.artifact) for dependency in needed]


def _artifact(found: object) -> Artifact:
    names = ("groupId", "artifactId", "version", "packaging", "classifier")
    return Artifact(*(str(getattr(found, name)) for name in names))

"""How applications name datasets and jobs, and what these are called in OpenLineage's events."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stream_lineage.sdk.declare import DECLARED

NAMESPACE_VARIABLE = "OPENLINEAGE_NAMESPACE"
BOOTSTRAP_VARIABLE = "STREAM_LINEAGE_BOOTSTRAP_SERVERS"
KAFKA = "kafka://"
DEFAULT = "default"
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://([^/]*)/?(.*)", re.DOTALL)
_CONF = ("bootstrap.servers", "metadata.broker.list")


@dataclass(frozen=True, slots=True)
class Dataset:
    """``namespace`` is null for a topic."""

    namespace: str | None
    name: str

    def to_json(self) -> dict[str, str]:
        return {"namespace": topics_namespace() if self.namespace is None else self.namespace, "name": self.name}


def dataset(said: Any) -> Dataset:
    """What was named: a topic; a URL such as ``s3://bucket/path`` or ``postgres://db:5432/shop.users``, whose password
    is left out; or a mapping with ``namespace`` and ``name``.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(said, Dataset):
        return said
    if isinstance(said, Mapping):
        return Dataset(_text(said["namespace"]), _text(said["name"]))
    url = _URL.fullmatch(_text(said))
    if url is None:
        return Dataset(None, said)
    scheme, place, name = url.groups()
    if scheme.lower() == "file":
        return Dataset("file", _text(f"/{name}"))
    user, _, host = place.rpartition("@")
    if scheme.lower() in ("http", "https"):  # where whoever logs in, and signatures behind a question mark, are secrets
        place, name = host, name.partition("?")[0]
    elif ":" in user:
        place = host
    return Dataset(f"{scheme}://{place}", name or "/")


def datasets(said: Any) -> tuple[Dataset, ...]:
    """One or several."""
    return tuple(map(dataset, (said,) if isinstance(said, str | Mapping | Dataset) else said))


def columns(said: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> tuple[tuple[str, str, str, str], ...]:
    """Columns that are made of columns, each ``DATASET:PATH``: source, its path, target, its path.

    Raises:
        ValueError: one of them has no path.
    """
    pairs = said.items() if isinstance(said, Mapping) else said
    return tuple((*_column(source), *_column(target)) for source, target in pairs)


def topics_namespace() -> str:
    """Where topics are: the first bootstrap address that is known; else where jobs are."""
    named = os.environ.get(NAMESPACE_VARIABLE) or DEFAULT
    if named.startswith(KAFKA):
        return named
    conf = DECLARED.conf or {}
    servers = next((conf[name] for name in _CONF if conf.get(name)), os.environ.get(BOOTSTRAP_VARIABLE))
    first = str(servers or "").split(",", maxsplit=1)[0].strip()
    return named if not first else KAFKA + first.rpartition("://")[2]


def jobs_namespace() -> str:
    """Where jobs are: as ``OPENLINEAGE_NAMESPACE`` says, else with the topics."""
    return os.environ.get(NAMESPACE_VARIABLE) or topics_namespace()


def _column(said: Any) -> tuple[str, str]:
    name, colon, path = _text(said).rpartition(":")
    if not colon or not name or not path:
        raise ValueError("a column is named DATASET:PATH")
    return name, path


def _text(said: Any) -> str:
    if not isinstance(said, str) or not said or not said.isprintable():
        raise TypeError("names are printable texts")
    return said

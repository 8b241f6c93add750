"""The documents that a JSON schema is made of, and what references in them lead to.

Sources: JSON Schema 2020-12 core, sections 8 and 9; drafts 4 to 7 for ``id`` and anchors. Nothing is ever fetched: a
reference leads into the schema itself or to a text that the registry gave with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import orjson

_MAX_NODES = 200_000
_MAX_DIGITS = 10
_NEWER = ("2019-09", "2020-12", "/next")


@dataclass(slots=True, eq=False)
class Document:
    """A schema that pointers are relative to. ``siblings_count`` says whether members beside ``$ref`` count."""

    root: Any
    uri: str
    siblings_count: bool
    anchors: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A subschema and the document that it stands in."""

    schema: Any
    document: Document


class Schemas:
    """A schema with those that it refers to."""

    def __init__(self, schema: Any, references: Mapping[str, str]) -> None:
        self._documents: dict[str, Document] = {}
        self._embedded: dict[int, Document] = {}
        self._nodes = 0
        self._parsed: list[Any] = []  # ids of their parts are remembered
        for name, text in references.items():
            try:
                parsed = orjson.loads(text)
            except ValueError:
                continue
            self._parsed.append(parsed)
            self._documents[_bare(name)] = self._take(parsed, name)
        self.root = Located(schema, self._take(schema, ""))

    def within(self, schema: Any, at: Located) -> Located:
        """A part of a schema."""
        return Located(schema, self._embedded.get(id(schema), at.document))

    def target(self, reference: str, at: Located) -> Located | None:
        """What a reference leads to; null where that is nowhere."""
        try:
            uri, fragment = urldefrag(reference)
            document = self._document(uri, at.document)
        except ValueError:  # no URI
            return None
        if document is None:
            return None
        if fragment.startswith("/"):
            return _pointed_at(fragment, Located(document.root, document), self)
        if not fragment:
            return Located(document.root, document)
        return Located(document.anchors[fragment], document) if fragment in document.anchors else None

    def _document(self, uri: str, at: Document) -> Document | None:
        if not uri:
            return at
        for name in (uri, urljoin(at.uri, uri)):
            if (found := self._documents.get(_bare(name))) is not None:
                return found
        return None

    def _take(self, schema: Any, name: str) -> Document:
        """A document, and those that stand inside it."""
        dialect = schema.get("$schema") if isinstance(schema, dict) else None
        newer = isinstance(dialect, str) and any(mark in dialect for mark in _NEWER)
        whole = Document(schema, _uri(schema, name), newer)
        self._documents.setdefault(_bare(whole.uri), whole)
        pending: list[tuple[Any, Document]] = [(schema, whole)]
        while pending and self._nodes < _MAX_NODES:
            node, document = pending.pop()
            self._nodes += 1
            if isinstance(node, dict):
                own = node.get("$id", node.get("id"))
                if isinstance(own, str) and own.startswith("#"):
                    document.anchors[own[1:]] = node
                elif isinstance(own, str) and node is not document.root and "$id" in node:
                    document = Document(node, _uri(node, document.uri), newer)
                    self._embedded[id(node)] = document
                    self._documents.setdefault(_bare(document.uri), document)
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(node.get(keyword), str):
                        document.anchors[node[keyword]] = node
            children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            pending += [(child, document) for child in children if isinstance(child, dict | list)]
        return whole


def _pointed_at(pointer: str, start: Located, schemas: Schemas) -> Located | None:
    here = start
    for step in pointer.split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        node = here.schema
        if isinstance(node, dict) and name in node:
            here = schemas.within(node[name], here)
        elif isinstance(node, list) and _is_index(name) and int(name) < len(node):
            here = schemas.within(node[int(name)], here)
        else:
            return None
    return here


def _is_index(name: str) -> bool:
    return name.isdecimal() and len(name) <= _MAX_DIGITS  # Python refuses to read thousands of digits


def _uri(schema: Any, base: str) -> str:
    own = schema.get("$id", schema.get("id")) if isinstance(schema, dict) else None
    if not isinstance(own, str) or own.startswith("#"):
        return base
    try:
        urlsplit(own)  # of an empty base urljoin takes anything
        return urljoin(base, own)
    except ValueError:
        return base


def _bare(uri: str) -> str:
    return uri.removesuffix("#")

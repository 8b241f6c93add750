"""A schema registry for tests: Confluent's API on a loopback port, that can also hang, fail, drip and lie."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit


class Behaviour(Enum):
    """How the registry treats requests."""

    ANSWER = "as a registry does"
    HANG = "takes the request and says nothing"
    DRIP = "sends its answer one byte at a time, for ever"
    FAIL = "500"
    HTML = "200 and a page for people"
    TRUNCATE = "half of what it announced"
    HUGE = "without end"
    COMPRESSED = "gzip, though not asked for"
    TRICKLE = "a whole head, then its body one byte at a time, for ever"
    REDIRECT = "302, to another place"
    NONSENSE = "JSON, but of other types than it should be"
    BUSY = "429"


@dataclass(frozen=True, slots=True)
class _Schema:
    id: int
    guid: str
    type: str
    text: str
    references: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"schema": self.text}
        if self.type != "AVRO":
            document["schemaType"] = self.type
        if self.references:
            document["references"] = list(self.references)
        return document


@dataclass(slots=True)
class FakeRegistry:
    """Listens from ``with`` to its end. ``requests`` counts what was asked, as ``GET /schemas/ids/1``.

    A ``port`` of 0 is a free one. It is kept, so that one registry can go away and come back in another ``with``.
    ``lacks_names`` and ``lacks_guids`` make it an older one; ``credentials`` is what it wants, as ``user:password``.
    """

    behaviour: Behaviour = Behaviour.ANSWER
    lacks_names: bool = False
    lacks_guids: bool = False
    credentials: str | None = None
    drip_seconds: float = 0.05
    port: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    _schemas: dict[int, _Schema] = field(default_factory=dict)
    _subjects: dict[str, list[int]] = field(default_factory=dict)
    _deleted: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str | None, str] = field(default_factory=lambda: {None: "BACKWARD"})
    """Compatibility levels by subject; the registry's own under null."""
    _server: ThreadingHTTPServer | None = None
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the registry does not listen yet")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._closing.clear()
        registry = self

        class Handler(_Handler):
            @property
            def fake(self) -> FakeRegistry:
                return registry

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def register(
        self, subject: str, text: str, type_: str = "AVRO", references: tuple[dict[str, Any], ...] = ()
    ) -> int:
        """The id of a schema: the one that it has already, under any subject, or the next."""
        same = (s.id for s in self._schemas.values() if (s.type, s.text, s.references) == (type_, text, references))
        id_ = next(same, len(self._schemas) + 1)
        self._schemas.setdefault(id_, _Schema(id_, str(uuid.uuid5(uuid.NAMESPACE_OID, text)), type_, text, references))
        versions = self._subjects.setdefault(subject, [])
        if id_ not in versions:
            versions.append(id_)
        return id_

    def delete(self, subject: str, *, permanently: bool = False) -> None:
        """Delete a subject, so that it is told still if it is asked for with deleted ones, or for good."""
        versions = self._subjects.pop(subject, [])
        if permanently:
            self._deleted.pop(subject, None)
        else:
            self._deleted[subject] = versions

    def restore(self, subject: str) -> None:
        """Bring a softly deleted subject back."""
        self._subjects[subject] = self._deleted.pop(subject)

    def guid_of(self, id_: int) -> str:
        return self._schemas[id_].guid

    def wait_until_closed(self, seconds: float | None = None) -> bool:
        return self._closing.wait(seconds)

    def deleted_versions(self, path: str) -> list[int]:
        """The versions that a path asks for of a subject that is softly deleted."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        softly = parts[0] == "subjects" and parts[2:] == ["versions"]
        return list(range(1, len(self._deleted.get(parts[1], ())) + 1)) if softly else []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and document, as Confluent's registry gives them."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match (method, parts):
            case ("GET", ["subjects"]):
                return 200, sorted(self._subjects)
            case ("GET", ["schemas", "ids", number]) if number.isdigit():
                schema = self._schemas.get(int(number))
                return (200, schema.document()) if schema else _unknown(40403, "Schema not found")
            case ("GET", ["schemas", "ids", number, "versions"]) if not self.lacks_names:
                id_ = int(number)
                names = [
                    {"subject": subject, "version": index}
                    for subject, ids in self._subjects.items()
                    for index, known in enumerate(ids, 1)
                    if known == id_
                ]
                return (200, names) if id_ in self._schemas else _unknown(40403, "Schema not found")
            case ("GET", ["schemas", "guids", guid]) if not self.lacks_guids:
                schema = next((s for s in self._schemas.values() if s.guid == guid), None)
                return (200, {**schema.document(), "guid": guid}) if schema else _unknown(40403, "Schema not found")
            case ("GET", ["schemas", "guids", guid, "ids"]) if not self.lacks_guids:
                return 200, [{"context": ".", "id": s.id} for s in self._schemas.values() if s.guid == guid]
            case ("GET", ["config"]):
                return 200, {"compatibilityLevel": self.levels[None]}
            case ("GET", ["config", subject]):
                level = self.levels.get(subject)
                return (200, {"compatibilityLevel": level}) if level else _unknown(40408, "No level configured")
            case ("GET", ["subjects", subject, "versions"]):
                known = self._subjects.get(subject)
                return (200, list(range(1, len(known) + 1))) if known else _unknown(40401, "Subject not found")
            case ("GET", ["subjects", subject, "versions", version]):
                return self._version(subject, version)
            case ("POST", ["subjects", subject, "versions"]):
                references = tuple(body.get("references", ()))
                return 200, {"id": self.register(subject, body["schema"], body.get("schemaType", "AVRO"), references)}
            case ("POST", ["subjects", subject]):
                return self._lookup(subject, body)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _version(self, subject: str, version: str) -> tuple[int, Any]:
        ids = self._subjects.get(subject)
        if ids is None:
            return _unknown(40401, f"Subject '{subject}' not found.")
        number = len(ids) if version == "latest" else int(version)
        if not 1 <= number <= len(ids):
            return _unknown(40402, f"Version {version} not found.")
        schema = self._schemas[ids[number - 1]]
        return 200, {"subject": subject, "version": number, "id": schema.id, **schema.document()}

    def _lookup(self, subject: str, body: Any) -> tuple[int, Any]:
        for number, id_ in enumerate(self._subjects.get(subject, ()), 1):
            schema = self._schemas[id_]
            if (schema.text, schema.type) == (body["schema"], body.get("schemaType", "AVRO")):
                return 200, {"subject": subject, "version": number, "id": id_, **schema.document()}
        if subject in self._subjects:
            return _unknown(40403, "Schema not found")
        return _unknown(40401, f"Subject '{subject}' not found.")


def _unknown(code: int, message: str) -> tuple[int, Any]:
    return 404, {"error_code": code, "message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of each answer are 40 ms apart

    @property
    def fake(self) -> FakeRegistry:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._serve("GET", None)

    def do_POST(self) -> None:
        self._serve("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at ``requests``."""

    def _serve(self, method: str, body: Any) -> None:
        fake, path = self.fake, urlsplit(self.path).path
        deleted = "deleted=true" in urlsplit(self.path).query
        if fake.wait_until_closed(0):
            self.close_connection = True  # kept from before it went away
            return
        fake.requests[f"{method} {path}"] += 1
        try:
            self._respond(fake, method, path, body, deleted)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has had enough, as it should

    def _respond(self, fake: FakeRegistry, method: str, path: str, body: Any, deleted: bool) -> None:
        document: Any
        match fake.behaviour:
            case Behaviour.HANG:
                fake.wait_until_closed()
                self.close_connection = True
            case Behaviour.DRIP:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not fake.wait_until_closed(fake.drip_seconds):
                    self.wfile.write(b"x")
                self.close_connection = True
            case Behaviour.HUGE:
                self._head(200, "application/json", None)
                while not fake.wait_until_closed(0):
                    self.wfile.write(b" " * 65_536)
            case Behaviour.TRUNCATE:
                self._head(200, "application/json", 1_000)
                self.wfile.write(b'{"schema": "')
            case Behaviour.COMPRESSED:
                self._send(200, b"\x1f\x8b\x08", "application/json", encoding="gzip")
            case Behaviour.TRICKLE:
                self._head(200, "application/json", None)
                while not fake.wait_until_closed(fake.drip_seconds):
                    self.wfile.write(b" ")
                self.close_connection = True
            case Behaviour.REDIRECT:
                self.send_response(302)
                self.send_header("Location", f"{fake.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case Behaviour.NONSENSE:
                self._send(200, b'{"schema": {"type": [1, null]}, "references": 7, "id": [], "version": "x"}')
            case Behaviour.HTML:
                self._send(200, b"<html><h1>Please log in</h1></html>", "text/html")
            case Behaviour.FAIL:
                self._send(500, json.dumps({"error_code": 50001, "message": "Error in the backend"}).encode())
            case Behaviour.BUSY:
                self._send(429, b"{}")
            case Behaviour.ANSWER:
                status, document = 401, {"error_code": 401, "message": "Unauthorized"}
                if self._let_in(fake.credentials):
                    kept = fake.deleted_versions(path) if deleted else []
                    status, document = (200, kept) if kept else fake.answer(method, path, body)
                self._send(status, json.dumps(document).encode())

    def _let_in(self, credentials: str | None) -> bool:
        if credentials is None:
            return True
        given = self.headers.get("Authorization", "")
        return given in (f"Basic {base64.b64encode(credentials.encode()).decode()}", f"Bearer {credentials}")

    def _send(self, status: int, body: bytes, content_type: str = "application/json", encoding: str = "") -> None:
        self._head(status, content_type, len(body), encoding)
        self.wfile.write(body)

    def _head(self, status: int, content_type: str, length: int | None, encoding: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if length is None or self.fake.behaviour is Behaviour.TRUNCATE:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()

"""InfluxDB's HTTP, by its own client, whose exceptions end here."""

from __future__ import annotations

import contextlib
import csv
import email.utils
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from influxdb_client import InfluxDBClient
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.line_protocol import PRECISION

OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_LARGE, UNPROCESSABLE, BUSY = (
    204, 400, 401, 403, 404, 413, 422, 429,
)  # fmt: skip
_SHOWN = 300
_HINTS = {
    UNAUTHORIZED: "Check influx_token: InfluxDB does not know it.",
    FORBIDDEN: "Check that influx_token may read and write the bucket; `stream-lineage store setup` makes such tokens.",
    NOT_FOUND: "Check influx_org and influx_bucket; `stream-lineage store setup` makes the bucket.",
    TOO_LARGE: "Something between us and InfluxDB limits the size of requests.",
}
UNREACHABLE = "Check influx_url, and that InfluxDB 2 runs there."
_NOT_INFLUX = "Check influx_url: a proxy, a login page or something else answers there."
_REFUSED_BY_CODE = frozenset({"invalid", "unprocessable entity", "empty value", "conflict"})
"""``code`` of InfluxDB's answers of 400 and 422.
https://docs.influxdata.com/influxdb/v2/api/#operation/PostWrite"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to a write. ``retry_after`` is in seconds, ``code`` is InfluxDB's name of an error."""

    status: int
    message: str
    retry_after: float | None = None
    code: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is written: InfluxDB says so by 204, and never by another status below 300."""
        return self.status == OK

    @property
    def refused(self) -> bool:
        """Whether InfluxDB will never take what was sent, for what it says."""
        return self.status in (BAD_REQUEST, UNPROCESSABLE) and self.code in _REFUSED_BY_CODE

    @property
    def foreign(self) -> bool:
        """Whether InfluxDB cannot have said this: something else answers at its address."""
        refusal = self.status in (BAD_REQUEST, UNPROCESSABLE) and not self.refused
        return refusal or (200 <= self.status < 300 and not self.ok)

    @property
    def hint(self) -> str | None:
        return _NOT_INFLUX if self.foreign else _HINTS.get(self.status)


class QueryRefused(Exception):
    """InfluxDB answered that it cannot run a query."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class InfluxApi:
    """One InfluxDB, one organisation, one token. Thread-safe. Nothing is tried twice here."""

    def __init__(
        self, url: str, org: str, token: str, *, timeout_seconds: float = 10.0, ca_location: str | None = None
    ) -> None:
        self.url = url
        self.org = org
        self.client = InfluxDBClient(
            url, token=token, org=org, timeout=max(1, round(timeout_seconds * 1000)), ssl_ca_cert=ca_location,
            retries=False,
        )  # fmt: skip
        self._writes = WriteService(self.client.api_client)
        self._queries = self.client.query_api()

    def write(self, bucket: str, body: bytes) -> Answer:
        """Write lines.

        Raises:
            ConnectionFailed: no answer.
        """
        try:
            with self.translated("write to"):
                _, status, headers = self._writes.post_write_with_http_info(
                    self.org, bucket, body, precision=PRECISION, content_type="text/plain; charset=utf-8"
                )
        except ApiException as error:
            return answer_of(error)
        return Answer(status, "" if status == OK else f"it sent {headers.get('Content-Type', 'nothing')}")

    def rows(self, query: str) -> Iterator[dict[str, Any]]:
        """What a Flux query gives, row by row.

        Raises:
            ConnectionFailed: no answer, or one that breaks off.
            QueryRefused: the query cannot be run.
        """
        try:
            with self.translated("read"):
                for record in self._queries.query_stream(query, org=self.org):
                    yield record.values
        except ApiException as error:
            raise QueryRefused(answer_of(error)) from None
        except FluxQueryException as error:
            raise QueryRefused(Answer(BAD_REQUEST, str(error.message)[:_SHOWN])) from None

    def delete(self, bucket: str, start: datetime, stop: datetime) -> Answer:
        """Delete what is in a bucket, ``start <= time <= stop``. Raises as ``write`` does."""
        try:
            with self.translated("delete from"):
                self.client.delete_api().delete(start, stop, "", bucket=bucket, org=self.org)
        except ApiException as error:
            return answer_of(error)
        return Answer(OK, "")

    @contextlib.contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turns what is raised where nothing answers into ConnectionFailed; answers are ApiException."""
        try:
            yield
        except (HTTPError, OSError, csv.Error, FluxCsvParserException, EOFError, UnicodeDecodeError) as error:
            message = f"could not {doing} InfluxDB at {self.url}: {_innermost(error)}"
            raise ConnectionFailed(message, hint=UNREACHABLE) from error

    def failed(self, doing: str, answer: Answer) -> ConnectionFailed:
        """The error that an answer is."""
        whose = ", which is not InfluxDB's answer" if answer.foreign else ""
        return ConnectionFailed(
            f"could not {doing} InfluxDB at {self.url}: it answered {answer.status}{whose}: {answer.message}",
            hint=answer.hint,
        )

    def close(self) -> None:
        self.client.close()


def answer_of(error: ApiException) -> Answer:
    """An error's status, what it says, and when to come again."""
    headers = error.headers or {}
    body = error.body or b""
    message = body if isinstance(body, str) else body.decode("utf-8", "replace")
    code = ""
    with contextlib.suppress(ValueError):
        document = orjson.loads(body)
        if isinstance(document, dict):
            code = str(document.get("code", ""))
            message = str(document.get("message") or message)
    after = headers.get("Retry-After") or headers.get("retry-after")
    return Answer(int(error.status or 0), (message or str(error.reason))[:_SHOWN], _seconds(after), code)


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` is seconds or a date."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _innermost(error: BaseException) -> str:
    """What is at the bottom: urllib3 wraps it several times."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _innermost(reason)
    return str(error).rpartition("): ")[2] or type(error).__name__

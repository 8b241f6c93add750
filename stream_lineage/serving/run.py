"""The API from start to end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import cast

import uvicorn
from fastapi import FastAPI

from stream_lineage.agents.graph_fold import GraphFold, written
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.connections import log_reader
from stream_lineage.errors import SettingsError
from stream_lineage.graph.naming import naming
from stream_lineage.graphing import known_graph
from stream_lineage.logs import get_logger
from stream_lineage.provenance.topics import GRAPH, ensure_topics
from stream_lineage.serve.app import make_app
from stream_lineage.serve.endpoint import answering
from stream_lineage.serve.guard import Entrance, is_local
from stream_lineage.serving.door import Door
from stream_lineage.serving.followers import Follower, alert_follower, graph_follower, index_follower, settle
from stream_lineage.serving.index_age import LOOK_SECONDS, IndexAge
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.telemetry import ServeTelemetry
from stream_lineage.serving.tokens import FollowedTokens, read_tokens
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka

_END_SECONDS = 5
_log = get_logger("stream_lineage.serve")


def run_api(settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises:
        KafkaUnavailable: no broker answered at the start.
        SettingsError: the address cannot be listened at, or nobody could be let in, or everybody would be.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(listen(*settings.serve.address, shared=settings.serve.serve_share_port))
        ensure_topics(kafka.admin(settings.kafka), settings.kafka)
        entrance = stack.enter_context(opened(settings))
        app, close = stack.enter_context(application(settings, entrance))
        server = Server(app, close)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.end())
        host, port = listening.getsockname()[:2]
        _log.info("the API answers", host=host, port=port, open=entrance.tokens is None)
        server.run(sockets=[listening])


@contextmanager
def application(settings: Settings, entrance: Entrance) -> Iterator[tuple[FastAPI, Callable[[], None]]]:
    """The application with all that keeps it up to date, and what lets everybody go who listens."""
    with ExitStack() as stack:
        names = naming(settings.kafka.cluster_name, settings.kafka.addresses, others=settings.kafka.cluster_aliases)
        reader = log_reader(settings)
        fold = GraphFold(OnePartition(reader, settings.kafka.topic(GRAPH), written), names)
        pool = IndexPool(settings.index.index_path)
        lineage = LiveLineage(settings, fold, names, pool)
        stack.callback(lineage.close)
        graph = graph_follower(fold, lambda: known_graph(settings), settle)
        followers = [graph, alert_follower(settings, lineage.alerts)]
        if settings.serve.serve_index:
            followers.append(index_follower(settings))
        age = IndexAge(lineage.ends, lineage.index_state, lambda: datetime.now(UTC))
        followers.append(Follower("the age of the index", lambda _: age.look(), LOOK_SECONDS))
        telemetry = ServeTelemetry(lineage, fold, pool, graph, age, settings.serve.serve_index_most_age_seconds)
        stack.callback(reader.close)
        for follower in followers:
            stack.callback(follower.join)
        for follower in followers:
            follower.start()
            stack.callback(follower.stop)
        stack.enter_context(answering(settings.telemetry, telemetry, "serve"))
        yield make_app(lineage, telemetry, entrance), lineage.alerts.close


@contextmanager
def opened(settings: Settings) -> Iterator[Entrance]:
    """Who may come in.

    Raises:
        SettingsError: nobody has a token, and it would be open to others than this machine.
        KafkaUnavailable: tokens cannot be read.
    """
    host, auth = settings.serve.address[0], settings.serve.serve_auth
    if auth == "none":
        if not is_local(host):
            _log.warning("whoever reaches this address may ask and change everything", address=host)
        yield Entrance(None)
        return
    if auth == "auto" and is_local(host):
        yield Entrance(None, local_names_only=True)
        return
    known = read_tokens(settings)
    if auth == "auto" and not known:
        raise SettingsError(
            f"serve_listen is {settings.serve.serve_listen}, which others may reach, and there is no token yet",
            hint="Make one with `stream-lineage token create`. `--serve-auth none` opens it to everybody.",
        )
    tokens = FollowedTokens(settings, known)
    tokens.start()
    try:
        yield Entrance(tokens)
    finally:
        tokens.stop()


@contextmanager
def listen(host: str, port: int, *, shared: bool = False) -> Iterator[socket.socket]:
    """A socket that listens; ``shared``: beside others of the same user that say so, too.

    Raises:
        SettingsError: the address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol said, which asyncio looks at: it sends answers at once then, and not after 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"serve_listen: cannot listen at {host}:{port}: {(error.strerror or str(error)).lower()}",
            hint="Another process listens there, or it is no address of this machine: choose another one.",
        ) from None
    with listening:
        yield listening


class Server(uvicorn.Server):
    """Ends when it is told to, and leaves signals to us: uvicorn would raise them again when it has ended."""

    def __init__(self, app: FastAPI, before_end: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", server_header=False, proxy_headers=False,
                timeout_graceful_shutdown=_END_SECONDS, timeout_keep_alive=30,
            )
        )  # fmt: skip
        self._before_end = before_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        self.servers += [cast(asyncio.Server, Door(each, self._welcome)) for each in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who was let in at the last moment is told to end as all others are, and does not hold it up."""
        for each in self.servers:
            each.close()
            await each.wait_closed()
        await super().shutdown(sockets)

    def _welcome(self) -> asyncio.Protocol:
        kind = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """From a signal's handler or any thread."""
        self.should_exit = True
        threading.Thread(target=self._before_end, daemon=True).start()  # a handler may not wait for a lock

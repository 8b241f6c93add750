"""A schema registry: Apicurio, which speaks Confluent's API."""

from __future__ import annotations

import httpx

from stream_lineage.sandbox.java import java_command
from stream_lineage.sandbox.ports import LOOPBACK
from stream_lineage.sandbox.server import Server

_PROBE_SECONDS = 2.0


class SchemaRegistry(Server):
    """The registry. It keeps its schemas in memory: after a restart it is empty, and its ids begin at 1 again."""

    name = "the schema registry"

    @property
    def url(self) -> str:
        """Confluent's API."""
        return f"http://{LOOPBACK}:{self.port}/apis/ccompat/v7"

    def prepare(self) -> None:
        """Nothing: it is configured by its command line."""

    def command(self) -> list[str]:
        system_properties = {
            "quarkus.http.host": LOOPBACK,
            "quarkus.http.port": str(self.port),
            # Apicurio's second listener: on all interfaces and always the same port, were it not told otherwise.
            "quarkus.management.host": LOOPBACK,
            "quarkus.management.port": "0",
            "quarkus.http.access-log.enabled": "false",
            **self.settings.registry_config,
        }
        properties = [f"-D{key}={value}" for key, value in system_properties.items()]
        options = [*properties, *self.program.archive_options(self.recorded_classes)]
        java = java_command(self.settings.registry_heap, options, directory=self.scratch)
        return [*java, "-jar", str(self.program.class_path[0])]

    def answers(self) -> bool:
        try:
            response = httpx.get(f"{self.url}/subjects", timeout=_PROBE_SECONDS, trust_env=False)
        except httpx.HTTPError:
            return False
        return response.status_code == httpx.codes.OK

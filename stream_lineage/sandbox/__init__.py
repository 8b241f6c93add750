"""A real Kafka and a real schema registry on this machine, without Docker: for trying out, for tests, for the demo."""

from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.settings import SandboxSettings

__all__ = ["Sandbox", "SandboxSettings"]

"""The pipeline alone, in a cluster that is there, as a program: ``python -m stream_lineage.sandbox.demo.beside ...``.

It needs nothing of the sandbox: ``docker-compose.yml`` runs it beside the service.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from stream_lineage.errors import StreamLineageError
from stream_lineage.sandbox.demo.pipeline import Pipeline
from stream_lineage.sandbox.demo.topics import create_topics

_CHECK_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="A click-stream, into which a fault comes after a while.")
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--registry-url", required=True)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long all goes well before the fault")
    options: Any = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(options.bootstrap_servers, options.registry_url, options.seconds, stop)
    except StreamLineageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(bootstrap_servers: str, registry_url: str, healthy_seconds: float, stop: threading.Event) -> None:
    """Until ``stop`` is set. Raises StreamLineageError if the topics cannot be made or a job ends."""
    with tempfile.TemporaryDirectory(prefix="stream-lineage-demo-") as directory:
        create_topics(bootstrap_servers)
        pipeline = Pipeline(bootstrap_servers, registry_url, Path(directory))
        released, began = False, time.monotonic()
        try:
            pipeline.start()
            pipeline.begin()
            print(f"The pipeline runs. The fault comes in {healthy_seconds:g} s.", flush=True)
            while not stop.wait(_CHECK_SECONDS):
                pipeline.check()
                if not released and time.monotonic() - began >= healthy_seconds:
                    released = True
                    pipeline.release()
                    print("The fault: customer.age turns from int to string, clicks have a new event type.", flush=True)
        finally:
            pipeline.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

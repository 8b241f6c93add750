"""What is going on, for people: on standard error, a bar in a terminal and plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


class Download:
    """One download in progress, shown to nobody. Methods may be called from several threads."""

    def expect(self, bytes_count: int) -> None:
        """So many bytes will come; 0 if nobody knows."""

    def advance(self, bytes_count: int) -> None:
        """So many bytes came; negative when they have to come again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Reporter:
    """Who is told about progress: here, nobody."""

    def say(self, text: str) -> None:
        """Something begins or has happened."""

    def download(self, title: str) -> Download:
        """A download begins; leave its context when it is done."""
        return Download()


class StderrReporter(Reporter):
    """Tells whoever sits at standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def download(self, title: str) -> Download:
        return _Bar(title, self._console) if self._console.is_terminal else _Lines(title, self)


class _Bar(Download):
    def __init__(self, title: str, console: Console) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task(title, total=None)

    def expect(self, bytes_count: int) -> None:
        self._progress.update(self._task, total=bytes_count or None)

    def advance(self, bytes_count: int) -> None:
        self._progress.advance(self._task, bytes_count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _Lines(Download):
    """One line at the beginning and one at the end: what a log wants."""

    def __init__(self, title: str, reporter: Reporter) -> None:
        self._title = title
        self._reporter = reporter
        self._lock = threading.Lock()
        self._bytes = 0
        self._began = time.monotonic()

    def advance(self, bytes_count: int) -> None:
        with self._lock:
            self._bytes += bytes_count

    def __enter__(self) -> Self:
        self._reporter.say(f"Downloading {self._title} ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            seconds = time.monotonic() - self._began
            self._reporter.say(f"Downloaded {self._title}: {self._bytes / 1e6:.0f} MB in {seconds:.0f} s")

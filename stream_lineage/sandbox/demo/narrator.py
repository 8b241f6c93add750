"""What the demo tells: a story line by line, with a table below it that moves where there is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_lineage.sandbox.progress import StderrReporter

_INDENT = 10
_REFRESH_PER_SECOND = 4
_PULSE_SECONDS = 5.0


class Narrator(StderrReporter):
    """Writes to standard output. Without a terminal there is no table, but a line every few seconds."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._stage = Console(file=sys.stdout, highlight=False) if console is None else console
        self._began = time.monotonic()
        self._next_pulse = 0.0

    @property
    def is_terminal(self) -> bool:
        return self._stage.is_terminal

    def say(self, text: str | Text) -> None:
        """Something happens now."""
        clock = Text(f"{time.monotonic() - self._began:6.1f} s  ", style="dim")
        self._print(clock, Text(text) if isinstance(text, str) else text)

    def tell(self, lines: Sequence[Text], *, whole: bool = False) -> None:
        """Lines that belong to what was said last. Those that are to be copied stay ``whole``."""
        for line in lines:
            self._print(Text(" " * _INDENT), line, whole=whole)

    def _print(self, margin: Text, line: Text, *, whole: bool = False) -> None:
        if whole or not self.is_terminal:
            self._stage.print(margin + line, soft_wrap=True)
            return
        grid = Table.grid()
        grid.add_column(width=_INDENT)
        grid.add_column()
        grid.add_row(margin, line)
        self._stage.print(grid)

    def frame(self, title: str, lines: Sequence[Text], style: str) -> None:
        """Something to be seen from afar."""
        if self.is_terminal:
            body = Group(*lines)
            self._stage.print(Panel(body, title=Text(title), title_align="left", border_style=style, padding=(0, 1)))
        else:
            self.say(title)
            self.tell(lines)

    @contextmanager
    def table(self, render: Callable[[], RenderableType]) -> Iterator[None]:
        """What ``render`` gives is below everything that is told meanwhile, and stays there at the end."""
        if not self.is_terminal:
            yield
            return
        with Live(
            get_renderable=render,
            console=self._stage,
            refresh_per_second=_REFRESH_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def pulse(self, line: Callable[[], str]) -> None:
        """To be called often: says something every few seconds where no table moves."""
        if not self.is_terminal and time.monotonic() >= self._next_pulse:
            self._next_pulse = time.monotonic() + _PULSE_SECONDS
            self.say(line())

"""What the command line shows: tables and bars on stderr, in plain text where that is no terminal.

Here is what all share, and the one place that knows ``rich``; what there is to show of an extraction, a store, training
and plug-ins is in a file each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape as escape
from rich.progress import (
    BarColumn, DownloadColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn,
    TimeRemainingColumn, TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

MOST_ROWS = 20  # of a table of failures; `inspect --json` has them all
PLAIN_WIDTH = 120  # columns where the output is no terminal


def console_of(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; of a fixed width where that is no terminal."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


console = console_of(stderr=True)


def note(text: str) -> None:
    """A line that a reader should know, on stderr."""
    console.print(f"[yellow]note[/] {escape(text)}", soft_wrap=True)


class Bar:
    """A progress bar that lasts as long as a ``with`` block."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=28), *(columns or (TaskProgressColumn(),)),
            TextColumn("{task.fields[detail]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> Any:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.bar.stop()


def new_table(title: str = "", *, show_header: bool = True) -> Table:
    """A table with its title over it, on one line however narrow the table is."""
    table = Table(show_header=show_header, title_justify="left")
    table.title = Text(title, style="bold", no_wrap=True, overflow="ignore") if title else None
    return table


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, stdout: bool = False) -> None:
    """A table of plain values; columns that hold only numbers stand to the right."""
    kept = [list(row) for row in rows]
    table = new_table(title)
    for place, column in enumerate(columns):
        numbers = bool(kept) and all(isinstance(row[place], (int, float)) for row in kept)
        table.add_column(escape(column), justify="right" if numbers else "left", overflow="fold")
    for row in kept:
        table.add_row(*(escape(f"{value:,}" if isinstance(value, int) else str(value)) for value in row))
    (console_of() if stdout else console).print(table)


@contextmanager
def counting(description: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that tells how far it is: yields ``report(done, total)``; bytes are shown with their speed."""
    with Bar(DownloadColumn(), TransferSpeedColumn()) if in_bytes else Bar() as shown:
        task = shown.bar.add_task(description, total=None, detail="")
        yield lambda done, total: shown.bar.update(task, completed=done, total=total)

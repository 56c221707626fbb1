"""What the command ``import`` shows: bars of the bytes read, places that could not be read, and what came of it all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from curation.errors import SnapshotError

if TYPE_CHECKING:
    # Imported when it is run: every other command starts without it.
    from curation.dumps import Dump, ImportReport

DumpFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE ...",
        help="BSON of mongodump, or JSON (lines or arrays, extended or plain); .gz and .zst too; - is standard input.",
        show_default=False,
    ),
]
DumpResource = Annotated[
    str | None,
    typer.Option(
        "--resource",
        help="T1w, T2w, bold or rating; else the file's name says (bold.bson), else bids_meta.modality.",
        show_default=False,
    ),
]


@contextmanager
def show_bytes() -> Iterator[Callable[[Dump, int], None]]:
    """A bar a file while the block runs, if standard error is a terminal; nothing otherwise."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda dump, count: None
        return
    columns = (
        TextColumn("{task.description:24}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        # By object: a file that is given twice is read twice.
        tasks: dict[int, TaskID] = {}

        def on_bytes(dump: Dump, count: int) -> None:
            if id(dump) not in tasks:
                tasks[id(dump)] = bars.add_task(dump.name, total=dump.size)
            bars.advance(tasks[id(dump)], count)

        yield on_bytes


def import_table(report: ImportReport) -> Table:
    """What an import did, a row a resource."""
    table = Table(title=f"Import {report.sequence}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    names = ("new", "changed", "known", "older", "deleted")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("changes known until")
    for resource, done in report.resources.items():
        numbers = (f"{getattr(done, name):,}" for name in names)
        table.add_row(resource, *numbers, done.changes_known_until or "")
    documents, size = sum(file.documents for file in report.files), sum(file.size for file in report.files)
    table.caption = f"{documents:,} documents in {len(report.files):,} file(s) of {size:,} bytes"
    return table


def require_all_read(report: ImportReport) -> None:
    """Fail, at the very end, if anything could not be read.

    Raises:
        SnapshotError: there are places that could not be read; it counts them file by file.
    """
    counts = (
        f"{file.name}: " + ", ".join(f"{count:,} {kind}" for kind, count in file.problems.items())
        for file in report.files
        if file.problems
    )
    if report.unread:
        raise SnapshotError(
            f"{report.unread:,} place(s) could not be read ({'; '.join(counts)}); everything else is in the store"
        )

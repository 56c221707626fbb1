"""The command line of comparing versions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from curation import errors
from flows.options import Dataset
from flows.outputs import require_no_file_of, require_writable
from flows.printing import print_json, say
from flows.settings import load_settings

EPILOG = "Example: mriqc-snapshot diff 2026.11.23 HEAD --dataset mriqc-snapshot --html diff.html"

First = Annotated[
    str | None,
    typer.Argument(
        metavar="A", help="A tag, commit, branch or folder; ./NAME is always a folder.", show_default=False
    ),
]
Second = Annotated[
    str | None, typer.Argument(metavar="B", help="What A is compared with.", show_default=False)
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the result as JSON; - is standard output.", show_default=False
    ),
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write it as a page: one file, no network.", show_default=False
    ),
]
CellsFile = Annotated[
    Path | None,
    typer.Option(
        "--cells",
        metavar="FILE.parquet",
        help="Write every row and cell that differs, with its cause.",
        show_default=False,
    ),
]
RecordOf = Annotated[
    str | None,
    typer.Option(
        "--record",
        metavar="MD5_OR_ID",
        help="Instead of A and B: the life of one image (its checksum) or record (its id) over all releases.",
        show_default=False,
    ),
]
Nights = Annotated[
    bool,
    typer.Option(
        "--nights", help="With --record: over every night whose content is kept, not only releases."
    ),
]


def diff(
    a: First = None,
    b: Second = None,
    dataset: Dataset = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
    cells: CellsFile = None,
    record: RecordOf = None,
    nights: Nights = False,
) -> None:
    """Compare two versions cell by cell, and tell why each change came about; or tell the life of one record.

    Exit code 0 is no difference, 10 differences, 1 that content is not on this machine, 2 wrong usage.

    The life of a record goes through all tags and the last commit; with --nights through every night, too;
    nights whose content was dropped are left out and named.
    """
    outputs = {
        name: path for name, path in (("--json", json_file), ("--html", html), ("--cells", cells)) if path
    }
    require_writable(outputs)
    from curation.diff import compare, open_version

    if record is not None:
        if a is not None or cells is not None:
            raise errors.UsageError(
                "--record stands in place of A and B, and goes with --json, --html and --nights only"
            )
        if (where := _dataset(dataset, required=True)) is None:
            raise errors.UsageError("--record looks into a dataset; name it with --dataset")
        require_no_file_of(outputs, [where])
        _life(record, where, json_file, html, nights)
        return
    if a is None or b is None:
        raise errors.UsageError("two versions are compared: mriqc-snapshot diff A B; or --record MD5_OR_ID")
    if nights:
        raise errors.UsageError("--nights goes with --record")
    where = _dataset(dataset)
    versions = open_version(a, where), open_version(b, where)
    require_no_file_of(outputs, [version.folder for version in versions])
    found = compare(*versions, on_table=_say)
    _write(found, json_file, html, cells)
    if json_file is None or str(json_file) != "-":
        from flows.comparison_views import difference_lines

        console = Console(highlight=False)
        for line in difference_lines(found):
            console.print(line)
    raise typer.Exit(found.exit_code)


def _write(found: Any, json_file: Path | None, html: Path | None, cells: Path | None) -> None:
    from curation.diff import html_page, write_cells
    from curation.store.files import write_atomically

    _write_json(found.to_json(), json_file)
    if html is not None:
        write_atomically(html, html_page(found).encode())
    if cells is not None:
        write_cells(found, cells)


def _write_json(value: Any, path: Path | None) -> None:
    from curation.store.files import to_json, write_atomically

    if path is None:
        return
    if str(path) == "-":
        print_json(value)
    else:
        write_atomically(path, to_json(value))


def _life(record: str, dataset: Path, json_file: Path | None, html: Path | None, nights: bool) -> None:
    from curation.diff import life_of_record, life_page
    from curation.store.files import write_atomically
    from flows.comparison_views import life_lines

    found = life_of_record(record, dataset, nights=nights, on_version=_say)
    _write_json(found.to_json(), json_file)
    if html is not None:
        write_atomically(html, life_page(found).encode())
    if json_file is None or str(json_file) != "-":
        console = Console(highlight=False)
        for line in life_lines(found):
            console.print(line)


def _dataset(given: Path | None, *, required: bool = False) -> Path | None:
    """The dataset: as given, or that of the settings if it is there."""
    path = load_settings(dataset=given).dataset
    if given is None and not required and not path.exists():
        return None
    from curation.diff.version import require_dataset

    require_dataset(path)
    return path


def _say(what: str) -> None:
    if sys.stderr.isatty():
        say(f"compare {what}")

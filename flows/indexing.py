"""The command line of the index of public images."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from curation import errors
from flows.printing import print_json
from flows.settings import load_settings

index_app = typer.Typer(
    help="Keep the index of public images' checksums: which file of which dataset has one.",
    no_args_is_help=True,
)
console = Console()
IndexPath = Annotated[
    Path | None, typer.Option("--index", help="Folder of the index.", show_default="snapshots/index")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@index_app.command(
    epilog="Example: mriqc-snapshot index add https://github.com/OpenNeuroDatasets/ds000114 --index index"
)
def add(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE ...",
            help="A git or DataLad repository (path, bundle or URL), s3://bucket/prefix, a checksum manifest, or a "
            "BIDS folder. Of several that have an image the one added first is named: primary ones before mirrors.",
            show_default=False,
        ),
    ],
    index: IndexPath = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Also the subdatasets that a superdataset registers.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset-id", help="Accession of what a manifest or folder lists.", show_default=False
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", help="Where a manifest's paths can be fetched below.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add sources to the index, and read them."""
    from curation.index.index import Index
    from curation.index.sources import add_sources

    found = Index(_path(index))
    with found.lock():
        report = add_sources(
            found, sources, recursive=recursive, dataset=dataset, base_url=base_url, on_source=_say
        )
    _print_report(found, report, as_json)


@index_app.command(epilog="Example: mriqc-snapshot index update --index index")
def update(index: IndexPath = None, as_json: AsJson = False) -> None:
    """Read what is new in the index's sources since they were read last."""
    from curation.index.index import Index
    from curation.index.sources import update_sources

    found = Index(_existing(index))
    with found.lock():
        report = update_sources(found, on_source=_say)
    _print_report(found, report, as_json)


@index_app.command(epilog="Example: mriqc-snapshot index show --index index")
def show(index: IndexPath = None, as_json: AsJson = False) -> None:
    """Show the index's datasets: images, checksums, git-annex backends, and what gives no checksum."""
    from curation.index.index import Index

    found = Index(_existing(index))
    if as_json:
        print_json(
            {
                "sources": [asdict(one) for one in found.sources],
                "datasets": [_row(one) for one in found.datasets],
            }
        )
        return
    table = Table(title=f"Index {found.path}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("dataset")
    for name in ("copies", "checksums"):
        table.add_column(name, justify="right")
    for name in ("backends", "without a checksum"):
        table.add_column(name)
    for one in found.datasets:
        counts = [
            ", ".join(f"{n:,} {name}" for name, n in counted.items())
            for counted in (one.backends, one.unusable)
        ]
        table.add_row(one.dataset, f"{one.images:,}", f"{one.checksums:,}", *counts)
    copies, sums = sum(one.images for one in found.datasets), sum(one.checksums for one in found.datasets)
    table.add_section()
    table.add_row(f"{len(found.datasets):,} dataset(s)", f"{copies:,}", f"{sums:,}")
    console.print(table)
    for source in found.sources:
        if source.failure:
            console.print(f"could not be read the last time: {source.failure}", markup=False, highlight=False)


def _row(dataset: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(dataset).items() if name not in ("state", "sha256", "file")}


def _path(index: Path | None) -> Path:
    return load_settings(index=index).index or Path("snapshots/index")


def _existing(index: Path | None) -> Path:
    from curation.index.index import existing_index

    path = _path(index)
    existing_index(path)
    return path


def _print_report(index: Any, report: Any, as_json: bool) -> None:
    """What was read; an error at the end if a source failed, whose name and reason it has."""
    if as_json:
        print_json(asdict(report) | {"datasets": [_row(one) for one in index.datasets]})
    else:
        read, same = len(report.read), len(report.unchanged)
        console.print(f"{read:,} source(s) read, {same:,} with nothing new, {len(report.failed):,} failed")
    if report.failed:
        raise errors.SnapshotError("; ".join(report.failed.values()))


def _say(address: str) -> None:
    if sys.stderr.isatty():
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"read {address}", markup=False)

"""The command that makes a published version again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curation.errors import LawBroken
from flows.options import AsJson, Dataset, IndexPath, Store, Workers
from flows.printing import print_json
from flows.settings import load_settings

EPILOG = "Example: mriqc-snapshot rebuild 2026.11.23 --dataset mriqc-snapshot --store store"


def rebuild(
    version: Annotated[str, typer.Argument(help="A release, or a commit of the dataset.")],
    dataset: Dataset = None,
    store: Store = None,
    index: IndexPath = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where to leave what was made; it is removed without.", show_default=False
        ),
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Make a version's tables again from the record store as it was then, and compare them byte for byte.

    Its own code and rules are taken, which the dataset has in `code/`. Exit code 5 if any byte differs.
    `report.html` and `figures/` are not compared: they speak of the versions before, too.
    """
    from curation.index.index import existing_index
    from curation.pseudonyms import Pseudonyms
    from curation.publish import SnapshotDataset
    from curation.rebuild import rebuild as run_rebuild
    from curation.store import existing_store

    settings = load_settings(dataset=dataset, store=store, index=index, workers=workers)
    key = Pseudonyms.from_environment()
    report = run_rebuild(
        version,
        SnapshotDataset(settings.dataset),
        existing_store(settings.store),
        pseudonyms=key.fingerprint if key else None,
        index=existing_index(settings.index),
        out=out,
        workers=settings.workers,
    )
    if as_json:
        print_json(report)
    others = [f"{name} {now} (then {then})" for name, (then, now) in report.libraries.items()]
    if report.difference is not None:
        hint = f"; libraries differ from those of then: {', '.join(others)}" if others else ""
        raise LawBroken(f"{version}: the first difference is in {report.difference}{hint}")
    if not as_json:
        Console(highlight=False, soft_wrap=True).print(
            f"{version} ({report.commit[:10]}): all {report.files} files are made again byte for byte, from runs 1 to "
            f"{report.run} of the store"
        )

"""What ``demo`` does: three nights and a release against the embedded Web-API, and what to look at afterwards."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId
from rich.console import Console

from curation.errors import UsageError
from curation.index.index import Index
from curation.index.sources import add_sources
from curation.pseudonyms import KEY_VARIABLE
from curation.publish import NOTICE, SnapshotDataset
from curation.publish.release import make_release, plan_release
from flows.demo.corpus import make_corpus, second_night, write_public, write_truth
from flows.demo.load import load_documents
from flows.demo.server import DemoServer, database, make_app
from flows.settings import Settings, load_settings
from flows.views import pull_table, repair_counts, snapshot_table

_OURS = "demo-corpus-truth.jsonl"
# No secret: the people of the corpus are invented.
_KEY = "the demonstration's key for pseudonyms"
_NOTICE = (
    "A demonstration: who sent these records, when, and from which scanners is invented, and so are the public "
    "datasets. Nothing here is a finding."
)


def run(folder: Path, *, night: Callable[[Settings], Any], console: Console) -> None:
    """Run the demonstration in ``folder``, which is made anew.

    Args:
        folder: a folder that does not exist, is empty, or holds an earlier demonstration.
        night: runs one night with given settings.
        console: where to print.

    Raises:
        UsageError: the folder holds something else.
    """
    _clear(folder)
    folder.mkdir(parents=True)
    # Runs of the demonstration do not belong into the history of the Prefect that somebody works with.
    os.environ.setdefault("PREFECT_HOME", str((folder / "prefect").absolute()))
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    os.environ.setdefault(KEY_VARIABLE, _KEY)
    console.print("Making the demo corpus and serving it on a loopback port ...")
    corpus = make_corpus()
    write_truth(corpus, folder / _OURS)
    app = make_app(token="demo")
    db = database(app)
    for resource, documents in corpus.documents.items():
        load_documents(db, resource, documents)
    public = write_public(folder / "public")
    with DemoServer(app) as server:
        settings = load_settings(
            api_url=server.url, store=folder / "store", dataset=folder / "dataset", index=folder / "index"
        )
        _index(folder, public.first, console)
        dataset = SnapshotDataset(folder / "dataset")
        with dataset.lock():
            dataset.prepare()
            dataset.configure(NOTICE, _NOTICE)
        console.rule("First night")
        console.print(
            "Pull everything, make the tables, commit them (Prefect's own server has to start first) ..."
        )
        first = night(settings)
        console.print(pull_table(first.pulled), snapshot_table(first.published.snapshot), sep="")
        _tell_found(first.published.snapshot, console)
        _tell_commit(first, console)
        console.print(f"Release {_release(dataset)}: the night under the name of a day, tagged")
        console.rule("Second night: some records were added, changed, deleted")
        _change(db, corpus)
        _index(folder, [public.later], console)
        second = night(settings)
        console.print(pull_table(second.pulled))
        _tell_found(second.published.snapshot, console)
        _tell_changes(second, console)
        _tell_commit(second, console)
        console.rule("Third night: nothing happened")
        third = night(settings)
        console.print(_totals(third))
        _tell_commit(third, console)
    _show_ways(folder, console)


def _index(folder: Path, sources: Sequence[Path], console: Console) -> None:
    """Add public datasets to the index; ``index add`` does the same."""
    index = Index(folder / "index")
    with index.lock():
        add_sources(index, [str(source) for source in sources])
    copies = sum(dataset.images for dataset in index.datasets)
    console.print(
        f"Index of public images: {', '.join(source.name for source in sources)} added, {copies:,} files of "
        f"{len(index.datasets)} datasets known"
    )


def _release(dataset: SnapshotDataset) -> str:
    """Release the last night; ``release`` does the same."""
    with dataset.lock():
        dataset.prepare()
        plan = plan_release(dataset, None, datetime.now(UTC).date())
        make_release(dataset, plan)
    return str(plan.version)


def _clear(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _OURS).exists()):
        raise UsageError(f"{folder}: holds something that is no earlier demonstration; choose another --dir")
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink())]:
        path.chmod(0o700)  # git-annex makes its folders read-only
    shutil.rmtree(folder)


def _change(db: Any, corpus: Any) -> None:
    """What happens upstream between the first night and the second."""
    changes = second_night(corpus)
    for resource, documents in changes.added.items():
        load_documents(db, resource, documents)
    for resource, ids in changes.deleted.items():
        for record_id in ids:
            db[resource].delete_one({"_id": ObjectId(record_id)})
    for resource, documents in changes.changed.items():
        for document in documents:
            db[resource].delete_one({"_id": ObjectId(document["_id"])})
        load_documents(db, resource, documents)


def _tell_found(snapshot: dict[str, Any], console: Console) -> None:
    """What was repaired, and who is public, in a line each."""
    rules = repair_counts(snapshot)
    cells = snapshot["coverage"]["repairs"]["rows"]
    public = snapshot["public"].values()
    console.print(f"{cells:,} cells of the curated tables repaired or filled, by {len(rules)} rules")
    console.print(
        f"{sum(one['public'] for one in public):,} of {sum(one['images'] for one in public):,} images are public"
    )


def _tell_changes(report: Any, console: Console) -> None:
    """What changed since the release, and whether all of it has a cause."""
    changes = report.published.changes
    if changes is None:  # the log says why
        return
    release = report.published.snapshot["last_release"]["version"]
    scaled = f", {changes.rescaled:,} cells more only in their scale" if changes.rescaled else ""
    console.print(
        f"Since {release}, over all tables: {changes.added:,} rows added, {changes.removed:,} removed, "
        f"{changes.changed:,} changed{scaled}. {changes.verdict}"
    )


def _tell_commit(report: Any, console: Console) -> None:
    commit = report.published.commit
    console.print(f"Commit {commit[:10]}" if commit else "Nothing new: no commit")


def _totals(report: Any) -> str:
    """What a pull brought, in a sentence."""
    of_all = {
        kind: sum(getattr(one, kind) for one in report.pulled.resources.values())
        for kind in ("total", "new", "changed", "deleted")
    }
    return (
        f"The service has {of_all['total']:,} records: {of_all['new']:,} new, {of_all['changed']:,} changed, "
        f"{of_all['deleted']:,} deleted"
    )


def _show_ways(folder: Path, console: Console) -> None:
    dataset = folder / "dataset"
    # As typed in the folder where `make demo` ran: the virtual environment need not be active.
    bin_folder = Path(os.path.relpath(sys.prefix)) / "bin" if sys.prefix != sys.base_prefix else Path()
    program, key = bin_folder / "mriqc-snapshot", f'{KEY_VARIABLE}="${{{KEY_VARIABLE}:-{_KEY}}}"'
    table = f"pandas.read_csv('{dataset}/csv/T1w_curated.csv', low_memory=False)"
    compare = f"{table}.groupby(['manufacturer', 'field_strength_nominal'])['cjv'].describe()"
    ways = {
        "Compare scanners, without cleaning anything": (
            f'{bin_folder / "python"} -c "import pandas; print({compare}.to_string())"'
        ),
        "See what changed between the nights, and why": f"{program} diff HEAD~1 HEAD --dataset {dataset}",
        "See which cells were repaired, and why": f"head -n 5 {dataset}/audit/repairs.csv",
        "Release that night, and make its tables again, byte for byte": (
            f"{program} release --dataset {dataset} && {key} {program} rebuild HEAD --dataset {dataset} --store "
            f"{folder / 'store'} --index {folder / 'index'}"
        ),
    }
    console.rule("What to look at")
    console.print(f"All at a glance:      {dataset}/report.html, in a browser", highlight=False)
    console.print(f"Tables:               {dataset}/csv/ and {dataset}/parquet/", highlight=False)
    console.print(f"Fate of every record: {dataset}/audit/records.csv", highlight=False)
    console.print(f"Cell by cell repairs: {dataset}/audit/repairs.csv", highlight=False)
    console.print(f"What columns mean:    {dataset}/dictionary/", highlight=False)
    console.print(f"Planted defects:      {folder / _OURS}", highlight=False)
    console.print("\nFour things to try next:", highlight=False)
    for number, (what, command) in enumerate(ways.items(), 1):
        console.print(f"{number}. {what}", highlight=False)
        console.print(f"   {command}", markup=False, highlight=False, soft_wrap=True)

"""The command line: translates options into calls, and errors into exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from curation import errors
from flows import comparing, rebuilding, releasing
from flows.depositing import deposit
from flows.importing import DumpFiles, DumpResource
from flows.indexing import index_app
from flows.options import (
    AcceptCoverage,
    ApiUrl,
    AsJson,
    Connections,
    Dataset,
    IndexPath,
    MoreResources,
    Partitions,
    Rate,
    Resources,
    Scheduler,
    Store,
    Withdrawals,
    Workers,
)
from flows.printing import print_json, say
from flows.settings import Settings, load_settings
from flows.sharing import NightNotPushed, retain, sharing_json, sharing_lines, sibling_app

if TYPE_CHECKING:
    from flows.nightly import NightReport

EXIT_CODES: dict[type[errors.SnapshotError], int] = {
    errors.UsageError: 2,
    errors.LockedError: 3,
    errors.ServiceUnavailable: 4,
    errors.LawBroken: 5,
}
"""Anything else is 1; nothing wrong, also nothing to do, is 0."""

app = typer.Typer(
    name="mriqc-snapshot",
    help="Keep a trustworthy, versioned, citable copy of the MRIQC Web-API's database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(index_app, name="index")
app.add_typer(sibling_app, name="sibling")
app.command("release", epilog=releasing.EPILOG)(releasing.release)
app.command("rebuild", epilog=rebuilding.EPILOG)(rebuilding.rebuild)
app.command("diff", epilog=comparing.EPILOG)(comparing.diff)
app.command(epilog="Example: mriqc-snapshot retain --keep-nights 7 --dry-run --dataset mriqc-snapshot")(
    retain
)
app.command(epilog="Example: mriqc-snapshot deposit 2026.11.23 --dataset mriqc-snapshot --publish")(deposit)
console = Console()


@app.command(epilog="Example: mriqc-snapshot pull --api-url https://mriqc.nimh.nih.gov/api/v1 --store store")
def pull(
    api_url: ApiUrl = None,
    store: Store = None,
    more: MoreResources = None,
    resource: Resources = None,
    connections: Connections = None,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Bring the record store up to date with the Web-API."""
    from curation.pull import pull as run_pull
    from curation.store import RecordStore
    from flows.progress import show_progress

    settings = load_settings(
        api_url=api_url, store=store, resources=_several(resource, more), connections=connections, rate=rate
    )
    _plain_logs()
    with show_progress() as progress:
        report = asyncio.run(
            run_pull(
                settings.api_url,
                RecordStore(settings.store),
                resources=settings.resources,
                politeness=settings.politeness,
                limits=settings.limits,
                on_page=progress.page,
                on_plan=progress.expect,
            )
        )
    _print_pull(report, as_json)


@app.command("import", epilog="Example: mriqc-snapshot import bold.bson mriqc_api.T1w.json.gz --store store")
def import_dumps(
    files: DumpFiles, store: Store = None, resource: DumpResource = None, as_json: AsJson = False
) -> None:
    """Read dumps of the Web-API's database into the record store; a pull continues from there.

    What cannot be read is named with its byte offset; the rest is stored, and the exit code is 1.
    """
    from curation.dumps import find_dumps
    from curation.dumps import import_dumps as run_import
    from curation.store import RecordStore
    from flows.importing import import_table, require_all_read, show_bytes

    dumps = find_dumps(files, resource)
    record_store = RecordStore(load_settings(store=store).store)
    with record_store.lock(), show_bytes() as on_bytes:
        report = run_import(
            record_store,
            dumps,
            on_bytes=on_bytes,
            on_problem=lambda dump, problem: say(f"{dump.path or dump.name}: {problem}"),
        )
    if as_json:
        print_json(report)
    else:
        console.print(import_table(report))
    require_all_read(report)


@app.command(
    epilog="Example: mriqc-snapshot verify --api-url https://mriqc.nimh.nih.gov/api/v1 --store store"
)
def verify(
    api_url: ApiUrl = None,
    store: Store = None,
    more: MoreResources = None,
    resource: Resources = None,
    connections: Connections = None,
    rate: Rate = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Believe any number of deletions upstream.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the store's digests, recount it against the Web-API window by window, and record deletions."""
    from curation.pull import verify as run_verify
    from curation.store import existing_store
    from flows.progress import show_progress

    settings = load_settings(
        api_url=api_url,
        store=store,
        resources=_several(resource, more),
        connections=connections,
        rate=rate,
        most_deleted=1.0 if accept_deletions else None,
    )
    _plain_logs()
    with show_progress() as progress:
        report = asyncio.run(
            run_verify(
                settings.api_url,
                existing_store(settings.store),
                resources=settings.resources,
                politeness=settings.politeness,
                limits=settings.limits,
                on_page=progress.page,
            )
        )
    _print_pull(report, as_json)


@app.command(epilog="Example: mriqc-snapshot curate --store store --out tables")
def curate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables.")],
    store: Store = None,
    index: IndexPath = None,
    withdrawals: Withdrawals = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    partitions: Partitions = None,
    accept_coverage: AcceptCoverage = False,
    as_json: AsJson = False,
) -> None:
    """Make all tables from the record store in a plain folder; no network, no DataLad."""
    from curation.curate import curate as run_curate
    from curation.index.index import existing_index
    from curation.pseudonyms import KEY_VARIABLE, Pseudonyms
    from curation.store import existing_store
    from curation.withdrawals import given_requests

    _plain_logs()
    settings = load_settings(
        store=store,
        index=index,
        withdrawals=withdrawals,
        scheduler=scheduler,
        workers=workers,
        partitions=partitions,
    )
    requests = given_requests(settings.withdrawals)
    pseudonyms = Pseudonyms.from_environment()
    if pseudonyms is None:
        say(
            f"{KEY_VARIABLE} is not set: names of raters and serial numbers are left empty, and repeated ratings are "
            "not told"
        )
    record_store = existing_store(settings.store)
    with record_store.lock(), settings.engine() as engine:
        report = run_curate(
            record_store,
            out,
            pseudonyms=pseudonyms,
            index=existing_index(settings.index),
            withdrawals=requests,
            accept_coverage=accept_coverage,
            engine=engine,
            page=True,
            on_stage=say,
        )
    _print_snapshot(report.snapshot, as_json, report.withdrawals)
    say(f"tables are in {out}")


@app.command(epilog="Example: mriqc-snapshot nightly --store store --dataset mriqc-snapshot")
def nightly(
    api_url: ApiUrl = None,
    store: Store = None,
    dataset: Dataset = None,
    index: IndexPath = None,
    withdrawals: Withdrawals = None,
    more: MoreResources = None,
    resource: Resources = None,
    connections: Connections = None,
    rate: Rate = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    partitions: Partitions = None,
    accept_coverage: AcceptCoverage = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole night: pull, curate, commit to the DataLad dataset."""
    settings = load_settings(
        api_url=api_url,
        store=store,
        dataset=dataset,
        index=index,
        withdrawals=withdrawals,
        resources=_several(resource, more),
        connections=connections,
        rate=rate,
        scheduler=scheduler,
        workers=workers,
        partitions=partitions,
        accept_coverage=accept_coverage or None,
    )
    try:
        _tell_night(_run_night(settings), settings, as_json)
    except NightNotPushed as failure:
        _tell_night(failure.report, settings, as_json)
        raise


def _tell_night(report: NightReport, settings: Settings, as_json: bool) -> None:
    if as_json:
        print_json({"commit": report.published.commit, **sharing_json(report), **report.published.snapshot})
        return
    _print_pull(report.pulled, as_json)
    _print_snapshot(report.published.snapshot, as_json, report.published.withdrawals)
    commit = report.published.commit
    say(f"commit {commit[:10]} in {settings.dataset}" if commit else "nothing new, no commit")
    for line in sharing_lines(report):
        say(line)


@app.command(epilog="Example: mriqc-snapshot serve-demo --port 8080 --load T1w.jsonl.gz --token secret")
def serve_demo(
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE ...]", help="More files after --load.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Port on loopback; 0 for any free one.")] = 8080,
    load: Annotated[
        list[Path] | None,
        typer.Option("--load", help="JSON lines of documents (.gz, .zst too) instead of the corpus."),
    ] = None,
    token: Annotated[str, typer.Option("--token", help="What POST needs in Authorization.")] = "demo",
    mongo_uri: Annotated[
        str | None,
        typer.Option("--mongo-uri", help="A MongoDB to work on instead of memory.", show_default=False),
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Start without the demo corpus.")] = False,
) -> None:
    """Serve the embedded Web-API, with the demo corpus or with given documents."""
    serve = _demo_module("flows.demo.serve")
    serve.serve(
        port=port,
        files=[*(load or []), *(more or [])],
        token=token,
        mongo_uri=mongo_uri,
        empty=empty,
        say=say,
    )


@app.command(epilog="Example: mriqc-snapshot demo --dir demo")
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where everything goes.")] = Path("snapshots/demo"),
) -> None:
    """Run three nights and a release against the embedded Web-API, and show what came out."""
    _demo_module("flows.demo.demo").run(folder, night=_run_night, console=console)


def _run_night(settings: Settings) -> Any:
    """One night with progress; Prefect's import, which is slow, only happens here."""
    from flows.progress import show_progress

    if sys.stderr.isatty():
        # The bars are for a person; Prefect's interface has all lines.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    else:
        os.environ.setdefault("PREFECT_LOGGING_COLORS", "false")
    from flows.nightly import nightly as run_nightly

    with show_progress():
        return run_nightly(settings)


def _plain_logs() -> None:
    """Log lines on standard error, for commands without Prefect, which brings its own."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)


def _demo_module(name: str) -> Any:
    """A module of the embedded Web-API, whose libraries come with the extra ``demo``."""
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise errors.UsageError(
            f"{error.name} is not installed; the embedded Web-API needs: pip install 'mriqc-snapshot[demo]'"
        ) from error


def _several(values: list[str] | None, more: list[str] | None) -> tuple[str, ...] | None:
    """What ``--resource T1w bold`` and ``--resource T1w --resource bold`` give alike."""
    if more and not values:
        raise errors.UsageError(f"{more[0]!r}: resources follow --resource")
    return (*values, *(more or [])) if values else None


def _print_pull(report: Any, as_json: bool) -> None:
    from flows.views import pull_table

    if as_json:
        print_json(report)
    else:
        console.print(pull_table(report))


def _print_snapshot(snapshot: dict[str, Any], as_json: bool, withdrawals: list[Any]) -> None:
    from flows.views import snapshot_tables, withdrawal_table

    if as_json:
        print_json(snapshot)
        return
    console.print(*snapshot_tables(snapshot), sep="")
    if withdrawals:
        console.print(withdrawal_table(withdrawals))


def main() -> NoReturn:
    """The console script: wrong usage exits 2 (Typer's own), what was foreseen exits as the design says, in a line."""
    logging.getLogger("curation").setLevel(logging.INFO)
    # `timeout` and service managers end a run with SIGTERM: what came is sealed, as for Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except OSError as error:
        # A disk that is full or read-only, a folder that is a file: the message names it.
        say(f"mriqc-snapshot: {error}; nothing that was sealed or committed is lost")
        sys.exit(1)
    except errors.SnapshotError as error:
        say(f"mriqc-snapshot: {error}")
        sys.exit(next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1))
    sys.exit(0)


def _interrupt(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

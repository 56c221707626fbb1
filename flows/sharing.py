"""The command line of siblings, and of what a night leaves in the annex."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from curation.errors import SiblingFailed, SnapshotError, UsageError
from flows.options import AsJson, Dataset
from flows.printing import print_json, say
from flows.settings import load_settings

if TYPE_CHECKING:
    from curation.publish import SnapshotDataset
    from curation.retention import RetentionReport
    from curation.siblings import PushReport, Sibling
    from flows.nightly import NightReport

sibling_app = typer.Typer(
    help="Keep siblings of the dataset: a bare repository and storage for content, which others clone from.",
    no_args_is_help=True,
)
console = Console()


class NightNotPushed(SiblingFailed):
    """A night is committed, and did not reach every sibling.

    Attributes:
        report: what it did.
    """

    def __init__(self, message: str, report: NightReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[type[NightNotPushed], tuple[str, NightReport]]:
        """Prefect may keep what a flow raised."""
        return type(self), (str(self), self.report)


@sibling_app.command(
    epilog="Example: mriqc-snapshot sibling add public --storage ria:/srv/ria-store --dataset mriqc-snapshot"
)
def add(
    name: Annotated[str, typer.Argument(help="Name of the sibling.", show_default=False)],
    storage: Annotated[
        str,
        typer.Option(
            "--storage",
            help="Where content goes: ria:PATH, directory:PATH, s3:BUCKET/PREFIX or webdav:URL. Credentials come from "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or WEBDAV_USERNAME and WEBDAV_PASSWORD.",
            show_default=False,
        ),
    ],
    repository: Annotated[
        str | None,
        typer.Option(
            "--repository",
            help="Path of the bare repository, which is made, or URL of an empty one. A RIA store has its own.",
            show_default=False,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="Address of an S3 service that is not Amazon's.", show_default=False),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Region of an S3 bucket.", show_default=False)
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            help="Where everybody reads the bucket or folder without credentials.",
            show_default=False,
        ),
    ] = None,
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Make a sibling, or finish making it; nothing is pushed to it."""
    from curation.siblings import add_sibling, parse_storage

    found = _existing(dataset)
    place = parse_storage(storage, endpoint=endpoint, region=region, public_url=public_url)
    with found.lock():
        sibling = add_sibling(found, name, place, repository)
    if as_json:
        print_json(sibling)
        return
    say(f"{name}: {sibling.repository}, content in {sibling.type}:{sibling.place}")
    say(f"now: mriqc-snapshot sibling push {name} --dataset {found.path}")


@sibling_app.command(epilog="Example: mriqc-snapshot sibling push public --dataset mriqc-snapshot")
def push(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...]", help="Siblings; all without.", show_default=False),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Ask for content of releases that were pushed before, too; copy what was lost."
        ),
    ] = False,
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Bring siblings up to date: content of the newest night and of all releases, then branch and release tags.

    Other branches, tags and notes stay here: they are yours. A push that was stopped is finished by the next. Nothing
    is ever forced.
    """
    from curation.siblings import push as run_push
    from curation.siblings import siblings

    found = _existing(dataset)
    reports: list[PushReport] = []
    failures: list[SnapshotError] = []
    with found.lock():
        for name in dict.fromkeys(names or [one.name for one in siblings(found)]):
            try:
                reports.append(run_push(found, name, check=check, on_step=say))
            except SnapshotError as error:
                failures.append(error)
    if not reports and not failures:
        raise UsageError(f"{found.path}: no siblings; `mriqc-snapshot sibling add` makes one")
    if as_json:
        print_json({"siblings": [asdict(report) for report in reports], "failures": list(map(str, failures))})
    else:
        for report in reports:
            say(push_line(report))
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise SiblingFailed("; ".join(map(str, failures)))


@sibling_app.command(epilog="Example: mriqc-snapshot sibling show --dataset mriqc-snapshot")
def show(dataset: Dataset = None, as_json: AsJson = False) -> None:
    """Show the siblings, and how far each is behind; nobody is asked."""
    from curation.siblings import siblings

    found = _existing(dataset)
    rows = [_row(found, one) for one in siblings(found)]
    if as_json:
        print_json({"siblings": rows})
        return
    table = Table(title=f"Siblings of {found.path}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("name", "repository", "content", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        behind = row["commits_behind"]
        state = (
            "never pushed" if behind is None else f"{behind:,} commit(s) behind" if behind else "up to date"
        )
        table.add_row(row["name"], row["repository"], f"{row['type']}:{row['place']}", state)
    console.print(table)


def retain(
    keep_nights: Annotated[
        int | None,
        typer.Option(
            "--keep-nights", min=1, help="Nights whose content stays, beside releases.", show_default=False
        ),
    ] = None,
    siblings: Annotated[
        list[str] | None,
        typer.Option("--sibling", help="Drop it from this sibling's storage, too.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Drop the content of superseded nights from the annex; that of releases and of the last nights stays.

    `rebuild` makes what went again. Nights that it cannot make again keep their content: those without code/ or whose
    message names no run of the record store.
    """
    from curation.retention import retain as run_retain

    settings = load_settings(keep_nights=keep_nights)
    if settings.keep_nights is None:
        raise UsageError("--keep-nights, or the setting keep_nights, is missing: how many nights stay?")
    found = _existing(dataset)
    with found.lock():
        report = run_retain(found, settings.keep_nights, siblings or (), dry_run=dry_run)
    if as_json:
        print_json({**asdict(report), "dry_run": dry_run})
        return
    for line in retention_lines(report, dry_run=dry_run):
        say(line)


def retention_lines(report: RetentionReport, *, dry_run: bool = False) -> list[str]:
    """What was dropped, or would be: here, and from each sibling."""
    did = "would be dropped" if dry_run else "dropped"
    lines = [
        f"superseded nights: {report.keys:,} file(s), {report.bytes:,} bytes {did}; {report.kept:,} stay"
    ]
    if report.not_rebuildable:
        lines.append(
            f"{report.not_rebuildable:,} superseded night(s) stay, as `rebuild` cannot make them again"
        )
    return [*lines, *(f"{name}: {keys:,} file(s) {did}" for name, keys in report.siblings.items())]


def sharing_lines(report: NightReport) -> list[str]:
    """What a night pushed and dropped, as far as it was told to."""
    dropped = [] if report.retained is None else retention_lines(report.retained)
    return [*map(push_line, report.pushed), *dropped]


def sharing_json(report: NightReport) -> dict[str, Any]:
    """The same for a program."""
    retained = None if report.retained is None else asdict(report.retained)
    return {"pushed": [asdict(one) for one in report.pushed], "retained": retained}


def push_line(report: PushReport) -> str:
    """What a push did, in a line."""
    if report.status == "notneeded":
        return f"{report.sibling}: nothing to push"
    refs = ", ".join(
        ref.removeprefix("refs/").removeprefix("heads/").removeprefix("tags/") for ref in report.refs
    )
    return f"{report.sibling}: {report.keys:,} file(s), {report.bytes:,} bytes copied; pushed {refs or 'nothing'}"


def _existing(dataset: Path | None) -> SnapshotDataset:
    from curation.publish import SnapshotDataset

    found = SnapshotDataset(load_settings(dataset=dataset).dataset)
    found.require_there()
    return found


def _row(dataset: SnapshotDataset, sibling: Sibling) -> dict[str, Any]:
    from curation.publish.commands import git

    behind = None
    if sibling.pushed is not None:
        behind = int(git(dataset.path, "rev-list", "--count", f"{sibling.pushed}..HEAD"))
    return {**asdict(sibling), "commits_behind": behind}

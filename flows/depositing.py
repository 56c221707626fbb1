"""The command ``deposit``: a release goes to FigShare, and is published if that is confirmed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from curation.errors import SnapshotError, UsageError
from flows.options import AsJson, Dataset
from flows.printing import print_json, say
from flows.settings import load_settings

if TYPE_CHECKING:
    # Imported when it is run: every other command starts without it.
    from curation.deposit import DepositReport
    from curation.deposit.files import LocalFile

Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="The release's tag, e.g. 2026.11.23.", show_default=False)
]
Article = Annotated[
    int | None,
    typer.Option(
        "--article",
        min=1,
        help="Id of FigShare's article to deposit into.",
        show_default="that of the last deposit, or a new one",
    ),
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Publish it, once that is confirmed; this cannot be undone.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Publish without asking.")]


def deposit(
    version: Version,
    dataset: Dataset = None,
    article: Article = None,
    publish: Publish = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deposit a release at FigShare, whose token is in FIGSHARE_TOKEN; without --publish it stays a draft.

    What an earlier run uploaded is not uploaded again.
    """
    settings = load_settings(dataset=dataset, figshare_article=article)
    if yes and not publish:
        raise UsageError("--yes: says yes to --publish, which is not given")
    if publish and not (yes or sys.stdin.isatty()):
        raise UsageError(
            "--publish: asks for confirmation on a terminal, and this is none; scripts say --yes"
        )
    from curation.deposit import FigShare, Options, read_token
    from curation.deposit import deposit as run_deposit

    token = read_token()
    with (
        FigShare(
            settings.figshare_url,
            token,
            settings.figshare_politeness,
            settings.figshare_check_seconds,
        ) as client,
        _Bars() as bars,
    ):
        options = Options(
            article=settings.figshare_article,
            article_given=article is not None,
            categories=settings.figshare_categories,
            confirm=bars.before(_say_yes if yes else _ask) if publish else None,
            say=say,
            on_bytes=bars.advance,
        )
        report = run_deposit(client, settings.dataset, version, options)
    if as_json:
        print_json(report)
    _tell(report)


def _say_yes(report: DepositReport) -> bool:
    say(_would(report))
    return True


def _ask(report: DepositReport) -> bool:
    """Ask a person, who has to type the version."""
    say(_would(report))
    typed = typer.prompt(f"Type {report.version} to publish it", err=True, default="", show_default=False)
    if typed.strip() != report.version:
        raise SnapshotError("not published; the draft is complete, run the command again to publish it")
    return True


def _would(report: DepositReport) -> str:
    return (
        f"{report.version}: {report.files} files, {report.bytes:,} bytes, article {report.article}, to be public as "
        f"the next version of https://doi.org/{report.concept_doi}. A published version cannot be withdrawn."
    )


def _tell(report: DepositReport) -> None:
    """What was done, and what is to be done next, in words."""
    for warning in report.warnings:
        say(f"FigShare warns: {warning}")
    if report.missing:
        say(f"{report.version} does not have {', '.join(report.missing)}")
    for name in report.left:
        say(f"{name}: speaks of another version than {report.version}, and was left alone")
    if report.state == "notneeded":
        say(f"{report.version} is public already: {report.url}; nothing was uploaded")
    else:
        counts = {
            "uploaded": report.uploaded,
            "continued": report.continued,
            "there before": report.kept,
            "old ones removed": report.removed,
        }
        say(", ".join(f"{len(names)} {word}" for word, names in counts.items() if names))
    if report.state == "draft":
        say(f"article {report.article} is a draft; look at it: {report.url}")
        say(f"{_would(report)} To publish it: mriqc-snapshot deposit {report.version} --publish")
    elif report.state == "published":
        say(f"{report.version} is public: {report.url} ({report.urls} addresses told to git-annex)")
    if report.brought_back:
        say(
            f"the DOI is in the dataset: commit {report.brought_back[:10]}; push it, with git-annex and its notes"
        )


class _Bars:
    """A bar a file that is uploaded, if standard error is a terminal; nothing otherwise."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:24}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = Console(file=sys.stderr)
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def advance(self, file: LocalFile, count: int) -> None:
        """Bytes of a file were sent."""
        if file.name not in self._tasks:
            self._tasks[file.name] = self._bars.add_task(file.name, total=file.size)
        self._bars.advance(self._tasks[file.name], count)

    def before(self, ask: Callable[[DepositReport], bool]) -> Callable[[DepositReport], bool]:
        """``ask`` without bars, which would write over a question."""

        def asked(report: DepositReport) -> bool:
            self._bars.stop()
            return ask(report)

        return asked

"""The command that releases."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from curation.errors import UsageError
from flows.options import AsJson, Dataset
from flows.printing import print_json, say
from flows.settings import load_settings

if TYPE_CHECKING:
    from curation.publish.release import ReleasePlan

EPILOG = "Example: mriqc-snapshot release 2026.11.23 --dataset mriqc-snapshot --dry-run"
_SHOWN_LINES = 40
"""Changed lines of one file that a dry run shows."""


def release(
    version: Annotated[
        str | None,
        typer.Argument(help="Its name, as 2026.11.23; that of today without.", show_default=False),
    ] = None,
    dataset: Dataset = None,
    words: Annotated[
        str | None,
        typer.Option(
            "--words", help="What to say on top of the counted changes (Markdown).", show_default=False
        ),
    ] = None,
    words_file: Annotated[
        Path | None,
        typer.Option("--words-file", help="A file with these words.", exists=True, dir_okay=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all of it, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tag the last night as a version: what changed, checksums, metadata and citation in one commit."""
    from curation.publish import SnapshotDataset
    from curation.publish.release import make_release, plan_release, released_already

    if words is not None and words_file is not None:
        raise UsageError("--words and --words-file: one of them is expected")
    if words_file is not None:
        try:
            words = words_file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{words_file}: byte {error.start} is not UTF-8; save the file as such"
            ) from error
    snapshots = SnapshotDataset(load_settings(dataset=dataset).dataset)
    snapshots.require_there()
    with snapshots.lock():
        snapshots.prepare()
        if at := released_already(snapshots, version):
            if words is not None:
                raise UsageError(f"--words: nothing is new since {at}, whose words cannot change any more")
            if snapshots.failure is not None:
                say(f"the last night was not published: {snapshots.failure}")
            _tell(
                {"version": at, "status": "notneeded"},
                f"{at} is what is there; nothing new to release",
                as_json,
            )
            return
        today = datetime.now(UTC).date()
        plan = plan_release(snapshots, version, today, words=words, on_stage=say)
        for problem in plan.lacking:
            say(
                f"CITATION.cff: {problem}; a deposit at FigShare needs it, and a tag does not change any more"
            )
        if dry_run:
            _show(plan, as_json)
            return
        commit = make_release(snapshots, plan)
    if plan.unexplained:
        say(
            f"{plan.unexplained} change(s) since {plan.last} have no cause in the ledgers; `mriqc-snapshot diff` "
            "names them"
        )
    told = {
        "version": str(plan.version),
        "status": "ok",
        "commit": commit,
        "last": plan.last,
        "entry": plan.entry,
    }
    _tell(told, f"{plan.version}: commit {commit[:10]}, tagged", as_json)


def _tell(result: dict[str, str | None], words: str, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        Console(highlight=False, soft_wrap=True).print(words, markup=False)


def _show(plan: ReleasePlan, as_json: bool) -> None:
    """What a release would write: the entry as it reads, then every file as a difference."""
    if as_json:
        files = {name: content.decode() for name, content in plan.files.items()}
        print_json(
            {"version": plan.version, "status": "dry run", "night": plan.night, "last": plan.last,
             "unexplained": plan.unexplained, "entry": plan.entry, "files": files}
        )  # fmt: skip
        return
    console = Console(highlight=False)
    console.rule(f"{plan.version} on {plan.night[:10]}")
    console.print(Markdown(plan.entry))
    for name, content in plan.files.items():
        old = plan.before.get(name, b"").decode().splitlines()
        lines = list(difflib.unified_diff(old, content.decode().splitlines(), lineterm="", n=1))[2:]
        if not lines:
            continue
        state = "changed" if name in plan.before else f"new, {len(content):,} bytes"
        console.rule(f"{name} ({state})", align="left", style="dim")
        if name.endswith(".svg"):
            continue
        for line in lines[:_SHOWN_LINES]:
            style = {"+": "green", "-": "red"}.get(line[:1], "dim")
            console.print(
                line, style=style, markup=False, soft_wrap=True, no_wrap=True, overflow="ellipsis", crop=True
            )
        if len(lines) > _SHOWN_LINES:
            console.print(f"... and {len(lines) - _SHOWN_LINES} more lines, which --json shows", style="dim")
    say("dry run: nothing was written")

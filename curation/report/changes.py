"""How a night's tables differ from those of the last release, for its page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curation.errors import SnapshotError
from curation.report.before import Changes, TableChanges

if TYPE_CHECKING:
    from curation.diff import Difference

_logger = logging.getLogger(__name__)


def changes_since(release: str, dataset: Path, folder: Path) -> Changes | None:
    """Compare finished tables with a release.

    Args:
        release: its tag.
        dataset: that has it.
        folder: with the finished tables, ledgers and ``snapshot.json``.

    Returns:
        ``None`` where the release's content is not on this machine, is damaged, or is of a form that is not read any
        more: a night is published all the same.
    """
    from curation.diff import compare, open_version  # imports this room, through the dataset's

    try:
        before = open_version(release, dataset)
        annexed = [
            name for name in before.snapshot["files"] if name.startswith(("audit/", "csv/", "parquet/"))
        ]
        if missing := [name for name in annexed if not before.is_here(name)]:
            _logger.warning(
                "%s is not compared with: %d file(s) are not here, the first is %s",
                release,
                len(missing),
                missing[0],
            )
            return None
        return changes_of(compare(before, open_version(str(folder))))
    except (SnapshotError, pa.ArrowException) as error:
        _logger.warning("%s is not compared with: %s", release, error)
        return None


def changes_of(difference: Difference) -> Changes:
    """What a comparison found, as the page shows it."""
    from curation.diff import summary_lines

    # What is unexplained the page says itself.
    lines = (line.removeprefix("- ") for line in summary_lines(difference))
    tables = tuple(
        TableChanges(
            table.name,
            table.added,
            table.removed,
            table.changed,
            tuple((_words(cause.cause, cause.detail), cause.count) for cause in table.causes),
        )
        for table in difference.tables
    )
    return Changes(tuple(line for line in lines if not line.startswith("**")), tables, difference.unexplained)


def _words(cause: str, detail: str | None) -> str:
    return f"{cause} ({detail})" if detail else cause

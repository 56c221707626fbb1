"""How a night's tables differ from those of the last release, for its page."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curation.errors import SnapshotError
from curation.report.before import Because, Changes, TableChanges

if TYPE_CHECKING:
    from curation.diff import Difference, TableDifference

_logger = logging.getLogger(__name__)
_ORDER = ("columns", "rows", "cells")


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
        return changes_of(compare(before, open_version(str(folder)), hold_to_list=False))
    except (SnapshotError, pa.ArrowException) as error:
        _logger.warning("%s is not compared with: %s", release, error)
        return None


def changes_of(difference: Difference) -> Changes:
    """What a comparison found, as the page shows it."""
    from curation.diff import summary_lines

    # What has no cause, or none but other code, the page says itself.
    lines = (line.removeprefix("- ") for line in summary_lines(difference))
    tables = tuple(_table(table) for table in sorted(difference.tables, key=lambda one: one.name))
    said = tuple(line for line in lines if not line.startswith("**"))
    return Changes(said, tables, difference.unexplained, difference.by_code)


def _table(table: TableDifference) -> TableChanges:
    """A table's changes, without what is only scaled anew."""
    counts: Counter[tuple[str, str]] = Counter()
    for some in table.cells:
        if some.column is None:
            continue
        found = np.bincount(some.why[~some.only_scaled], minlength=len(some.causes.known))
        for (cause, detail, _), count in zip(some.causes.known, found.tolist(), strict=True):
            counts["cells", _words(cause, detail)] += count
    for one in table.causes:
        kind = one.kind.partition(" ")[0]
        if kind != "cell":
            counts["rows" if kind == "row" else "columns", one.cause] += one.count
    causes = [Because(what, cause, count) for (what, cause), count in counts.items() if count]
    causes.sort(key=lambda one: (_ORDER.index(one.what), -one.count, one.cause))
    rescaled = table.only_scaled_cells
    cells = sum(column.cells for column in table.columns) - rescaled
    changed = table.changed - table.only_scaled_rows
    return TableChanges(table.name, table.added, table.removed, changed, cells, rescaled, tuple(causes))


def _words(cause: str, detail: str | None) -> str:
    from curation.diff.cell_rows import OF_TABLE

    # Which of the table's other rows: "the whole table" alone says nothing to a reader.
    return detail if cause == OF_TABLE and detail else cause

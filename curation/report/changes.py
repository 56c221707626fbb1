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
    from curation.diff.cell_rows import CellRows

_logger = logging.getLogger(__name__)
_SCALED = "iqm_spread"
"""The column whose values are in units of the whole table."""
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
    places: set[int] = set()
    counts: Counter[tuple[str, str]] = Counter()
    rescaled = 0
    for some in table.cells:
        if some.column is None or some.places_b is None:
            continue
        real = ~np.isin(some.why, _rescalings(some))
        rescaled += int((~real).sum())
        places.update(some.places_b[real].tolist())
        for number, count in enumerate(
            np.bincount(some.why[real], minlength=len(some.causes.known)).tolist()
        ):
            cause, detail, _ = some.causes.known[number]
            counts["cells", _words(cause, detail)] += count
    for one in table.causes:
        kind = one.kind.partition(" ")[0]
        if kind != "cell":
            counts["rows" if kind == "row" else "columns", one.cause] += one.count
    causes = [Because(what, cause, count) for (what, cause), count in counts.items() if count]
    causes.sort(key=lambda one: (_ORDER.index(one.what), -one.count, one.cause))
    cells = sum(column.cells for column in table.columns) - rescaled
    return TableChanges(table.name, table.added, table.removed, len(places), cells, rescaled, tuple(causes))


def _words(cause: str, detail: str | None) -> str:
    from curation.diff.causes import OF_TABLE

    # Which of the table's other rows: "the whole table" alone says nothing to a reader.
    return detail if cause == OF_TABLE and detail else cause


def _rescalings(cells: CellRows) -> list[int]:
    """Numbers of the causes that change no measure, but the scale that it is told in."""
    from curation.diff.causes import OF_TABLE

    if cells.column != _SCALED:
        return []
    return [number for number, (cause, _, _) in enumerate(cells.causes.known) if cause == OF_TABLE]

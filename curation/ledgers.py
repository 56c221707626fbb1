"""The ledgers of ``audit/``: rows are checked and written as they come, and are not kept."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from curation.gate import Coverage, Measured
from curation.tables import TableWriter, encode
from schemas.published import LEDGERS, published_table

_BY_CHUNK = ("repairs", "disagreements")
"""Ledgers of cells: all of a record's come together, and there may be many more of them than records."""


class Ledgers:
    """Writes all ledgers; a context manager.

    Args:
        staging: the folder with ``audit/``.
    """

    def __init__(self, staging: Path) -> None:
        tables = {name: published_table(name) for name in LEDGERS}
        self._measured = {name: Measured(published) for name, published in tables.items()}
        with ExitStack() as files:
            self._writers = {
                name: files.enter_context(TableWriter(published.arrow_schema, staging / published.path))
                for name, published in tables.items()
            }
            self._files = files.pop_all()

    def __enter__(self) -> Ledgers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def write(self, name: str, rows: pa.Table) -> None:
        """Write rows of a ledger.

        Raises:
            LawBroken: they are not what the dictionary says.
        """
        if len(rows):
            self._measured[name].add(rows)
            if name in _BY_CHUNK:
                self._measured[name].require_unique()
            self._writers[name].write(encode(rows, rows.schema, parquet=False))

    def end_resource(self) -> None:
        """All rows of a resource were written; keys of ledgers name the resource, so that others have others.

        Raises:
            LawBroken: a key stands in two rows.
        """
        for measured in self._measured.values():
            measured.require_unique()

    @property
    def coverage(self) -> Coverage:
        """How much of each ledger is filled."""
        return {name: measured.coverage for name, measured in self._measured.items()}

"""What a night is compared with: the last release, the night before, and how the tables differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any


@dataclass(frozen=True)
class Before:
    """A version that was published before.

    Attributes:
        name: how it is called, such as ``2026.11.23``.
        snapshot: what its ``snapshot.json`` says.
        open: opens one of its files by path; ``None`` where its content is not here.
    """

    name: str
    snapshot: Mapping[str, Any]
    open: Callable[[str], BufferedIOBase | None]


@dataclass(frozen=True)
class Because:
    """Why some rows, cells or columns of a table differ.

    Attributes:
        what: ``rows``, ``cells`` or ``columns``.
        cause: in words.
        count: how many it explains.
    """

    what: str
    cause: str
    count: int


@dataclass(frozen=True)
class TableChanges:
    """How a table differs. What is only scaled anew is told apart: no record of such a row changed.

    Attributes:
        name: of the table.
        added: rows; removed: rows; changed: rows.
        cells: how many differ in the rows that changed.
        rescaled: cells whose scale changed: ``iqm_spread`` is in interquartile ranges of the whole table.
        causes: why, but for these; the most frequent first.
    """

    name: str
    added: int
    removed: int
    changed: int
    cells: int
    rescaled: int
    causes: tuple[Because, ...]


@dataclass(frozen=True)
class Changes:
    """How all tables differ from those of the last release.

    Attributes:
        lines: in sentences; words in backticks are names.
        tables: those that differ.
        unexplained: rows, cells and columns whose change has no cause.
        by_code: those for which nothing but other code, dictionary or rules is a cause.
    """

    lines: tuple[str, ...]
    tables: tuple[TableChanges, ...]
    unexplained: int
    by_code: int = 0

    @property
    def verdict(self) -> str:
        """Whether everything has a cause, in a sentence."""
        if not self.tables:
            return "No table changed."
        if self.unexplained:
            one = self.unexplained == 1
            errors = "change without a cause: an error" if one else "changes without a cause: errors"
            return f"{self.unexplained:,} {errors} of ours; please report {'it' if one else 'them'}."
        if self.by_code:
            have = "has" if self.by_code == 1 else "have"
            return (
                f"Every change has a cause; {self.by_code:,} of them {have} no other than that code, dictionary or "
                "rules changed."
            )
        return "Every change has a cause."

    @property
    def added(self) -> int:
        """Rows, over all tables."""
        return sum(table.added for table in self.tables)

    @property
    def removed(self) -> int:
        """Rows, over all tables."""
        return sum(table.removed for table in self.tables)

    @property
    def changed(self) -> int:
        """Rows, over all tables."""
        return sum(table.changed for table in self.tables)

    @property
    def columns(self) -> int:
        """That came, went or have another type, over all tables."""
        return sum(one.count for table in self.tables for one in table.causes if one.what == "columns")

    @property
    def cells(self) -> int:
        """In rows that changed, over all tables."""
        return sum(table.cells for table in self.tables)

    @property
    def rescaled(self) -> int:
        """Cells, over all tables."""
        return sum(table.rescaled for table in self.tables)

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
class TableChanges:
    """How a table differs.

    Attributes:
        name: of the table.
        added: rows; removed: rows; changed: rows.
        causes: why, in words, each with how many rows or cells it explains.
    """

    name: str
    added: int
    removed: int
    changed: int
    causes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Changes:
    """How all tables differ from those of the last release.

    Attributes:
        lines: in sentences; words in backticks are names.
        tables: those that differ.
        unexplained: rows and cells whose change has no cause.
    """

    lines: tuple[str, ...]
    tables: tuple[TableChanges, ...]
    unexplained: int

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

"""What both versions hold that contradicts a cause: a cell has one only where nothing says that it holds another value.

Ledgers tell why a record, and with it a whole row, is another. What the row has to hold then is told by the other table
that shows the same record (published differs from received where, and only where, the ledger of repairs has the cell),
by the ledgers, and by the row's own cells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.aligning import Alignment
from curation.diff.cells import APPEARED, ROUNDING, ChangedCells, texts
from curation.diff.evidence import Ledgers, Records
from curation.diff.picking import pick_each
from curation.diff.reading import TableFile, places_in, whole
from curation.diff.recomputed import Recomputed, read_anew
from curation.diff.rows import Evidence, Pairs
from curation.diff.sameness import NUMBERS, numbers, same_cells, same_texts
from curation.diff.spreads import out_of_bounds, scale_bounds
from schemas import table as declared_table
from schemas.dictionary import Resource
from schemas.published import CURATED_TABLES, IMAGE_RESOURCES, published_table

OF_LEDGER = ("record_id", "created", "updated", "md5sum")
"""Columns that ``audit/records`` has, too."""
_READ_AS_TEXT = "value-as-text"
"""The rule whose ledger rows have what was received in another form than the unique table."""


def counterpart(table: str) -> str | None:
    """The other table that shows records of the same resource; ``None`` of ratings, which one table shows."""
    if table in CURATED_TABLES:
        return table.removesuffix("_curated")
    return f"{table}_curated" if table in IMAGE_RESOURCES else None


def received_columns(table: str) -> frozenset[str]:
    """Columns that both tables of a resource have as they were received, or repaired."""
    other = counterpart(table)
    if other is None:
        return frozenset()
    both = set(published_table(table).names) & set(published_table(other).names)
    return frozenset(both.difference(OF_LEDGER))


@dataclass(frozen=True)
class Shown:
    """A table of one version, and the other that shows the same records.

    Attributes:
        table: its name.
        file: its cells.
        other: cells of the other table; ``None`` where there is none, or its content is not here.
        ledgers: of the version.
        record_ids: of the rows that differ, the records that they are made from.
        places: of these rows in the file.
        received: of each received column with cells that differ, the numbers of their rows among these.
        own: makes cells again of others.
    """

    table: str
    file: TableFile
    other: TableFile | None
    ledgers: Ledgers
    record_ids: pa.Array
    places: np.ndarray
    received: Mapping[str, np.ndarray]
    own: Recomputed

    def contradicts(self, column: str, which: np.ndarray, cells: pa.Array) -> np.ndarray:
        """Which cells are not what this version itself says elsewhere that they are.

        Args:
            column: of the table.
            which: the rows that differ in it, by their numbers among those that differ at all.
            cells: what they hold, as texts.
        """
        if column in OF_LEDGER:
            return self._not_of_record(column, which, cells)
        if column in received_columns(self.table):
            wrong = self._not_received(column, which, cells)
            return wrong | self.own.unfollowed(column, self.places[which])
        places = self.places[which]
        return self.own.contradicts(column, places, cells) | self.own.unfollowed(column, places)

    def _not_of_record(self, column: str, which: np.ndarray, cells: pa.Array) -> np.ndarray:
        records = self.ledgers.records[self.own.resource]
        told = records.texts(column, records.places(self.record_ids.take(pa.array(which))))
        # Of what is no checksum the ledger says nothing.
        known = told.astype(bool)
        return known & ~same_texts(told, cells, self.file.kinds.get(column))

    def _not_received(self, column: str, which: np.ndarray, cells: pa.Array) -> np.ndarray:
        """Law 6: published differs from received if and only if the ledger of repairs has the cell."""
        wrong = np.zeros(len(which), dtype=bool)
        if not self.ledgers.version.has("audit/repairs.csv"):
            return wrong
        ids = self.record_ids.take(pa.array(which))
        repairs = self.ledgers.repairs[self.own.resource]
        has, told, rules = repairs.of(column, ids)
        if self.table not in CURATED_TABLES:
            told = repairs.received(column, ids)
            # What was received for an empty cell could not be held; that of text is told in another form.
            by_text = np.array([_READ_AS_TEXT in (names or "").split() for names in rules], dtype=bool)
            compared = has & ~by_text & cells.is_valid().to_numpy(zero_copy_only=False)
        else:
            compared = has
        places = np.flatnonzero(compared)
        kinds = [file.kinds.get(column) for file in (self.file, self.other) if file is not None]
        # Where one table of the version has texts and the other numbers, the texts are of numbers.
        kind = next((kind for kind in kinds if kind in NUMBERS), kinds[0])
        wrong[places] = ~same_texts(told[places], cells.take(pa.array(places)), kind)
        if column in self._others:
            theirs, rows = self._others[column], self._found[which]
            places = np.flatnonzero((rows >= 0) & ~has)
            # All rows of the column that the other table shows, in the same order.
            picked = theirs.take(pa.array((np.cumsum(rows >= 0) - 1)[places]))
            wrong[places] |= ~same_cells(texts(picked), cells.take(pa.array(places)), kind)
        return wrong

    @cached_property
    def _found(self) -> np.ndarray:
        """Of each row that differs in a received column, where the other table shows the same record; else -1."""
        found = np.full(len(self.record_ids), -1)
        if self.other is not None and self.received and "record_id" in self.other.kinds:
            rows = np.unique(np.concatenate(list(self.received.values())))
            ids = whole(self.other.read(["record_id"]).column("record_id").cast(pa.string()))
            found[rows] = places_in(self.record_ids.take(pa.array(rows)), ids)
        return found

    @cached_property
    def _others(self) -> dict[str, pa.Array]:
        """Of each received column its cells in the other table, of the rows that differ and are of the same record."""
        if self.other is None:
            return {}
        places = {name: self._found[rows] for name, rows in self.received.items() if name in self.other.kinds}
        return pick_each(self.other, {name: found[found >= 0] for name, found in places.items()})


@dataclass(frozen=True)
class Disproof:
    """Cells of one table for which no cause holds.

    Attributes:
        pairs: rows with cells that differ.
        sides: what the first version says of them, and the second.
        alone: whether the table is a single row of it.
    """

    pairs: Pairs
    sides: tuple[Shown, Shown]
    alone: bool

    def contradicted(self, cells: ChangedCells, which: np.ndarray) -> np.ndarray:
        """Which cells are not what their own version says elsewhere that they are, whatever changed between both.

        Args:
            cells: that differ.
            which: numbers of their rows among ``pairs``.
        """
        wrong = np.zeros(len(which), dtype=bool)
        if self.alone and cells.column == "n_same_acquisition":
            return wrong
        if cells.column in self._iqms:
            # Zeros of both signs are alike, and so is whatever is no number. Other code may read what was not read.
            other = (cells.kinds != ROUNDING) & ~same_cells(cells.old, cells.new, cells.type)
            if not self._same_reading:
                other &= cells.kinds != APPEARED
            wrong |= other & self._unlike_exact_repeats[which]
        for side, held in zip(self.sides, (cells.old, cells.new), strict=True):
            wrong |= side.contradicts(cells.column, which, held)
            if cells.column == "iqm_spread":
                wrong |= _spread_without_repeats(
                    side.ledgers.records[self.pairs.resource],
                    self.pairs.checksums.take(pa.array(which)),
                    held,
                )
        return wrong

    def off_scale(self, cells: ChangedCells, same: np.ndarray) -> np.ndarray:
        """Which spreads moved further than the scale of the table did, where all records of the image are the same.

        Args:
            cells: spreads that differ.
            same: where all records of the image are the same.
        """
        if not same.any():
            return np.zeros(len(same), dtype=bool)
        return same & out_of_bounds(cells.old, cells.new, self._scale)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        one, other = (side.file.table for side in self.sides)
        return scale_bounds(one, other, self._iqms)

    @cached_property
    def _iqms(self) -> list[str]:
        return [column.name for column in declared_table(self.pairs.resource).iqms]  # type: ignore[arg-type]

    @cached_property
    def _same_reading(self) -> bool:
        """Whether both versions read documents alike."""
        one, other = (side.ledgers.version.versions for side in self.sides)
        return all(one.get(name) == other.get(name) for name in ("dictionary", "code", "mriqc-snapshot"))

    @cached_property
    def _unlike_exact_repeats(self) -> np.ndarray:
        """Rows made from another record of the one run of the image, whose repeats, says the ledger, are all exact."""
        before, now = (side.ledgers.records[self.pairs.resource] for side in self.sides)
        checksums, former = self.pairs.checksums, self.pairs.record_a
        counts, repeats = now.of_images(checksums)["count"].to_numpy(), now.repeats(checksums)
        alike = (repeats["first"] == 1) & (repeats["noisy"] == 0) & (repeats["repeats"] == counts)
        places = now.places(former)
        etags = before.texts("etag", before.places(former)), now.texts("etag", places)
        images = pc.equal(pa.array(now.texts("md5sum", places), pa.string()), checksums.cast(pa.string()))
        there = (etags[0] == etags[1]) & pc.fill_null(images, False).to_numpy(zero_copy_only=False)
        return np.asarray(alike.to_numpy() & there, dtype=bool)


def _spread_without_repeats(records: Records, checksums: pa.Array, cells: pa.Array) -> np.ndarray:
    """Spreads of images no run of which was repeated, and others than 0 of those whose repeats are all exact."""
    if not records.tells_repeats:
        return np.zeros(len(checksums), dtype=bool)
    counts = records.repeats(checksums)
    repeats, noisy = counts["repeats"].to_numpy(), counts["noisy"].to_numpy()
    held = cells.is_valid().to_numpy(zero_copy_only=False)
    values = numbers(cells)
    return ((repeats == 0) & held) | ((repeats > 0) & (noisy == 0) & (values != 0))


def make_disproof(
    pairs: Pairs,
    rows: Alignment,
    changed: np.ndarray,
    files: tuple[TableFile, TableFile],
    others: tuple[TableFile, TableFile] | None,
    records: tuple[pa.Array, pa.Array],
    cells: Sequence[ChangedCells],
    evidence: Evidence,
    *,
    alone: bool,
) -> Disproof:
    """Get ready to look for what contradicts causes; nothing is read before it is asked for.

    Args:
        pairs: rows with cells that differ.
        rows: which rows of the two tables are the same.
        changed: places of the rows of ``pairs`` among these.
        files: the table in both versions.
        others: its counterpart in both.
        records: of every row of ``files``, the record that it is made from.
        cells: that differ.
        evidence: what causes are taken from.
        alone: whether the tables are a single row of them.
    """
    both = received_columns(pairs.table)
    received = {one.column: np.searchsorted(changed, one.rows) for one in cells if one.column in both}

    def rows_of(names: Collection[str]) -> np.ndarray:
        """Numbers of rows with a cell that differs in one of some columns."""
        places = [one.rows for one in cells if one.column in names]
        return np.searchsorted(changed, np.unique(np.concatenate([np.array([], dtype="int64"), *places])))

    made = rows_of(read_anew(pairs.table))
    flagged = rows_of(("flags",))
    sides = []
    for side, common in enumerate((rows.common_a, rows.common_b)):
        ledgers = (evidence.a, evidence.b)[side]
        places = common[changed]
        differing = np.setdiff1d(np.arange(files[side].rows), common, assume_unique=True)
        resource: Resource = pairs.resource  # type: ignore[assignment]
        own = Recomputed(
            pairs.table, resource, files[side], records[side], ledgers,
            np.union1d(places, differing), np.sort(places[made]), np.sort(places[flagged]),
        )  # fmt: skip
        ids = (pairs.record_a, pairs.record_b)[side].cast(pa.string())
        other = None if others is None else others[side]
        sides.append(Shown(pairs.table, files[side], other, ledgers, ids, places, received, own))
    return Disproof(pairs, (sides[0], sides[1]), alone)

"""Why cells differ: the ledgers and versions are asked, and what they do not tell stays without a cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.cell_rows import CODE, OF_TABLE, RULES, SCHEMA
from curation.diff.cells import APPEARED, ROUNDING, ChangedCells
from curation.diff.disproof import Disproof
from curation.diff.evidence import Matches
from curation.diff.reading import those_in
from curation.diff.recomputed import sources_of
from curation.diff.rows import Evidence, Pairs
from curation.diff.sameness import numbers, same_texts
from curation.match.public import PUBLIC_COLUMNS
from curation.repair import FILLING
from schemas import table as declared_table
from schemas.published import CURATED_TABLES, IMAGE_RESOURCES, published_table

REPAIRED, FILLED = "repair rule", "filled from a sidecar"
FOUND, LOST, OTHER_COPY = "new public match", "lost public match", "other public copy"
OF_IMAGE = "other records of the image"
DERIVED, PSEUDONYMS = "derived of a changed cell", "pseudonym key changed"
SIDECAR = "sidecar of the public image"
_RATINGS = "other ratings of the image"
_COUNTED = ("n_records", "n_versions", "iqm_spread", "n_same_acquisition")
_OF_RATINGS = ("n_ratings_of_image", "image_table", "repeat_of")
OF_OTHERS = frozenset((*PUBLIC_COLUMNS, *_COUNTED, *_OF_RATINGS))
"""Columns that tell of more than the record that a row is made from."""
TOLD = frozenset((*PUBLIC_COLUMNS, "n_records", "n_ratings_of_image", "image_table"))
"""Columns of which the ledgers tell what they hold, whatever the code."""
SUBJECT = ("bids_meta_subject_id", "bids_meta_session_id")
"""Columns that images of one acquisition share, and no rule repairs."""
_FROM_LEDGER = {
    "public_source": "source",
    "public_dataset": "dataset",
    "public_version": "last_version",
    "public_path": "path",
    "public_url": "url",
    "public_doi": "doi",
}


@dataclass
class Attribution:
    """Finds the causes of the cells of one table, column by column: what others are made of first.

    Attributes:
        pairs: rows with cells that differ, ``rows`` their places among the common rows, ascending.
        evidence: what causes are taken from.
        neighbours: of some rows (places in ``pairs``), whether another image of the same subject and session came,
            went or is made from another record.
        disproof: what contradicts causes.
        retyped: columns of another type.
        common: columns that both versions have.
        done: of each column that was looked at, rows and causes.
    """

    pairs: Pairs
    rows: np.ndarray
    evidence: Evidence
    neighbours: Callable[[np.ndarray], np.ndarray]
    disproof: Disproof
    retyped: frozenset[str]
    common: frozenset[str]
    done: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def causes(self, cells: Sequence[ChangedCells]) -> dict[str, np.ndarray]:
        """Numbers of the causes of the cells of each column."""
        for one in sorted(cells, key=lambda one: self._rank(one.column)):
            self.done[one.column] = (one.rows, self._of_column(one))
        return {name: why for name, (_, why) in self.done.items()}

    def _rank(self, column: str) -> int:
        return 2 if column == "flags" else 1 if sources_of(column) else 0

    def _of_column(self, cells: ChangedCells) -> np.ndarray:
        places = np.searchsorted(self.rows, cells.rows)
        pairs = self.pairs.pick(_mask(len(self.rows), places))
        column, number = cells.column, self.evidence.causes.number
        known = pairs.same | (pairs.base > 0)
        if column in OF_OTHERS:
            found = self._of_others(cells, pairs, places)
        else:
            found = self._of_record(cells, pairs)
            self._fill(found, pairs.same, lambda: self._of_repairs(cells, pairs))
            self._fill(found, known, lambda: self._derived(cells, pairs))
        if column in _pseudonyms(pairs.resource) and "pseudonyms" in self.evidence.changed:
            self._fill(found, pairs.same, lambda: np.full(len(pairs.keys), number(PSEUDONYMS)))
        if column in self.retyped:
            versions = self.evidence.of_versions("dictionary", "code", "mriqc-snapshot")
            self._fill(
                found,
                pairs.same & ~_other_numbers(cells),
                lambda: np.full(len(pairs.keys), number(SCHEMA, versions)),
            )
        self._fill(found, known, lambda: self._of_versions(cells, pairs))
        if found.any():
            found[self.disproof.contradicted(cells, places)] = 0
        return found

    def _of_record(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        """Cells of rows that are made from another record, or another version of it.

        What is made of other columns changes with them only.
        """
        sources = sources_of(cells.column)
        if not sources or not all(name in self.common for name in sources):
            return pairs.base.copy()
        changed = [self.done[name][0] for name in sources if name in self.done]
        rows = np.unique(np.concatenate([np.array([], dtype="int64"), *changed]))
        return np.where(np.isin(cells.rows, rows), pairs.base, 0)

    def _fill(self, found: np.ndarray, where: np.ndarray, causes: Callable[[], np.ndarray]) -> None:
        """Give causes to cells that have none yet."""
        open_ = where & (found == 0)
        if open_.any():
            found[open_] = causes()[open_]

    # --- what is repaired ------------------------------------------------------------------------------------

    def _of_repairs(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        """Cells of which the ledgers of repairs differ, and say what the cells hold."""
        found = np.zeros(len(pairs.keys), dtype="int64")
        if pairs.table not in CURATED_TABLES:
            return found
        a, b = self.evidence.a.repairs[pairs.resource], self.evidence.b.repairs[pairs.resource]
        had, old, old_rules = a.of(cells.column, pairs.record_a)
        has, new, rules = b.of(cells.column, pairs.record_b)
        differs = (had != has) | (old != new) | (old_rules != rules)
        differs &= ~had | same_texts(old, cells.old, cells.type)
        differs &= ~has | same_texts(new, cells.new, cells.type)
        for side, names in ((self.evidence.a, old_rules), (self.evidence.b, rules)):
            differs &= side.knows_rules(names)
        for place in np.flatnonzero(differs):
            found[place] = self._repair(old_rules[place], rules[place])
        return found

    def _repair(self, before: str | None, now: str | None) -> int:
        filled, fills = FILLING in (before or "").split(), FILLING in (now or "").split()
        if filled or fills:
            how = "" if not filled else "another sidecar, or another value in it" if fills else "no longer"
        else:
            how = "applied" if before is None else "no longer applied" if now is None else "another result"
            if "rules" in self.evidence.changed:
                how += ", as rules changed"
        versions = self.evidence.a.rule_versions(before), self.evidence.b.rule_versions(now)
        if None not in (before, now) and before != now:  # other rules: their versions are no later ones
            versions = None, versions[1]
        detail = ", ".join(filter(None, [how, _version_words(*versions)])) or None
        return self.evidence.causes.number(FILLED if filled or fills else REPAIRED, detail, now or before)

    # --- what is made of other columns -----------------------------------------------------------------------

    def _derived(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        found = np.zeros(len(pairs.keys), dtype="int64")
        number = self.evidence.causes.number
        sources = sources_of(cells.column)
        if cells.column == "flags" and pairs.table in CURATED_TABLES:
            sources = tuple(name for name in self.done if name not in OF_OTHERS)
            for cause, name, asked in (
                (SIDECAR, "disagreements", pairs.record_b),
                (SIDECAR, "matches", pairs.checksums),
                (REPAIRED, "repairs", pairs.record_b),
            ):
                of_a, of_b = (
                    getattr(one, name)[pairs.resource].marks(asked)
                    for one in (self.evidence.a, self.evidence.b)
                )
                found[of_a != of_b] = number(cause)
        # What is asked first comes last, and stays.
        for name in reversed(sources):
            if name in self.done:
                rows, why = self.done[name]
                explained = rows[why > 0]
                found[np.isin(cells.rows, explained)] = number(DERIVED, name)
        if (sources_of(cells.column) or cells.column == "flags") and "rules" in self.evidence.changed:
            found[found == 0] = number(RULES)
        return found

    # --- what tells of other records and of public copies ----------------------------------------------------

    def _of_others(self, cells: ChangedCells, pairs: Pairs, places: np.ndarray) -> np.ndarray:
        if cells.column in PUBLIC_COLUMNS:
            return self._public(cells, pairs)
        if cells.column in _OF_RATINGS:
            return self._of_ratings(cells, pairs)
        found = np.zeros(len(pairs.keys), dtype="int64")
        number = self.evidence.causes.number
        if cells.column == "n_same_acquisition":
            found[self.neighbours(places)] = number(OF_TABLE, "other images of the subject")
            self._fill(found, pairs.base > 0, lambda: pairs.base)
            return found
        counts, differs = self._counts(pairs)
        if cells.column == "n_records":
            differs &= counts == _as_counts(cells.new)
        elif cells.column == "n_versions":
            differs &= counts >= _as_counts(cells.new)
        found[differs] = number(OF_IMAGE)
        if cells.column == "iqm_spread":
            if "numpy" in self.evidence.changed:
                found[found == 0] = number(CODE, "numpy")
            if not self.evidence.a.same_shown(self.evidence.b, pairs.resource):
                found[found == 0] = number(OF_TABLE, "interquartile ranges")
            found[self.disproof.off_scale(cells, ~differs)] = 0
        return found

    def _counts(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """How many sound records each image has now, and whether they are not those that it had."""
        a = self.evidence.a.records[pairs.resource].of_images(pairs.checksums)
        b = self.evidence.b.records[pairs.resource].of_images(pairs.checksums)
        return b["count"].to_numpy(), (a["mark"] != b["mark"]).to_numpy(copy=True)

    def _public(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        """Columns of the public copy: the ledgers of matches differ, and say what the cells hold."""
        found, number = np.zeros(len(pairs.keys), dtype="int64"), self.evidence.causes.number
        a, b = self.evidence.a.matches[pairs.resource], self.evidence.b.matches[pairs.resource]
        copies_a, copies_b = a.copies(pairs.checksums), b.copies(pairs.checksums)
        differs = (a.marks(pairs.checksums) != b.marks(pairs.checksums)) | ((copies_a > 0) != (copies_b > 0))
        asked_a, asked_b = (
            ledgers.version.versions.get("index") is not None
            for ledgers in (self.evidence.a, self.evidence.b)
        )
        expected = _expected(cells.column, b, pairs.checksums, copies_b, asked_b)
        holds = same_texts(expected, cells.new, cells.type)
        found[differs & holds & (copies_a == 0)] = number(FOUND)
        found[differs & holds & (copies_b == 0)] = number(LOST)
        found[differs & holds & (copies_a > 0) & (copies_b > 0)] = number(OTHER_COPY)
        if asked_a != asked_b:
            told = "an index was asked" if asked_b else "no index was asked"
            found[(found == 0) & holds & (copies_b == 0)] = number(told)
        return found

    def _of_ratings(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        found, number = pairs.base.copy(), self.evidence.causes.number
        if cells.column == "image_table":
            return self._image_tables(cells, pairs)
        counts, differs = self._counts(pairs)
        if cells.column == "n_ratings_of_image":
            # Where no image is named, nothing else is known to be of it.
            told = np.maximum(counts, 1) == _as_counts(cells.new)
        else:
            told = self._are_of_image(cells.new, pairs)
        differs &= told
        found[~told] = 0
        if cells.column == "repeat_of" and "pseudonyms" in self.evidence.changed:
            found[(found == 0) & told] = number(PSEUDONYMS)
        found[(found == 0) & differs] = number(_RATINGS)
        return found

    def _image_tables(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        """Where an image came or left, or a rating is of another, and the cell names the tables that have the image."""
        expected = np.full(len(pairs.keys), "", dtype=object)
        moved = np.zeros(len(pairs.keys), dtype="int64")
        for resource in IMAGE_RESOURCES:
            a, b = (
                one.records[resource].of_images(pairs.checksums)["count"].to_numpy() > 0
                for one in (self.evidence.a, self.evidence.b)
            )
            moved[a != b] = self.evidence.causes.number(f"the image came to or left {resource}")
            expected[b] += f" {resource}"
        holds = same_texts(
            np.array([text.strip() or None for text in expected], dtype=object), cells.new, cells.type
        )
        return np.where(holds, np.where(pairs.base > 0, pairs.base, moved), 0)

    def _are_of_image(self, ids: pa.Array, pairs: Pairs) -> np.ndarray:
        """Where ids are those of ratings of the same image, or there is none."""
        records = self.evidence.b.records[pairs.resource]
        theirs = records.texts("md5sum", records.places(ids))
        ours = np.asarray(pairs.checksums.to_numpy(zero_copy_only=False), dtype=object)
        return (theirs == ours) | ids.is_null().to_numpy(zero_copy_only=False)

    # --- what changed with code and dictionary ---------------------------------------------------------------

    def _of_versions(self, cells: ChangedCells, pairs: Pairs) -> np.ndarray:
        """Cells that another dictionary or other code reads otherwise.

        No IQM changes or vanishes by that, nor what the ledgers tell.
        """
        found = np.zeros(len(pairs.keys), dtype="int64")
        cause = self.evidence.of_versions("dictionary", "code", "mriqc-snapshot")
        if cause is None or cells.column in TOLD:
            return found
        found[:] = self.evidence.causes.number(cause)
        if cells.column in _iqms(pairs.resource):
            found[cells.kinds != APPEARED] = 0
        return found


def _other_numbers(cells: ChangedCells) -> np.ndarray:
    """Where a cell holds another number than before, whatever its type."""
    old, new = numbers(cells.old), numbers(cells.new)
    return ~np.isnan(old) & ~np.isnan(new) & (old != new) & (cells.kinds != ROUNDING)


def _version_words(before: str | None, now: str | None) -> str:
    """Versions of the rules that decided a cell before and decide it now."""
    if before is None or now is None or before == now:
        return f"version {now or before}" if now or before else ""
    return f"version {before} to {now}"


def _mask(count: int, places: np.ndarray) -> np.ndarray:
    found = np.zeros(count, dtype=bool)
    found[places] = True
    return found


@cache
def _iqms(resource: str) -> frozenset[str]:
    return frozenset(column.name for column in declared_table(resource).iqms)  # type: ignore[arg-type]


@cache
def _pseudonyms(resource: str) -> frozenset[str]:
    columns = published_table(resource).columns
    return frozenset(column.name for column in columns if column.personal in ("device", "rater"))


def _expected(
    column: str, matches: Matches, checksums: pa.Array, copies: np.ndarray, asked: bool
) -> np.ndarray:
    """What a column of the public copy has to hold, as texts."""
    if column in _FROM_LEDGER:
        return matches.chosen(_FROM_LEDGER[column], checksums)
    if not asked:
        return np.full(len(copies), None, dtype=object)
    if column == "public":
        return np.where(copies > 0, "true", "false").astype(object)
    return copies.astype(str).astype(object)


def _as_counts(cells: pa.Array) -> np.ndarray:
    """Counts; -1 for what is none."""
    return np.nan_to_num(numbers(cells), nan=-1, posinf=-1, neginf=-1)


def same_subjects(rows: pa.Table, moved: pa.Table) -> np.ndarray:
    """Of each row, whether it has the subject and session of one of others."""
    one, other = (_joined(table) for table in (rows, moved))
    return np.asarray(those_in(one, other.unique()).to_numpy(zero_copy_only=False), dtype=bool)


def _joined(table: pa.Table) -> pa.Array:
    columns = [pc.fill_null(table.column(name).cast(pa.string()), "") for name in table.column_names]
    return pa.concat_arrays(
        pc.binary_join_element_wise(*columns, "\x1f").chunks or [pa.array([], pa.string())]
    )

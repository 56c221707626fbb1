"""What cells of a row say that others hold: harmonised columns, readings of ratings, flags, counts of images.

They are made again by the code at hand. Of a version that other code made it is believed only where it says of rows
that did not change what these hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.code import source_digest
from curation.deduplicate.similar import ACQUISITION_KEY, count_similar
from curation.diff.cells import texts
from curation.diff.evidence import Ledgers
from curation.diff.picking import pick
from curation.diff.reading import TableFile, whole
from curation.diff.sameness import same_cells
from curation.flags import ECHO_TIME, REPETITION_TIME, flag
from curation.harmonise import harmonise
from curation.ratings import rate
from curation.repair import Repaired
from schemas import table as declared_table
from schemas.dictionary import Resource
from schemas.published import CURATED_TABLES, published_table

_COMMENT = ("comment",)
DERIVED_OF: Mapping[str, tuple[str, ...]] = {
    "manufacturer": ("bids_meta_Manufacturer", "bids_meta_ManufacturersModelName"),
    "scanner_model": ("bids_meta_ManufacturersModelName",),
    "field_strength_nominal": (
        "bids_meta_MagneticFieldStrength", "bids_meta_ImagingFrequency", "bids_meta_ManufacturersModelName",
    ),
    "mriqc_version": ("provenance_version",),
    "mriqc_series": ("provenance_version",),
    "task": ("bids_meta_task_id", "bids_meta_TaskName"),
    "rating_value": ("rating",),
    "rating_label": ("rating",),
    "other_codes": _COMMENT,
    "comment_text": _COMMENT,
}  # fmt: skip
"""Columns that are made of others (curation/harmonise.py, curation/ratings.py): of which, as they are asked."""
SAMPLE, LEAST = 5_000, 100
"""Rows that did not change, of which cells are made again: so many at the most; so few are no reason to believe."""
AT_ONCE = 100_000
"""Rows of which cells are made again at a time."""
_SCANNER: tuple[str, ...] = (
    "bids_meta_Manufacturer", "bids_meta_ManufacturersModelName", "bids_meta_MagneticFieldStrength",
    "bids_meta_ImagingFrequency", "provenance_version", "bids_meta_task_id", "bids_meta_TaskName",
)  # fmt: skip
"""What harmonised columns are made of."""
_RATED: tuple[str, ...] = ("rating", "comment")
_TIMES = {ECHO_TIME: "bids_meta_EchoTime", REPETITION_TIME: "bids_meta_RepetitionTime"}
_OF_RECEIVED = frozenset(("formula_text", "unreadable_acquisition", "modality_mismatch"))
"""Flags of what is in no cell and no ledger."""
_OF_LEDGERS = frozenset(("undecidable_value", "repetition_time_doubtful", "sidecar_mismatch"))
_REPAIRS, _DISAGREEMENTS = "audit/repairs.csv", "audit/disagreements.csv"


def read_anew(table: str) -> frozenset[str]:
    """Columns of a table that are made of others, and those."""
    sources = _RATED if table == "rating" else _SCANNER if table in CURATED_TABLES else ()
    return made_of_others(table).union(sources)


def made_of_others(table: str) -> frozenset[str]:
    """Columns of a table that are made of others of the same row, flags of images excepted."""
    if table == "rating":
        return frozenset(rate(published_table(table).arrow_schema.empty_table()).column_names)
    if table in CURATED_TABLES:
        rows = published_table(table).arrow_schema.empty_table()
        return frozenset(harmonise(table.removesuffix("_curated"), rows))  # type: ignore[arg-type]
    return frozenset()


def sources_of(column: str) -> tuple[str, ...]:
    """What a column is made of; nothing for one that is not made of others."""
    return _COMMENT if column.startswith("artifact_") else DERIVED_OF.get(column, ())


@dataclass(frozen=True)
class Recomputed:
    """Cells of one table of one version, made again of others.

    Attributes:
        table: its name.
        resource: whose records its rows are made from.
        file: its cells.
        records: of every row, the record that it is made from.
        ledgers: of the version.
        changed: places of the rows that differ from the other version's.
        derived: of those, the places where a column differs that is made of others, or that others are made of.
        flagged: likewise, where flags differ.
    """

    table: str
    resource: Resource
    file: TableFile
    records: pa.Array
    ledgers: Ledgers
    changed: np.ndarray
    derived: np.ndarray
    flagged: np.ndarray
    _agreeing: dict[str, bool] = field(default_factory=dict, repr=False)

    def contradicts(self, column: str, places: np.ndarray, cells: pa.Array) -> np.ndarray:
        """Which cells are not what the others of their rows say; none where these cannot tell.

        Args:
            column: any.
            places: of rows, among those that differ in this column.
            cells: what they hold, as texts.
        """
        if column == "n_same_acquisition":
            return self._miscounted(places, cells)
        if column not in made_of_others(self.table) and column != "flags":
            return np.zeros(len(places), dtype=bool)
        if column == "flags" and self.table != "rating":
            return self._misflagged(places, cells)
        made = self._made
        if made is None or not self._agrees(made[column], column):
            return np.zeros(len(places), dtype=bool)
        told = made[column].take(pa.array(np.searchsorted(self.derived, places)))
        return ~same_cells(told, cells, self.file.kinds.get(column))

    def unfollowed(self, column: str, places: np.ndarray) -> np.ndarray:
        """Where what is made of a column is not what it says: one of them is another than it should be.

        Args:
            column: any.
            places: of rows, among those that differ in this column.
        """
        wrong = np.zeros(len(places), dtype=bool)
        made = self._made if column in self._sources else None
        for name, cells in (made or {}).items():
            if column in sources_of(name) and name in self.file.kinds and self._agrees(cells, name):
                rows = pa.array(np.searchsorted(self.derived, places))
                wrong |= ~same_cells(cells.take(rows), self._held[name].take(rows), self.file.kinds[name])
        return wrong

    @property
    def _sources(self) -> tuple[str, ...]:
        return _RATED if self.table == "rating" else _SCANNER if self.table in CURATED_TABLES else ()

    @cached_property
    def _held(self) -> dict[str, pa.Array]:
        """Of rows where a column or what it is made of differs: what such columns hold, as texts."""
        names = [name for name in made_of_others(self.table) if name in self.file.kinds]
        return {name: texts(column) for name, column in pick(self.file, names, self.derived).items()}

    @cached_property
    def _sample(self) -> np.ndarray:
        """Places of some rows that did not change, all over the table."""
        if not self.file.rows:
            return np.array([], dtype="int64")
        every = np.linspace(0, self.file.rows - 1, min(SAMPLE, self.file.rows)).astype("int64")
        return np.setdiff1d(every, self.changed)

    @cached_property
    def _is_ours(self) -> bool:
        """Whether the version was made by the code at hand."""
        return self.ledgers.version.versions.get("code") == source_digest()

    def _agrees(self, made: pa.Array, column: str) -> bool:
        """Whether what was made of the sample, after that of the rows asked for, is what it holds."""
        if self._is_ours:
            return True
        if column not in self._agreeing:
            agrees = len(self._sample) >= LEAST
            if agrees:
                held = texts(pick(self.file, [column], self._sample)[column])
                agrees = bool(same_cells(made.slice(len(self.derived)), held, self.file.kinds[column]).all())
            self._agreeing[column] = agrees
        return self._agreeing[column]

    def _has(self, names: Collection[str]) -> bool:
        """Whether the table has columns with the types that they are declared with."""
        declared = self._declared
        return all(self.file.kinds.get(name) == declared[name] for name in names if name in declared)

    def _pick(self, names: Collection[str], places: np.ndarray) -> pa.Table:
        """Columns of rows, those that are declared."""
        return pa.table(pick(self.file, [name for name in names if name in self._declared], places))

    @cached_property
    def _declared(self) -> dict[str, str]:
        return {column.name: column.type for column in published_table(self.table).columns}

    # --- columns that are made of others ---------------------------------------------------------------------

    @cached_property
    def _made(self) -> dict[str, pa.Array] | None:
        """Of rows where such a column differs, and then of the sample: what all such columns hold, as texts."""
        makes: Callable[[pa.Table], pa.Table] = rate if self.table == "rating" else self._harmonised
        found: dict[str, list[pa.Array]] = {}
        if not self._has(self._sources):
            return None
        for places in _some(np.concatenate([self.derived, self._sample])):
            made = makes(self._pick(self._sources, places))
            for name in made.column_names:
                found.setdefault(name, []).append(texts(whole(made.column(name))))
        return {name: pa.concat_arrays(cells) for name, cells in found.items()}

    def _harmonised(self, rows: pa.Table) -> pa.Table:
        return pa.table(harmonise(self.resource, rows))

    # --- flags -----------------------------------------------------------------------------------------------

    def _misflagged(self, places: np.ndarray, cells: pa.Array) -> np.ndarray:
        made = self._flags
        if made is None:
            return np.zeros(len(places), dtype=bool)
        unknown, found = made
        told = found.take(pa.array(np.searchsorted(self.flagged, places)))
        return ~same_cells(told, _without(cells, unknown), "text")

    @cached_property
    def _flags(self) -> tuple[frozenset[str], pa.Array] | None:
        """Flags that cannot be told, and the others of the rows where flags differ; ``None`` if none can."""
        columns = declared_table(self.resource).columns
        numbers = [
            c.name for c in columns if c.type in ("number", "integer") and (c.is_iqm or c.plausible_ends)
        ]
        names = list(dict.fromkeys((*numbers, *_TIMES.values(), *_SCANNER, "spacing_tr")))
        if not (self._has(names) and (self._is_ours or self._flags_agree(names))):
            return None
        version = self.ledgers.version
        told = frozenset() if version.has(_REPAIRS) and version.has(_DISAGREEMENTS) else _OF_LEDGERS
        unknown = _OF_RECEIVED | told
        asked_index = version.versions.get("index") is not None
        found = [pa.array([], pa.string())]
        for places in _some(self.flagged):
            flags = self._flagged(self._pick(names, places), self.records.take(pa.array(places)), asked_index)
            found.append(_without(flags, unknown))
        return unknown, pa.concat_arrays(found)

    def _flags_agree(self, names: Collection[str]) -> bool:
        """Whether rows that did not change hold the flags that this code gives them, as far as cells tell."""
        if len(self._sample) < LEAST:
            return False
        others, sample = _OF_RECEIVED | _OF_LEDGERS, self._pick(names, self._sample)
        made = self._flagged(sample, pa.nulls(len(sample), pa.string()), asked_index=False)
        held = texts(pick(self.file, ["flags"], self._sample)["flags"])
        return bool(same_cells(_without(made, others), _without(held, others), "text").all())

    def _flagged(self, rows: pa.Table, record_ids: pa.Array, asked_index: bool) -> pa.Array:
        """Flags of rows, as far as cells and ledgers tell."""
        repairs = self.ledgers.repairs[self.resource]
        by_rule = {}
        for rule, name in _TIMES.items():
            _, _, applied = repairs.of(name, record_ids)
            which = [place for place, names in enumerate(applied) if rule in (names or "").split()]
            by_rule[rule] = {name: which}
        notes = pa.array([[]] * len(rows), pa.list_(pa.string()))
        undecided = repairs.undecided(record_ids)
        none = np.array([], dtype="int64")
        repaired = Repaired(rows, pa.table({}), none, by_rule, undecided, {}, notes)
        harmonised = {
            name: whole(column) if isinstance(column, pa.ChunkedArray) else column
            for name, column in harmonise(self.resource, rows).items()
        }
        others = (
            {"sidecar_mismatch": self.ledgers.disagreements[self.resource].has(record_ids)}
            if asked_index
            else {}
        )
        return flag(self.resource, repaired, harmonised, others)

    # --- other images of the same acquisition ----------------------------------------------------------------

    def _miscounted(self, places: np.ndarray, cells: pa.Array) -> np.ndarray:
        """Counts that are not those of the table.

        What tells an acquisition is counted as it was received: where such a cell is repaired, nothing is said.
        """
        nothing = np.zeros(len(places), dtype=bool)
        version = self.ledgers.version
        subject = ACQUISITION_KEY[0]
        if subject not in self.file.kinds or not version.has(_REPAIRS):
            return nothing
        subjects = whole(self.file.read([subject]).column(subject).cast(pa.string()))
        asked = subjects.take(pa.array(places))
        members = np.flatnonzero(pc.is_in(subjects, value_set=asked.unique()).to_numpy(zero_copy_only=False))
        if not self._has(ACQUISITION_KEY):
            return nothing
        rows = self._pick(ACQUISITION_KEY, members)
        counts = count_similar(rows)
        if not self._is_ours:
            others = np.setdiff1d(members, self.changed)
            held = texts(pick(self.file, ["n_same_acquisition"], others)["n_same_acquisition"])
            told = counts.take(pa.array(np.searchsorted(members, others))).cast(pa.string())
            if len(others) < LEAST or not same_cells(told, held, "integer").all():
                return nothing
        repaired = pc.is_in(
            self.records.take(pa.array(members)), value_set=self.ledgers.repairs[self.resource].of_acquisition
        )
        doubtful = rows.column(subject).filter(repaired).combine_chunks().unique()
        sure = ~pc.is_in(asked, value_set=doubtful).to_numpy(zero_copy_only=False)
        found = counts.take(pa.array(np.searchsorted(members, places))).cast(pa.string())
        return sure & ~same_cells(found, cells, "integer")


def _some(places: np.ndarray) -> list[np.ndarray]:
    """Places, so many at a time that what is made of their rows is small beside the tables."""
    return [places[start : start + AT_ONCE] for start in range(0, max(1, len(places)), AT_ONCE)]


def _without(flags: pa.Array, names: frozenset[str]) -> pa.Array:
    """Flags without some."""
    encoded = flags.dictionary_encode()
    kept = (
        " ".join(one for one in text.split() if one not in names) or None
        for text in encoded.dictionary.to_pylist()
    )
    return pa.array(list(kept), pa.string()).take(encoded.indices)

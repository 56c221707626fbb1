"""The gate: finished tables are validated once more, and compared with what was published last.

It looks at the files of tables themselves, whatever made them, and at the rows of ledgers as they are written. Nothing
that fails it is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dask.delayed import delayed
from pyarrow import csv

from curation.engine import Engine
from curation.errors import LawBroken
from schemas.published import CURATED_TABLES, LEDGERS, UNIQUE_TABLES, PublishedTable, published_table
from schemas.validation import table_schema

CHUNK_ROWS = 50_000
EXAMPLES = 5
LEAST_LOST, MOST_LOST = 100, 0.01
"""A table may lose so many rows, or such a share of them, beside those whose records are known to have left."""
LEAST_FILLED, LEAST_KEPT = 100, 0.5
"""A column that held so many values may not fall below this share of how filled it was."""
LEAST_BROKEN, MOST_BROKEN = 100, 0.01
"""So many more records, or such a share of them, may be quarantined or excluded than the last time."""

Coverage = dict[str, dict[str, Any]]
"""Of each table: ``rows``, and ``filled``, how many values each column has."""


def measure(staging: Path, engine: Engine) -> Coverage:
    """Validate every finished table with Parquet; returns how much of each is filled.

    Args:
        staging: the folder with ``parquet/``.
        engine: in whose threads it is done.

    Raises:
        LawBroken: a table is not what the dictionary says.
    """
    names = (*UNIQUE_TABLES, *CURATED_TABLES)
    calls = (delayed(_measure)(name, staging / "parquet" / f"{name}.parquet") for name in names)
    return dict(zip(names, engine.run_here(calls), strict=True))


def _measure(name: str, path: Path) -> dict[str, Any]:
    measured = Measured(published_table(name))
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK_ROWS, use_threads=False):
            measured.add(pa.Table.from_batches([batch]))
    measured.require_unique()
    return measured.coverage


class Measured:
    """Validates rows of a table as they come, and counts what is filled.

    Args:
        published: the table.
    """

    def __init__(self, published: PublishedTable) -> None:
        self._published = published
        self._rows, self._filled = 0, dict.fromkeys(published.names, 0)
        self._keys: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Validate some rows.

        Raises:
            LawBroken: they are not what the dictionary says.
        """
        for start in range(0, len(rows), CHUNK_ROWS):
            piece = rows.slice(start, CHUNK_ROWS)
            _validate(self._published, piece)
            self._rows += len(piece)
            for name in self._published.names:
                self._filled[name] += len(piece) - piece.column(name).null_count
            self._keys.append(piece.select(list(self._published.key)))

    def require_unique(self) -> None:
        """Check that no key came twice since the last time.

        Raises:
            LawBroken: one did.
        """
        if self._published.key and self._keys:
            _require_unique(self._published, pa.concat_tables(self._keys))
        self._keys = []

    @property
    def coverage(self) -> dict[str, Any]:
        """``rows``, and ``filled``, how many values each column has."""
        return {"rows": self._rows, "filled": self._filled}


def _validate(published: PublishedTable, piece: pa.Table) -> None:
    if piece.column_names != published.names:
        raise LawBroken(f"{published.path}: its columns are not those of the dictionary; {_DEFECT}")
    # Parquet has no whole seconds and gives milliseconds back.
    frame = piece.cast(published.arrow_schema).to_pandas(types_mapper=pd.ArrowDtype)
    try:
        table_schema(published).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        if cases["index"].isna().any():
            # Not of rows, but of a column: its type.
            raise LawBroken(f"{published.path}: {cases['check'].iloc[0]} fails; {_DEFECT}") from None
        column, check = cases.groupby(["column", "check"], sort=True).size().idxmax()
        places = cases.loc[(cases["column"] == column) & (cases["check"] == check), "index"].tolist()
        rule = "missing" if check == "not_nullable" else check
        raise LawBroken(
            f"{published.path}: {column} is {rule} in {len(places)} row(s), e.g. {_examples(piece, places)}; {_DEFECT}"
        ) from None


_DEFECT = "nothing was published; please report this as a defect of mriqc-snapshot"


def _examples(rows: pa.Table, places: Iterable[Any]) -> str:
    """Some record ids, for a message."""
    ids = rows.column("record_id").to_pylist()
    return ", ".join(f"record {ids[int(place)]}" for place in list(places)[:EXAMPLES])


def _require_unique(published: PublishedTable, keys: pa.Table) -> None:
    counted = keys.group_by(list(published.key)).aggregate([([], "count_all")])
    repeated = counted.filter(pc.greater(counted.column("count_all"), 1))
    if len(repeated):
        key = " and ".join(published.key)
        raise LawBroken(
            f"{published.path}: {key} stands in more than one row {len(repeated)} time(s); {_DEFECT}"
        )


def compare(snapshot: Mapping[str, Any], before: Mapping[str, Any], staging: Path) -> None:
    """Compare the coverage of finished tables with that of the version published last.

    Args:
        snapshot: what ``snapshot.json`` will say.
        before: what it said; a first version, or one without coverage, is compared with nothing.
        staging: the folder with the tables.

    Raises:
        LawBroken: a table shrank, a column emptied, or many more records are kept out; the message has all of it.
    """
    found = [
        *_other_key(snapshot, before),
        *_shrunk(snapshot, before),
        *_emptied(snapshot, before, staging),
        *_kept_out(snapshot, before, staging),
    ]
    if found:
        raise LawBroken(
            "compared with what was published last: "
            + "; ".join(found)
            + ". Nothing was published. If this is meant, "
            "run the command again with --accept-coverage"
        )


def _other_key(snapshot: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    then, now = (said.get("versions", {}).get("pseudonyms") for said in (before, snapshot))
    if then is not None and then != now:
        made = "without a key" if now is None else f"with that of {now}"
        yield (
            f"pseudonyms were made with the key of fingerprint {then}, and now {made}: every rater and scanner would "
            "be called otherwise"
        )


def _known_to_leave(name: str, snapshot: Mapping[str, Any], before: Mapping[str, Any]) -> int:
    """How many rows and values a table may have lost because records were deleted upstream or withdrawn on request.

    A pull asks before it believes in many deletions, and requests are a person's: what they take is meant. One record
    has one row at the most.
    """
    resource = name.removesuffix("_curated")
    now, then = (said.get("tables", {}).get(resource, {}).get("withdrawn", 0) for said in (snapshot, before))
    return max(0, int(now) - int(then))


def _shrunk(snapshot: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    for name, old in before.get("coverage", {}).items():
        new = snapshot["coverage"].get(name)
        if name in LEDGERS:
            continue
        lost = old["rows"] - (new["rows"] if new else 0)
        known = _known_to_leave(name, snapshot, before)
        gone = lost > known and lost == old["rows"]
        if gone or lost - known > max(LEAST_LOST, MOST_LOST * old["rows"]):
            yield f"{name} has {lost} rows less than the {old['rows']} it had"


def _emptied(snapshot: Mapping[str, Any], before: Mapping[str, Any], staging: Path) -> Iterator[str]:
    for name, old in before.get("coverage", {}).items():
        new = snapshot["coverage"].get(name)
        if new is None or name in LEDGERS or not new["rows"]:
            continue
        for column, count in old["filled"].items():
            now = new["filled"].get(column, 0)
            if count < LEAST_FILLED or count - now <= _known_to_leave(name, snapshot, before):
                continue
            # Fewer rows have fewer values: shares are compared, and a column that was sparse may stay so.
            if now / new["rows"] < LEAST_KEPT * count / old["rows"]:
                yield (
                    f"{column} of {name} has {now} values in {new['rows']} rows and had {count} in {old['rows']}"
                    f"{_empty_examples(staging, name, column)}"
                )


def _empty_examples(staging: Path, name: str, column: str) -> str:
    if column not in published_table(name).names:
        return ", the column is gone"
    rows = pq.read_table(staging / "parquet" / f"{name}.parquet", columns=[column, "record_id"])
    empty = rows.filter(pc.is_null(rows.column(column))).slice(0, EXAMPLES)
    return f", e.g. none in {_examples(empty, range(len(empty)))}"


def _kept_out(snapshot: Mapping[str, Any], before: Mapping[str, Any], staging: Path) -> Iterator[str]:
    for resource, counts in snapshot["tables"].items():
        old = before.get("tables", {}).get(resource)
        if not old or not old["received"]:
            continue
        for fate in ("quarantined", "excluded"):
            more = counts[fate] - old.get(fate, 0) * counts["received"] / old["received"]
            if more > max(LEAST_BROKEN, MOST_BROKEN * counts["received"]):
                yield (
                    f"{counts[fate]} of {counts['received']} records of {resource} are {fate}, and "
                    f"{old.get(fate, 0)} of {old['received']} were{_worst_rule(staging, resource, fate)}"
                )


def _worst_rule(staging: Path, resource: str, fate: str) -> str:
    """The rule that is broken most, and by whom."""
    published = published_table("quarantine")
    texts = csv.ConvertOptions(
        column_types=published.arrow_schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    quarantine = csv.read_csv(staging / published.path, convert_options=texts)
    which = pc.and_(
        pc.equal(quarantine.column("resource"), resource), pc.equal(quarantine.column("fate"), fate)
    )
    rows = quarantine.filter(which)
    counted = (
        rows.group_by(["column", "rule"])
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending"), ("column", "ascending"), ("rule", "ascending")])
    )
    if not len(counted):
        return ""
    worst = counted.slice(0, 1).to_pylist()[0]
    same = pc.and_(
        pc.equal(pc.fill_null(rows.column("column"), ""), worst["column"] or ""),
        pc.equal(rows.column("rule"), worst["rule"]),
    )
    examples = rows.filter(same).slice(0, EXAMPLES)
    what = f"{worst['column']}: {worst['rule']}" if worst["column"] else worst["rule"]
    return f", {worst['count_all']} times for {what}, e.g. {_examples(examples, range(len(examples)))}"

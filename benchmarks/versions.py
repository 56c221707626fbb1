"""Two made-up versions of a curated table and its unique one, with ledgers: what :mod:`benchmarks.diff` compares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.deduplicate.repeats import interquartile_range
from curation.partitions import text_columns
from curation.store.parts import file_sha256
from curation.tables import CHUNK_ROWS, TableWriter, encode
from schemas import RESOURCES, table
from schemas.published import CURATED_TABLES, LEDGERS, UNIQUE_TABLES, published_table

RESOURCE, TABLE = "T1w", "T1w_curated"
COMPARED = (RESOURCE, TABLE)
SEED = 2026
CHANGED = 0.01
"""Share of the rows that change: a quarter each by a new representative, upstream, by repair, by a public match."""
ADDED, REMOVED = 0.005, 0.001
SPREAD = 0.1
"""Share of the rows whose image was measured repeatedly: their spreads move with the quartiles of the table."""
REPEATED = 0.6
"""Duplicates for each row, in ``audit/records``: 45 % of all records were duplicates in 2019, and more are now."""
REPAIRED, PUBLIC = 0.2, 0.5
"""Shares of the rows that have a repaired cell, and that are public."""
_START = 1_500_000_000
_REPAIRED_COLUMN = "bids_meta_EchoTime"
_UPSTREAM_COLUMN = "bids_meta_FlipAngle"
_RULE = "echo-time-milliseconds"


def write_versions(folder: str, rows: int) -> dict[str, int]:
    """Write versions ``a`` and ``b`` below a folder; returns how many rows they have.

    Args:
        folder: a folder.
        rows: of the first version's table.
    """
    rng = np.random.default_rng(SEED)
    total = rows + round(rows * ADDED)
    received = _columns(total, rng)
    order = rng.permutation(rows)
    quarter, gone = round(rows * CHANGED / 4), round(rows * REMOVED)
    replaced, upstream, repaired, matched = (order[n * quarter : (n + 1) * quarter] for n in range(4))
    removed = order[4 * quarter : 4 * quarter + gone]
    spread = order[: round(rows * SPREAD)]
    public = rng.random(total) < PUBLIC
    public[matched] = False
    repairs = np.flatnonzero(rng.random(total) < REPAIRED)
    repairs = repairs[~np.isin(repairs, repaired)]
    first, second = np.arange(rows), np.setdiff1d(np.arange(total), removed)
    repeated = rng.random(total) < REPEATED
    repeated[spread] = True
    received["n_records"] = received["n_versions"] = pa.array(1 + repeated)
    before = dict(received)
    _change(before, _REPAIRED_COLUMN, repairs, 0.001)
    _spread(before, spread, rng)
    _publish(before, public)
    _write(Path(folder, "a"), received, before, first, repairs, public)
    received = dict(received)
    _change(received, _UPSTREAM_COLUMN, upstream, 2.0)
    received["etag"] = _changed_texts(received["etag"], upstream, _hexadecimal(total, 40, rng))
    now = dict(received)
    every = np.sort(np.concatenate([repairs, repaired]))
    _change(now, _REPAIRED_COLUMN, every, 0.001)
    _replace(now, replaced, rng)
    _rescale(now, before, first, second)
    public[matched] = True
    _publish(now, public)
    withdrawn = int(received["n_records"].to_numpy()[removed].sum())
    _write(Path(folder, "b"), received, now, second, every, public, withdrawn=withdrawn)
    return {"a": len(first), "b": len(second)}


def _columns(count: int, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Columns of the table for so many images, and what the ledgers have beside."""
    found: dict[str, pa.Array] = {}
    iqms = {column.name for column in table(RESOURCE).iqms}
    for field in published_table(TABLE).arrow_schema:
        if pa.types.is_floating(field.type):
            missing = None if field.name in iqms else rng.random(count) < 0.4
            found[field.name] = pa.array(rng.lognormal(size=count), mask=missing)
        elif pa.types.is_integer(field.type):
            found[field.name] = pa.array(rng.integers(1, 400, count), mask=None)
        elif pa.types.is_boolean(field.type):
            found[field.name] = pa.array(rng.random(count) < 0.5)
        elif pa.types.is_timestamp(field.type):
            found[field.name] = pa.array(_START + np.arange(count) * 60, pa.int64()).cast(field.type)
        else:
            words = pa.array([f"{field.name[-12:]} {n}" for n in range(40)])
            found[field.name] = words.take(pa.array(rng.integers(0, 40, count), mask=rng.random(count) < 0.4))
    found["bids_meta_subject_id"] = _hexadecimal(max(1, count // 5), 64, rng).take(
        pa.array(np.arange(count) // 5 % max(1, count // 5))
    )
    found |= {
        name: _hexadecimal(count, size, rng)
        for name, size in (("md5sum", 32), ("record_id", 24), ("etag", 40))
    }
    found["duplicate_id"] = _hexadecimal(count, 24, rng)
    found["flags"] = pa.nulls(count, pa.string())
    return found


def _hexadecimal(count: int, digits: int, rng: np.random.Generator) -> pa.Array:
    digits_of = np.frombuffer(b"0123456789abcdef", dtype="uint8")
    codes = digits_of[rng.integers(0, 16, (count, digits), dtype="uint8")]
    return pa.array(np.ascontiguousarray(codes).view(f"S{digits}").ravel()).cast(pa.string())


def _replace(columns: dict[str, pa.Array], places: np.ndarray, rng: np.random.Generator) -> None:
    """Another record represents these images: every IQM is another, and so are record and etag."""
    for column in table(RESOURCE).iqms:
        if not pa.types.is_floating(columns[column.name].type):
            continue
        values = columns[column.name].to_numpy().copy()
        values[places] *= rng.normal(1.0, 0.01, len(places))
        columns[column.name] = pa.array(values)
    ids = _hexadecimal(len(columns["record_id"]), 24, rng)
    columns["record_id"] = _changed_texts(columns["record_id"], places, ids)
    counts = columns["n_records"].to_numpy().copy()
    counts[places] += 1
    columns["n_records"] = pa.array(counts)


def _change(columns: dict[str, pa.Array], name: str, places: np.ndarray, factor: float) -> None:
    missing = columns[name].is_null().to_numpy(zero_copy_only=False)
    values = columns[name].to_numpy(zero_copy_only=False).copy()
    values[places] *= factor
    columns[name] = pa.array(values, mask=missing)


def _changed_texts(texts: pa.Array, places: np.ndarray, others: pa.Array) -> pa.Array:
    which = np.zeros(len(texts), dtype=bool)
    which[places] = True
    return pc.if_else(pa.array(which), others, texts)


def _spread(columns: dict[str, pa.Array], places: np.ndarray, rng: np.random.Generator) -> None:
    values = np.zeros(len(columns["md5sum"]))
    values[places] = rng.lognormal(size=len(places))
    missing = np.ones(len(values), dtype=bool)
    missing[places] = False
    columns["iqm_spread"] = pa.array(values, mask=missing)


def _rescale(
    columns: dict[str, pa.Array], before: Mapping[str, pa.Array], first: np.ndarray, second: np.ndarray
) -> None:
    """Spreads move as the interquartile range of an IQM does."""
    name = next(one.name for one in table(RESOURCE).iqms if pa.types.is_floating(columns[one.name].type))
    was, is_ = (
        interquartile_range(one[name].to_numpy()[rows]) for one, rows in ((before, first), (columns, second))
    )
    columns["iqm_spread"] = pc.multiply(before["iqm_spread"], was / is_)


def _publish(columns: dict[str, pa.Array], public: np.ndarray) -> None:
    nothing, mask = pa.scalar(None, pa.string()), pa.array(public)
    texts = {
        "public_source": "https://example.org/ds000001", "public_dataset": "ds000001", "public_version": "1.0.0",
        "public_path": "sub-01/anat/sub-01_T1w.nii.gz", "public_url": "https://example.org/x", "public_doi": "10.1/x",
    }  # fmt: skip
    columns |= {name: pc.if_else(mask, pa.scalar(text), nothing) for name, text in texts.items()}
    columns["public"], columns["n_public_copies"] = mask, mask.cast(pa.int64())


def _write(
    folder: Path,
    received: Mapping[str, pa.Array],
    columns: Mapping[str, pa.Array],
    rows: np.ndarray,
    repairs: np.ndarray,
    public: np.ndarray,
    *,
    withdrawn: int = 0,
) -> None:
    """Write a version: both tables, empty ones beside them, ledgers, ``snapshot.json``."""
    filled = {RESOURCE: received, TABLE: columns}
    for name in (*UNIQUE_TABLES, *CURATED_TABLES):
        schema = published_table(name).arrow_schema
        made = schema.empty_table()
        if name in filled:
            picked = {field: column.take(pa.array(rows)) for field, column in filled[name].items()}
            made = _filled(schema, picked, len(rows))
        _write_table(made, folder / "csv" / f"{name}.csv", folder / "parquet" / f"{name}.parquet")
    ledgers = {
        "records": _records(received, columns, rows),
        "repairs": _repairs(received, columns, repairs[np.isin(repairs, rows)]),
        "matches": _matches(columns, rows[public[rows]]),
    }
    for name in LEDGERS:
        schema = published_table(name).arrow_schema
        _write_table(ledgers.get(name, schema.empty_table()), folder / "audit" / f"{name}.csv")
    versions = {"dictionary": "a", "rules": "a", "index": "a", "mriqc-snapshot": "a"}
    counts: dict[str, dict[str, int]] = {name: {"received": 0, "withdrawn": 0} for name in RESOURCES}
    counts[RESOURCE] = {"received": len(ledgers["records"]) + withdrawn, "withdrawn": withdrawn}
    files = {
        path.relative_to(folder).as_posix(): {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in folder.glob("*/*")
    }
    said = {"format": 3, "tables": counts, "versions": versions, "files": files}
    (folder / "snapshot.json").write_text(json.dumps(said))


def _write_table(rows: pa.Table, csv: Path, parquet: Path | None = None) -> None:
    """Write a table as it is published; where Parquet is written, nothing reads the CSV, which has a header only."""
    with TableWriter(rows.schema, csv) as writer:
        for start in range(0, len(rows) if parquet is None else 0, CHUNK_ROWS):
            writer.write(encode(rows.slice(start, CHUNK_ROWS), rows.schema, parquet=False))
    if parquet is not None:
        parquet.parent.mkdir(exist_ok=True)
        pq.write_table(
            rows, parquet, compression="zstd", compression_level=1, use_dictionary=text_columns(rows.schema),
            row_group_size=CHUNK_ROWS,
        )  # fmt: skip


def _records(received: Mapping[str, pa.Array], columns: Mapping[str, pa.Array], rows: np.ndarray) -> pa.Table:
    """A row a record: those that the unique table shows, duplicates, and those that only the curated table shows."""
    more = rows[received["n_records"].to_numpy()[rows] > 1]
    replaced = rows[columns["n_records"].to_numpy()[rows] > received["n_records"].to_numpy()[rows]]
    spread = columns["iqm_spread"].is_valid()
    pieces = []
    for places, ids, fate, repeat in (
        (rows, received["record_id"], "representative", "first"),
        (more, received["duplicate_id"], "duplicate", "noisy"),
        (replaced, columns["record_id"], "duplicate", None),
    ):
        picked = pa.array(places)
        nothing = pa.scalar(None, pa.string())
        found: dict[str, pa.Array] = {
            **_constant({"resource": RESOURCE, "fate": fate}, len(places)),
            "record_id": ids.take(picked),
            **{name: received["created"].take(picked) for name in ("created", "updated")},
            **{name: received[name].take(picked) for name in ("etag", "md5sum")},
            "representative": received["record_id"].take(picked),
            "curated_representative": columns["record_id"].take(picked),
            "repeat": pc.if_else(spread.take(picked), pa.scalar(repeat, pa.string()), nothing),
        }
        pieces.append(_filled(published_table("records").arrow_schema, found, len(places)))
    return pa.concat_tables(pieces).sort_by("created")


def _repairs(
    received: Mapping[str, pa.Array], columns: Mapping[str, pa.Array], places: np.ndarray
) -> pa.Table:
    picked = pa.array(places)
    old, new = (
        [None if value is None else repr(value) for value in one[_REPAIRED_COLUMN].take(picked).to_pylist()]
        for one in (received, columns)
    )
    found = {
        **{name: columns[name].take(picked) for name in ("record_id", "md5sum")},
        **_constant(
            {"resource": RESOURCE, "column": _REPAIRED_COLUMN, "rule": _RULE, "confidence": "high"},
            len(places),
        ),
        "old": pa.array(old, pa.string()),
        "new": pa.array(new, pa.string()),
    }
    return _filled(published_table("repairs").arrow_schema, found, len(places))


def _matches(columns: Mapping[str, pa.Array], places: np.ndarray) -> pa.Table:
    picked = pa.array(places)
    copied = {
        "source": "source",
        "dataset": "dataset",
        "last_version": "version",
        "path": "path",
        "url": "url",
        "doi": "doi",
    }
    found = {
        **{name: columns[name].take(picked) for name in ("record_id", "md5sum")},
        **{name: columns[f"public_{column}"].take(picked) for name, column in copied.items()},
        **_constant({"resource": RESOURCE, "first_version": "1.0.0"}, len(places)),
        **{name: pa.repeat(pa.scalar(True), len(places)) for name in ("chosen", "in_newest")},
    }
    return _filled(published_table("matches").arrow_schema, found, len(places))


def _constant(values: Mapping[str, str], count: int) -> dict[str, pa.Array]:
    return {name: pa.repeat(pa.scalar(text), count) for name, text in values.items()}


def _filled(schema: pa.Schema, found: Mapping[str, pa.Array], count: int) -> pa.Table:
    names: Sequence[str] = schema.names
    columns = [found.get(name, pa.nulls(count)).cast(schema.field(name).type) for name in names]
    return pa.table(columns, schema=schema)

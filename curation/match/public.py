"""What is known of the public images among those of a curated table: where they are, and what their sidecars say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import flatten
from curation.index.index import Index
from curation.match.checksums import Matches, match_checksums
from curation.pseudonyms import Pseudonyms
from curation.repair import FILLING, Repaired
from schemas import table
from schemas.dictionary import Resource
from schemas.published import published_table

_FROM_COPY = {
    "public_source": "source",
    "public_dataset": "dataset",
    "public_version": "last_version",
    "public_path": "path",
    "public_url": "url",
    "public_doi": "doi",
}
PUBLIC_COLUMNS = ("public", *_FROM_COPY, "n_public_copies")
"""Columns of the curated tables that matching fills."""
SAME_SHARE = 1e-6
"""Numbers that differ by less than this share are one: records are rounded on their way, to nine digits at least."""


@dataclass(frozen=True)
class PublicImages:
    """The public copies of the images of one curated table, in the order of its rows.

    Attributes:
        matches: every copy.
        columns: :data:`PUBLIC_COLUMNS`.
        given: acquisition parameters as the sidecars of the chosen copies have them, and ``sidecar_path``.
        mismatch: where the name of the chosen copy is that of another modality.
    """

    matches: Matches
    columns: Mapping[str, pa.ChunkedArray]
    given: pa.Table
    mismatch: np.ndarray


def find_public(
    resource: Resource, checksums: pa.ChunkedArray, index: Index, pseudonyms: Pseudonyms | None
) -> PublicImages:
    """Find the public copies of images.

    Args:
        resource: whose images they are.
        checksums: of the rows of its curated table, in their order.
        index: of public images.
        pseudonyms: what serial numbers in sidecars become.
    """
    matches = match_checksums(checksums, index)
    chosen = matches.chosen(len(checksums))
    columns = {name: chosen.column(source) for name, source in _FROM_COPY.items()}
    columns["n_public_copies"] = chosen.column("n")
    columns["public"] = pc.greater(chosen.column("n"), 0)
    suffixes = {text: json.loads(text).get("suffix") for text in _distinct(chosen.column("entities"))}
    mismatch = [
        text is not None and suffixes[text] != resource for text in chosen.column("entities").to_pylist()
    ]
    given = _sidecar_rows(resource, chosen.column("sidecar"), index, pseudonyms)
    given = given.append_column("sidecar_path", _addresses(chosen))
    return PublicImages(matches, columns, given, np.array(mismatch, dtype=bool))


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return [text for text in column.unique().to_pylist() if text is not None]


def _addresses(chosen: pa.Table) -> pa.ChunkedArray:
    """Where a sidecar is: dataset, version and path."""
    parts = [
        pc.coalesce(chosen.column(name), pa.scalar(""))
        for name in ("dataset", "last_version", "sidecar_path")
    ]
    return pc.binary_join_element_wise(*parts, "/")


def _sidecar_rows(
    resource: Resource, digests: pa.ChunkedArray, index: Index, pseudonyms: Pseudonyms | None
) -> pa.Table:
    """Acquisition parameters of every row's sidecars, read and scrubbed as those of records are; missing for none."""
    wanted = sorted(_distinct(digests))
    metadata = index.metadata(set(wanted))
    documents = [f'{{"bids_meta": {metadata[digest]}}}'.encode() for digest in wanted]
    rows = flatten(table(resource), documents, pseudonyms).table
    names = [
        column.name
        for column in table(resource).columns
        if column.path[0] == "bids_meta" and column.personal is None and not column.required
    ]
    places = pc.index_in(digests, value_set=pa.array(wanted, pa.string())).combine_chunks()
    return rows.select(names).combine_chunks().take(places)


def copies_ledger(
    resource: Resource, public: PublicImages, record_ids: pa.ChunkedArray, checksums: pa.ChunkedArray
) -> pa.Table:
    """Rows of ``audit/matches``: every public copy of every image, the chosen one first."""
    copies = public.matches.copies
    places = copies.column("key")
    schema = published_table("matches").arrow_schema
    found = {
        "record_id": record_ids.take(places),
        "resource": pa.array([resource] * len(copies), pa.string()),
        "md5sum": checksums.take(places),
        **{name: copies.column(name) for name in schema.names if name in copies.column_names},
    }
    return pa.table([found[name].cast(schema.field(name).type) for name in schema.names], schema=schema)


def disagreements(resource: Resource, repaired: Repaired, given: pa.Table) -> tuple[np.ndarray, pa.Table]:
    """Where a curated cell is not what the public image's sidecar says: the rows, and those of ``audit/disagreements``.

    Args:
        resource: whose rows they are.
        repaired: the rows after repair, with ``record_id`` and ``provenance_md5sum``.
        given: what sidecars say of them.
    """
    rows = repaired.rows
    which = np.zeros(len(rows), dtype=bool)
    schema = published_table("disagreements").arrow_schema
    found = [schema.empty_table()]
    for name in given.column_names[:-1]:
        differs = _differ(rows.column(name), given.column(name))
        differs[repaired.by_rule.get(FILLING, {}).get(name, [])] = False
        if not differs.any():
            continue
        which |= differs
        places = pa.array(np.flatnonzero(differs))
        ours, theirs = (_texts(column.take(places)) for column in (rows.column(name), given.column(name)))
        columns = {
            "record_id": rows.column("record_id").take(places).cast(pa.string()),
            "resource": pa.array([resource] * len(places), pa.string()),
            "md5sum": rows.column("provenance_md5sum").take(places).cast(pa.string()),
            "column": pa.array([name] * len(places), pa.string()),
            "curated": ours,
            "sidecar": theirs,
            "sidecar_path": given.column("sidecar_path").take(places),
        }
        found.append(pa.table([columns[field] for field in schema.names], schema=schema))
    return which, pa.concat_tables(found)


def _texts(values: pa.ChunkedArray) -> pa.Array:
    """Values as CSV has them."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values.to_pylist())
    return pa.array(texts, pa.string())


def _differ(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> np.ndarray:
    """Where both columns hold something, and not the same."""
    if pa.types.is_floating(ours.type):
        one, other = ours.to_numpy(), theirs.to_numpy()
        with np.errstate(invalid="ignore"):
            return np.abs(one - other) > SAME_SHARE * np.maximum(np.abs(one), np.abs(other))
    return pc.not_equal(ours, theirs.cast(ours.type)).fill_null(False).to_numpy()


def public_coverage(created: pd.Series, public: PublicImages) -> dict[str, Any]:
    """How many images are public: ``images``, ``public``, ``by_dataset`` and, of each year of creation, both.

    Args:
        created: when their records were created, in seconds since 1970.
        public: what is known of them.
    """
    years = pd.to_datetime(created, unit="s", utc=True).dt.year.to_numpy()
    found = public.columns["public"].to_numpy()
    frame = pd.DataFrame({"year": years, "images": 1, "public": found.astype("int64")})
    datasets = (
        public.columns["public_dataset"].filter(pc.fill_null(public.columns["public"], False)).to_pandas()
    )
    by_year = frame.dropna().groupby("year").sum()
    return {
        "images": len(found),
        "public": int(found.sum()),
        "by_dataset": {str(name): int(count) for name, count in datasets.value_counts().sort_index().items()},
        "by_year": {str(int(year)): {k: int(v) for k, v in row.items()} for year, row in by_year.iterrows()},
    }

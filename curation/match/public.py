"""What is known of the public images among those of a curated table: where they are, and what their sidecars say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curation.flatten import flatten
from curation.index.index import Index
from curation.kept import short_digest
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
LEDGER_ROWS = 50_000
"""Rows of a ledger that are put together at a time."""
SAME_SHARE = 1e-6
"""Numbers that differ by less than this share are one: records are rounded on their way, to nine digits at least."""


@dataclass(frozen=True)
class Said:
    """What the public copies of some images say of their rows.

    Attributes:
        sidecars: columns of acquisition parameters, and ``sidecar_path``.
        mismatch: where the name of the chosen copy is that of another modality.
    """

    sidecars: pa.Table
    mismatch: np.ndarray

    def rows(self, start: int, count: int) -> Said:
        """Of some of the images."""
        return Said(self.sidecars.slice(start, count), self.mismatch[start : start + count])


@dataclass(frozen=True)
class PublicImages:
    """The public copies of the images of one curated table, in the order of its rows.

    Attributes:
        resource: whose images they are.
        index: where they were found.
        pseudonyms: what serial numbers in sidecars become.
        matches: every copy.
        columns: :data:`PUBLIC_COLUMNS`.
        sidecars: of each image the ``digest`` of its sidecar, the ``number`` of the dataset that has it, and its
            ``address``.
        mismatch: where the name of the chosen copy is that of another modality.
    """

    resource: Resource
    index: Index
    pseudonyms: Pseudonyms | None
    matches: Matches
    columns: Mapping[str, pa.ChunkedArray]
    sidecars: pa.Table
    mismatch: np.ndarray

    @property
    def given_digests(self) -> np.ndarray:
        """Of each image 64 bits, which tell what :meth:`said_of` it from all else that may be."""
        digests = _plain(self.sidecars.column("digest"))
        # Missing where there is no sidecar.
        told = pc.binary_join_element_wise(digests, self.sidecars.column("address"), "\n")
        encoded = pc.fill_null(told, "").combine_chunks().dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        known = [[short_digest(f"{text}\n{other}") for other in (False, True)] for text in texts]
        return np.array(known, "u8").reshape(-1, 2)[encoded.indices.to_numpy(), self.mismatch.astype(int)]

    def said_of(self, images: np.ndarray) -> Said:
        """What is said of some of the images: their sidecars are read."""
        some = self.sidecars.take(pa.array(images))
        rows, places = _sidecar_rows(self.resource, some, self.index, self.pseudonyms)
        said = rows.take(places).append_column("sidecar_path", some.column("address"))
        return Said(said, self.mismatch[images])


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
    columns = {name: _plain(chosen.column(source)) for name, source in _FROM_COPY.items()}
    columns["n_public_copies"] = chosen.column("n")
    columns["public"] = pc.greater(chosen.column("n"), 0)
    suffixes = chosen.column("suffix").cast(pa.string())
    mismatch = pc.fill_null(pc.not_equal(suffixes, pa.scalar(str(resource))), False).to_numpy()
    digests = chosen.column("sidecar").combine_chunks().dictionary_encode()
    sidecars = pa.table({"digest": digests, "number": chosen.column("number"), "address": _addresses(chosen)})
    return PublicImages(resource, index, pseudonyms, matches, columns, sidecars, mismatch)


def _distinct(column: pa.ChunkedArray) -> list[Any]:
    return [value for value in column.unique().to_pylist() if value is not None]


def _addresses(chosen: pa.Table) -> pa.ChunkedArray:
    """Where a sidecar is: dataset, version and path."""
    missing = {"dataset": "", "last_version": "HEAD", "sidecar_path": ""}
    parts = [
        pc.coalesce(_plain(chosen.column(name)), pa.scalar(instead)) for name, instead in missing.items()
    ]
    return pc.binary_join_element_wise(*parts, "/")


def _sidecar_rows(
    resource: Resource, sidecars: pa.Table, index: Index, pseudonyms: Pseudonyms | None
) -> tuple[pa.Table, pa.Array]:
    """Acquisition parameters of distinct sidecars, read and scrubbed as those of records are, and whose is which."""
    digests = _plain(sidecars.column("digest"))
    names = [
        column.name
        for column in table(resource).columns
        if column.path[0] == "bids_meta"
        and column.personal is None
        and not column.required
        # Entities are in the names of files.
        and not column.name.endswith("_id")
    ]
    known: list[str] = []
    rows = [flatten(table(resource), []).table.select(names)]
    wanted = pa.array(_distinct(digests), pa.string())
    for found in index.metadata(wanted, sorted(_distinct(sidecars.column("number")))):
        # What several datasets have is read once.
        new = sorted(found)
        documents = [f'{{"bids_meta": {found[digest]}}}'.encode() for digest in new]
        rows.append(flatten(table(resource), documents, pseudonyms).table.select(names))
        known += new
    places = pc.index_in(digests, value_set=pa.array(known, pa.string())).combine_chunks()
    return pa.concat_tables(rows).combine_chunks(), places


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def copies_ledger(
    resource: Resource, public: PublicImages, record_ids: pa.ChunkedArray, checksums: pa.ChunkedArray
) -> Iterator[pa.Table]:
    """Rows of ``audit/matches``, some at a time: every public copy of every image, the chosen one first."""
    schema = published_table("matches").arrow_schema
    order = public.matches.order
    for start in range(0, len(order), LEDGER_ROWS):
        copies = public.matches.copies.take(pa.array(order[start : start + LEDGER_ROWS]))
        places = copies.column("key")
        found = {
            "record_id": record_ids.take(places),
            "resource": pa.array([resource] * len(copies), pa.string()),
            "md5sum": checksums.take(places),
            **{name: copies.column(name) for name in schema.names if name in copies.column_names},
        }
        yield pa.table([found[name].cast(schema.field(name).type) for name in schema.names], schema=schema)


def disagreements(
    resource: Resource, received: pa.Table, repaired: Repaired, given: pa.Table
) -> tuple[pa.Table, np.ndarray]:
    """Where a curated cell is not what the public image's sidecar says.

    Args:
        resource: whose rows they are.
        received: the rows before repair.
        repaired: the rows after repair, with ``record_id`` and ``provenance_md5sum``.
        given: what sidecars say of them.

    Returns:
        Rows of ``audit/disagreements``, in the order of the rows and their columns, and the row that each is of.
    """
    rows = repaired.rows
    schema = published_table("disagreements").arrow_schema
    found, of_rows = [schema.empty_table()], [np.array([], dtype="int64")]
    for name in given.column_names[:-1]:
        # What was received as the sidecar says it, and repaired, does not disagree.
        differs = _differ(rows.column(name), given.column(name)) & _differ(
            received.column(name), given.column(name)
        )
        differs[repaired.by_rule.get(FILLING, {}).get(name, [])] = False
        if not differs.any():
            continue
        of_rows.append(np.flatnonzero(differs))
        places = pa.array(of_rows[-1])
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
    changed = np.concatenate(of_rows)
    order = np.argsort(changed, kind="stable")
    return pa.concat_tables(found).take(pa.array(order)), changed[order]


def _texts(values: pa.ChunkedArray) -> pa.Array:
    """Values as CSV has them."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values.to_pylist())
    return pa.array(texts, pa.string())


def _differ(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> np.ndarray:
    """Where both columns hold something, and not the same."""
    if pa.types.is_floating(ours.type):
        one, other = ours.to_numpy(), theirs.to_numpy()
        finite = np.isfinite(one) & np.isfinite(other)
        with np.errstate(invalid="ignore"):
            far = np.abs(one - other) > SAME_SHARE * np.maximum(np.abs(one), np.abs(other))
        return np.where(finite, far, (one != other) & ~np.isnan(one) & ~np.isnan(other))
    if pa.types.is_string(ours.type) or pa.types.is_large_string(ours.type):
        ours, theirs = (pc.utf8_lower(column.cast(pa.large_string())) for column in (ours, theirs))
    return pc.not_equal(ours, theirs).fill_null(False).to_numpy()


def public_coverage(created: pd.Series, public: PublicImages) -> dict[str, Any]:
    """How many images are public: ``images``, ``public``, ``by_dataset`` and, of each year of creation, both.

    Args:
        created: when their records were created, in seconds since 1970.
        public: what is known of them.
    """
    years = pd.to_datetime(created, unit="s", utc=True).dt.year.to_numpy()
    found = public.columns["public"].to_numpy()
    frame = pd.DataFrame({"year": years, "images": 1, "public": found.astype("int64")})
    datasets = public.columns["public_dataset"].filter(public.columns["public"]).to_pandas()
    by_year = frame.dropna().groupby("year").sum()
    return {
        "images": len(found),
        "public": int(found.sum()),
        "by_dataset": {str(name): int(count) for name, count in datasets.value_counts().sort_index().items()},
        "by_year": {str(int(year)): {k: int(v) for k, v in row.items()} for year, row in by_year.iterrows()},
    }

"""The claims that listings make of images: a checksum, a path, perhaps a size and an address."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.index.bids import entities_of
from curation.index.model import COPIES, SourceRead

IMAGES = (".nii", ".nii.gz")
LEAVES = "path leaves the dataset"
EMPTY = "empty file"
_CHUNK = 1 << 16  # rows
_MOST_OPEN = 1 << 18  # rows of all datasets that are not in Arrow yet
_ACCESSION = re.compile(r"(?:^|/)(ds[0-9]{6})/")
_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:[\\/]")
_OF_A_SUBJECT = re.compile(r"((?:[^./][^/]*/)*)sub-([0-9A-Za-z]+)(_[^/]*)")
_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def place_of(path: str, dataset: str | None = None) -> tuple[str | None, str]:
    """The dataset that a path tells, and the path within it.

    Args:
        path: with ``/``.
        dataset: whose folder to look for, instead of the first one that is an accession.

    Returns:
        ``None`` and the path as it is, where there is no such folder.
    """
    if dataset is not None:
        found = f"/{path}".find(f"/{dataset}/")
        return (None, path) if found < 0 else (dataset, path[found + len(dataset) + 1 :])
    match = _ACCESSION.search(path)
    return (match[1], path[match.end() :]) if match else (None, path)


def plain_path(path: str) -> str | None:
    """A path without ``.`` and empty names; ``None`` if it is absolute, or has ``..``."""
    # Most paths are plain, and there may be millions.
    if "//" not in path and "/." not in path and not path.startswith(".") and not _ABSOLUTE.match(path):
        return path
    names = path.split("/")
    if _ABSOLUTE.match(path) or ".." in names:
        return None
    return "/".join(name for name in names if name not in ("", ".")) or None


class Claims:
    """What a listing says of the images of one dataset or of several.

    Args:
        source: address of the listing.
        dataset: of images whose path tells none.
    """

    def __init__(self, source: str, dataset: str) -> None:
        self._source, self._dataset = source, dataset
        self._rows: dict[str, _Rows] = {}
        self._open = 0

    def __len__(self) -> int:
        """How many images there are, with those that are left out."""
        return sum(len(rows) + rows.unusable.total() for rows in self._rows.values())

    def _of(self, dataset: str | None) -> _Rows:
        name = dataset or self._dataset
        if name not in self._rows:
            self._rows[name] = _Rows()
        return self._rows[name]

    def add(self, dataset: str | None, md5: str, path: str, size: int | None, url: str | None) -> None:
        """Take an image whose MD5 (lower case) is listed; an empty file is none. Paths need not be UTF-8."""
        if md5 == _OF_NOTHING:
            self.leave_out(dataset, EMPTY)
        else:
            self._of(dataset).add(md5, clean(path), size, url)
            self._open += 1
            if self._open == _MOST_OPEN:
                self._open = 0
                for rows in self._rows.values():
                    rows.seal()

    def leave_out(self, dataset: str | None, reason: str, backend: str | None = None) -> None:
        """Count an image without a usable MD5."""
        rows = self._of(dataset)
        rows.unusable[reason] += 1
        if backend:
            rows.backends[backend] += 1

    def note(self, faults: Counter[str]) -> None:
        """Count what is of no dataset that could be told: under that of the listing, or the only one."""
        if faults:
            only = next(iter(self._rows)) if len(self._rows) == 1 else None
            self._of(only).unusable.update(faults)

    def finish(self, state: Mapping[str, Any], **about: str | None) -> list[SourceRead]:
        """A read a dataset, by name; can be called once.

        Args:
            state: of every one of them.
            about: columns of :data:`COPIES` that are the same for all images (``name``, ``doi``, ``licence``).
        """
        return [self._finish(dataset, state, about) for dataset in sorted(self._rows)]

    def _finish(self, dataset: str, state: Mapping[str, Any], about: Mapping[str, str | None]) -> SourceRead:
        rows = self._rows.pop(dataset)
        same = {"source": self._source, "dataset": dataset, "in_newest": True, **about}
        longest = min(len(rows), _CHUNK)
        # Made once, and shared by all batches.
        constant = {
            one.name: pa.repeat(pa.scalar(same.get(one.name), one.type), longest)
            for one in COPIES
            if one.name not in (*_ROWS.names, "entities")
        }
        batches = []
        for part in rows.in_order():
            columns = {name: array.slice(0, len(part)) for name, array in constant.items()}
            columns |= {
                one.name: part[one.name].cast(one.type).combine_chunks()
                for one in COPIES
                if one.name in _ROWS.names
            }
            columns["entities"] = pa.array(
                [entities_json(path) for path in columns["path"].to_pylist()], pa.string()
            )
            batches.append(pa.record_batch([columns[one.name] for one in COPIES], schema=COPIES))
        copies = pa.Table.from_batches(batches, COPIES)
        if len(copies):
            rows.backends["md5"] += len(copies)
        return SourceRead(self._source, dataset, copies, {}, rows.backends, rows.unusable, state)


_ROWS = pa.schema([(name, pa.large_string()) for name in ("md5", "path", "url")] + [("size", pa.int64())])
"""Large, as the paths of one dataset may be more than two gigabytes."""


class _Rows:
    """The claims on images of one dataset, kept in Arrow."""

    def __init__(self) -> None:
        self.backends: Counter[str] = Counter()
        self.unusable: Counter[str] = Counter()
        self._batches: list[pa.RecordBatch] = []
        self._open: list[tuple[str, str, str | None, int | None]] = []

    def __len__(self) -> int:
        return sum(map(len, self._batches)) + len(self._open)

    def add(self, md5: str, path: str, size: int | None, url: str | None) -> None:
        self._open.append((md5, path, url, size))

    def seal(self) -> None:
        """Move what came since the last time to Arrow, where it takes much less memory."""
        if not self._open:
            return
        columns = zip(*self._open, strict=True)
        arrays = [pa.array(column, one.type) for column, one in zip(columns, _ROWS, strict=True)]
        self._batches.append(pa.record_batch(arrays, schema=_ROWS))
        self._open = []

    def in_order(self) -> Iterator[pa.Table]:
        """The rows by path, then MD5, size and URL, each once; contradictions are counted."""
        self.seal()
        table = pa.Table.from_batches(self._batches, _ROWS).combine_chunks()
        self._batches = []
        _count(self.unusable, "conflicting size", _conflicting_sizes(table))
        by = [(name, "ascending") for name in ("path", "md5", "size", "url")]
        order = pc.sort_indices(table, sort_keys=by)
        for start in range(0, len(order), _CHUNK):
            before = min(start, 1)  # a row more, to compare the first with
            part = table.take(order.slice(start - before, _CHUNK + before))
            same = {name: _as_before(part[name].combine_chunks()) for name in _ROWS.names}
            again = np.logical_and.reduce(list(same.values()))
            _count(self.unusable, "repeated", again[before:].sum())
            _count(self.unusable, "conflicting digest", (same["path"] & ~same["md5"])[before:].sum())
            yield part.slice(before).filter(pa.array(~again[before:]))


def _count(counts: Counter[str], reason: str, number: int) -> None:
    if number:
        counts[reason] += int(number)


def _as_before(values: pa.Array) -> np.ndarray:
    """Whether a value is the one before it; a missing one is like a missing one."""
    before, now = values[:-1], values[1:]
    both_missing = pc.and_(pc.is_null(before), pc.is_null(now))
    same = pc.or_(both_missing, pc.fill_null(pc.equal(before, now), False))
    return np.concatenate([[False], same.to_numpy(zero_copy_only=False)])


def _conflicting_sizes(table: pa.Table) -> int:
    """How many rows have an MD5 that is listed with several sizes, which one file cannot have."""
    if table["size"].null_count == len(table):
        return 0
    sizes = table.group_by("md5").aggregate([("size", "min"), ("size", "max"), ("size", "count")])
    several = pc.not_equal(sizes["size_min"], sizes["size_max"])
    return pc.sum(sizes["size_count"].filter(several)).as_py() or 0


def clean(path: str) -> str:
    r"""A path that every table can hold: bytes that are no UTF-8 as ``\xff``."""
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def entities_json(path: str) -> str | None:
    """BIDS entities of a path, for :data:`COPIES`; ``None`` if its name is none of BIDS."""
    match = _OF_A_SUBJECT.fullmatch(path)
    if match is None:
        return _entities(path)
    folders, label, rest = match.groups()
    # Listings have millions of names, which are few but for the subject.
    before, after = _around_subject(folders.rpartition("/")[0].rpartition("/")[2], rest)
    return f'{before}"{label}"{after}' if after else None


def _entities(path: str) -> str | None:
    found = entities_of(path)
    return None if found is None else json.dumps(found, sort_keys=True, ensure_ascii=False)


@lru_cache(1 << 16)
def _around_subject(folder: str, rest: str) -> tuple[str, str]:
    text = _entities(f"{folder}/sub-0{rest}") or ""
    before, _, after = text.partition('"subject": "0"')
    return f'{before}"subject": ', after

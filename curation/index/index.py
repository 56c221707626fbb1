"""The index on disk: a folder with a file a dataset, and what is known of every source.

``index.json`` is written last, so that a run that is killed leaves the index as it was; files that it does not name are
remains of such a run and are removed by the next. What a night published with is kept for good, so that it can be made
again: ``history/`` has a list of datasets and files for each, named by its digest.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from filelock import FileLock, Timeout

from curation.errors import LockedError, StoreCorrupted, UsageError
from curation.index.model import COPIES, SourceRead
from curation.store.files import to_json, write_atomically

FORMAT = 1
KEPT_SECONDS = 86_400
"""How long files are kept that the index names no longer: longer than a night lasts."""
SIDECARS = pa.schema([("digest", pa.string()), ("metadata", pa.string())])
"""Sidecar metadata by its digest, as canonical JSON."""
# What a first run that was killed leaves.
_OURS = frozenset({".lock", "cache", "images", "sidecars"})
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass
class Dataset:
    """What the index knows of one dataset of one source.

    Attributes:
        source: the address that was added.
        dataset: accession.
        file: name of its files in ``images`` and ``sidecars``.
        sha256: of both files together (hex).
        images: numbers of copies; checksums: of distinct ones.
        backends: git-annex backends and the like, to numbers of image files.
        unusable: reason to how many image files gave no checksum for it.
        state: what tells an update whether anything is new.
    """

    source: str
    dataset: str
    file: str
    sha256: str
    images: int
    checksums: int
    backends: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class Source:
    """An address that was added.

    Attributes:
        address: of it.
        kind: how it is read.
        options: what was given beside the address.
        failure: why it could not be read the last time; what was known of it is still there.
    """

    address: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


_KEPT_FIELDS = ("source", "dataset", "file", "sha256", "images", "checksums")
SIDECARS_AT_ONCE = 5_000
"""Distinct sidecars whose metadata are in memory at a time, and those of one dataset more."""


class Index:
    """The index in a folder.

    Args:
        path: the folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sources: list[Source] = []
        self.datasets: list[Dataset] = []
        about = path / "index.json"
        if about.exists():
            self._read(about)
        elif path.exists() and (not path.is_dir() or not all(map(_is_ours, path.iterdir()))):
            raise UsageError(
                f"{path}: holds something that is no index (no index.json); choose another --index"
            )

    def _read(self, about: Path) -> None:
        try:
            content = json.loads(about.read_bytes())
            if content["format"] != FORMAT:
                raise UsageError(f"{about}: format {content['format']}, this version reads {FORMAT}")
            self.sources = [Source(**row) for row in content["sources"]]
            self.datasets = [Dataset(**row) for row in content["datasets"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{about}: is damaged ({error}); add the sources to a new index") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs from changing the index.

        Raises:
            LockedError: another run changes it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock", timeout=0):
                if (self.path / "index.json").exists():
                    self._read(self.path / "index.json")  # what another run wrote since
                yield
        except Timeout as error:
            raise LockedError(f"{self.path}: another run changes this index; wait until it ends") from error

    @property
    def cache(self) -> Path:
        """Where clones of repositories are kept between updates."""
        return self.path / "cache"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that it says of images."""
        digest = hashlib.sha256()
        # In the order in which sources were added, on which the choice among copies depends.
        ranks = self._ranks()
        for dataset in sorted(
            self.datasets, key=lambda one: (ranks.get(one.source, len(ranks)), one.dataset)
        ):
            digest.update(f"{dataset.dataset}\n{dataset.sha256}\n".encode())
        return digest.hexdigest()

    def states(self, source: str) -> dict[str, dict[str, Any]]:
        """Dataset to what tells an update of a source whether anything is new."""
        return {one.dataset: one.state for one in self.datasets if one.source == source}

    def put(self, read: SourceRead) -> None:
        """Write what was read of a dataset; :meth:`save` makes it count."""
        copies = read.copies.cast(COPIES)
        sidecars = pa.table([list(read.sidecars), list(read.sidecars.values())], schema=SIDECARS)
        found = {"images": copies, "sidecars": sidecars.sort_by("digest")}
        contents = {folder: _parquet(table) for folder, table in found.items()}
        digest = hashlib.sha256()
        for content in contents.values():
            digest.update(hashlib.sha256(content).digest())
        # Named by where it is from and what is in it: a file that index.json names is never overwritten.
        named = hashlib.sha256(f"{read.source}\n{read.dataset}\n{digest.hexdigest()}".encode()).hexdigest()
        text = f"{_NOT_A_NAME.sub('-', read.dataset)[:60]}-{named[:16]}"
        for folder, content in contents.items():
            (self.path / folder).mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / folder / f"{text}.parquet", content)
        row = Dataset(
            source=read.source,
            dataset=read.dataset,
            file=text,
            sha256=digest.hexdigest(),
            images=len(copies),
            checksums=len(copies.column("md5").unique()),
            backends=dict(sorted(read.backends.items())),
            unusable=dict(sorted(read.unusable.items())),
            state=dict(read.state),
        )
        places = [
            n for n, one in enumerate(self.datasets) if (one.source, one.dataset) == (row.source, row.dataset)
        ]
        if places:
            self.datasets[places[0]] = row
        else:
            self.datasets.append(row)

    def save(self) -> None:
        """Write ``index.json``, and remove files that it does not name."""
        ranks = self._ranks()
        self.datasets.sort(key=lambda one: (ranks.get(one.source, len(ranks)), one.dataset))
        content = {
            "format": FORMAT,
            "sources": [asdict(source) for source in self.sources],
            "datasets": [asdict(dataset) for dataset in self.datasets],
        }
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "index.json", to_json(content))
        known = {f"{dataset.file}.parquet" for dataset in self.datasets} | self._kept()
        for folder in ("images", "sidecars"):
            for file in (self.path / folder).glob("*.parquet"):
                # A night that opened the index before may still read them.
                if file.name not in known and time.time() - file.stat().st_mtime > KEPT_SECONDS:
                    file.unlink()

    def keep(self) -> None:
        """Keep what the index says of images now: no update will remove it, and :meth:`at` finds it."""
        path = self._history(self.digest)
        if not path.exists():
            sources = [{"address": source.address, "kind": source.kind} for source in self.sources]
            datasets = [{name: getattr(one, name) for name in _KEPT_FIELDS} for one in self.datasets]
            content = {"format": FORMAT, "sources": sources, "datasets": datasets}
            write_atomically(path, zstandard.compress(to_json(content)))

    def at(self, digest: str) -> Index:
        """The index as it was when :attr:`digest` was this.

        Raises:
            UsageError: no night was published with such an index, as far as this one knows.
            StoreCorrupted: what was kept of it is damaged.
        """
        if digest == self.digest:
            return self
        path = self._history(digest)
        if not path.exists():
            raise UsageError(
                f"{self.path}: knows nothing of itself with the digest {digest[:12]}...; name the index that the night "
                "was made with"
            )
        content = _read_history(path)
        then = copy.copy(self)
        then.sources = [Source(**row) for row in content["sources"]]
        then.datasets = [Dataset(**row) for row in content["datasets"]]
        if then.digest != digest:
            raise StoreCorrupted(f"{path}: is not what its name says; restore it from a backup")
        return then

    def _history(self, digest: str) -> Path:
        return self.path / "history" / f"{digest}.json.zst"

    def _kept(self) -> set[str]:
        """Names of the files that :meth:`keep` kept."""
        paths = sorted((self.path / "history").glob("[!.]*.json.zst"))
        return {f"{row['file']}.parquet" for path in paths for row in _read_history(path)["datasets"]}

    def ranked(self) -> list[tuple[Dataset, int]]:
        """The datasets, and of each the place of its source in the order of their adding."""
        ranks = self._ranks()
        return [(dataset, ranks.get(dataset.source, len(ranks))) for dataset in self.datasets]

    def _ranks(self) -> dict[str, int]:
        """The places of sources in the order of their adding, by address."""
        return {source.address: rank for rank, source in enumerate(self.sources)}

    def rows(self, numbers: Iterable[int], columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of the copies of some datasets.

        Args:
            numbers: of the datasets, in the order of :attr:`datasets`.
            columns: which.
        """
        return (self._table("images", self.datasets[number], columns) for number in numbers)

    def copies(self, columns: Sequence[str]) -> pa.Table:
        """Columns of all copies; for indexes that fit into memory."""
        nothing = pa.schema([COPIES.field(name) for name in columns]).empty_table()
        return pa.concat_tables([nothing, *self.rows(range(len(self.datasets)), columns)])

    def metadata(self, digests: pa.Array, numbers: Iterable[int]) -> Iterator[dict[str, str]]:
        """Sidecar metadata (canonical JSON) by their digests, each once, :data:`SIDECARS_AT_ONCE` or more at a time.

        Args:
            digests: of the sidecars.
            numbers: of the datasets that have them, in the order of :attr:`datasets`.
        """
        left = digests
        found: dict[str, str] = {}
        for number in numbers:
            if not len(left):
                break
            table = self._table("sidecars", self.datasets[number], SIDECARS.names)
            wanted = table.filter(pc.is_in(table.column("digest"), left)) if len(table) else table
            if len(wanted):
                found |= dict(zip(*(column.to_pylist() for column in wanted.columns), strict=True))
            if len(found) >= SIDECARS_AT_ONCE:
                left = left.filter(pc.invert(pc.is_in(left, pa.array(list(found), pa.string()))))
                yield found
                found = {}
        if found:
            yield found

    def _table(self, folder: str, dataset: Dataset, columns: Sequence[str]) -> pa.Table:
        file = self._file(folder, dataset)
        try:
            # Quicker than `read_table` where there are thousands of small files.
            with pq.ParquetFile(file) as opened:
                return opened.read(columns=list(columns), use_threads=False).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            raise StoreCorrupted(
                f"{file}: cannot be read ({error}); `mriqc-snapshot index update` of a new index makes it again"
            ) from error

    def _file(self, folder: str, dataset: Dataset) -> Path:
        return self.path / folder / f"{dataset.file}.parquet"


def binary_md5s(checksums: pa.ChunkedArray) -> pa.Array:
    """MD5s (32 hexadecimal digits, in any case) as 16 bytes each: half the memory of their digits."""
    texts = pc.utf8_lower(checksums).combine_chunks()
    texts = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
    start, end = 32 * texts.offset, 32 * (texts.offset + len(texts))
    digits = bytes(memoryview(texts.buffers()[2])[start:end]) if len(texts) else b""
    return pa.Array.from_buffers(
        pa.binary(16), len(texts), [None, pa.py_buffer(bytes.fromhex(digits.decode("ascii")))]
    )


def _read_history(path: Path) -> dict[str, Any]:
    try:
        return json.loads(zstandard.decompress(path.read_bytes()))
    except (zstandard.ZstdError, ValueError) as error:
        raise StoreCorrupted(f"{path}: is damaged ({error}); restore it from a backup") from error


def _is_ours(file: Path) -> bool:
    """Whether a file is of an index, perhaps of a first run that was killed."""
    return file.name in _OURS or file.name.startswith(".tmp-")


def existing_index(path: Path | None) -> Index | None:
    """The index in a folder; ``None`` for no folder.

    Raises:
        UsageError: there is none in the folder.
    """
    if path is None:
        return None
    if not (path / "index.json").exists():
        raise UsageError(f"{path}: no index (no index.json); `mriqc-snapshot index add` makes one")
    return Index(path)


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()

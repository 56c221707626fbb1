"""The index on disk: a folder with a file a dataset, and what is known of every source.

``index.json`` is written last, so that a run that is killed leaves the index as it was; files that it does not name are
remains of such a run and are removed by the next.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from curation.errors import LockedError, UsageError
from curation.index.model import COPIES, SourceRead
from curation.store.files import to_json, write_atomically

FORMAT = 1
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
        elif path.exists() and (
            not path.is_dir() or not _OURS.issuperset(file.name for file in path.iterdir())
        ):
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
        for dataset in sorted(self.datasets, key=lambda one: (one.source, one.dataset)):
            digest.update(f"{dataset.source}\n{dataset.dataset}\n{dataset.sha256}\n".encode())
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
        digest = hashlib.sha256(f"{read.source}\n{read.dataset}\n".encode())
        for content in contents.values():
            digest.update(hashlib.sha256(content).digest())
        # Named by what is in it: a file that index.json names is never overwritten.
        text = f"{_NOT_A_NAME.sub('-', read.dataset)[:60]}-{digest.hexdigest()[:16]}"
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
        content = {
            "format": FORMAT,
            "sources": [asdict(source) for source in self.sources],
            "datasets": [asdict(dataset) for dataset in self.datasets],
        }
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "index.json", to_json(content))
        known = {f"{dataset.file}.parquet" for dataset in self.datasets}
        for folder in ("images", "sidecars"):
            for file in (self.path / folder).glob("*.parquet"):
                if file.name not in known:
                    file.unlink()

    def copies(self, columns: Sequence[str]) -> pa.Table:
        """Columns of all copies, with ``rank``, the place of the source in the order in which sources were added."""
        ranks = {source.address: rank for rank, source in enumerate(self.sources)}
        tables = []
        for dataset in self.datasets:
            found = pq.read_table(self._file("images", dataset), columns=list(columns), partitioning=None)
            rank = pa.array([ranks.get(dataset.source, len(ranks))] * len(found), pa.int32())
            tables.append(found.append_column("rank", rank))
        schema = pa.schema([*(COPIES.field(name) for name in columns), pa.field("rank", pa.int32())])
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def metadata(self, digests: set[str]) -> Mapping[str, str]:
        """Sidecar metadata (canonical JSON) by their digests."""
        found: dict[str, str] = {}
        for dataset in self.datasets:
            table = pq.read_table(self._file("sidecars", dataset), partitioning=None)
            for digest, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if digest in digests:
                    found[digest] = text
        return found

    def _file(self, folder: str, dataset: Dataset) -> Path:
        return self.path / folder / f"{dataset.file}.parquet"


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

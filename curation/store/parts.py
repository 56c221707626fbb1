"""Parts of the record store: Parquet files of documents, each sealed by a manifest written last.

A part holds what one walk of the service brought: the documents' bytes and, beside them, the few keys that are
needed to find a document again. Parquet because it compresses with zstd, is read column by column (the keys
without the documents) and opens in every tool of the field.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import StoreCorrupted
from curation.store.files import move_into_place, to_json, write_atomically

FORMAT = 1

PART_SCHEMA = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("created", pa.timestamp("s", tz="UTC")),
        pa.field("updated", pa.timestamp("s", tz="UTC")),
        pa.field("new", pa.bool_(), nullable=False),
        pa.field("document", pa.binary(), nullable=False),
    ]
)
# What is relied upon of a manifest.
_MANIFEST: dict[str, Any] = {
    "sequence": int,
    "documents": int,
    "new": int,
    "first_id": str,
    "last_id": str,
    "newest_updated": int | None,
    "sha256": str,
}
KEY_COLUMNS = ["record_id", "etag", "created", "updated", "new"]

# Flushed at either bound, so that many open windows together stay within tens of megabytes.
FLUSH_DOCUMENTS = 500
FLUSH_BYTES = 2 << 20
# Measured on 1,000 real T1w records in one stream: level 1 packs them 4.5 times at 280 to 400 MB/s a core; level 3
# is half as fast and packs them less (4.0), level -1 is no faster and packs them 2.8 times.
ZSTD_LEVEL = 1
_RFC_1123 = "%a, %d %b %Y %H:%M:%S GMT"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One document as received.

    Attributes:
        id: the document's ``_id``.
        etag: its ``_etag``, empty where it has none.
        created: its ``_created`` as sent (RFC 1123), empty where it has none.
        updated: its ``_updated`` as sent.
        document: the bytes of the JSON object.
    """

    id: str
    etag: str
    created: str
    updated: str
    document: bytes


class Keys(msgspec.Struct):
    """What is taken of a document beside its bytes, as :class:`Record` has it."""

    id: str = msgspec.field(name="_id")
    etag: str = msgspec.field(name="_etag", default="")
    created: str = msgspec.field(name="_created", default="")
    updated: str = msgspec.field(name="_updated", default="")


decode_keys = msgspec.json.Decoder(Keys).decode
"""Reads the keys of a document; raises ``msgspec.DecodeError`` where one is missing or no text."""


@dataclass(frozen=True)
class Part:
    """A sealed part: its manifest and the file beside it."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The part's name, unique within its resource."""
        return self.path.stem

    @property
    def sequence(self) -> int:
        """The number of the run that sealed it; later runs have higher numbers."""
        return self.manifest["sequence"]

    @classmethod
    def open(cls, manifest_path: Path) -> Part:
        """Read a part's manifest.

        Raises:
            StoreCorrupted: the manifest is no JSON object of this format, or its file is missing.
        """
        try:
            manifest = json.loads(manifest_path.read_bytes())
            known_format = manifest["format"] == FORMAT
            wrong = [key for key, type_ in _MANIFEST.items() if not isinstance(manifest[key], type_)]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupted(f"{manifest_path}: not a part's manifest ({error}); restore it") from error
        if not known_format:
            raise StoreCorrupted(f"{manifest_path}: format {manifest['format']}, this version reads {FORMAT}")
        if wrong or not manifest_path.name.startswith(f"{manifest['sequence']:06d}-"):
            raise StoreCorrupted(
                f"{manifest_path}: {wrong[0] if wrong else 'sequence'} is not what it can be; restore it"
            )
        part = cls(manifest_path.with_suffix(".parquet"), manifest)
        if not part.path.is_file():
            raise StoreCorrupted(
                f"{part.path}: missing, but {manifest_path.name} says it is sealed; restore it"
            )
        return part

    def check(self) -> None:
        """Compare the file with the digest in the manifest, and the manifest's counts with the file.

        Raises:
            StoreCorrupted: they differ.
        """
        self._require({"sha256": file_sha256(self.path)})
        keys = self.keys()
        ids, etags = keys.column("record_id").to_pylist(), keys.column("etag").to_pylist()
        self._require(
            {
                "documents": len(keys),
                "new": pc.sum(keys.column("new")).as_py(),
                "first_id": min(ids, default=""),
                "last_id": max(ids, default=""),
                "newest_updated": pc.max(keys.column("updated").cast(pa.int64())).as_py(),
                "etags_sha256": hashlib.sha256(_id_lines(ids, etags)).hexdigest(),
            }
        )

    def _require(self, found: dict[str, Any]) -> None:
        for key, value in found.items():
            if value != self.manifest.get(key):
                raise StoreCorrupted(
                    f"{self.path}: {key} is {value}, its manifest says {self.manifest.get(key)}; restore both files "
                    f"from a backup, or move the parts of run {self.sequence} and all later runs away and pull again"
                )

    def keys(self) -> pa.Table:
        """The key columns of every document (``KEY_COLUMNS``), rows in the order they came."""
        return self._read(KEY_COLUMNS)

    def documents(self, content: bytes | None = None) -> pa.Table:
        """All columns, the file's digest checked first.

        Args:
            content: the bytes of the file, where it is not within reach.
        """
        digest = file_sha256(self.path) if content is None else hashlib.sha256(content).hexdigest()
        self._require({"sha256": digest})
        found = self._read(PART_SCHEMA.names, content)
        self._require({"documents": len(found)})
        return found

    def _read(self, columns: list[str], content: bytes | None = None) -> pa.Table:
        source = self.path if content is None else pa.BufferReader(content)
        try:
            return pq.read_table(source, columns=columns, schema=PART_SCHEMA, memory_map=False)
        except (pa.ArrowException, OSError) as error:
            raise StoreCorrupted(
                f"{self.path}: cannot be read ({error}); restore it from a backup"
            ) from error


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        # In large blocks: between two of them a thread has to wait for the interpreter.
        while block := stream.read(4 << 20):
            digest.update(block)
    return digest.hexdigest()


def _id_lines(ids: Sequence[str], etags: Sequence[str]) -> bytes:
    return "".join(map("{} {}\n".format, ids, etags)).encode()


def text_array(values: Sequence[str]) -> pa.Array:
    """An Arrow array of strings (``pa.array`` would import pandas, which costs 35 MB and a third of a second)."""
    return _packed([value.encode() for value in values], pa.string())


def _packed(values: Sequence[bytes], type_: pa.DataType) -> pa.Array:
    offsets = array("i", accumulate(map(len, values), initial=0))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(type_, len(values), buffers)


def rfc_1123_times(texts: pa.Array) -> pa.Array:
    """Times as the service writes them; missing where a text is none."""
    parsed = pc.strptime(texts, format=_RFC_1123, unit="s", error_is_null=True)
    return parsed.cast(pa.timestamp("s", tz="UTC"))


@dataclass
class _Tally:
    documents: int = 0
    new: int = 0
    raw_bytes: int = 0
    first_id: str = ""
    last_id: str = ""
    newest_updated: int | None = None


@dataclass
class _Columns:
    """Documents that wait for a flush, column by column."""

    ids: list[str] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    new: list[bool] = field(default_factory=list)
    documents: list[bytes] = field(default_factory=list)
    bytes: int = 0

    def packed(self) -> list[pa.Array]:
        """The columns as Arrow's, times and flags not in their final form."""
        created = text_array(self.created)
        updated = created if self.updated == self.created else text_array(self.updated)
        flags = pa.Array.from_buffers(pa.uint8(), len(self.new), [None, pa.py_buffer(bytes(self.new))])
        documents = _packed(self.documents, pa.binary())
        return [text_array(self.ids), text_array(self.etags), created, updated, flags, documents]


def _batch(packed: list[pa.Array]) -> pa.RecordBatch:
    ids, etags, created, updated, new, documents = packed
    created_times = rfc_1123_times(created)
    updated_times = created_times if updated is created else rfc_1123_times(updated)
    columns = [ids, etags, created_times, updated_times, new.cast(pa.bool_()), documents]
    return pa.RecordBatch.from_arrays(columns, schema=PART_SCHEMA)


class PartWriter:
    """Gathers documents and seals them as one part.

    Args:
        folder: the resource's folder of parts.
        sequence: number of the run.
        name: the part's name without suffix.
        about: what the manifest says beside counts and digests (``resource``, ``kind``, ``source``, ``window``).
    """

    def __init__(self, folder: Path, sequence: int, name: str, about: dict[str, Any]) -> None:
        self._final = folder / f"{name}.parquet"
        self._temporary = folder / f".tmp-{name}.parquet"
        self._about = {"format": FORMAT, "sequence": sequence, **about}
        self._started = datetime.now(UTC)
        self._waiting = _Columns()
        self._packed: list[list[pa.Array]] = []
        self._writer: pq.ParquetWriter | None = None
        self._tally = _Tally()
        self._etags = hashlib.sha256()
        self._failure: BaseException | None = None
        # A walk that was cancelled seals while a thread may still be flushing.
        self._lock = threading.Lock()
        self.part: Part | None = None

    def add(self, records: Sequence[tuple[Record, bool]]) -> bool:
        """Take documents, each with whether its id is new to the store; returns whether a flush is due."""
        waiting = self._waiting
        waiting.ids += [record.id for record, _ in records]
        waiting.etags += [record.etag for record, _ in records]
        waiting.created += [record.created for record, _ in records]
        waiting.updated += [record.updated for record, _ in records]
        waiting.new += [new for _, new in records]
        waiting.documents += [record.document for record, _ in records]
        waiting.bytes += sum([len(record.document) for record, _ in records])
        return len(waiting.ids) >= FLUSH_DOCUMENTS or waiting.bytes >= FLUSH_BYTES

    def pack(self) -> None:
        """Make what waits ready to be written; called where the documents came, before :meth:`flush`.

        What needs the interpreter is done here, so that a thread that flushes hardly ever waits for it.
        """
        waiting = self._waiting
        if not waiting.ids:
            return
        self._waiting = _Columns()
        tally = self._tally
        tally.documents += len(waiting.ids)
        tally.new += sum(waiting.new)
        tally.raw_bytes += waiting.bytes
        tally.first_id = min(waiting.ids) if not tally.first_id else min(tally.first_id, *waiting.ids)
        tally.last_id = max(tally.last_id, *waiting.ids)
        self._etags.update(_id_lines(waiting.ids, waiting.etags))
        self._packed.append(waiting.packed())

    def flush(self) -> None:
        """Compress and write what was packed; may run in a thread while more is taken."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            while self._packed:
                batch = _batch(self._packed.pop(0))
                self._open().write_batch(batch, row_group_size=len(batch))
                newest = pc.max(batch.column("updated").cast(pa.int64())).as_py()
                if newest is not None:
                    self._tally.newest_updated = max(newest, self._tally.newest_updated or newest)
        except BaseException as error:
            # What is in the file now is anybody's guess: nothing that this writer took is sealed.
            self._failure = error
            raise

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._temporary,
                PART_SCHEMA,
                compression="zstd",
                compression_level=ZSTD_LEVEL,
                use_dictionary=False,
                write_statistics=["record_id", "updated"],
            )
        return self._writer

    def seal(self) -> Part | None:
        """Finish the file, then write its manifest; ``None`` where no document was added.

        Raises:
            OSError: the disk refused, now or at a flush; what is left of the file goes when the next run begins.
        """
        with self._lock:
            if self.part is None:
                self.pack()
                self._flush()
                if self._writer is None:
                    return None
                self._writer.close()
                self.part = self._publish()
            return self.part

    def _publish(self) -> Part:
        manifest = {
            **self._about,
            **asdict(self._tally),
            "etags_sha256": self._etags.hexdigest(),
            "sha256": file_sha256(self._temporary),
            "file_bytes": self._temporary.stat().st_size,
            "fetched": {"from": _second(self._started), "to": _second(datetime.now(UTC))},
        }
        move_into_place(self._temporary, self._final)
        write_atomically(self._final.with_suffix(".json"), to_json(manifest))
        return Part(self._final, manifest)


def _second(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")

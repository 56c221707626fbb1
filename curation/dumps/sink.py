"""Puts documents of dumps into one resource of the record store, and none that the store knows better."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.dumps.continuing import Continuation
from curation.store import Part, PartWriter, Record, RecordStore
from curation.store.parts import rfc_1123_times, text_array

PART_DOCUMENTS = 20_000
PART_BYTES = 64 << 20
"""A part is sealed at either bound: what a kill loses, and what curation holds of a part at a time."""
# Documents that are compared with the store together.
_BATCH_DOCUMENTS = 1_000
_BATCH_BYTES = 8 << 20


@dataclass
class Imported:
    """What an import did to one resource; JSON-ready with :func:`dataclasses.asdict`.

    Attributes:
        new: documents whose id the store did not have.
        changed: documents that were updated after the version that the store had.
        known: documents that the store had as they are, or twice in the dumps.
        older: documents of which the store has a newer version, or another of the same second.
        deleted: documents of records that the service no longer had when it was asked.
        changes_known_until: what the cursor says at the end.
    """

    new: int = 0
    changed: int = 0
    known: int = 0
    older: int = 0
    deleted: int = 0
    changes_known_until: str | None = None


class Sink:
    """One resource during an import.

    A document is stored if its id is new to the store, or if it was updated after the version that the store has. In
    doubt the store is right: it may have been pulled since the dump was made. A record that a pull found deleted stays
    so, for a dump cannot tell whether it was made before or after; should the service have it again, the next pull
    counts one record more than the store and brings it.

    Args:
        store: the record store, locked by the caller.
        resource: its name.
        sequence: number of the run.
        began: when the run began; what claims to be updated later says nothing of when its dump was made.
    """

    def __init__(self, store: RecordStore, resource: str, sequence: int, began: datetime) -> None:
        self.report = Imported()
        self._store = store
        self._resource = resource
        self._sequence = sequence
        self._began = int(began.timestamp())
        self._parts = store.parts(resource)
        self._deletions = store.deletions(resource)
        self._known = store.known(resource)
        self._continuation = Continuation(store, resource, self._known)
        self._flusher = ThreadPoolExecutor(1, "flush")
        self._flushing: Future[None] | None = None
        self._writer: PartWriter | None = None
        # Etag and `_updated` of what the open part has.
        self._open: dict[str, tuple[str, int | None]] = {}
        self._open_bytes = 0
        self._batch: list[Record] = []
        self._batch_bytes = 0
        self._source = ""
        self._seen = bytearray()
        self._newest: int | None = None
        self._added = False

    def begin_file(self, name: str) -> None:
        """What follows is out of the file ``name``."""
        self._source = name
        self._seen, self._newest, self._added = bytearray(), None, False

    def add(self, record: Record) -> None:
        """Take a document."""
        self._batch.append(record)
        self._batch_bytes += len(record.document)
        if len(self._batch) >= _BATCH_DOCUMENTS or self._batch_bytes >= _BATCH_BYTES:
            self._settle()

    def end_file(self) -> None:
        """The file ended: seal what came of it."""
        self.seal()
        self._continuation.finished_file(bytes(self._seen), self._until, added=self._added)
        self._source = ""

    @property
    def _until(self) -> datetime | None:
        return None if self._newest is None else datetime.fromtimestamp(self._newest, UTC)

    @property
    def is_open(self) -> bool:
        """Whether a file is under way."""
        return self._source != ""

    def finish(self, *, whole: bool) -> None:
        """Move the cursor, last of all.

        Args:
            whole: whether all files that have to do with the resource were read to their ends.
        """
        self.report.changes_known_until = self._continuation.finish(whole=whole)

    def close(self) -> None:
        """End the thread."""
        self._flusher.shutdown()

    def _settle(self) -> None:
        """Store those of the waiting documents that the store does not know better."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if not batch:
            return
        ids = [record.id for record in batch]
        etags = self._known.etags(ids)
        times = _seconds([record.updated for record in batch])
        told = [time for time in times if time is not None and time <= self._began]
        self._newest = max(told if self._newest is None else [*told, self._newest], default=None)
        doubtful = [
            record.id
            for record in batch
            if record.id in etags and (not record.etag or etags[record.id] != record.etag)
        ]
        stored = self._stored_times(doubtful) if doubtful else {}
        fresh: list[tuple[Record, bool]] = []
        for record, time in zip(batch, times, strict=True):
            self._judge(record, time, etags.get(record.id), stored.get(record.id), fresh)
        live = ids if not self._deletions else [i for i in ids if i not in self._deletions or i in etags]
        self._seen += bytes.fromhex("".join(live))
        if fresh:
            self._write(fresh)

    def _judge(
        self,
        record: Record,
        time: int | None,
        etag: str | None,
        stored: int | None,
        fresh: list[tuple[Record, bool]],
    ) -> None:
        """Decide on one document; ``etag`` and ``stored`` (its ``_updated``) are of the version in the store."""
        report = self.report
        if (here := self._open.get(record.id)) is not None:
            etag, stored = here
        if etag is None:
            if record.id in self._deletions:
                report.deleted += 1
                return
            report.new += 1
        elif record.etag and record.etag == etag:
            report.known += 1
            return
        elif time is None or (stored is not None and time <= stored):
            if time == stored and not record.etag:
                report.known += 1
            else:
                report.older += 1
            return
        else:
            report.changed += 1
        fresh.append((record, etag is None))
        self._open[record.id] = (record.etag, time)
        self._open_bytes += len(record.document)

    def _stored_times(self, ids: Sequence[str]) -> dict[str, int | None]:
        """``_updated`` of the newest stored versions, in seconds since 1970."""
        wanted, low, high = text_array(ids), min(ids), max(ids)
        found: dict[str, int | None] = {}
        # Oldest run first, and rows as they came: the last is the newest.
        for part in self._parts:
            if part.manifest["first_id"] <= high and part.manifest["last_id"] >= low:
                keys = part.keys()
                rows = keys.filter(pc.is_in(keys.column("record_id"), value_set=wanted))
                times = rows.column("updated").cast(pa.int64()).to_pylist()
                found |= zip(rows.column("record_id").to_pylist(), times, strict=True)
        return found

    def _write(self, fresh: list[tuple[Record, bool]]) -> None:
        if self._writer is None:
            about: dict[str, Any] = {"kind": "import", "source": self._source}
            self._writer = self._store.writer(self._resource, self._sequence, about)
        self._added = True
        if self._writer.add(fresh):
            self._writer.pack()
            # One flush at a time; reading goes on meanwhile.
            self._wait()
            self._flushing = self._flusher.submit(self._writer.flush)
        if len(self._open) >= PART_DOCUMENTS or self._open_bytes >= PART_BYTES:
            self._seal_part()

    def _wait(self) -> None:
        if self._flushing is not None:
            before, self._flushing = self._flushing, None
            before.result()

    def seal(self) -> None:
        """Store and seal what came so far.

        Raises:
            OSError: the disk refused, now or at a flush.
        """
        self._settle()
        self._seal_part()

    def _seal_part(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._wait()
        self._continuation.will_seal(list(self._open), self._until)
        part: Part | None = writer.seal()
        if part is not None:
            self._parts.append(part)
            self._known.add(part)
        self._open, self._open_bytes = {}, 0


def _seconds(texts: Sequence[str]) -> list[int | None]:
    return rfc_1123_times(text_array(texts)).cast(pa.int64()).to_pylist()

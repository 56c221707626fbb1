"""The folder of the record store and what may be done to it."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from curation.errors import LockedError, StoreCorrupted, UsageError
from curation.store.files import to_json, write_atomically
from curation.store.known import Known
from curation.store.parts import Part, PartWriter
from curation.store.withdrawals import Decided, read_decided, write_decided
from schemas import RESOURCES

STORE_FORMAT = 1
_README = """Record store of mriqc-snapshot: documents of the MRIQC Web-API exactly as received.

Private: documents may hold personal data. Nothing here is edited or removed by hand.
<resource>/parts/NAME.parquet   documents and their keys; sealed once NAME.json is there
<resource>/deletions/N.json     ids that run N found deleted upstream
<resource>/cursor.json          up to when the service's changes are known
<resource>/typed/               columns made from the parts; may be thrown away
runs/N.json                     what run N did
withdrawals/N.json              requests to withdraw records, and what was decided of them, from run N on
id.json                         a name by which the store tells its typed columns in a folder that others share
"""


class RecordStore:
    """A record store on disk.

    Args:
        path: its folder; laid out when it does not exist or is empty.
        through: number of the last run whose parts, deletions and withdrawals are seen; all are without. Such a store
            is to be read only.

    Raises:
        UsageError: ``path`` is a folder of something else.
        StoreCorrupted: the store was written by another format.
    """

    def __init__(self, path: Path, through: int | None = None) -> None:
        self.path = path
        self.through = through
        self._numbers = itertools.count(1)
        marker = path / "store.json"
        if not marker.exists():
            if path.exists() and (not path.is_dir() or any(_not_ours(path))):
                raise UsageError(f"{path}: neither a record store (no store.json) nor an empty folder")
            write_atomically(path / "README.txt", _README.encode())
            write_atomically(marker, to_json({"format": STORE_FORMAT}))
        found = _read_object(marker).get("format")
        if found != STORE_FORMAT:
            raise StoreCorrupted(f"{marker}: format {found!r}, this version reads {STORE_FORMAT}")

    @property
    def id(self) -> str:
        """What tells this store from others that share a folder with it; made when it is first asked for."""
        path = self.path / "id.json"
        if not path.exists():
            write_atomically(path, to_json({"id": secrets.token_hex(8)}))
        return str(_read_object(path)["id"])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out; the lock is the kernel's and goes with the process that holds it.

        Raises:
            LockedError: another run works on the store.
        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                self._remove_leftovers()
                yield
        except Timeout as error:
            raise LockedError(f"{self.path}: another run works on this store; wait until it ends") from error

    def require_outside(self, folder: Path) -> None:
        """Keep apart what is made of the records, and may be shown, and the store; see :func:`require_apart`."""
        require_apart(self.path, folder)

    def _remove_leftovers(self) -> None:
        """Remove what a killed run left unsealed: temporary files, and parts without a manifest."""
        for resource in RESOURCES:
            for leftover in (self.path / resource).glob("**/.tmp-*"):
                leftover.unlink()
            for part in self._parts_folder(resource).glob("*.parquet"):
                if not part.with_suffix(".json").exists():
                    part.unlink()
        for folder in ("runs", "withdrawals"):
            for leftover in (self.path / folder).glob(".tmp-*"):
                leftover.unlink()

    def _parts_folder(self, resource: str) -> Path:
        return self.path / resource / "parts"

    def parts(self, resource: str) -> list[Part]:
        """The sealed parts of a resource, oldest run first, then by name."""
        manifests = sorted(self._parts_folder(resource).glob("[!.]*.json"))
        found = sorted((Part.open(path) for path in manifests), key=lambda part: (part.sequence, part.name))
        return [part for part in found if self._is_seen(part.sequence)]

    def deletions(self, resource: str) -> dict[str, int]:
        """Ids found deleted upstream, with the number of the (last) run that found it."""
        found: dict[str, int] = {}
        for path in sorted((self.path / resource / "deletions").glob("[!.]*.json")):
            content = _read_object(path)
            if self._is_seen(content["sequence"]):
                for record_id in content["ids"]:
                    found[record_id] = max(content["sequence"], found.get(record_id, -1))
        return found

    def at(self, sequence: int) -> RecordStore:
        """The store as it was when run ``sequence`` had ended."""
        return RecordStore(self.path, sequence)

    def _is_seen(self, sequence: int) -> bool:
        return self.through is None or sequence <= self.through

    def newest_change(self) -> int:
        """The number of the last run that brought, buried or withdrew a document; 0 for an empty store."""
        numbers = [part.sequence for resource in RESOURCES for part in self.parts(resource)]
        numbers += [sequence for resource in RESOURCES for sequence in self.deletions(resource).values()]
        numbers += [sequence for sequence, _ in self._decisions()]
        return max(numbers, default=0)

    def known(self, resource: str) -> Known:
        """What is known of a resource's ids now."""
        return Known(self.parts(resource), self.deletions(resource))

    def next_sequence(self) -> int:
        """The number of the run that begins: one more than any number in the store."""
        numbers = [part.sequence for resource in RESOURCES for part in self.parts(resource)]
        folders = [self.path / "runs", self.path / "withdrawals"]
        for folder in [*folders, *((self.path / r / "deletions") for r in RESOURCES)]:
            numbers += [int(path.stem) for path in folder.glob("[0-9]*.json")]
        return max(numbers, default=0) + 1

    def writer(self, resource: str, sequence: int, about: dict[str, Any]) -> PartWriter:
        """A writer for a new part of ``resource``; ``about`` goes into its manifest (kind, source, window)."""
        name = f"{sequence:06d}-{next(self._numbers):05d}"
        return PartWriter(self._parts_folder(resource), sequence, name, {"resource": resource, **about})

    def record_deletions(self, resource: str, sequence: int, ids: list[str], noticed: str) -> None:
        """Record ids that run ``sequence`` found deleted upstream (beside those it recorded before)."""
        path = self.path / resource / "deletions" / f"{sequence:06d}.json"
        before = _read_object(path)["ids"] if path.exists() else []
        content = {"sequence": sequence, "noticed": noticed, "ids": sorted({*before, *ids})}
        write_atomically(path, to_json(content))

    def withdrawals(self) -> tuple[Decided, ...]:
        """Requests to withdraw records that are in effect now, and what was decided of them."""
        newest = max(self._decisions(), default=None)
        return read_decided(newest[1]) if newest is not None else ()

    def _decisions(self) -> Iterator[tuple[int, Path]]:
        """Numbers and files of decisions on withdrawals."""
        for path in (self.path / "withdrawals").glob("[0-9]*.json"):
            if self._is_seen(int(path.stem)):
                yield int(path.stem), path

    def record_withdrawals(self, sequence: int, requests: Iterable[Decided]) -> None:
        """Record the requests that are in effect from run ``sequence`` on, instead of all before."""
        write_decided(self.path / "withdrawals" / f"{sequence:06d}.json", sequence, requests)

    def cursor(self, resource: str) -> dict[str, Any]:
        """Up to when changes are known (``asked_at``) and what could not be retrieved; empty before a first run."""
        path = self.path / resource / "cursor.json"
        return _read_object(path) if path.exists() else {}

    def move_cursor(self, resource: str, cursor: dict[str, Any]) -> None:
        """Set the cursor, after everything it speaks of is sealed."""
        write_atomically(self.path / resource / "cursor.json", to_json(cursor))

    def record_run(self, sequence: int, manifest: dict[str, Any]) -> Path:
        """Write a run's manifest."""
        path = self.path / "runs" / f"{sequence:06d}.json"
        write_atomically(path, to_json(manifest))
        return path


def existing_store(path: Path) -> RecordStore:
    """The store in a folder.

    Raises:
        UsageError: there is none in it.
    """
    if not (path / "store.json").exists():
        raise UsageError(
            f"{path}: no record store (no store.json); `mriqc-snapshot pull` and `import` make one"
        )
    return RecordStore(path)


def _not_ours(path: Path) -> Iterator[Path]:
    """What lies in a folder beside the first files of a store whose layout was interrupted."""
    ours = {"README.txt", ".lock", ".tmp-README.txt", ".tmp-store.json"}
    return (entry for entry in path.iterdir() if entry.name not in ours)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise StoreCorrupted(f"{path}: no JSON ({error}); restore it from a backup") from error
    if not isinstance(content, dict):
        raise StoreCorrupted(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def require_apart(store: Path, shown: Path) -> None:
    """Keep a record store apart from what is made of its records, and may be shown.

    Args:
        store: its folder, which need not be there yet.
        shown: the folder of the other, likewise.

    Raises:
        UsageError: they are the same, or one is inside the other.
    """
    if shown.resolve().is_relative_to(store.resolve()):
        raise UsageError(f"{shown}: inside the record store, which is private; choose another folder")
    if store.resolve().is_relative_to(shown.resolve()):
        raise UsageError(
            f"{shown}: the record store {store}, which is private, is inside it; choose another folder"
        )

"""Room on disk: how much a curation needs, asked before it begins and told when it runs out."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curation.errors import DiskFull
from curation.store import Part

TYPED_SHARE = 1.0
"""Bytes of typed columns for each of the sealed part: 0.74 of the corpus of the benchmark; more, for others."""
KEPT_ROW = 2_000
"""Bytes of a row that is kept: 1,250 of curated and 700 of unique tables of the corpus of the benchmark."""
TABLES_SHARE = 4.0
"""Bytes of tables and ledgers for each of sealed parts: 2.9 of the corpus of the benchmark; more, for others."""
GROWTH = 1.1
"""Tables of a night for each byte of those of the night before."""


def typed_bytes(parts: Sequence[Part]) -> int:
    """How much the typed columns of parts take."""
    return int(TYPED_SHARE * sum(part.manifest["file_bytes"] for part in parts))


def kept_bytes(rows: int) -> int:
    """How much kept rows take."""
    return KEPT_ROW * rows


def tables_bytes(parts: Sequence[Part], before: Mapping[str, Any] | None) -> int:
    """How much all tables of the records in parts take.

    Args:
        parts: of all resources.
        before: what ``snapshot.json`` of the version published last says: as much a record as then is the better guess.
    """
    known = sum(file["bytes"] for file in (before or {}).get("files", {}).values())
    received = sum(counts["received"] for counts in (before or {}).get("tables", {}).values())
    if known and received:
        documents = sum(part.manifest["documents"] for part in parts)
        return int(GROWTH * known * max(1.0, documents / received))
    return int(TABLES_SHARE * sum(part.manifest["file_bytes"] for part in parts))


def require_space(folder: Path, needed: int, what: str) -> None:
    """Stop before anything is written where it cannot be written whole.

    Args:
        folder: where it goes; it, or a folder above it, is there.
        needed: bytes.
        what: what needs them, for the message.

    Raises:
        DiskFull: less is free.
    """
    free = _free(folder)
    if free < needed:
        raise DiskFull(_message(folder, what, needed, free))


@contextmanager
def told_space(folder: Path, needed: int, what: str) -> Iterator[None]:
    """Say where room was short, and how much is needed, if the disk fills up on the way.

    Raises:
        DiskFull: the disk, or the quota on it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(_message(folder, what, needed, _free(folder))) from error


def _free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _message(folder: Path, what: str, needed: int, free: int) -> str:
    return (
        f"{folder}: the disk has {_told(free)} free, and {what} need about {_told(needed)}; make room, or "
        "choose a folder on another disk. What was there before is as it was"
    )


def _told(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{-(-count // 10**6)} MB"

"""Which files are dumps, of which resource, and in which format."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from curation.dumps.bson_dump import bson_documents, looks_like_bson, read_bson
from curation.dumps.extended import modality_of, read_json
from curation.dumps.json_dump import json_documents
from curation.dumps.problems import Kind, Problem, cut_short
from curation.dumps.streams import Buffer, Stream
from curation.errors import UsageError
from curation.store import Record
from schemas import RESOURCES
from schemas.dictionary import Resource

STANDARD_INPUT = "standard input"
# Documents of a BSON file that are asked for their modality where its name is of no resource.
_ASKED = 100
# https://www.mongodb.com/docs/database-tools/mongodump/#output: files beside the documents.
_BESIDE = (".metadata.json", "prelude.json")
_COMPRESSED = (".gz", ".zst")
_ARCHIVE = b"\x6d\xe2\x99\x81"
"""How ``mongodump --archive`` begins; https://github.com/mongodb/mongo-tools/blob/master/common/archive/archive.go"""
_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"


@dataclass(frozen=True)
class Dump:
    """A file to import.

    Attributes:
        path: where it is; ``None`` for standard input.
        resource: of its documents; ``None`` where each tells its own (``bids_meta.modality``).
        size: bytes of the file; ``None`` where that is not known before.
    """

    path: Path | None
    resource: Resource | None
    size: int | None = None

    @property
    def name(self) -> str:
        """The file's name without its folders, which may tell of people."""
        return self.path.name if self.path else STANDARD_INPUT

    @property
    def plain_name(self) -> str:
        """The file's name without what tells of compression."""
        name = self.name
        for suffix in _COMPRESSED:
            name = name.removesuffix(suffix)
        return name

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Open it for reading; standard input stays open.

        Raises:
            OSError: it is not there any more.
        """
        return nullcontext(cast(BinaryIO, sys.stdin.buffer)) if self.path is None else self.path.open("rb")


def find_dumps(paths: Sequence[Path], resource: str | None = None) -> list[Dump]:
    """The dumps to import, looked at so far that a wrong file is found before any is read.

    Args:
        paths: files; ``-`` is standard input.
        resource: of all of them; else a file's name decides, where it has one of the resources between its dots
            (``bold.bson``, ``mriqc_api.T1w.json.gz``), else every document's ``bids_meta.modality``.

    Raises:
        UsageError: a file is not there, is none, or cannot hold documents of the Web-API by its name.
    """
    if resource is not None and resource not in RESOURCES:
        raise UsageError(f"found resource {resource!r}, expected one of {', '.join(RESOURCES)}")
    dumps = [_find_dump(path, cast("Resource | None", resource)) for path in paths]
    if sum(dump.path is None for dump in dumps) > 1:
        raise UsageError("-: standard input can be read once")
    return dumps


def _find_dump(path: Path, resource: Resource | None) -> Dump:
    if str(path) == "-":
        return Dump(None, resource)
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a dump") from None
    if path.is_dir():
        raise UsageError(f"{path}: a folder; expected its files, such as {path / 'bold.bson'}")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path}: permission denied; expected a dump")
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    dump = Dump(path, resource, size)
    parts = dump.plain_name.split(".")
    if dump.plain_name.endswith(_BESIDE) or "system" in parts[:-1]:
        raise UsageError(
            f"{path}: holds what MongoDB keeps beside its documents, and none of them; leave it out"
        )
    if resource is not None:
        return dump
    named = [name for name in RESOURCES if name in parts]
    if len(named) > 1:
        raise UsageError(f"{path}: named after {' and '.join(named)}; say which it is with --resource")
    # The name of a file of BSON is that of a collection.
    if not named and size and dump.plain_name.endswith(".bson") and not _tells_modality(dump):
        raise UsageError(
            f"{path}: a dump of the collection {dump.plain_name.removesuffix('.bson')!r}, whose documents tell no "
            f"modality; expected one of {', '.join(RESOURCES)}. If it is one of them, say which with --resource"
        )
    return replace(dump, resource=named[0] if named else None)


def _tells_modality(dump: Dump) -> bool:
    """Whether any of the first documents tells its resource."""
    with dump.open() as source:
        found = islice(read_dump(dump, Stream(source)).documents, _ASKED)
        return any(own_resource(one[1]) for one in found if not isinstance(one, Problem))


def own_resource(record: Record) -> Resource | None:
    """The resource that a document tells by its ``bids_meta.modality``."""
    modality = modality_of(record.document)
    return cast(Resource, modality) if modality in RESOURCES else None


@dataclass
class Reading:
    """A dump that is being read.

    Attributes:
        format: ``BSON`` or ``JSON``; ``None`` where it is neither, or empty.
        documents: each with the offset of its first byte, and what could not be read.
    """

    format: str | None
    documents: Iterator[tuple[int, Record] | Problem]


def read_dump(dump: Dump, stream: Stream) -> Reading:
    """Begin to read a dump; its first bytes decide how, and its name where they leave it open."""
    buffer = Buffer(stream)
    buffer.hold(len(_ARCHIVE) + 1)
    if buffer.data.startswith(_BOM):
        buffer.position = len(_BOM)
    start = buffer.data[buffer.position : buffer.position + len(_ARCHIVE) + 1]
    name = dump.plain_name
    if not start:
        return Reading(None, _empty(dump, buffer))
    if start.startswith(_ARCHIVE):
        archive = (
            "found an archive of mongodump, expected BSON of one collection; dump again without --archive"
        )
        return Reading(None, iter([Problem(0, Kind.DAMAGED, archive)]))
    # JSON has no control characters but blanks, of which the length of a document has some (its last byte is 0 or 1).
    text = all(byte >= 0x20 or byte in _BLANKS for byte in start)
    if text and (start.lstrip(_BLANKS)[:1] in (b"{", b"[", b"") or not name.endswith(".bson")):
        return Reading("JSON", json_documents(buffer, read_json))
    if looks_like_bson(start) or name.endswith(".bson"):
        return Reading("BSON", bson_documents(buffer, read_bson))
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return Reading("JSON", json_documents(buffer, read_json))
    neither = "found neither BSON nor JSON, expected a dump; nothing of it was read"
    return Reading(None, iter([Problem(0, Kind.DAMAGED, neither)]))


def _empty(dump: Dump, buffer: Buffer) -> Iterator[Problem]:
    """No byte at all: an empty collection, unless the file should be compressed, or is not whole."""
    if buffer.damage or (dump.size == 0 and dump.name.endswith(_COMPRESSED)):
        yield cut_short(0, "the dump", 0, buffer.damage or "an empty file is not compressed")

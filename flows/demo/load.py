"""Loads documents into the embedded Web-API's database, as the service would have stored them.

Nothing here depends on the clock or on chance: two databases loaded with the same files are equal.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import bson
import zstandard
from bson import ObjectId
from pymongo.errors import BulkWriteError

from curation import objectid
from curation.errors import UsageError
from schemas import RESOURCES

EPOCH = datetime(2026, 8, 1, tzinfo=UTC)
"""Documents without dates count as created then, one second later for every line of their file."""
BATCH = 1_000
"""Documents an insert."""

_DATES = ("_created", "_updated")
_DUPLICATE_KEY = 11000  # https://www.mongodb.com/docs/manual/reference/error-codes/
_LARGEST = 16 * 2**20  # bytes; https://www.mongodb.com/docs/manual/reference/limits/#bson-documents


class _Row(NamedTuple):
    resource: str
    place: str  # where it comes from, for a person
    document: dict[str, Any]


class _UnusableError(Exception):
    """What is wrong with one document, in words that quote nothing of it."""


def load_documents(db: Any, resource: str, documents: Iterable[dict[str, Any]]) -> int:
    """Insert documents as the service stores them.

    ``_id`` may be 24 hex digits, dates may be datetimes, RFC 1123 or ISO 8601 text; ``_links`` is dropped.
    What is missing of ``_id``, ``_created``, ``_updated`` and ``_etag`` is derived from content and position.

    Args:
        db: a database, e.g. of :func:`flows.demo.server.database`.
        resource: the collection.
        documents: changed by nobody; what is stored are copies.

    Returns:
        How many were inserted.

    Raises:
        UsageError: a document cannot be stored, or its id is there already; the documents before it stay.
    """
    _check_resource(resource)
    rows = (
        _row(document, resource, resource, position, f"document {position} for {resource}")
        for position, document in enumerate(documents, start=1)
    )
    return _insert(db, rows)[resource]


def load_file(db: Any, path: Path | str, resource: str | None = None) -> dict[str, int]:
    """Insert the documents of a file of JSON lines, plain, ``.gz`` or ``.zst``.

    A line is a document, or ``{"path": ..., "record": document}`` as outputs of MRIQC are kept. Without
    ``resource``, a document's own ``bids_meta.modality`` decides, else the file's name (``bold.jsonl``,
    ``mriqc_api.rating.json``).

    Returns:
        Inserted documents by resource.

    Raises:
        UsageError: the file or one of its lines cannot be used; the lines before it may stay.
    """
    path = Path(path)
    if resource is not None:
        _check_resource(resource)
    return dict(_insert(db, _rows_of_file(path, resource)))


def etag_of(document: dict[str, Any]) -> str:
    """SHA-1 (hex) of a document as canonical JSON, without its ``_etag`` and ``_links``."""
    content = {key: value for key, value in document.items() if key not in ("_etag", "_links")}
    return hashlib.sha1(_canonical(content), usedforsecurity=False).hexdigest()


def _canonical(content: Any) -> bytes:
    # Non-finite numbers as bare tokens, dates and ids as their text. Lone surrogates stay escaped.
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()


def _rows_of_file(path: Path, resource: str | None) -> Iterator[_Row]:
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    named = next((part for part in name.split(".") if part in RESOURCES), None)
    for number, line in _lines(path):
        place = f"{path}, line {number}"
        try:
            document = _parse(line)
        except _UnusableError as error:
            raise UsageError(f"{place}: {error}") from None
        own = resource or _modality(document) or named
        if own is None:
            raise UsageError(
                f"{place}: cannot tell the resource; expected bids_meta.modality to be one of "
                f"{', '.join(RESOURCES)}, or the file to be named after one (bold.jsonl)"
            )
        yield _row(document, own, name, number, place)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with path.open("rb") as raw:
            for number, line in enumerate(_decompressed(raw, path.suffix), start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = getattr(error, "strerror", None) or f"damaged, or not {path.suffix} ({type(error).__name__})"
        raise UsageError(f"{path}, after line {number}: cannot be read: {reason}") from error


def _decompressed(raw: BinaryIO, suffix: str) -> Iterable[bytes]:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if suffix == ".zst":
        return _zst_lines(raw)
    return raw


def _zst_lines(raw: BinaryIO) -> Iterator[bytes]:
    # zstandard's own reader ends without an error where a file was cut off, so frames are followed here.
    frame, rest = None, b""
    while data := raw.read(zstandard.DECOMPRESSION_RECOMMENDED_INPUT_SIZE):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            *lines, rest = (rest + frame.decompress(data)).split(b"\n")
            yield from lines
            data = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError
    if rest:
        yield rest


def _parse(line: bytes) -> dict[str, Any]:
    try:
        # The standard library's parser reads NaN and Infinity, and keeps 3, 3.0 and large integers apart.
        document = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise _UnusableError(f"not UTF-8 at byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        raise _UnusableError(
            f"not JSON at column {error.colno} ({error.msg}); expected a document a line"
        ) from None
    except ValueError:
        raise _UnusableError("an integer has more digits than can be read") from None
    except RecursionError:
        raise _UnusableError("nested too deep") from None
    if isinstance(document, dict) and document.keys() == {"path", "record"}:
        document = document["record"]
    if not isinstance(document, dict):
        raise _UnusableError(f"found a JSON {_kind(document)}, expected an object")
    return document


def _kind(value: Any) -> str:
    names = {list: "array", dict: "object", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _modality(document: dict[str, Any]) -> str | None:
    bids_meta = document.get("bids_meta")
    modality = bids_meta.get("modality") if isinstance(bids_meta, dict) else None
    return modality if isinstance(modality, str) and modality in RESOURCES else None


def _check_resource(resource: str) -> None:
    if resource not in RESOURCES:
        raise UsageError(f"found resource {resource!r}, expected one of {', '.join(RESOURCES)}")


def _row(document: dict[str, Any], resource: str, source: str, position: int, place: str) -> _Row:
    try:
        stored = _as_stored(document, f"{source}/{position}/{resource}", EPOCH + timedelta(seconds=position))
        _check_storable(stored)
    except _UnusableError as error:
        raise UsageError(f"{place}: {error}") from None
    return _Row(resource, place, stored)


def _as_stored(document: dict[str, Any], origin: str, when: datetime) -> dict[str, Any]:
    """The document with all that the service adds; ``when`` is used if the document tells no time at all."""
    stored = {key: value for key, value in document.items() if key != "_links"}
    for key in _DATES:
        if key in stored:
            stored[key] = _date(key, stored[key])
    if "_id" in stored:
        stored["_id"] = _object_id(stored["_id"])
        when = stored["_id"].generation_time
    else:
        when = stored.get("_created", stored.get("_updated", when))
        seconds = (int(when.timestamp()) % 2**32).to_bytes(4, "big")
        digest = hashlib.sha256(origin.encode() + b"\0" + _canonical(stored))
        stored["_id"] = ObjectId(seconds + digest.digest()[:8])
    stored.setdefault("_created", when)
    stored.setdefault("_updated", stored["_created"])
    stored.setdefault("_etag", etag_of(stored))
    return stored


def _object_id(value: Any) -> ObjectId:
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and objectid.is_object_id(value):
        return ObjectId(value)
    raise _UnusableError(f"found a JSON {_kind(value)} as _id, expected 24 lower-case hex digits")


def _date(key: str, value: Any) -> datetime:
    read = value if isinstance(value, datetime) else None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        if read is None and isinstance(value, str):
            try:
                read = parse(value)
            except ValueError:
                continue
    if read is None:
        raise _UnusableError(
            f"found a JSON {_kind(value)} as {key}, expected a date as of RFC 1123 or ISO 8601"
        )
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def _check_storable(document: dict[str, Any]) -> None:
    """MongoDB's own limits, checked here so that the message can name the line and leave out the content."""
    if any(str(key).startswith("$") for key in document):
        raise _UnusableError("a top-level key begins with '$', which MongoDB does not store")
    try:
        size = len(bson.encode(document))
    except OverflowError:
        raise _UnusableError("an integer needs more than 64 bits, which MongoDB does not store") from None
    except UnicodeEncodeError:
        raise _UnusableError("a text holds half of a surrogate pair, which is not Unicode") from None
    except (bson.errors.BSONError, RecursionError) as error:
        raise _UnusableError(
            f"MongoDB does not store it ({type(error).__name__}: a key with a null character, a value that "
            "is not JSON's, or nested too deep)"
        ) from None
    if size > _LARGEST:
        raise _UnusableError(f"{size:,} bytes as BSON, more than MongoDB's {_LARGEST:,}")


def _insert(db: Any, rows: Iterable[_Row]) -> Counter[str]:
    counts: Counter[str] = Counter()
    waiting: dict[str, list[_Row]] = {}
    for row in rows:
        batch = waiting.setdefault(row.resource, [])
        batch.append(row)
        if len(batch) == BATCH:
            counts[row.resource] += _insert_batch(db, waiting.pop(row.resource))
    for resource, batch in waiting.items():
        counts[resource] += _insert_batch(db, batch)
    return counts


def _insert_batch(db: Any, batch: list[_Row]) -> int:
    try:
        return len(db[batch[0].resource].insert_many([row.document for row in batch]).inserted_ids)
    except BulkWriteError as error:
        first = error.details["writeErrors"][0]
        found = (
            "a document with its _id is there already"
            if first["code"] == _DUPLICATE_KEY
            else f"the database refuses it (code {first['code']})"
        )
        raise UsageError(f"{batch[first['index']].place}: {found}") from None

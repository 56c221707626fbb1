"""From documents to records of the store: the keys that stand beside a document's bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

from curation.flatten.dates import read_moment, read_rfc_1123
from curation.flatten.documents import UnreadableDocument, canonical_json, parse_document
from curation.objectid import is_object_id
from curation.store import Record

# "Thu, 24 Aug 2017 21:58:35 GMT"
_RFC_1123_LENGTH = 29


@lru_cache(maxsize=4096)
def rfc_1123(seconds: int) -> str:
    """A moment as the service writes it: whole seconds, GMT.

    Args:
        seconds: since 1970, of the years 1 to 9999.
    """
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def record_of(keys: Mapping[str, Any], text: bytes) -> Record:
    """The record of a document whose JSON is ``text``.

    An ``_etag`` that is none is left empty, as the pull does: without one, a change is told by ``_updated`` alone.
    Moments in other forms than the service's stand in it here; the document keeps them as they are.

    Args:
        keys: at least its ``_id``, ``_etag``, ``_created`` and ``_updated``, where it has them.
        text: its bytes as they go into the store.
    """
    etag = keys.get("_etag")
    if type(etag) is not str or not etag.isascii():
        etag = ""
    created, updated = _moment(keys.get("_created")), _moment(keys.get("_updated"))
    own = keys.get("_id")
    record_id = own.lower() if type(own) is str else ""
    if not is_object_id(record_id):
        record_id = _made_id(text, created or updated)
    return Record(record_id, etag, created, updated, text)


def _moment(value: Any) -> str:
    if type(value) is str and len(value) == _RFC_1123_LENGTH and value.endswith(" GMT"):
        return value if value.isascii() else ""
    seconds = None if value is None else read_moment(value)
    return "" if seconds is None else rfc_1123(seconds)


def _made_id(text: bytes, moment: str) -> str:
    """An id for a document whose ``_id`` is no ObjectId, always the same for the same content.

    A document out of MongoDB has one. For others: the second of their creation as in an ObjectId (zero where none is
    told, before any record of the service), then 64 bits of the SHA-256 of their canonical JSON, so that neither blanks
    nor the order of keys matter. ``_links`` are the service's and no content.
    """
    try:
        parsed = parse_document(text)
        parsed.pop("_links", None)
        content = canonical_json(parsed).encode()
    except UnreadableDocument:
        content = text
    seconds = read_rfc_1123(moment) or 0
    return f"{seconds if 0 <= seconds < 1 << 32 else 0:08x}{hashlib.sha256(content).hexdigest()[:16]}"

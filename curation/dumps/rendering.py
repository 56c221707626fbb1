"""Documents of a database as JSON, as the Web-API renders them (Eve's MongoJSONEncoder), without ``_links``.

ObjectIds are their 24 hex digits, dates RFC 1123 in whole seconds (fractions cut off), Decimal128 text, DBRefs objects,
doubles the shortest digits that read back to the same double, and ``NaN``, ``Infinity`` and ``-Infinity`` stand bare:
https://github.com/pyeve/eve/blob/master/eve/io/mongo/mongo.py, https://github.com/pyeve/eve/blob/master/eve/io/base.py

What the Web-API cannot render (it answers 500) is kept without loss as canonical extended JSON: binary data, regular
expressions, timestamps, code, the lowest and the highest key, and dates outside the years 1 to 9999.
https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import orjson
from bson import DBRef, Decimal128, ObjectId, json_util
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.int64 import Int64

from curation.dumps.problems import NotADocument
from curation.dumps.records import rfc_1123
from curation.flatten.documents import Beyond, is_utf8

# The years 1 to 9999.
_FIRST, _LAST = (int(datetime(y, m, d, tzinfo=UTC).timestamp()) for y, m, d in ((1, 1, 1), (9999, 12, 31)))
_DAY = 86_400
# Subclasses go through `plain`: code is a kind of text to Python.
_OPTIONS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME


def render(document: dict[str, Any]) -> bytes:
    """A document as JSON: UTF-8, no blanks, keys in their order, numbers as Python's ``json`` writes them.

    Args:
        document: of what :func:`bson.decode` gives with dates as milliseconds, and of
            :class:`~curation.flatten.documents.Beyond`.

    Raises:
        NotADocument: it is nested too deeply, or holds something that has no JSON.
    """
    try:
        try:
            text = orjson.dumps(document, default=plain, option=_OPTIONS)
        except (orjson.JSONEncodeError, TypeError):
            return _write(document).encode()
        # orjson makes null of what is not finite, and writes small numbers otherwise (1e-7, 0.00001).
        if b"null" in text or b"e-" in text or b"0.0000" in text:
            return (_write(document) if b'"$code"' in text else _encode(document)).encode()
        return text
    except RecursionError:
        raise NotADocument("a document that is nested too deeply") from None


def plain(value: Any) -> Any:
    """A value of BSON's own types as one of JSON's."""
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, DatetimeMS):
        return moment(int(value))
    if isinstance(value, Int64):
        return int(value)
    if isinstance(value, DBRef):
        return dict(value.as_doc())
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, Code):
        # The library would make text of it in a document.
        return {"$code": str(value)} | ({"$scope": dict(value.scope)} if value.scope is not None else {})
    try:
        return json_util.default(value, json_util.CANONICAL_JSON_OPTIONS)
    except (TypeError, ValueError, BSONError):
        raise NotADocument("a document with a value that has no JSON") from None


def moment(milliseconds: int) -> str | dict[str, Any]:
    """A date of MongoDB's, milliseconds since 1970."""
    seconds = milliseconds // 1000
    if _FIRST <= seconds < _LAST + _DAY:
        return rfc_1123(seconds)
    return {"$date": {"$numberLong": str(milliseconds)}}


# As `_write`, which is several times slower, for documents that orjson takes; code would become text here.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=plain).encode


def _write(value: Any) -> str:
    """JSON of anything, numbers as Python's ``json`` writes them."""
    kind = type(value)
    if kind is str:
        return _quote(value)
    if kind is float:
        if math.isfinite(value):
            return repr(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if kind is dict:
        return "{" + ",".join([f"{_quote(key)}:{_write(item)}" for key, item in value.items()]) + "}"
    if kind is list:
        return "[" + ",".join([_write(item) for item in value]) + "]"
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is int:
        return str(value)
    return value.text if kind is Beyond else _write(plain(value))


def _quote(text: str) -> str:
    quoted = encode_basestring(text)
    # Half of a surrogate pair, of which JSON's escapes can make text, has no UTF-8.
    return quoted if text.isascii() or is_utf8(text) else encode_basestring_ascii(text)

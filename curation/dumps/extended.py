"""Documents in JSON: as the Web-API sends them, or in MongoDB's extended JSON, version 1 or 2, canonical or relaxed.

A document without anything extended is kept byte for byte. One that has it is read into the types it tells of, and
rendered as the Web-API would: the same document gives the same bytes whichever dialect (or BSON) it came in.

An object is extended only if it consists of the keys of a form, with the values of that form; any other object whose
keys begin with ``$`` is the document's own and stays.
https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/,
https://www.mongodb.com/docs/manual/reference/mongodb-extended-json-v1/
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from bson import Decimal128, json_util
from bson.errors import BSONError

from curation.dumps.problems import NotADocument
from curation.dumps.records import record_of, rfc_1123
from curation.dumps.rendering import moment, render
from curation.flatten.dates import read_moment
from curation.flatten.documents import (
    DIGITS,
    KEY_TWICE,
    NOT_JSON,
    UnreadableDocument,
    parse_document,
    without_plus,
)
from curation.objectid import is_object_id
from curation.store import Record
from curation.store.parts import Keys, decode_keys


class _Modality(msgspec.Struct):
    modality: str


class _Metadata(msgspec.Struct):
    bids_meta: _Modality


_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}


def read_json(text: bytes) -> Record:
    """The record of a document of a dump in JSON.

    Args:
        text: the document without blanks around it.

    Raises:
        NotADocument: it is no JSON object.
    """
    # A single byte is found ten times faster than two.
    if b"$" in text and b'"$' in text:
        return _read_extended(text)
    return _read_plain(text)


def _read_plain(text: bytes) -> Record:
    try:
        # msgspec passes over strings without looking whether they are UTF-8.
        if text.isascii() or text.decode():
            keys = decode_keys(text)
            if keys.etag.isascii() and is_object_id(keys.id) and _is_rendered(keys):
                return Record(keys.id, keys.etag, keys.created, keys.updated, text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return _read_tolerantly(text)


def _is_rendered(keys: Keys) -> bool:
    """Whether both moments end as the service's do; what else is wrong with one is the store's to see."""
    created, updated = keys.created, keys.updated
    return (
        created.isascii() and created[-4:] == " GMT" and updated.isascii() and updated[-4:] == " GMT"
    )  # fmt: skip


def _read_tolerantly(text: bytes) -> Record:
    """Read what msgspec refuses: non-finite tokens, keys that are missing or of other types, numbers of any size."""
    # Python refuses to read very long numbers, of which it is enough that they are some.
    loads = partial(json.loads, parse_int=lambda digits: int(digits) if len(digits) <= DIGITS else 0)
    try:
        try:
            return record_of(_object(loads(text.decode())), text)
        except ValueError:
            if b"+Infinity" not in text:
                raise
        # Of older exports; the service sends it without the sign.
        text = without_plus(text.decode()).encode()
        return record_of(_object(loads(text.decode())), text)
    except NotADocument:
        raise
    except UnicodeDecodeError as error:
        raise NotADocument(f"text that is not UTF-8 (at its byte {error.start})") from None
    except RecursionError:
        raise NotADocument("JSON that is nested too deeply") from None
    except ValueError:
        # Without its cause, which holds the document.
        raise NotADocument("text that is not JSON") from None


def _object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise NotADocument(f"a JSON {'array' if type(value) is list else 'value'} that is no object")
    return value


def modality_of(text: bytes) -> str | None:
    """``bids_meta.modality`` of a document; ``None`` where it has none that is text."""
    try:
        return _decode_metadata(text).bids_meta.modality
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        found = json.loads(text)["bids_meta"]["modality"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return found if type(found) is str else None


# --- extended JSON -------------------------------------------------------------------------------------------


def _read_extended(text: bytes) -> Record:
    try:
        document = parse_document(text)
    except UnreadableDocument as error:
        if str(error) == NOT_JSON:
            return _read_tolerantly(text)  # which says why
        if str(error) != KEY_TWICE:
            return _read_plain(text)
        # As the service, whose driver keeps the last.
        try:
            document = json.loads(without_plus(text.decode()))
        except (
            ValueError,
            RecursionError,
        ):  # more than a document, less than one, or a number too long to be read
            return _read_tolerantly(text)
    if not _unwrap_below(document):
        return _read_plain(text)
    return record_of(document, render(document))


def _unwrap_below(value: dict[str, Any] | list[Any]) -> bool:
    """Put what is meant in the place of every extended object below ``value``; returns whether there was any."""
    changed = False
    for key, item in value.items() if type(value) is dict else enumerate(value):
        if type(item) is dict:
            meant = _unwrapped(item)
            if meant is not item:
                value[key] = meant  # type: ignore[index]
                changed = True
            elif _unwrap_below(item):
                changed = True
        elif type(item) is list and _unwrap_below(item):
            changed = True
    return changed


def _unwrapped(wrapper: dict[str, Any]) -> Any:
    """What an extended object means, as :func:`~curation.dumps.rendering.render` takes it; else the object itself."""
    if len(wrapper) == 1:
        # Of canonical JSON every number is such an object.
        ((key, value),) = wrapper.items()
        if (read := _FORMS.get(key)) is not None:
            meant = read(value)
            return wrapper if meant is None else meant
    if 0 < len(wrapper) <= 2 and frozenset(wrapper) in _RARE_FORMS:
        try:
            return json_util.object_hook(dict(wrapper), json_util.CANONICAL_JSON_OPTIONS)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, BSONError):
            return wrapper
    return wrapper


def _object_id(value: Any) -> str | None:
    return value.lower() if type(value) is str and is_object_id(value.lower()) else None


def _date(value: Any) -> Any:
    if type(value) is dict and value.keys() == {"$numberLong"}:
        value = _integer(value["$numberLong"])
    if type(value) is int:
        return moment(value) if -(2**63) <= value < 2**63 else None
    seconds = read_moment({"$date": value}) if type(value) is str else None
    return None if seconds is None else rfc_1123(seconds)


def _integer(value: Any) -> int | None:
    return int(value) if type(value) is str and _INTEGER.match(value) else None


def _double(value: Any) -> float | None:
    if type(value) is not str:
        return None
    if value in _NON_FINITE:
        return _NON_FINITE[value]
    number = float(value) if _DOUBLE.match(value) else math.inf
    return None if math.isinf(number) else number


def _decimal(value: Any) -> str | None:
    try:
        return str(Decimal128(value)) if type(value) is str else None
    except (ValueError, ArithmeticError):
        return None


_FORMS: dict[str, Callable[[Any], Any]] = {
    "$oid": _object_id,
    "$date": _date,
    "$numberInt": _integer,
    "$numberLong": _integer,
    "$numberDouble": _double,
    "$numberDecimal": _decimal,
}
_RARE_FORMS = frozenset(
    frozenset(form.split())
    for form in (
        "$binary", "$binary $type", "$uuid", "$regularExpression", "$regex $options", "$timestamp", "$symbol",
        "$undefined", "$minKey", "$maxKey",
    )
)  # fmt: skip
"""Keys of the forms that MongoDB's library reads, into types that are rendered as they are from BSON.

Code and references are rendered as what they are written as.
"""

"""What a column can hold: values read as declared where nothing is lost, and as a misfit elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from curation.flatten.documents import DIGITS, canonical_json, is_utf8

EXACT = 2**53
"""Integers up to here are doubles (IEEE 754, binary64)."""
# A number as JSON, Python or a spreadsheet writes it in decimal digits, and what Python and JSON call the others.
_NUMBER_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_DIGITS_ONLY = re.compile(r"[+-]?[0-9]+\Z")
_NOT_ZERO = re.compile(r"[^eE]*[1-9]")
_NON_FINITE_TEXTS = frozenset({"nan", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"})
_BOOLEAN_TEXTS = {"true": True, "false": False}
# https://owasp.org/www-community/attacks/CSV_Injection, and the wide forms of the same signs.
_FORMULA_SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
# Spreadsheets pass over blanks, and careless importers over control characters.
_PASSED_OVER = "".join(map(chr, range(0x21))) + "\x7f\xa0\ufeff"


class Misfit:
    """Says that a column cannot hold a value."""


MISFIT = Misfit()


def could_be_formula(text: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula: it begins with a sign of one and is no number."""
    start = text.lstrip(_PASSED_OVER)[:1] if text[:1] <= " " or text[:1] in _PASSED_OVER else text[:1]
    return start in _FORMULA_SIGNS and start != "" and _NUMBER_TEXT.match(text) is None


def _read_number(value: Any) -> float | Misfit:
    if type(value) is float:
        return value
    if type(value) is int and (abs(value) <= EXACT or _is_double(value)):
        return float(value)
    if type(value) is str:
        return _read_number_text(value)
    return MISFIT


def _read_number_text(text: str) -> float | Misfit:
    text = text.strip(" \t")
    if text.lower() in _NON_FINITE_TEXTS:
        return float(text)
    if len(text) > DIGITS or _NUMBER_TEXT.match(text) is None:
        return MISFIT
    number = float(text)
    if math.isinf(number) or (number == 0 and _NOT_ZERO.match(text)):
        return MISFIT
    # Whole numbers are held exactly or not at all, as those that were sent as numbers.
    return MISFIT if _DIGITS_ONLY.match(text) and int(number) != int(text) else number


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _read_integer(value: Any) -> int | Misfit:
    # Beyond doubles pandas would round them as soon as a value of the column is missing.
    if type(value) is int and abs(value) <= EXACT:
        return value
    if type(value) is str:
        value = _read_number_text(value)
    # -0.0 has a sign that an integer has not.
    if type(value) is float and value.is_integer() and abs(value) <= EXACT and str(value) != "-0.0":
        return int(value)
    return MISFIT


def _read_text(value: Any) -> str | Misfit:
    if type(value) is str:
        return value if value.isascii() or is_utf8(value) else MISFIT
    if type(value) in (int, float):
        return canonical_json(value)
    return MISFIT


def _read_boolean(value: Any) -> bool | Misfit:
    if type(value) is str:
        return _BOOLEAN_TEXTS.get(value.lower(), MISFIT)
    return value if type(value) is bool else MISFIT


READERS: dict[str, Callable[[Any], Any]] = {
    "number": _read_number,
    "integer": _read_integer,
    "text": _read_text,
    "boolean": _read_boolean,
}
"""A value of a document to a cell of a column, by the column's type."""

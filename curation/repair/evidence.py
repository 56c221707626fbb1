"""Evidence that needs code. Each function answers for some cells of a column: a value, or ``None`` if it cannot tell.

``rules.yaml`` names them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from curation.flatten import AS_TEXT, FORMULA, OTHER_KEY, UNREADABLE, Aside
from curation.flatten.cells import MISFIT, READERS, could_be_formula
from curation.repair.cells import Cells
from curation.repair.rules import Evidence
from schemas.spellings import is_known_spelling
from schemas.vocabularies import NOMINAL_FIELDS, TOLERANCE, scanner

GYROMAGNETIC_RATIO = 42.577
"""Of protons, in MHz/T: 42.577478 by CODATA 2018, https://physics.nist.gov/cgi-bin/cuu/Value?gammapbar"""
RUN_AT = 2.89
"""Tesla; what Siemens' magnets of nominally 3 T are run at (123.2 MHz), and their headers say."""

_OF_SIDECARS = ("value_in_sidecar", "field_in_sidecar")

Answer = Callable[[Cells, str, Sequence[int]], list[Any]]


def read_as_declared(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The number or boolean that was sent as text."""
    return [_read(cells, name, _received(cells, name, place, AS_TEXT)) for place in places]


def read_only_element(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The one element of a list, itself perhaps in text."""
    values = (_received(cells, name, place, UNREADABLE) for place in places)
    return [_read(cells, name, _only(value)) if type(value) is list else None for value in values]


def read_under_other_key(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The value under another key that is known for this column; nothing where misspelled keys do not say the same."""
    known = [
        any(is_known_spelling(cells.resource, one.key) for one in _other_keys(cells, name, p)) for p in places
    ]
    read = read_under_near_key(cells, name, places)
    return [value if listed else None for value, listed in zip(read, known, strict=True)]


def read_under_near_key(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The value under a key with a slip of a letter; nothing where misspelled keys do not say the same."""
    answers = []
    for place in places:
        values = (json.loads(one.value) for one in _other_keys(cells, name, place))
        read = [_read(cells, name, _only(value)) for value in values]
        answers.append(read[0] if read and all(value == read[0] for value in read) else None)
    return answers


def _other_keys(cells: Cells, name: str, place: int) -> list[Aside]:
    return [one for one in cells.asides[name][place] if one.why == OTHER_KEY]


def value_in_sidecar(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """What the sidecars that apply to the public image say."""
    given = cells.given(name)
    return [None] * len(places) if given is None else given[list(places)].tolist()


def field_in_sidecar(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The field (T) that the public image's sidecars say, if it is cut to the received number."""
    received = cells.values(name)[list(places)].tolist()
    said = value_in_sidecar(cells, name, places)
    return [
        field if field is not None and math.isfinite(field) and math.floor(field) == cut else None
        for field, cut in zip(said, received, strict=True)
    ]


def told_by(cells: Cells, one: Evidence, place: int) -> str:
    """What the ledger says decided: the evidence's name, of sidecars their path."""
    paths = cells.given("sidecar_path") if one.function in _OF_SIDECARS else None
    return one.name if paths is None else f"{one.name} {paths[place]}"


def is_fraction(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """``True`` for a number between 0 and 1, which is neither a truth value nor all of k-space."""
    values = (_only(_received(cells, name, place, UNREADABLE)) for place in places)
    numbers = [READERS["number"](value) if type(value) in (float, str) else None for value in values]
    return [True if type(number) is float and 0 < number < 1 else None for number in numbers]


def milliseconds_of_echo_spacing(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """Seconds of up to 20 ms, the slowest spin echo trains."""
    return [
        scaled(value, 1e-3) if value <= 20 else None for value in cells.values(name)[list(places)].tolist()
    ]


def microseconds_of_echo_spacing(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """Seconds of 100 us and more."""
    return [
        scaled(value, 1e-6) if value >= 100 else None for value in cells.values(name)[list(places)].tolist()
    ]


def field_of_frequency(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The field, in tesla, in which protons precess with ``ImagingFrequency``, if it is cut to the received number."""
    fields = (cells.values(_FREQUENCY)[list(places)] / GYROMAGNETIC_RATIO).tolist()
    received = cells.values(name)[list(places)].tolist()
    return [
        # A number that is the field as it is was not cut.
        cut if abs(field - cut) <= TOLERANCE * cut
        else next((one for one in _names(field) if math.floor(one) == cut), None)
        for field, cut in zip(fields, received, strict=True)
    ]  # fmt: skip


def field_of_model(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """The one field, in tesla, of the scanner's model that is cut to the received number."""
    models = cells.values(_MODEL)[list(places)].tolist()
    received = cells.values(name)[list(places)].tolist()
    frequencies = cells.values(_FREQUENCY)[list(places)].tolist()
    scanners = {model: scanner(model) for model in set(models) if model is not None}
    answers = []
    for model, cut, frequency in zip(models, received, frequencies, strict=True):
        # A frequency would have answered: one that did not contradicts.
        known = scanners.get(model) if frequency != frequency else None
        fields = () if known is None else (*known.fields, *([known.operating] if known.operating else []))
        possible = [field for field in fields if math.floor(field) == cut]
        answers.append(possible[0] if len(possible) == 1 else None)
    return answers


def one_and_a_half(cells: Cells, name: str, places: Sequence[int]) -> list[Any]:
    """1.5 T for a received 1, unless sidecar, frequency or model say another field: then the number is doubtful."""
    received = cells.values(name)[list(places)].tolist()
    frequencies = cells.values(_FREQUENCY)[list(places)].tolist()
    models = cells.values(_MODEL)[list(places)].tolist()
    said = value_in_sidecar(cells, name, places)
    known = {model: scanner(model) for model in set(models) if model is not None}
    silent = [
        (field is None or field != field) and frequency != frequency and known.get(model) is None
        for field, frequency, model in zip(said, frequencies, models, strict=True)
    ]
    return [1.5 if cut == 1 and alone else None for cut, alone in zip(received, silent, strict=True)]


def _names(field: float) -> Iterator[float]:
    """What a field (T) is called: as scanners name it, then as it is, in hundredths."""
    if not math.isfinite(field) or field <= 0:
        return
    nearest = min((*NOMINAL_FIELDS, RUN_AT), key=lambda one: abs(one - field))
    if abs(nearest - field) <= TOLERANCE * nearest:
        yield nearest
    yield round(field, 2)


def _received(cells: Cells, name: str, place: int, *why: str) -> Any:
    """What was received for a cell, of the first aside of a kind; ``None`` if there is none."""
    found = (one for one in cells.asides[name][place] if one.why in why)
    return next((json.loads(one.value) for one in found), None)


def _only(value: Any) -> Any:
    """The one element of a list that has one; anything else as it is."""
    return value[0] if type(value) is list and len(value) == 1 else value


def _read(cells: Cells, name: str, value: Any) -> Any:
    """A value as its column holds it; ``None`` where it cannot."""
    if value is None or type(value) in (list, dict):
        return None
    cell = READERS[cells.column(name).type](value)
    if cell is MISFIT or (type(cell) is str and could_be_formula(cell)):
        return None
    return None if cell != cell or cell == "" else cell


def formula_text(cells: Cells, name: str, place: int) -> str | None:
    """A text that was not let into its cell because it could be a formula."""
    value = _received(cells, name, place, FORMULA) if place in cells.asides.get(name, {}) else None
    return value if type(value) is str else None


def scaled(value: float, factor: float) -> float:
    """A number in another unit: calculated with its decimal digits, so that 2.96 ms are 0.00296 s to the last bit."""
    return float(Decimal(repr(value)) * Decimal(repr(factor)))


def as_doubles(values: Sequence[Any]) -> np.ndarray:
    """Answers as doubles, NaN for none."""
    return np.array([np.nan if value is None else value for value in values], dtype="float64")


_FREQUENCY, _MODEL = "bids_meta_ImagingFrequency", "bids_meta_ManufacturersModelName"
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "field_in_sidecar": (),
    "field_of_frequency": (_FREQUENCY,),
    "field_of_model": (_FREQUENCY, _MODEL),
    "is_fraction": (),
    "microseconds_of_echo_spacing": (),
    "milliseconds_of_echo_spacing": (),
    "one_and_a_half": (_FREQUENCY, _MODEL),
    "read_as_declared": (),
    "read_only_element": (),
    "read_under_near_key": (),
    "read_under_other_key": (),
    "value_in_sidecar": (),
}
"""What rules may name, and the columns that each reads beside the cell itself."""

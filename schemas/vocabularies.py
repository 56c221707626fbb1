"""Reads the vocabularies of MRI scanners: who makes them, which models there are, which fields their magnets have.

Texts are compared in their :func:`normal_form`. What the terms mean, and where they are from, is in
``schemas/terms/*.yaml``.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from schemas.reading import load_yaml

TOLERANCE = 0.02
"""Share of a nominal field that a measured one may differ by. Magnets are run within a percent of what they are called
(Siemens' of 7 T at 6.98 T), Siemens' of 3 T excepted, and neighbouring nominal fields are 10 % apart."""
LONGEST = 100
"""Letters and digits of a text that may mean a model: longer ones are prose, and not worth taking apart."""

_NOT_NORMAL = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Manufacturer:
    """A maker of scanners.

    Attributes:
        name: the canonical name.
        description: who that is, and which companies are one term.
        spellings: other names, each once in normal form.
        prefixes: beginnings, in normal form, of texts that mean this manufacturer whatever follows.
        lines: names of product lines that may stand before the name of a model.
    """

    name: str
    description: str
    spellings: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class NominalField:
    """What the field of a magnet is called.

    Attributes:
        tesla: the nominal field.
        source: where a scanner of this field can be read of.
        operating: fields (T) that magnets called this are run at, if they are further than :data:`TOLERANCE` away.
    """

    tesla: float
    source: tuple[str, ...]
    operating: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scanner:
    """A model of scanner.

    Attributes:
        name: the canonical name.
        manufacturer: the canonical name of its maker.
        fields: nominal fields (T) it was sold with; more than one where the name does not tell.
        source: where the fields are from.
        operating: the field (T) its magnet is run at, where that is known to differ from the nominal one.
        spellings: other names, each once in normal form.
        note: what is odd about it.
    """

    name: str
    manufacturer: str
    fields: tuple[float, ...]
    source: tuple[str, ...]
    operating: float | None = None
    spellings: tuple[str, ...] = ()
    note: str = ""


def normal_form(text: str) -> str:
    """The lower-case letters and digits of a text (ASCII): what is compared."""
    return _NOT_NORMAL.sub("", text.casefold())


def manufacturer(text: str) -> str | None:
    """The canonical name of the manufacturer that a text means; ``None`` where no vocabulary has it."""
    form = normal_form(text)
    if form in _manufacturers_by_form():
        return _manufacturers_by_form()[form].name
    return next((maker.name for prefix, maker in _manufacturers_by_prefix() if form.startswith(prefix)), None)


def scanner(text: str) -> Scanner | None:
    """The model that a text means; ``None`` where no vocabulary has it.

    Its manufacturer and product line may stand before the name (``SIEMENS MAGNETOM Trio``), and the field before or
    behind it (``Achieva 3T``): a field that the model was not sold with makes it unknown.
    """
    known = _scanners_by_form()
    for form, maker, tesla in _readings(normal_form(text)):
        found = known.get(form)
        if found and maker in (None, found.manufacturer) and (tesla is None or tesla in found.fields):
            return found
    return None


def nominal_field(tesla: float) -> float | None:
    """The nominal field within :data:`TOLERANCE` of a measured or reported one; ``None`` where none is near.

    2.89 T is 3 T, at which Siemens' magnets of that name are run. 2 T is no field: records have it for 2.89.
    """
    if not math.isfinite(tesla):
        return None
    distances = (
        (abs(tesla - value) / value, one.tesla) for one in nominal_fields() for value in _values(one)
    )
    distance, nearest = min(distances)
    return nearest if distance <= TOLERANCE else None


@cache
def manufacturers() -> tuple[Manufacturer, ...]:
    """All manufacturers, in the order of their file.

    Raises:
        ValueError: the file contradicts itself, see :func:`read_manufacturers`.
    """
    return read_manufacturers(_content("manufacturers"))


@cache
def nominal_fields() -> tuple[NominalField, ...]:
    """All nominal fields, weakest first.

    Raises:
        ValueError: the file contradicts itself, see :func:`read_nominal_fields`.
    """
    return read_nominal_fields(_content("scanners"))


@cache
def scanners() -> tuple[Scanner, ...]:
    """All models, in the order of their file.

    Raises:
        ValueError: the file contradicts itself or the other vocabularies, see :func:`read_scanners`.
    """
    return read_scanners(_content("scanners"), manufacturers(), nominal_fields())


def read_manufacturers(content: dict[str, Any]) -> tuple[Manufacturer, ...]:
    """The manufacturers in what a YAML file holds.

    Raises:
        ValueError: two have a spelling in common, one has it twice, or a prefix takes in another's spelling.
        TypeError: a key is unknown, or one is missing.
    """
    found = tuple(Manufacturer(**_frozen(row)) for row in content["manufacturers"])
    _index((maker.name, _names(maker)) for maker in found)
    for maker in found:
        for prefix in maker.prefixes:
            if prefix != normal_form(prefix) or not prefix:
                raise ValueError(
                    f"{maker.name}: prefix {prefix!r} is not in normal form ({normal_form(prefix)!r})"
                )
            for other in found:
                taken = [name for name in _names(other) if normal_form(name).startswith(prefix)]
                if taken and other is not maker:
                    raise ValueError(f"{maker.name}: prefix {prefix!r} takes in {taken[0]!r} of {other.name}")
    return found


def read_nominal_fields(content: dict[str, Any]) -> tuple[NominalField, ...]:
    """The nominal fields in what a YAML file holds, weakest first.

    Raises:
        ValueError: two are so near to each other that a measured field could be either, or one is not above 0.
        TypeError: a key is unknown, or one is missing.
    """
    found = sorted(
        (NominalField(**_frozen(row)) for row in content["nominal_fields"]), key=lambda one: one.tesla
    )
    values = sorted((value, one.tesla) for one in found for value in _values(one))
    for value, tesla in values:
        if value <= 0:
            raise ValueError(f"nominal field {tesla}: {value} T is not above 0")
    for (low, below), (high, above) in pairwise(values):
        if low * (1 + TOLERANCE) >= high * (1 - TOLERANCE) and (below != above or low == high):
            raise ValueError(
                f"nominal fields {below} and {above}: a field between {low} and {high} T could be either"
            )
    return tuple(found)


def read_scanners(
    content: dict[str, Any], makers: Sequence[Manufacturer], fields: Sequence[NominalField]
) -> tuple[Scanner, ...]:
    """The models in what a YAML file holds.

    Raises:
        ValueError: two have a spelling in common, one has it twice, a manufacturer is unknown, a field is not nominal,
            or the operating field is not that of one of the model's nominal fields.
        TypeError: a key is unknown, or one is missing.
    """
    found = tuple(Scanner(**_frozen(row)) for row in content["scanners"])
    _index((model.name, _names(model)) for model in found)
    known = {one.tesla: one for one in fields}
    for model in found:
        if model.manufacturer not in {maker.name for maker in makers}:
            raise ValueError(f"{model.name}: {model.manufacturer!r} is not a manufacturer's canonical name")
        if not model.fields or list(model.fields) != sorted(set(model.fields)):
            raise ValueError(f"{model.name}: fields {list(model.fields)} are none, repeated or not in order")
        if strange := set(model.fields) - known.keys():
            raise ValueError(f"{model.name}: {sorted(strange)} are not nominal fields")
        values = [value for tesla in model.fields for value in _values(known[tesla])]
        if model.operating and not any(abs(model.operating - one) <= TOLERANCE * one for one in values):
            raise ValueError(
                f"{model.name}: operating field {model.operating} is not one of {list(model.fields)}"
            )
    return found


@cache
def _content(name: str) -> dict[str, Any]:
    return load_yaml((files("schemas") / "terms" / f"{name}.yaml").read_bytes())


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _names(term: Manufacturer | Scanner) -> tuple[str, ...]:
    return (term.name, *term.spellings)


def _values(field: NominalField) -> tuple[float, ...]:
    return (field.tesla, *field.operating)


def _index(terms: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """The normal form of every name of every term, to the term."""
    index: dict[str, str] = {}
    for term, names in terms:
        for name in names:
            form = normal_form(name)
            if not form:
                raise ValueError(f"{term}: spelling {name!r} has no letters or digits")
            if form in index:
                other = "twice" if index[form] == term else f"also by {index[form]}"
                raise ValueError(f"{term}: spelling {name!r} ({form}) is listed {other}")
            index[form] = term
    return index


@cache
def _manufacturers_by_form() -> dict[str, Manufacturer]:
    return {normal_form(name): maker for maker in manufacturers() for name in _names(maker)}


@cache
def _manufacturers_by_prefix() -> tuple[tuple[str, Manufacturer], ...]:
    pairs = ((prefix, maker) for maker in manufacturers() for prefix in maker.prefixes)
    return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair[0])))


@cache
def _scanners_by_form() -> dict[str, Scanner]:
    return {normal_form(name): model for model in scanners() for name in _names(model)}


@cache
def _before_models() -> tuple[tuple[str, str], ...]:
    """What may stand before the name of a model, in normal form, and the manufacturer that means; the longest first."""
    pairs = {(normal_form(name), one.name) for one in manufacturers() for name in (*_names(one), *one.lines)}
    return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair)))


@cache
def _field_labels() -> tuple[tuple[str, float], ...]:
    """How people write nominal fields, in normal form (``3.0 T``: ``30t``), and which that is; the longest first."""
    pairs = {
        (normal_form(number + unit), tesla)
        for tesla in NOMINAL_FIELDS
        for number in (f"{tesla:g}", f"{tesla:.1f}")
        for unit in ("t", "tesla")
        if float(number) == tesla
    }
    return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair)))


def _readings(form: str) -> Iterator[tuple[str, str | None, float | None]]:
    """What may be the name of a model in a text: all of it first, then with less and less before and behind it.

    Yields:
        name in normal form, manufacturer named before it, field (T) named beside it.
    """
    if len(form) > LONGEST:
        return
    waiting: deque[tuple[str, str | None, float | None]] = deque([(form, None, None)])
    while waiting:
        rest, maker, tesla = waiting.popleft()
        yield rest, maker, tesla
        for name, named in _before_models():
            if rest.startswith(name) and maker in (None, named):
                waiting.append((rest.removeprefix(name), named, tesla))
        if tesla is None:
            for label, value in _field_labels():
                if rest.startswith(label):
                    waiting.append((rest.removeprefix(label), maker, value))
                if rest.endswith(label):
                    waiting.append((rest.removesuffix(label), maker, value))


NOMINAL_FIELDS: tuple[float, ...] = tuple(one.tesla for one in nominal_fields())
"""The nominal fields (T) of scanners for humans, weakest first."""

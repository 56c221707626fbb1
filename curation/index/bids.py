"""File names of BIDS, and the sidecars that apply to an image by the inheritance principle.

The principle: https://bids-specification.readthedocs.io/en/stable/common-principles.html#the-inheritance-principle
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from bidsschematools.schema import load_schema

from curation.flatten import KEY_TWICE, canonical_json, parse_document
from curation.flatten.documents import UnreadableDocument

DESCRIPTION = "dataset_description.json"
"""A dataset's root is the nearest folder above that has one:
https://bids-specification.readthedocs.io/en/stable/common-principles.html#resolution-of-bids-uris"""
NESTED = frozenset({"derivatives", "sourcedata"})
"""Folders of other datasets, with or without a description:
https://bids-specification.readthedocs.io/en/stable/common-principles.html#source-vs-raw-vs-derived-data"""

# A chain of entities, a suffix and an extension:
# https://bids-specification.readthedocs.io/en/stable/common-principles.html#filenames
# Labels are the schema's `objects.formats.label`. Any entity, suffix and extension will do: which ones there are
# changes from version to version of BIDS, and old datasets stay.
_NAME = re.compile(r"((?:[0-9a-zA-Z]++-[0-9a-zA-Z+]++_)*)([0-9a-zA-Z]++)((?:\.[0-9a-zA-Z]++)+)")
# Of a hidden file or folder, which are none of BIDS: "./" and "../" are not meant.
_HIDDEN = re.compile(r"(?:^|/)\.(?!\.?/)")


class _Name(NamedTuple):
    """A file name taken apart: values as written by the entities' keys, e.g. ``{"sub": "01", "run": "01"}``."""

    values: dict[str, str]
    suffix: str
    extension: str


class _Vocabulary(NamedTuple):
    """What the BIDS schema says of names.

    Attributes:
        long_names: of entities, by their keys: ``sub`` to ``subject``.
        mistakable: keys that no entity has, and that would be taken for a long name: ``session-01`` is not ``ses-01``.
        indices: keys of the entities whose values are numbers.
        suffixes: all there are.
        datatypes: folders of one kind of data: ``anat``, ``func``, ...
        files: of a whole dataset, without extension: ``participants``, ...
    """

    long_names: dict[str, str]
    mistakable: frozenset[str]
    indices: frozenset[str]
    suffixes: frozenset[str]
    datatypes: frozenset[str]
    files: frozenset[str]


@cache
def _vocabulary() -> _Vocabulary:
    objects: Any = load_schema().objects
    entities = [(str(name), dict(entity)) for name, entity in objects.entities.items()]
    long_names = {str(entity["name"]): name for name, entity in entities}
    return _Vocabulary(
        long_names,
        frozenset({"suffix", "datatype", "extension", *long_names.values()} - long_names.keys()),
        frozenset(str(entity["name"]) for _, entity in entities if entity["format"] == "index"),
        frozenset(str(suffix["value"]) for suffix in objects.suffixes.values()),
        frozenset(str(datatype["value"]) for datatype in objects.datatypes.values()),
        frozenset(map(str, objects.files)),
    )


def entities_of(path: str) -> dict[str, str] | None:
    """Entities of a file by their long names, and its ``suffix``, ``datatype`` and ``extension``.

    Values are as written: run ``01`` stays so. Entities that BIDS does not have (any more, or yet) are under their
    keys. ``datatype`` is the folder, and is missing if that is none of BIDS' datatypes.

    Args:
        path: of the file, with ``/``.

    Returns:
        E.g. ``{"subject": "01", "task": "rest", "suffix": "bold", "datatype": "func", "extension": ".nii.gz"}``;
        ``None`` if the name is none of BIDS: without suffix or extension, hidden, with an entity twice, with a part
        that is no entity, or with nothing but a suffix that BIDS does not have (``README.md``).
    """
    name = _take_apart(path)
    if name is None or not _is_of_bids(name):
        return None
    known = _vocabulary()
    found = {known.long_names.get(key, key): value for key, value in name.values.items()}
    found["suffix"] = name.suffix
    folder = path.split("/")[-2:-1]
    if folder and folder[0] in known.datatypes:
        found["datatype"] = folder[0]
    found["extension"] = name.extension
    return found


def _take_apart(path: str) -> _Name | None:
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None or _HIDDEN.search(path):
        return None
    chain, suffix, extension = match.groups()
    pairs = [pair.split("-") for pair in chain.split("_")[:-1]]
    values = {key: value for key, value in pairs}
    return _Name(values, suffix, extension) if len(values) == len(pairs) else None


def _is_of_bids(name: _Name) -> bool:
    known = _vocabulary()
    return known.mistakable.isdisjoint(name.values) if name.values else name.suffix in known.suffixes


class _Sidecar(NamedTuple):
    path: str
    content: str  # id of its blob
    values: dict[str, str]  # as written


class Sidecars:
    """The sidecars of one version of a dataset, found by the inheritance principle.

    A sidecar applies to an image if it is in the image's folder or one above, has its suffix, and has no entity that
    the image does not have with the same value (rule 2 of the principle). Values of entities that are an index
    (``run``, ``echo``, ...) are numbers, "potentially zero-padded for consistent width": ``run-1`` is ``run-01``.
    Labels are the same only letter by letter. Folders count for where they are, not for what they are called: an image
    has the session that its name says.

    Sidecars above the root of the image's dataset do not apply. The root is the nearest folder that has a
    ``dataset_description.json``, and ``derivatives`` and ``sourcedata`` are never of the dataset that they are in.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        """Take the sidecars among the JSON files of a tree.

        Args:
            files: path of every ``*.json`` file, from the tree's root and with ``/``, to the id of its blob.
        """
        self._roots: set[str] = set()
        # Folder and suffix; keys of entities, sorted; their values: so that an image asks for few places, however many
        # sidecars there are in one folder.
        self._at: dict[tuple[str, str], dict[tuple[str, ...], dict[tuple[str, ...], list[_Sidecar]]]] = {}
        for path, content in files.items():
            folder, _, file_name = path.rpartition("/")
            if file_name == DESCRIPTION:
                self._roots.add(folder)
            name = _take_apart(path)
            if name is None or name.extension != ".json" or _is_of_dataset(name):
                continue
            keys = tuple(sorted(name.values))
            values = _comparable(name.values)
            place = self._at.setdefault((folder, name.suffix), {}).setdefault(keys, {})
            place.setdefault(tuple(values[key] for key in keys), []).append(
                _Sidecar(path, content, name.values)
            )

    def applying(self, image_path: str) -> list[tuple[str, str]]:
        """Paths and blob ids of the sidecars that apply to an image, from the farthest to the nearest.

        The standard allows no more than one in a folder (rule 4). Of several, those with fewer entities count as
        farther; then those whose values are written in another way than the image's; then those that come first by
        name. :func:`ambiguous` tells of them.
        """
        name = _take_apart(image_path)
        if name is None or not _is_of_bids(name):
            return []
        values = _comparable(name.values)
        found: list[tuple[str, str]] = []
        for folder in self._folders(image_path):
            here = self._in(folder, name.suffix, values)
            if len(here) > 1:
                written = name.values.items()
                here.sort(key=lambda one: (len(one.values), len(one.values.items() & written), one.path))
            found += ((one.path, one.content) for one in here)
        return found

    def _folders(self, image_path: str) -> list[str]:
        """The folders from the root of the image's dataset to the image's own."""
        folder = image_path.rpartition("/")[0]
        folders = [folder]
        while folder and folder not in self._roots and folder.rpartition("/")[2] not in NESTED:
            folder = folder.rpartition("/")[0]
            folders.append(folder)
        return folders[::-1]

    def _in(self, folder: str, suffix: str, values: Mapping[str, str]) -> list[_Sidecar]:
        """The sidecars of one folder that apply to an image with these values of entities."""
        return [
            one
            for keys, place in self._at.get((folder, suffix), {}).items()
            if all(key in values for key in keys)
            for one in place.get(tuple(values[key] for key in keys), ())
        ]


def _is_of_dataset(name: _Name) -> bool:
    """Whether it is a file of the whole dataset, which is not metadata of an image: ``participants.json``."""
    return not name.values and name.suffix in _vocabulary().files


def _comparable(values: Mapping[str, str]) -> dict[str, str]:
    """Values of entities such that the same are equal: numbers without zeros in front (0 is empty)."""
    indices = _vocabulary().indices
    return {
        key: value.lstrip("0") if key in indices and value.isdigit() else value
        for key, value in values.items()
    }


def ambiguous(applying: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Where several sidecars of one folder apply to one image, which the standard forbids (rule 4): their paths.

    The validator of BIDS reads only the one with all of the image's entities, and fails where there is none:
    https://github.com/bids-standard/bids-validator/blob/main/src/files/inheritance.ts

    Args:
        applying: what :meth:`Sidecars.applying` returned.
    """
    paths = [path for path, _ in applying]
    folders = [list(group) for _, group in groupby(paths, key=lambda path: path.rpartition("/")[0])]
    return [folder for folder in folders if len(folder) > 1]


def merge(texts: Sequence[tuple[str, bytes]]) -> tuple[dict[str, Any], list[str]]:
    """Metadata of sidecars, key by key: of a key in several, the value of the nearest as it is (rule 5.b).

    Values are not merged with each other, and ``null`` is a value like others. A byte order mark is passed over,
    ``NaN`` and infinities are read, and numbers that no double holds are kept as written
    (:class:`curation.flatten.documents.Beyond`). Of a key that one object has twice the last counts: the parsers of
    Python, which MRIQC uses, and of JavaScript, which the validator of BIDS uses, keep that.

    Args:
        texts: path and content of the sidecars that apply, from the farthest to the nearest.

    Returns:
        The metadata, and the paths that could not be read: no JSON, no object, not UTF-8, or nested too deeply. What
        the others say stands without them.
    """
    merged: dict[str, Any] = {}
    unreadable = []
    for path, text in texts:
        try:
            merged |= _read(text.removeprefix(codecs.BOM_UTF8))
        except UnreadableDocument:
            unreadable.append(path)
    return merged, unreadable


def _read(text: bytes) -> dict[str, Any]:
    try:
        return parse_document(text)
    except UnreadableDocument as error:
        if str(error) != KEY_TWICE:
            raise
    try:
        return parse_document(canonical_json(json.loads(text)).encode())
    except (ValueError, RecursionError):
        raise UnreadableDocument(KEY_TWICE) from None


def digest(metadata: Mapping[str, Any]) -> tuple[str, str]:
    """SHA-256 (hex) of metadata as canonical JSON, and that JSON."""
    text = canonical_json(dict(metadata))
    return hashlib.sha256(text.encode()).hexdigest(), text

"""What a tree says of its images beside them: ``dataset_description.json`` and the sidecars that apply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from curation.index.bids import DESCRIPTION, Sidecars, digest, merge
from curation.index.git import Objects

_LINK, _TREE, _SUBMODULE = b"120000", b"40000", b"160000"
_LARGEST = 1 << 22  # bytes; sidecars have a few thousand
_POINTER = b"/annex/objects/"
_DOI = re.compile(r"10\.[0-9]{4,9}/\S+")

_Chain = tuple[tuple[str, str], ...]
"""Path and blob of the sidecars that apply to an image, from the farthest to the nearest."""


SEVERAL = " + "
"""Between the paths of several sidecars that apply to an image, the nearest first."""


class Description(NamedTuple):
    """What ``dataset_description.json`` says.

    Attributes:
        name: of the dataset.
        licence: of it.
        doi: bare, e.g. ``10.18112/openneuro.ds000114.v1.0.2``.
    """

    name: str | None = None
    licence: str | None = None
    doi: str | None = None


class Applying(NamedTuple):
    """The metadata that applies to an image.

    Attributes:
        digest: SHA-256 (hex) of the metadata as canonical JSON.
        text: that JSON.
        path: of the nearest sidecar.
    """

    digest: str
    text: str
    path: str


class Descriptions:
    """Reads descriptions and sidecars of trees, every file once.

    Args:
        objects: where the trees are.
        count: told of every file that cannot be read: why, and its path and blob.
    """

    def __init__(self, objects: Objects, count: Callable[[str, object], None]) -> None:
        self._objects = objects
        self._count = count
        self._descriptions: dict[tuple[bytes, str], Description] = {}

    def describe(self, tree: str) -> Description:
        """What the description in a tree's root says; nothing, and counted, if it cannot be read."""
        found = self._objects.tree(tree).get(DESCRIPTION.encode())
        if found is None:
            return Description()
        if found not in self._descriptions:
            self._descriptions[found] = self._description(*found)
        return self._descriptions[found]

    def _description(self, mode: bytes, blob: str) -> Description:
        if mode in {_LINK, _TREE, _SUBMODULE}:
            self._count(f"{DESCRIPTION}: annexed or no file", blob)
            return Description()
        (found,) = self._objects.read([blob], largest=_LARGEST)
        try:
            content = json.loads((found.content or b"").decode("utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError
        except (ValueError, RecursionError):
            self._count(f"{DESCRIPTION}: no JSON object", blob)
            return Description()
        name, licence, doi = (words(content.get(key)) for key in ("Name", "License", "DatasetDOI"))
        return Description(name, licence, bare_doi(doi))

    def sidecars(self, images: Sequence[tuple[bytes, str]]) -> list[Applying | None]:
        """The metadata that applies to images, given as path and tree."""
        homes: dict[str, list[int]] = {}
        for number, (_, tree) in enumerate(images):
            homes.setdefault(tree, []).append(number)
        chains: dict[int, _Chain] = {}
        for tree, numbers in homes.items():
            files, annexed = self._json_files(
                tree, {images[number][0].rpartition(b"/")[0] for number in numbers}
            )
            sidecars = Sidecars(files)
            for number in numbers:
                chain = sidecars.applying(_text(images[number][0]))
                chains[number] = self._readable(chain, annexed, "sidecar: annexed, cannot be read")
        distinct = dict.fromkeys(chains.values())
        blobs = dict.fromkeys(blob for chain in distinct for _, blob in chain)
        contents = {one.id: one.content or b"" for one in self._objects.read(blobs, largest=_LARGEST)}
        merged = {chain: self._merge(chain, contents) for chain in distinct}
        return [merged[chains[number]] for number in range(len(images))]

    def _json_files(self, tree: str, folders: Iterable[bytes]) -> tuple[dict[str, str], set[str]]:
        """JSON files in folders of a tree and above them: path to blob, and the paths of those that are links."""
        files: dict[str, str] = {}
        links = set()
        wanted = {above for folder in folders for above in _and_above(folder)}
        waiting = [(b"", tree)]
        while waiting:
            prefix, found = waiting.pop()
            for name, (mode, object_id) in self._objects.tree(found).items():
                if mode == _TREE:
                    if prefix + name in wanted:
                        waiting.append((prefix + name + b"/", object_id))
                elif name.endswith(b".json") and mode != _SUBMODULE:
                    files[_text(prefix + name)] = object_id
                    if mode == _LINK:
                        links.add(_text(prefix + name))
        return files, links

    def _readable(self, chain: Sequence[tuple[str, str]], unreadable: Iterable[str], reason: str) -> _Chain:
        """What of a chain comes after the last that cannot be read.

        That one may override any key of what is farther, so that nothing farther can be relied upon.
        """
        lost = set(unreadable)
        for place, (path, blob) in reversed(list(enumerate(chain))):
            if path in lost:
                self._count(reason, (path, blob))
                return tuple(chain[place + 1 :])
        return tuple(chain)

    def _merge(self, chain: _Chain, contents: Mapping[str, bytes]) -> Applying | None:
        pointers = [path for path, blob in chain if contents[blob].startswith(_POINTER)]
        chain = self._readable(chain, pointers, "sidecar: annexed, cannot be read")
        _, broken = merge([(path, contents[blob]) for path, blob in chain])
        chain = self._readable(chain, broken, "sidecar: no JSON object")
        if not chain:
            return None
        metadata, _ = merge([(path, contents[blob]) for path, blob in chain])
        paths = SEVERAL.join(path for path, _ in reversed(chain))
        shown = paths.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Applying(*digest(metadata), shown)


def _and_above(folder: bytes) -> Iterable[bytes]:
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def words(value: Any) -> str | None:
    """A text of JSON, if it is one that says something."""
    if not isinstance(value, str):
        return None
    # Halves of characters, which JSON can have, no file can.
    return value.encode("utf-8", "replace").decode().strip() or None


def bare_doi(text: str | None) -> str | None:
    """A DOI without ``doi:`` or the address of a resolver; None if there is none in the text."""
    found = _DOI.search(text or "")
    return found[0].rstrip(".,;") if found else None

"""Bags (RFC 8493): which manifest has their MD5s, and what they say of themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from curation.index.described import bare_doi
from curation.index.folder import opened
from curation.index.model import SourceFailed

_LARGEST = 1 << 20
"""Bytes of ``bag-info.txt`` that are read."""
_BAG_MANIFEST = re.compile(r"(tag)?manifest-([0-9a-z]+)\.txt(?:\.gz)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Bag(NamedTuple):
    """The bag that a manifest belongs to, and what ``bag-info.txt`` says of it (RFC 8493, 2.2.2)."""

    folder: str
    dataset: str | None = None
    name: str | None = None
    doi: str | None = None


def file_and_bag(path: Path) -> tuple[Path, Bag | None]:
    """The manifest that a path means, and the bag that it is of.

    Raises:
        SourceFailed: there is none, or it lists no MD5 or no payload.
    """
    if path.is_dir():
        found = sorted(one.name for one in path.iterdir() if _BAG_MANIFEST.fullmatch(one.name))
        ours = next((name for name in found if name.startswith("manifest-md5.")), None)
        if ours is None:
            what = ", ".join(found) or "no manifest"
            raise SourceFailed(
                f"{path}: a folder with {what}; expected manifest-md5.txt of a bag; give the file"
            )
        path = path / ours
    match = _BAG_MANIFEST.fullmatch(path.name)
    if match is None:
        return path, None
    if match[1] or match[2] != "md5":
        kind = "the bag's own tag files" if match[1] else f"{match[2]} digests"
        raise SourceFailed(f"{path}: lists {kind}; expected MD5 of its payload, in manifest-md5.txt")
    return path, _about_bag(path.absolute().parent)


def _about_bag(folder: Path) -> Bag:
    about = folder / "bag-info.txt"
    if not about.exists():
        return Bag(folder.name)
    with opened(about) as stream:
        text = stream.read(_LARGEST).decode("utf-8-sig", "replace")
    # A line that begins with blanks goes on with the value of the line before.
    pairs = (line.partition(":") for line in re.sub(r"\r?\n[ \t]+", " ", text).splitlines())
    told = {label.strip().lower(): value.strip() for label, _, value in reversed(list(pairs))}
    identifier = told.get("external-identifier", "")
    dataset = identifier if _NAME.fullmatch(identifier) else None
    return Bag(folder.name, dataset, told.get("external-description") or None, bare_doi(identifier))

"""Whether the files of a version are those that its own ``snapshot.json`` lists: no ledger explains an edit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from curation.diff.reading import COMPARED, LEDGERS_READ, table_forms
from curation.diff.version import SNAPSHOT, Version
from curation.errors import DatasetError
from curation.store.parts import file_sha256


@dataclass(frozen=True)
class Stray:
    """A file that is not the one that its version lists.

    Attributes:
        version: as it was asked for.
        file: its path.
        why: ``changed`` (since it was listed), ``gone`` or ``not listed``.
    """

    version: str
    file: str
    why: str


def lists_files(version: Version) -> bool:
    """Whether a version says what files it has."""
    return bool(_listed(version))


def require_tables(version: Version) -> None:
    """Check that every table that a version lists is there, in one of its forms.

    Raises:
        DatasetError: one is not.
    """
    listed = _listed(version)
    for table in COMPARED:
        forms = [name for name in table_forms(table) if name in listed]
        if forms and not any(version.has(name) for name in forms):
            raise DatasetError(
                f"{version.name} lacks {forms[0]}, which its {SNAPSHOT} lists; copy it from where the "
                "version is from, or get that version again"
            )


def strays(version: Version) -> list[Stray]:
    """The files of a version that are not those that it lists, as far as a comparison reads them.

    A file whose content is not on this machine is known by its size, if by anything, and so is a CSV file of a commit
    whose Parquet file is here and is read in its place.
    """
    found, read = gone(version), {}
    for name, said in _listed(version).items():
        if not version.has(name) or name not in _READ:
            continue
        is_here = version.is_here(name)
        size = version.files.size(name) if is_here else version.files.known_size(name)
        if size is not None and size != said["bytes"]:
            found.append(Stray(version.name, name, "changed"))
        elif is_here and (version.commit is None or not version.is_here(_INSTEAD.get(name, ""))):
            read[name] = version.path(name)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="listed") as threads:
        for name, digest in zip(read, threads.map(file_sha256, read.values()), strict=True):
            if digest != _listed(version)[name]["sha256"]:
                found.append(Stray(version.name, name, "changed"))
    if lists_files(version):
        others = [name for name in _READ if version.has(name) and name not in _listed(version)]
        found += [Stray(version.name, name, "not listed") for name in others]
    return sorted(found, key=lambda stray: stray.file)


def gone(version: Version) -> list[Stray]:
    """Ledgers that a version lists and does not have."""
    names = [name for name in _listed(version) if name in _LEDGERS and not version.has(name)]
    return [Stray(version.name, name, "gone") for name in names]


def absent(version: Version) -> list[str]:
    """Files that a version lists and does not have, and that a comparison can do without."""
    return [name for name in _listed(version) if name not in _LEDGERS and not version.has(name)]


def _listed(version: Version) -> Mapping[str, Any]:
    return version.snapshot.get("files") or {}


_INSTEAD = {text: parquet for parquet, text in map(table_forms, COMPARED)}
"""Of each CSV file the Parquet file that is read in its place."""
_LEDGERS = frozenset(f"audit/{name}.csv" for name in LEDGERS_READ)
_READ = frozenset((*_INSTEAD, *_INSTEAD.values(), *_LEDGERS))

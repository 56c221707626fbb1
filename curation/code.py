"""What results are made with: the code of the library, told apart by its digest, and copied beside the results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOMS = ("curation", "schemas")
DISTRIBUTION = "mriqc-snapshot"
_SUFFIXES = (".py", ".yaml", ".cff", ".css", ".j2")
"""Of the library's files; what else lies in a checkout is somebody's own, and is not published."""


@cache
def source_digest() -> str:
    """SHA-256 (hex) of all code, declarations and templates of the library."""
    digest = hashlib.sha256()
    for name, path in sorted(_sources()):
        digest.update(f"\0{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 (hex) of :func:`source_digest` and the versions of Arrow and NumPy."""
    return hashlib.sha256(f"{source_digest()} {pa.__version__} {np.__version__}".encode()).hexdigest()


def copy_code(folder: Path) -> list[str]:
    """Copy the code of the library, and its name and version as Python's installers write them, into a folder.

    With the folder first on ``PYTHONPATH``, this is the library that is imported, and the version that it gives itself.

    Returns:
        Names of the files, relative to ``folder``.
    """
    contents = {name: path.read_bytes() for name, path in _sources()}
    about = metadata.metadata(DISTRIBUTION)
    version = about["Version"]
    # https://packaging.python.org/en/latest/specifications/core-metadata/
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {version}"]
    lines += [f"Requires-Dist: {needed}" for needed in about.get_all("Requires-Dist", [])]
    contents[f"mriqc_snapshot-{version}.dist-info/METADATA"] = ("\n".join(lines) + "\n").encode()
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return sorted(contents)


def _sources() -> Iterator[tuple[str, Path]]:
    """Names and places of the library's files."""
    for room in ROOMS:
        folder = Path(str(files(room)))
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            # The procedure lays datasets out; only in an installed package it lies beside the code.
            if path.suffix in _SUFFIXES and inside.parts[0] != "procedures":
                yield f"{room}/{inside}", path

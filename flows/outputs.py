"""Files that options name for what comes out: asked before the long work, and never written over what is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from curation import errors

if TYPE_CHECKING:
    from curation.diff import Version


def require_writable(outputs: Mapping[str, Path]) -> None:
    """Find out before the long work whether what comes out can be written.

    Args:
        outputs: files by the option that names them.

    Raises:
        UsageError: a file's folder is not there, something else than a file stands in its place, its name is of no
            file, or two options name one file.
    """
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if str(path) == "-":
            if option == "--json":
                continue
            raise errors.UsageError(f"{option} -: only --json goes to standard output; name a file")
        if not path.parent.is_dir():
            raise errors.UsageError(
                f"{option} {path}: no folder {path.parent}; make it, or choose another file"
            )
        if path.is_dir():
            raise errors.UsageError(f"{option} {path}: a folder; name a file in it")
        if path.exists() and not path.is_file():
            raise errors.UsageError(f"{option} {path}: a device or pipe, and not a file; name a file")
        if (other := taken.setdefault(path.resolve(), option)) != option:
            raise errors.UsageError(f"{option} {path}: {other} names the same file; choose another")
        if option == "--cells" and path.suffix != ".parquet":
            raise errors.UsageError(
                f"--cells {path}: the file is written as Parquet; name it {path.stem}.parquet"
            )


def require_no_file_of(outputs: Mapping[str, Path], versions: Iterable[Version]) -> None:
    """Keep what comes out from being written over what is compared.

    Raises:
        UsageError: a file is one of a version.
    """
    for option, path in outputs.items():
        for version in versions:
            # Not what a link of the annex leads to.
            folder, whole = version.folder.resolve(), path.parent.resolve() / path.name
            if not whole.is_relative_to(folder):
                continue
            inside = whole.relative_to(folder)
            if inside.parts[0] == ".git" or version.has(inside.as_posix()):
                raise errors.UsageError(
                    f"{option} {path}: a file of {version.name} itself; choose another file"
                )

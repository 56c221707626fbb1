"""Files that options name for what comes out: asked before the long work, and never written over what is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryFile

from curation import errors


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
        try:
            with TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise errors.UsageError(
                f"{option} {path}: no file can be made in {path.parent} ({error.strerror}); choose another folder"
            ) from error
        if (other := taken.setdefault(path.resolve(), option)) != option:
            raise errors.UsageError(f"{option} {path}: {other} names the same file; choose another")
        if option == "--cells" and path.suffix != ".parquet":
            raise errors.UsageError(
                f"--cells {path}: the file is written as Parquet; name it {path.stem}.parquet"
            )


def require_no_file_of(outputs: Mapping[str, Path], folders: Iterable[Path]) -> None:
    """Keep what comes out from being written over what is read.

    Args:
        outputs: files by the option that names them.
        folders: datasets, bare or not, or folders with tables.

    Raises:
        UsageError: a file is one of a folder: in git, of git's own, or, of a folder that is none of git's, any.
    """
    for option, path in outputs.items():
        # Not what a link of the annex leads to.
        whole = path.parent.resolve() / path.name
        for folder in map(Path.resolve, folders):
            if whole.is_relative_to(folder) and path.exists() and _is_of(whole, folder):
                raise errors.UsageError(f"{option} {path}: a file of {folder} itself; choose another file")


def _is_of(path: Path, folder: Path) -> bool:
    from curation.diff.version import is_repository
    from curation.publish.commands import git

    if not is_repository(folder):
        return True
    inside = Path(git(folder, "rev-parse", "--absolute-git-dir").strip())
    # Of a worktree or submodule, `.git` is a file.
    own = path.is_relative_to(inside) or path.is_relative_to(folder / ".git")
    return own or bool(git(folder, "ls-files", "--", str(path)))

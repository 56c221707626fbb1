"""The journal of a deposit: what was begun, written before it is done. No token and no upload address is in it.

What became of files FigShare itself knows best; the journal has what it cannot tell: which article is ours, and that
an article or a publication was asked for and no answer came.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from filelock import FileLock, Timeout

from curation.errors import DatasetError, LockedError
from curation.release import Version
from curation.store.files import to_json, write_atomically


@dataclass
class Publication:
    """A version that is public.

    Attributes:
        article: FigShare's id.
        number: of the version, from 1.
        doi: of the version.
    """

    article: int
    number: int
    doi: str


@dataclass
class Before:
    """What an article was like before its publication was asked for."""

    version: int
    published_date: str | None


@dataclass
class Entry:
    """What the journal of one version says.

    Attributes:
        service: address of the API.
        version: of the dataset.
        commit: of its tag.
        article: FigShare's id, once known.
        creating: a new article was asked for, and its id is not known yet.
        publishing: publication was asked for, and its outcome is not known yet.
        published: what came of it.
    """

    service: str
    version: str
    commit: str
    article: int | None = None
    creating: bool = False
    publishing: Before | None = None
    published: Publication | None = None


class Journal:
    """The journals of a dataset's deposits, one a version.

    Args:
        dataset: its folder.
        service: address of the API; each host has a folder, so that a rehearsal elsewhere changes nothing here.
    """

    def __init__(self, dataset: Path, service: str) -> None:
        host = urlsplit(service).netloc.replace(":", "_")
        self.folder = dataset / ".git" / "mriqc-snapshot" / "deposits" / host
        self._service = service

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other deposits of the dataset out.

        Raises:
            LockedError: one is under way.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise LockedError(
                f"{self.folder}: another deposit of this dataset runs; wait until it ends"
            ) from error

    def path(self, version: Version) -> Path:
        """Where the journal of a version is."""
        return self.folder / f"{version}.json"

    def entry(self, version: Version, commit: str) -> Entry:
        """The journal of a version; a new one if there is none.

        Raises:
            DatasetError: it is of a tag that pointed elsewhere then.
        """
        if not self.path(version).exists():
            return Entry(self._service, str(version), commit)
        found = self._read(self.path(version))
        if found.commit != commit:
            raise DatasetError(
                f"{self.path(version)}: the deposit of {version} was begun when the tag was at {found.commit[:10]}, "
                f"now it is at {commit[:10]}; a released version never changes: put the tag back"
            )
        return found

    def save(self, entry: Entry) -> None:
        """Write a journal, on disk when this returns."""
        write_atomically(self.path(Version.parse(entry.version)), to_json(asdict(entry)))

    def others(self, version: Version) -> list[Entry]:
        """The journals of other versions, newest version first."""
        found = [self._read(path) for path in self.folder.glob("[0-9]*.json") if path.stem != str(version)]
        return sorted(found, key=lambda entry: Version.parse(entry.version), reverse=True)

    def _read(self, path: Path) -> Entry:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Entry)
        except msgspec.MsgspecError as error:
            raise DatasetError(
                f"{path}: no journal of a deposit ({error}); remove it to begin anew"
            ) from None

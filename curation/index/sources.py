"""Reads sources of checksums into the index: adds new ones, and updates those that have something new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.errors import UsageError
from curation.index.clones import registered_subdatasets
from curation.index.folder import read_folder
from curation.index.git import without_credentials
from curation.index.index import Index, Source
from curation.index.manifests import read_manifest
from curation.index.model import SourceFailed, SourceRead
from curation.index.repository import read_repository
from curation.index.s3 import read_s3

AT_ONCE = 8
"""Sources read at a time: most of an update is waiting for answers that nothing is new."""


@dataclass
class UpdateReport:
    """What an update did.

    Attributes:
        read: addresses that had something new; unchanged: those that had not.
        failed: address to why it could not be read.
    """

    read: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def add_sources(
    index: Index,
    addresses: Sequence[str],
    *,
    recursive: bool = False,
    dataset: str | None = None,
    base_url: str | None = None,
    on_source: Callable[[str], None] = lambda address: None,
) -> UpdateReport:
    """Add sources and read them; those that are in the index already are updated. The index is locked by the caller.

    Args:
        index: to add to.
        addresses: repositories (paths, bundles, URLs), ``s3://bucket/prefix``, checksum manifests, BIDS folders.
        recursive: take the subdatasets that repositories register, too.
        dataset: of manifests and folders, the accession of what they list.
        base_url: of manifests, where the listed paths can be fetched below.
        on_source: told of every source that is done.

    Raises:
        UsageError: an address is neither.
    """
    report = UpdateReport()
    options = {
        name: value for name, value in (("dataset", dataset), ("base_url", base_url)) if value is not None
    }
    wanted: dict[str, Source] = {}
    for address in addresses:
        kind = kind_of(address)
        address = (
            address
            if "://" in address or (kind == "repository" and ":" in address)
            else str(Path(address).absolute())
        )
        mine = options if kind in ("manifest", "folder") else {}
        wanted[address] = Source(address, kind, mine)
        if recursive and kind == "repository":
            try:
                wanted |= {
                    found: Source(found, "repository")
                    for _, found in registered_subdatasets(address, index.cache)
                }
            except SourceFailed as error:
                report.failed[address] = str(error)
    for address, source in wanted.items():
        known = next((one for one in index.sources if one.address == address), None)
        if known is None:
            index.sources.append(source)
        else:
            known.kind, known.options = source.kind, source.options
    _read_all(index, [one for one in index.sources if one.address in wanted], report, on_source)
    return report


def update_sources(index: Index, *, on_source: Callable[[str], None] = lambda address: None) -> UpdateReport:
    """Read what is new in the index's sources. The index is locked by the caller.

    Args:
        index: to update.
        on_source: told of every source that is done.
    """
    report = UpdateReport()
    _read_all(index, list(index.sources), report, on_source)
    return report


def kind_of(address: str) -> str:
    """How an address is read: ``s3``, ``repository``, ``folder`` or ``manifest``.

    Raises:
        UsageError: there is nothing at the address.
    """
    if address.startswith("s3://"):
        return "s3"
    path = Path(address)
    if "://" in address or (":" in address and not path.exists()):
        return "repository"
    if path.is_dir():
        is_git = (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())
        is_bag = (path / "manifest-md5.txt").is_file()
        return "repository" if is_git else "manifest" if is_bag else "folder"
    if path.is_file():
        with path.open("rb") as file:
            begins = file.read(16)
        return (
            "repository" if path.suffix == ".bundle" or begins.startswith(b"# v2 git bundle") else "manifest"
        )
    raise UsageError(
        f"{without_credentials(address)}: there is nothing; expected a git repository (path, bundle or URL), "
        "s3://bucket/prefix, a checksum manifest or a BIDS folder"
    )


def _read_all(
    index: Index, sources: Sequence[Source], report: UpdateReport, on_source: Callable[[str], None]
) -> None:
    """Read sources side by side; one that fails leaves what was known of it, and the others."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [(source, pool.submit(_read, index, source)) for source in sources]
        for source, job in jobs:
            shown = without_credentials(source.address)
            try:
                found = job.result()
            except SourceFailed as error:
                source.failure = report.failed[shown] = str(error)
            else:
                source.failure = None
                for read in found or ():
                    index.put(_published(read, source.address))
                if found:
                    _forget(index, source.address, {read.dataset for read in found})
                (report.read if found else report.unchanged).append(shown)
            on_source(shown)
    index.save()


def _read(index: Index, source: Source) -> Sequence[SourceRead] | None:
    """What is new in a source; ``None`` if nothing is."""
    states = index.states(source.address)
    state: Mapping[str, Any] | None = next(iter(states.values()), None)
    if source.kind == "s3":
        return read_s3(source.address, state=state)
    if source.kind == "manifest":
        return read_manifest(Path(source.address), state=state, **source.options)
    if source.kind == "folder":
        return _several(read_folder(Path(source.address), dataset=source.options.get("dataset"), state=state))
    return _several(read_repository(source.address, cache=index.cache, state=state))


def _several(read: SourceRead | None) -> list[SourceRead] | None:
    return None if read is None else [read]


def _published(read: SourceRead, address: str) -> SourceRead:
    """What was read, under the address that was added; a path of this machine is nothing to publish, its name is."""
    shown = (
        without_credentials(address) if "://" in address or not Path(address).exists() else Path(address).name
    )
    column = pa.array([shown] * len(read.copies), pa.string())
    place = read.copies.schema.get_field_index("source")
    read.copies = read.copies.set_column(place, read.copies.schema.field(place), column)
    read.source = address
    return read


def _forget(index: Index, address: str, datasets: Iterable[str]) -> None:
    """Datasets that a source no longer has."""
    kept = set(datasets)
    index.datasets = [one for one in index.datasets if one.source != address or one.dataset in kept]

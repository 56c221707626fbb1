"""Reads sources of checksums into the index: adds new ones, and updates those that have something new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import UsageError
from curation.flatten import canonical_json
from curation.flatten.cells import could_be_formula
from curation.flatten.documents import is_utf8
from curation.free_text import scrub
from curation.index.clones import local_path, registered_subdatasets
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
    for given in addresses:
        address, kind = _whole(given), kind_of(given)
        mine: dict[str, Any] = dict(options) if kind in ("manifest", "folder") else {}
        if recursive and kind == "repository":
            mine["recursive"] = True
        wanted[address] = Source(address, kind, mine)
        if "recursive" in mine:
            wanted |= _subdatasets(index, address, report)
    _enlist(index, wanted)
    _read_all(index, [one for one in index.sources if one.address in wanted], report, on_source)
    return report


def _whole(address: str) -> str:
    """An address in one spelling: paths absolute, without ``.git``, as are URLs."""
    place = local_path(address) if address.startswith("file://") else Path(address)
    if place is not None and place.exists():
        place = place.resolve()
        return str(place.parent if place.name == ".git" else place)
    return address.rstrip("/").removesuffix(".git") if "://" in address else address


def _enlist(index: Index, wanted: Mapping[str, Source]) -> None:
    """Add sources that the index does not have yet; what is given anew of others counts."""
    known = {source.address: source for source in index.sources}
    for address, source in wanted.items():
        if address in known:
            known[address].kind = source.kind
            known[address].options |= source.options
        else:
            index.sources.append(source)


def _subdatasets(index: Index, address: str, report: UpdateReport) -> dict[str, Source]:
    """The subdatasets that a superdataset registers, and those that they do."""
    found: dict[str, Source] = {}
    waiting = [address]
    while waiting:
        above = waiting.pop()
        try:
            below = [
                _whole(without_credentials(one)) for _, one in registered_subdatasets(above, index.cache)
            ]
        except (SourceFailed, OSError) as error:
            report.failed[above] = str(error)
            continue
        for one in [one for one in below if not is_utf8(one)]:
            report.failed[ascii(one)] = f"{one!a}: its bytes are no UTF-8"
            below.remove(one)
        waiting += [one for one in below if one not in found and one != address]
        found |= {one: Source(one, "repository") for one in below if one != address}
    return found


def update_sources(index: Index, *, on_source: Callable[[str], None] = lambda address: None) -> UpdateReport:
    """Read what is new in the index's sources. The index is locked by the caller.

    Args:
        index: to update.
        on_source: told of every source that is done.
    """
    report = UpdateReport()
    for source in [one for one in index.sources if one.options.get("recursive")]:
        _enlist(index, _subdatasets(index, source.address, report))
    _read_all(index, list(index.sources), report, on_source)
    return report


def kind_of(address: str) -> str:
    """How an address is read: ``s3``, ``repository``, ``folder`` or ``manifest``.

    Raises:
        UsageError: there is nothing at the address, or a password is in it.
    """
    if not is_utf8(address):
        raise UsageError(f"{address!a}: its bytes are no UTF-8; rename it, or give a link to it")
    if without_credentials(address) != address:
        raise UsageError(
            f"{without_credentials(address)}: given with a user name or password, which an index would keep; what "
            "needs one is not public"
        )
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
        return "repository" if path.suffix == ".bundle" or begins.startswith(b"# v") else "manifest"
    raise UsageError(
        f"{without_credentials(address)}: there is nothing; expected a git repository (path, bundle or URL), "
        "s3://bucket/prefix, a checksum manifest or a BIDS folder"
    )


def _read_all(
    index: Index, sources: Sequence[Source], report: UpdateReport, on_source: Callable[[str], None]
) -> None:
    """Read sources side by side; one that fails leaves what was known of it, and the others."""
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = {pool.submit(_read, index, source): source for source in sources}
            for job in as_completed(jobs):
                # Let go of what was read as soon as it is written.
                source = jobs.pop(job)
                try:
                    found = job.result()
                except (SourceFailed, UsageError, OSError) as error:
                    source.failure = report.failed[source.address] = str(error)
                else:
                    _take(index, source, found, report)
                del job
                on_source(source.address)
    finally:
        index.save()


def _take(index: Index, source: Source, found: Sequence[SourceRead] | None, report: UpdateReport) -> None:
    source.failure = None
    for read in found or ():
        index.put(_published(read, source.address))
    if found:
        _forget(index, source.address, {read.dataset for read in found})
    (report.read if found else report.unchanged).append(source.address)


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
    """What was read, as tables may show it.

    A path of this machine is nothing to publish, its name is, without what is personal in it. A text that a spreadsheet
    would take for a formula stands in quotes, as JSON has it.
    """
    here = local_path(address) is not None if "://" in address else Path(address).exists()
    copies = read.copies
    if here:
        place = copies.schema.get_field_index("source")
        name = pa.array([Path(address).name] * len(copies), pa.string())
        copies = copies.set_column(place, copies.schema.field(place), name)
    for name in _SHOWN_TEXTS:
        place = copies.schema.get_field_index(name)
        encoded = copies.column(name).combine_chunks().dictionary_encode()
        private = here and name in ("source", "dataset")
        shown = pa.array(
            [_shown(text, private=private) for text in encoded.dictionary.to_pylist()], pa.string()
        )
        copies = copies.set_column(place, copies.schema.field(place), shown.take(encoded.indices))
    urls = copies.column("url")
    secret = pc.fill_null(pc.match_substring_regex(urls, _SECRET), False)
    place = copies.schema.get_field_index("url")
    urls = pc.if_else(secret, pa.scalar(None, pa.string()), urls)
    read.copies, read.source = copies.set_column(place, copies.schema.field(place), urls), address
    return read


_SECRET = r"(?i)[?&][^=]*(token|key|signature|sig|secret|password|credential)[^=]*="
_SHOWN_TEXTS = ("source", "dataset", "path", "first_version", "last_version", "doi", "sidecar_path")


def _shown(text: str, *, private: bool) -> str:
    # Addresses in names of files; of private folders anything that is personal.
    text = scrub(text)[0] if private or "@" in text or "\uff20" in text else text
    return canonical_json(text) if could_be_formula(text) else text


def _forget(index: Index, address: str, datasets: Iterable[str]) -> None:
    """Datasets that a source no longer has."""
    kept = set(datasets)
    index.datasets = [one for one in index.datasets if one.source != address or one.dataset in kept]

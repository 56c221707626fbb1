"""All that a release writes, and all that a published deposit changes: the contents of files, by their paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from curation.errors import UsageError
from curation.release import changes, checksums, citation, croissant, isatab, readme
from curation.release.figure import draw, growth
from curation.release.snapshot import package_of_release, snapshot_of_release, snapshot_with_doi
from curation.release.version import Version
from curation.store.files import to_json
from curation.store.parts import file_sha256

CHANGES, CITATION, CHECKSUMS = "CHANGES.md", citation.NAME, "SHA256SUMS"
README, SNAPSHOT, PACKAGE, FIGURE = "README.md", "snapshot.json", "datapackage.json", "figures/growth.svg"
RELEASE_FILES: tuple[str, ...] = (
    CHANGES, CITATION, README, CHECKSUMS, croissant.NAME, PACKAGE, FIGURE, isatab.INVESTIGATION, isatab.STUDY,
    *isatab.ASSAYS.values(), SNAPSHOT,
)  # fmt: skip
"""What a release writes, ``snapshot.json`` last."""


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release is, beyond what its folder says.

    Attributes:
        version: of the release.
        day: of the release.
        lines: what the difference to the last release is, each an item of a list in ``CHANGES.md``.
        words: a maintainer's, in Markdown.
        files: tracked files of the night's commit, as ``git ls-files -z`` has them.
    """

    version: Version
    day: date
    lines: Sequence[str]
    words: str | None = None
    files: Sequence[str] = field(default_factory=tuple)


def describe_release(folder: Path, about: ReleaseFacts) -> dict[str, bytes]:
    """All files that a release writes. The same folder and facts give the same bytes, also on top of those files.

    Args:
        folder: with the files of a night; of the tables only ``audit/records.csv`` needs its content, and those files
            whose digest ``snapshot.json`` does not have.
        about: facts.

    Returns:
        The content of each of :data:`RELEASE_FILES`.

    Raises:
        UsageError: a file is missing or is not what it has to be; ``CHANGES.md`` or ``CITATION.cff`` cannot be edited.
    """
    version, day = about.version, about.day
    snapshot = _json(folder, SNAPSHOT)
    cited = _text(folder, CITATION)
    cited = citation.with_release(cited, version, day) if cited else citation.first_citation(version, day)
    known = citation.read_citation(cited)
    written = {
        CHANGES: changes.new_entry(_text(folder, CHANGES), version, day, about.words, about.lines).encode(),
        CITATION: cited.encode(),
        README: readme.with_release(_needed(folder, README), version, day, known).encode(),
        PACKAGE: to_json(package_of_release(_json(folder, PACKAGE), version, day, known)),
        FIGURE: draw(growth(folder / "audit" / "records.csv"), version),
        croissant.NAME: to_json(croissant.croissant(snapshot, version, day, known)),
        **isatab.isatab(snapshot, version, day, known),
    }
    rewritten = {
        name: {"bytes": len(content), "sha256": _sha256(content)}
        for name, content in written.items()
        if name in snapshot["files"]
    }
    released = snapshot_of_release(snapshot, version, day, rewritten)
    written[SNAPSHOT] = to_json(released)
    digests = _digests(folder, about.files, released["files"], written)
    written[CHECKSUMS] = checksums.sha256sums(digests)
    return {name: written[name] for name in RELEASE_FILES}


def describe_deposit(texts: Mapping[str, bytes], version: Version, doi: str) -> dict[str, bytes]:
    """What changes on the branch when the deposit of a version was published.

    The branch may be ahead of the release: by nights, to which ``SHA256SUMS`` of the release does not belong, or by
    newer releases, which are cited by DOIs of their own.

    Args:
        texts: ``CHANGES.md``, ``CITATION.cff``, ``snapshot.json`` and ``SHA256SUMS`` as the branch has them.
        version: that was deposited.
        doi: of its deposit.

    Returns:
        The new content of those files that change.

    Raises:
        UsageError: a file is missing, or knows nothing of this version, or has another DOI of it.
    """
    for name in (CHANGES, CITATION, SNAPSHOT):
        if name not in texts:
            raise UsageError(f"{name} is missing: was {version} released on this branch?")
    snapshot = json.loads(texts[SNAPSHOT])
    cited = texts[CITATION].decode()
    found = {
        CHANGES: changes.with_doi(texts[CHANGES].decode(), version, doi).encode(),
        SNAPSHOT: to_json(snapshot_with_doi(snapshot, version, doi)),
    }
    if citation.read_citation(cited).version == str(version):
        found[CITATION] = citation.with_doi(cited, doi).encode()
    changed = {name: content for name, content in found.items() if content != texts[name]}
    if CHECKSUMS in texts and "version" in snapshot:
        digests = checksums.read_sha256sums(texts[CHECKSUMS])
        renewed = {name: _sha256(content) for name, content in changed.items() if name in digests}
        sums = checksums.sha256sums(digests | renewed)
        if sums != texts[CHECKSUMS]:
            changed[CHECKSUMS] = sums
    return changed


def _digests(
    folder: Path, tracked: Sequence[str], known: Mapping[str, Mapping[str, Any]], written: Mapping[str, bytes]
) -> dict[str, str]:
    """SHA-256 (hex) of all published files, by path; files that begin with a dot, as git's and DataLad's, are none."""
    names = {name for name in tracked if not any(part.startswith(".") for part in name.split("/"))}
    digests = {}
    for name in (names | set(known) | set(written)) - {CHECKSUMS}:
        if name in written:
            digests[name] = _sha256(written[name])
        elif name in known:
            digests[name] = known[name]["sha256"]
        else:
            digests[name] = _hashed(folder / name)
    return digests


def _hashed(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error}); is its content there? See `datalad get`"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(folder: Path, name: str) -> str | None:
    try:
        # Line ends as they are.
        return (folder / name).read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{folder / name}: byte {error.start} is not UTF-8; save the file as such"
        ) from error


def _needed(folder: Path, name: str) -> str:
    text = _text(folder, name)
    if text is None:
        raise UsageError(f"{folder / name} is missing; expected the folder of a night")
    return text


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_needed(folder, name))
    except ValueError as error:
        raise UsageError(f"{folder / name}: no JSON ({error}); expected the folder of a night") from error
    if not isinstance(found, dict):
        raise UsageError(f"{folder / name}: no JSON object; expected the folder of a night")
    return found

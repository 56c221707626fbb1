"""What a release sets in ``snapshot.json`` and ``datapackage.json``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from curation.errors import UsageError
from curation.release.citation import Citation, Creator
from curation.release.texts import bare_doi
from curation.release.version import Version

_SOURCE = {"title": "MRIQC Web-API", "path": "https://mriqc.nimh.nih.gov"}


def snapshot_of_release(
    snapshot: Mapping[str, Any], version: Version, day: date, files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What ``snapshot.json`` of a release says.

    Args:
        snapshot: of the night.
        version: of the release.
        day: of the release.
        files: ``bytes`` and ``sha256`` of files of the night that the release rewrites.
    """
    last = {"version": str(version), "date": day.isoformat()}
    earlier = snapshot.get("last_release", {})
    if earlier.get("version") == str(version):
        last = {**earlier, **last}
    return {
        **snapshot,
        "files": {**snapshot["files"], **files},
        "last_release": last,
        "version": str(version),
    }


def snapshot_with_doi(snapshot: Mapping[str, Any], version: Version, doi: str) -> dict[str, Any]:
    """What ``snapshot.json`` says after the deposit of a version was published; nothing new if a newer one is the last.

    Raises:
        UsageError: it knows of no release as new as this one, or this one has another DOI.
    """
    last = snapshot.get("last_release")
    if last is None or Version.parse(last["version"]) < version:
        known = last["version"] if last else "no release"
        raise UsageError(
            f"snapshot.json knows of {known}, not of {version}; is this the branch with the release?"
        )
    if Version.parse(last["version"]) > version:
        return dict(snapshot)
    found = bare_doi(doi)
    if last.get("doi", found) != found:
        raise UsageError(
            f"snapshot.json: {version} has the DOI {last['doi']}, not {found}; a version has one deposit"
        )
    return {**snapshot, "last_release": {**last, "doi": found}}


def snapshot_of_night(snapshot: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``snapshot.json`` of a night says: no version, and the last release that was known before.

    Args:
        snapshot: of the night.
        before: the one that was committed last; ``None`` where there is none.
    """
    kept = {key: value for key, value in snapshot.items() if key not in ("version", "last_release")}
    last = (before or {}).get("last_release")
    return kept if last is None else {**kept, "last_release": last}


def package_of_release(
    datapackage: Mapping[str, Any], version: Version, day: date, citation: Citation
) -> dict[str, Any]:
    """What ``datapackage.json`` of a release says.

    https://specs.frictionlessdata.io/data-package/: ``version``, ``created`` (a date and time), ``contributors`` (whose
    ``organization`` is an affiliation), ``sources``, ``keywords``, and ``homepage``. A globally unique ``id`` may be a
    DOI: it is, once the citation file has one.

    Args:
        datapackage: of the night.
        version: of the release.
        day: of the release.
        citation: from ``CITATION.cff``.
    """
    known: dict[str, Any] = {
        "id": f"https://doi.org/{citation.doi}" if citation.doi else None,
        "version": str(version),
        "created": f"{day.isoformat()}T00:00:00Z",
        "homepage": citation.url,
        "keywords": list(citation.keywords),
        "contributors": [_contributor(creator) for creator in citation.creators],
        "sources": [
            _SOURCE,
            *({"title": one.title, "path": one.where} for one in citation.references if one.where),
        ],
    }
    kept = {key: value for key, value in datapackage.items() if key not in known}
    return kept | {key: value for key, value in known.items() if value}


def _contributor(creator: Creator) -> dict[str, str]:
    found = {
        "title": creator.name,
        "role": "author",
        "path": creator.orcid,
        "organization": creator.affiliation,
    }
    return {key: value for key, value in found.items() if value}

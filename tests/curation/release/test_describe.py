"""All that a release writes: whole, the same again, checked by its checksums; and what a published deposit changes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import frictionless
import pytest

from curation.errors import UsageError
from curation.release import RELEASE_FILES, ReleaseFacts, Version, describe_deposit, describe_release
from curation.release.checksums import read_sha256sums
from curation.release.snapshot import snapshot_of_night, snapshot_with_doi
from tests.curation.release.conftest import README, put

DOI = "10.6084/m9.figshare.77.v1"
BRANCH = ("CHANGES.md", "CITATION.cff", "snapshot.json", "SHA256SUMS")


def branch(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in BRANCH}


def said(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_every_file_of_the_release_is_checked(dataset: Path, facts: ReleaseFacts) -> None:
    written = describe_release(dataset, facts)
    assert tuple(written) == RELEASE_FILES
    put(dataset, written)
    sums = read_sha256sums((dataset / "SHA256SUMS").read_bytes())
    there = {str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file()}
    assert set(sums) == there - {"SHA256SUMS", ".gitattributes"}
    for name, digest in sums.items():
        assert hashlib.sha256((dataset / name).read_bytes()).hexdigest() == digest, name
    for name, known in said(dataset, "snapshot.json")["files"].items():
        assert known == {"sha256": sums[name], "bytes": (dataset / name).stat().st_size}


def test_describing_it_again_changes_nothing(dataset: Path, facts: ReleaseFacts) -> None:
    written = describe_release(dataset, facts)
    assert describe_release(dataset, facts) == written
    put(dataset, written)
    assert describe_release(dataset, replace(facts, files=[*facts.files, *written])) == written
    put(dataset, describe_deposit(branch(dataset), facts.version, DOI))
    again = describe_release(dataset, facts)
    assert json.loads(again["snapshot.json"])["last_release"]["doi"] == DOI
    assert again["CITATION.cff"] == (dataset / "CITATION.cff").read_bytes()


def test_the_version_is_everywhere_and_tables_are_left_alone(dataset: Path, facts: ReleaseFacts) -> None:
    night = said(dataset, "snapshot.json")
    written = describe_release(dataset, facts)
    assert not [name for name in written if name.split("/")[0] in ("csv", "parquet", "audit", "dictionary")]
    released = json.loads(written["snapshot.json"])
    assert released["version"] == "2026.11.23"
    assert released["last_release"] == {"version": "2026.11.23", "date": "2026-11-23"}
    for value in (night, released):
        value["files"].pop("datapackage.json")
    assert released == {**night, "version": released["version"], "last_release": released["last_release"]}
    for name in RELEASE_FILES:
        if name.split("/")[0] not in ("SHA256SUMS", "isatab"):
            assert b"2026.11.23" in written[name], name
    assert written["CHANGES.md"].decode() == (
        "# Changes\n\n## 2026.11.23\n\nWords of a person.\n\nReleased on 2026-11-23.\n\n- T1w: 3 records more\n"
    )
    assert written["README.md"].decode().endswith(README.split("\n", 1)[1])


def test_frictionless_takes_the_package(dataset: Path, facts: ReleaseFacts) -> None:
    before = said(dataset, "datapackage.json")
    put(dataset, describe_release(dataset, facts))
    package = said(dataset, "datapackage.json")
    assert frictionless.Package.validate_descriptor(package, basepath=str(dataset)).valid
    assert package["version"] == "2026.11.23" and package["created"] == "2026-11-23T00:00:00Z"
    assert package["contributors"][0] == {"title": "Oscar Esteban", "role": "author"}
    assert [source["path"] for source in package["sources"]] == [
        "https://mriqc.nimh.nih.gov",
        "https://doi.org/10.1038/s41597-019-0035-4",
        "https://doi.org/10.6084/m9.figshare.7097879.v4",
    ]
    assert before.items() <= package.items()


def test_a_later_release_keeps_what_earlier_ones_and_people_said(dataset: Path, facts: ReleaseFacts) -> None:
    put(dataset, describe_release(dataset, facts))
    put(dataset, describe_deposit(branch(dataset), facts.version, DOI))
    edited = (dataset / "CITATION.cff").read_text().replace("Oscar", "Óscar") + "# Mine.\n"
    put(dataset, {"CITATION.cff": edited.encode()})
    earlier = (dataset / "CHANGES.md").read_text()
    written = describe_release(
        dataset, replace(facts, version=Version(2026, 12, 1), day=date(2026, 12, 1), words=None)
    )
    assert written["CHANGES.md"].decode().endswith(earlier.removeprefix("# Changes\n"))
    assert json.loads(written["snapshot.json"])["last_release"] == {
        "version": "2026.12.01",
        "date": "2026-12-01",
    }
    assert written["CITATION.cff"].decode() == (
        edited.replace("2026.11.23", "2026.12.01")
        .replace("2026-11-23", "2026-12-01")
        .replace(".77.v1", ".77")
    )
    assert json.loads(written["croissant.json"])["creator"][0]["name"] == "Óscar Esteban"


def test_a_deposit_sets_its_doi(dataset: Path, facts: ReleaseFacts) -> None:
    put(dataset, describe_release(dataset, facts))
    changed = describe_deposit(branch(dataset), facts.version, f"https://doi.org/{DOI}")
    assert set(changed) == set(BRANCH)
    put(dataset, changed)
    assert said(dataset, "snapshot.json")["last_release"]["doi"] == DOI
    for name, digest in read_sha256sums(changed["SHA256SUMS"]).items():
        assert hashlib.sha256((dataset / name).read_bytes()).hexdigest() == digest, name
    assert describe_deposit(branch(dataset), facts.version, DOI) == {}
    with pytest.raises(UsageError, match="one deposit"):
        describe_deposit(branch(dataset), facts.version, "10.6084/m9.figshare.77.v2")


def test_a_deposit_on_a_branch_that_went_on(dataset: Path, facts: ReleaseFacts) -> None:
    night = said(dataset, "snapshot.json")
    put(dataset, describe_release(dataset, facts))
    later = snapshot_of_night(night, said(dataset, "snapshot.json"))
    assert later == {**night, "last_release": {"version": "2026.11.23", "date": "2026-11-23"}}
    put(dataset, {"snapshot.json": json.dumps(later).encode()})
    assert set(describe_deposit(branch(dataset), facts.version, DOI)) == set(BRANCH) - {"SHA256SUMS"}
    newer = replace(facts, version=Version(2026, 12, 1), day=date(2026, 12, 1))
    put(dataset, describe_release(dataset, newer))
    changed = describe_deposit(branch(dataset), facts.version, DOI)
    assert set(changed) == {"CHANGES.md", "SHA256SUMS"}
    assert (
        changed["CHANGES.md"]
        .decode()
        .split("## 2026.11.23\n")[1]
        .startswith(f"\nDOI: https://doi.org/{DOI}\n")
    )


def test_what_is_missing_is_told(dataset: Path, facts: ReleaseFacts) -> None:
    with pytest.raises(UsageError, match=r"CHANGES\.md is missing"):
        describe_deposit({}, facts.version, DOI)
    with pytest.raises(UsageError, match=r"knows of no release, not of 2026\.11\.23"):
        snapshot_with_doi({"format": 3}, facts.version, DOI)
    with pytest.raises(UsageError, match=r"gone\.txt: cannot be read"):
        describe_release(dataset, replace(facts, files=["code/gone.txt"]))
    (dataset / "README.md").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"README\.md: byte 0 is not UTF-8"):
        describe_release(dataset, facts)
    (dataset / "README.md").unlink()
    with pytest.raises(UsageError, match=r"README\.md is missing"):
        describe_release(dataset, facts)
    put(dataset, {"snapshot.json": b"[]"})
    with pytest.raises(UsageError, match=r"snapshot\.json: no JSON object"):
        describe_release(dataset, facts)


def test_nights_without_a_release_say_nothing_of_one() -> None:
    assert snapshot_of_night({"a": 1, "version": "2026.11.23"}, None) == {"a": 1}
    assert snapshot_of_night({"a": 1}, {"a": 0}) == {"a": 1}

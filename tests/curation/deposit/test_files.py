"""Files of a tag, however git and git-annex hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curation.deposit.files import TABLES, measure, opened, read_release
from curation.errors import DatasetError
from curation.publish.commands import git, run
from tests.support.depositing import VERSION
from tests.support.released import md5, release, sha256, tables

NEXT = "2026.12.01"


def content(dataset: Path, version: str) -> dict[str, bytes]:
    """What would be uploaded, in pieces of all sizes."""
    found = read_release(dataset, version)
    whole = {}
    for local in measure(found):
        with opened(found, local) as source:
            middle = local.size // 3
            pieces = [*source.chunks(0, middle), *source.chunks(middle, local.size - middle)]
        whole[local.file.path] = b"".join(pieces)
        assert (local.size, local.md5, local.sha256) == (
            len(whole[local.file.path]), md5(whole[local.file.path]), sha256(whole[local.file.path]),
        )  # fmt: skip
    return whole


def test_tables_are_the_tags_whatever_the_working_tree_has(dataset: Path) -> None:
    release(dataset, NEXT)
    (dataset / "csv/T1w.csv").unlink()
    for version in (VERSION, NEXT):
        whole = content(dataset, version)
        assert {name: whole[name] for name in TABLES} == tables(version)
        assert f"## {version}" in whole["CHANGES.md"].decode()
        assert "parquet" not in str(sorted(whole)) and ".gitattributes" not in whole


def test_unlocked_files_and_long_texts(dataset: Path) -> None:
    """A pointer file is the content that it points to; a text longer than one is read by itself."""
    text = b"# Changes\n\n## 2026.12.01\n\n" + b"words\n" * 20_000
    release(dataset, NEXT, {"CHANGES.md": text})
    run(["git", "annex", "unlock", "csv/bold.csv", "csv/T1w.csv"], dataset)
    git(dataset, "commit", "--quiet", "-a", "-m", "unlocked")
    git(dataset, "tag", "-f", "-a", NEXT, "-m", "unlocked")
    assert git(dataset, "cat-file", "-p", f"{NEXT}:csv/bold.csv").startswith("/annex/objects/MD5E-")
    whole = content(dataset, NEXT)
    assert whole["csv/bold.csv"] == tables(NEXT)["csv/bold.csv"] and whole["CHANGES.md"] == text


def test_a_release_without_some_of_the_tables(dataset: Path) -> None:
    release(dataset, NEXT, {"csv/rating.csv": None, "csv/T2w_curated.csv": None})
    assert read_release(dataset, NEXT).missing == ("csv/rating.csv", "csv/T2w_curated.csv")


def test_content_that_changes_after_it_was_measured(dataset: Path) -> None:
    found = read_release(dataset, VERSION)
    local = next(one for one in measure(found) if one.name == "rating.csv")
    assert local.content is not None
    os.utime(local.content, ns=(0, local.changed + 1))
    with pytest.raises(DatasetError, match="changed since it was measured"), opened(found, local):
        pass


def test_links_to_no_annex_are_refused(dataset: Path) -> None:
    (dataset / "isatab" / "s_study.txt").symlink_to("/etc/hostname")
    git(dataset, "add", "isatab")
    git(dataset, "commit", "--quiet", "-m", "a link")
    git(dataset, "tag", "-a", NEXT, "-m", NEXT)
    with pytest.raises(
        DatasetError, match=r"isatab/s_study.txt is a link or pointer without a git-annex key"
    ):
        read_release(dataset, NEXT)

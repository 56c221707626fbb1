"""The index as a whole: sources of every kind, failures, updates, what is kept and what is shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from curation.errors import LockedError, UsageError
from curation.index.index import Index, existing_index
from curation.index.model import COPIES, SourceRead
from curation.index.sources import add_sources, kind_of, update_sources
from tests.conftest import REPOSITORY

A, B = "a" * 32, "b" * 32


def git(folder: Path, *arguments: str) -> None:
    identity = {
        f"GIT_{who}_{what}": "x@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **identity}
    )


def repository(folder: Path, images: dict[str, str], tag: str | None = None) -> Path:
    """A repository with annexed images: path to MD5."""
    folder.mkdir(exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    for path, md5 in images.items():
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../.git/annex/objects/aa/bb/MD5E-s7--{md5}.nii.gz/MD5E-s7--{md5}.nii.gz")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "a test")
    if tag:
        git(folder, "tag", tag)
    return folder


def _age(folder: Path) -> None:
    for file in folder.iterdir():
        os.utime(file, (0, 0))


IMAGE = "sub-01/anat/sub-01_T1w.nii.gz"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return repository(tmp_path / "ds000001", {IMAGE: A}, "1.0.0")


def checksums(index: Index) -> set[str]:
    return set(index.copies(["md5"]).column("md5").to_pylist())


def test_what_is_added_is_there_the_next_time(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    report = add_sources(index, [str(dataset)])
    assert report.failed == {} and len(report.read) == 1
    again = Index(tmp_path / "index")
    assert checksums(again) == {A} and again.digest == index.digest
    assert update_sources(again).unchanged == [str(dataset)]


def test_an_update_reads_what_is_new_and_forgets_nothing(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    add_sources(index, [str(dataset)])
    before = index.digest
    repository(dataset, {IMAGE: B}, "1.0.1")
    assert update_sources(index).read == [str(dataset)]
    assert checksums(Index(tmp_path / "index")) == {A, B} and index.digest != before
    rows = {row["md5"]: row for row in index.copies(["md5", "last_version", "in_newest"]).to_pylist()}
    assert (rows[A]["last_version"], rows[A]["in_newest"]) == ("1.0.0", False)
    assert (rows[B]["last_version"], rows[B]["in_newest"]) == ("1.0.1", True)
    # One file a dataset is left, once no night that opened the index before can still read the other.
    _age(tmp_path / "index/images")
    update_sources(index)
    assert len(list((tmp_path / "index/images").iterdir())) == 1


def test_a_source_that_fails_leaves_the_others_and_what_was_known(dataset: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.bundle"
    git(dataset, "bundle", "create", str(cut), "--all")
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    other = repository(tmp_path / "ds000002", {IMAGE: B})
    index = Index(tmp_path / "index")
    report = add_sources(index, [str(dataset), str(cut), str(other)])
    assert list(report.failed) == [str(cut)] and "cut.bundle" in report.failed[str(cut)]
    assert checksums(index) == {A, B}
    shutil.rmtree(dataset)
    report = update_sources(Index(tmp_path / "index"))
    assert set(report.failed) == {str(dataset), str(cut)}
    index = Index(tmp_path / "index")
    assert checksums(index) == {A, B}
    assert [source.address for source in index.sources if source.failure] == [str(dataset), str(cut)]
    cut.write_bytes(whole)
    assert str(cut) in update_sources(index).read


def test_a_path_of_this_machine_is_not_published(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    add_sources(index, [str(dataset)])
    assert index.copies(["source"]).column("source").to_pylist() == ["ds000001"]


def test_the_subdatasets_of_a_superdataset(dataset: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "ds000002", {IMAGE: B})
    above = repository(tmp_path / "super", {})
    for one in (dataset, other):
        git(above, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(one), one.name)
    git(above, "commit", "-q", "-m", "both")
    index = Index(tmp_path / "index")
    report = add_sources(index, [str(above)], recursive=True)
    assert report.failed == {} and checksums(index) == {A, B}
    assert {one.dataset for one in index.datasets if one.images} == {"ds000001", "ds000002"}
    third = repository(tmp_path / "ds000003", {IMAGE: "c" * 32})
    git(dataset, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(third), "below")
    git(dataset, "commit", "-q", "-m", "one more")
    update_sources(index)
    assert checksums(index) == {A, B, "c" * 32}


def test_one_repository_is_one_source_however_it_is_spelt(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    add_sources(index, [str(dataset), f"{dataset}/../ds000001", f"{dataset}/.git", f"file://{dataset}"])
    assert [source.address for source in index.sources] == [str(dataset)]


def test_what_was_said_of_a_source_stays(tmp_path: Path) -> None:
    (tmp_path / "sums.txt").write_text(f"{A}  {IMAGE}\n")
    index = Index(tmp_path / "index")
    add_sources(index, [str(tmp_path / "sums.txt")], dataset="ds000009", base_url="https://example.org/d")
    add_sources(index, [str(tmp_path / "sums.txt")])
    assert index.sources[0].options == {"dataset": "ds000009", "base_url": "https://example.org/d"}


def test_where_an_index_was_made_is_no_part_of_it(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "elsewhere/ds000001", symlinks=True)
    first, second = Index(tmp_path / "one"), Index(tmp_path / "two")
    add_sources(first, [str(dataset)])
    add_sources(second, [str(tmp_path / "elsewhere/ds000001")])
    assert first.digest == second.digest


def test_secrets_and_addresses_in_listings_are_not_published(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        f"md5,path,url\n{A},sub-01_x_T1w.nii.gz,https://h.org/x?token=TOK\n{B},sub-jane@example.org_T1w.nii.gz,\n"
    )
    index = Index(tmp_path / "index")
    add_sources(index, [str(tmp_path / "t.csv")], dataset="ds1")
    shown = str(index.copies(["path", "url", "md5"]).to_pylist())
    assert "TOK" not in shown and "jane" not in shown and A in shown


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("s3://openneuro.org/ds000001", "s3"), ("https://github.com/OpenNeuroDatasets/ds000114", "repository"),
        ("git@github.com:OpenNeuroDatasets/ds000114.git", "repository"),
    ],
)  # fmt: skip
def test_kinds_of_addresses_elsewhere(address: str, kind: str) -> None:
    assert kind_of(address) == kind


def test_kinds_of_addresses_here(dataset: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(dataset), "bare.git")
    (tmp_path / "sums.txt").write_text(f"{A}  {IMAGE}\n")
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag/manifest-md5.txt").write_text(f"{A}  data/{IMAGE}\n")
    (tmp_path / "bids/sub-01").mkdir(parents=True)
    kinds = {
        "ds000001": "repository",
        "bare.git": "repository",
        "sums.txt": "manifest",
        "bag": "manifest",
        "bids": "folder",
    }
    assert {name: kind_of(str(tmp_path / name)) for name in kinds} == kinds
    with pytest.raises(UsageError, match="there is nothing"):
        kind_of(str(tmp_path / "none"))


def test_manifests_and_folders_are_sources_too(tmp_path: Path) -> None:
    (tmp_path / "sums.txt").write_text(f"{A}  {IMAGE}\n")
    image = tmp_path / "bids" / IMAGE
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    index = Index(tmp_path / "index")
    report = add_sources(
        index,
        [str(tmp_path / "sums.txt"), str(tmp_path / "bids")],
        dataset="ds000009",
        base_url="https://example.org/d",
    )
    assert report.failed == {} and len(checksums(index)) == 2
    urls = index.copies(["url"]).column("url").to_pylist()
    assert urls == [f"https://example.org/d/{IMAGE}", None]
    assert set(update_sources(index).unchanged) == {str(tmp_path / "sums.txt"), str(tmp_path / "bids")}


def test_a_run_that_was_killed_leaves_the_index_as_it_was(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    add_sources(index, [str(dataset)])
    copies = index.copies(COPIES.names).set_column(0, COPIES.field("md5"), pa.array([B]))
    # Everything of a run but its last step.
    index.put(SourceRead(str(dataset), "ds000001", copies))
    assert checksums(Index(tmp_path / "index")) == {A}
    _age(tmp_path / "index/images")
    Index(tmp_path / "index").save()
    assert len(list((tmp_path / "index/images").iterdir())) == 1


def test_a_folder_of_something_else_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(UsageError, match="no index"):
        Index(tmp_path)
    with pytest.raises(UsageError, match="index add"):
        existing_index(tmp_path / "none")
    assert existing_index(None) is None
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        Index(tmp_path)


def test_two_runs_do_not_change_one_index(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.put(SourceRead("x", "y", COPIES.empty_table()))  # and is killed
    with index.lock(), pytest.raises(LockedError), Index(tmp_path / "index").lock():
        pass


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", "index", *arguments, "--index", "index"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_the_commands(dataset: Path, tmp_path: Path) -> None:
    added = run(tmp_path, "add", "ds000001")
    assert added.returncode == 0 and "1 source(s) read" in added.stdout
    shown = json.loads(run(tmp_path, "show", "--json").stdout)
    (row,) = shown["datasets"]
    assert (row["dataset"], row["images"], row["checksums"], row["backends"]) == (
        "ds000001",
        1,
        1,
        {"MD5E": 1},
    )
    assert "1 MD5E" in run(tmp_path, "show").stdout
    updated = run(tmp_path, "update", "--json")
    assert updated.returncode == 0 and json.loads(updated.stdout)["unchanged"] == [str(dataset)]
    (tmp_path / "broken.bundle").write_bytes(b"# v2 git bundle\n")
    failed = run(tmp_path, "add", "broken.bundle")
    assert failed.returncode == 1 and "broken.bundle" in failed.stderr and "Traceback" not in failed.stderr
    missing = run(tmp_path, "add", "nothing-here")
    assert missing.returncode == 2 and "there is nothing" in missing.stderr


def test_the_order_of_adding_is_part_of_what_the_index_is(dataset: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "ds000002", {IMAGE: A})
    first, second = Index(tmp_path / "one"), Index(tmp_path / "two")
    add_sources(first, [str(dataset), str(other)])
    add_sources(second, [str(other), str(dataset)])
    assert first.digest != second.digest
    add_sources(again := Index(tmp_path / "three"), [str(dataset), str(other)])
    assert again.digest == first.digest


def test_a_password_is_refused_and_not_kept(tmp_path: Path) -> None:
    added = run(tmp_path, "add", "https://bob:s3cret@127.0.0.1:1/ds000001")
    assert added.returncode == 2 and "user name or password" in added.stderr
    assert "s3cret" not in added.stdout + added.stderr and not (tmp_path / "index/index.json").exists()


def test_an_address_that_is_none_leaves_the_others(dataset: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    report = add_sources(index, [str(dataset), "https://[x/ds000001"])
    assert list(report.failed) == ["https://[x/ds000001"]
    assert checksums(Index(tmp_path / "index")) == {A}


def test_what_another_run_added_is_seen_under_the_lock(dataset: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "ds000002", {IMAGE: B})
    first, second = Index(tmp_path / "index"), Index(tmp_path / "index")
    with first.lock():
        add_sources(first, [str(dataset)])
    with second.lock():
        add_sources(second, [str(other)])
    assert checksums(Index(tmp_path / "index")) == {A, B}


def test_names_of_private_folders_are_scrubbed(tmp_path: Path) -> None:
    image = tmp_path / "jane@example.org" / IMAGE
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    index = Index(tmp_path / "index")
    add_sources(index, [str(tmp_path / "jane@example.org")])
    (row,) = index.copies(["source", "dataset"]).to_pylist()
    assert "jane" not in str(row)
    (tmp_path / "second").mkdir()
    dataset = repository(tmp_path / "second/ds000003", {IMAGE: A})
    add_sources(index, [f"file://{dataset}"])
    assert str(tmp_path) not in str(index.copies(["source", "url"]).to_pylist())


def test_a_shallow_clone_is_refused(dataset: Path, tmp_path: Path) -> None:
    repository(dataset, {IMAGE: B})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{dataset}", "shallow")
    report = add_sources(Index(tmp_path / "index"), [str(tmp_path / "shallow")])
    assert "unshallow" in report.failed[str(tmp_path / "shallow")]

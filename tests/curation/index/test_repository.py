"""What a git or DataLad repository tells of images, against real datasets and repositories of any shape."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from curation.index.git import Repository
from curation.index.model import COPIES, SourceFailed, SourceRead
from curation.index.repository import accession_of, read_repository
from tests.curation.index.fast_import import (
    FILE,
    LINK,
    SUBMODULE,
    History,
    git,
    key,
    link,
    md5,
    pointer,
)

ACCESSIONS = [f"ds{n:06}" for n in (1, 2, 3, 5, 6, 8, 9, 11, 17, 51, 102, 114, 220)]
IMAGES = {"ds000114": 140, "ds000006": 218, "ds000011": 113, "ds000220": 132}
T1W, BOLD = "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-rest_bold.nii.gz"


def read(address: Path | str, cache: Path, state: Any = None) -> SourceRead:
    found = read_repository(str(address), cache=cache, state=state)
    assert found is not None
    assert found.copies.schema == COPIES
    rows = [(row["path"], row["md5"]) for row in found.copies.to_pylist()]
    assert rows == sorted(set(rows))
    return found


def rows_of(found: SourceRead) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["path"], row["md5"]): row for row in found.copies.to_pylist()}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "ds000900.git")


@pytest.mark.parametrize("accession", ACCESSIONS)
def test_real_datasets_are_matched_completely(accession: str, shared: Path, tmp_path: Path) -> None:
    bundle = shared / "annex" / f"{accession}.bundle"
    found = read(bundle, tmp_path)
    checksums = set(found.copies.column("md5").to_pylist())
    with gzip.open(shared / "mriqc" / f"{accession}.jsonl.gz") as lines:
        wanted = [json.loads(line)["record"]["provenance"]["md5sum"] for line in lines]
    assert [one for one in wanted if one not in checksums] == []
    assert len(wanted) == {"ds000114": 120, "ds000006": 190}.get(accession, len(wanted))
    assert len(found.copies) == IMAGES.get(accession, len(found.copies)) == found.backends["MD5E"]
    assert found.dataset == accession and not found.unusable
    assert set(found.copies.column("sidecar").drop_null().to_pylist()) == set(found.sidecars)
    for row in found.copies.to_pylist():
        assert row["url"].startswith(f"https://s3.amazonaws.com/openneuro.org/{accession}/sub-")
        assert (
            "?versionId=" in row["url"] and row["first_version"] and row["last_version"] and row["entities"]
        )
    # Nothing new, told from the bundle's head alone.
    assert read_repository(str(bundle), cache=tmp_path, state=found.state) is None


@pytest.mark.parametrize("accession", ["ds000011", "ds000114"])
def test_versions_of_real_datasets_are_those_of_git(accession: str, shared: Path, tmp_path: Path) -> None:
    """Slowly, version by version, with another command of git."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--bare", str(shared / "annex" / f"{accession}.bundle"), str(clone))
    tags = git(clone, "tag", "--sort=committerdate").decode().split()
    has: dict[tuple[str, str], list[str]] = {}
    for tag in tags:
        for line in git(clone, "ls-tree", "-r", tag).decode().splitlines():
            if line.startswith(LINK) and line.endswith((".nii", ".nii.gz")):
                about, path = line.split("\t")
                target = git(clone, "cat-file", "blob", about.split()[2]).decode()
                has.setdefault((path, target.rpartition("--")[2].partition(".")[0]), []).append(tag)
    rows = rows_of(read(clone, tmp_path))
    assert rows.keys() == has.keys()
    by_commit = {tag: git(clone, "rev-parse", f"{tag}^{{commit}}") for tag in tags}
    for place, versions in has.items():
        row = rows[place]
        assert by_commit[row["first_version"]] == by_commit[versions[0]]
        assert by_commit[row["last_version"]] == by_commit[versions[-1]]
        assert row["in_newest"] == (by_commit[versions[-1]] == by_commit[tags[-1]])


def test_a_version_that_was_replaced_is_found(shared: Path, tmp_path: Path) -> None:
    rows = read(shared / "annex" / "ds000011.bundle", tmp_path).copies.to_pylist()
    (old,) = [row for row in rows if not row["in_newest"]]
    assert (old["last_version"], old["doi"]) == ("00001", None)
    assert {row["doi"] for row in rows if row["in_newest"]} == {"10.18112/openneuro.ds000011.v1.0.0"}


def test_numbers_go_before_ids_of_the_same_commit(shared: Path, tmp_path: Path) -> None:
    rows = read(shared / "annex" / "ds000006.bundle", tmp_path).copies.to_pylist()
    assert {(row["first_version"], row["last_version"]) for row in rows if row["in_newest"]} >= {
        ("57fed7e1cce88d000bc175df", "00001")
    }


def test_bare_clone_worktree_and_bundle_tell_the_same(shared: Path, tmp_path: Path) -> None:
    bundle = shared / "annex" / "ds000114.bundle"
    git(tmp_path, "clone", "--quiet", "--bare", str(bundle), "bare/ds000114.git")
    git(tmp_path, "clone", "--quiet", str(bundle), "clone/ds000114")
    git(tmp_path / "clone/ds000114", "worktree", "add", "--quiet", str(tmp_path / "tree/ds000114"), "HEAD")
    tables = []
    for place in (
        bundle,
        tmp_path / "bare/ds000114.git",
        tmp_path / "clone/ds000114",
        tmp_path / "tree/ds000114",
    ):
        found = read(place, tmp_path)
        assert found.dataset == "ds000114"
        tables.append(found.copies.drop_columns("source"))
    assert all(table.equals(tables[0]) for table in tables)


def test_history_of_a_path(history: History, tmp_path: Path) -> None:
    """Replaced, restored, deleted, never tagged, merged, at two paths: each checksum has its row and versions."""
    root = history.commit({T1W: link(key("one")), BOLD: link(key("bold"))})
    two = history.commit({T1W: link(key("two")), "copy/sub-01_T1w.nii.gz": link(key("one"))})
    history.commit({T1W: link(key("between"))})
    three = history.commit({T1W: link(key("one")), BOLD: None})
    side = history.commit({"side_T1w.nii.gz": link(key("side"))}, ref="refs/heads/side", parents=[root])
    merge = history.commit(
        {"side_T1w.nii.gz": link(key("side")), "merge_T1w.nii.gz": link(key("merge"))}, parents=[three, side]
    )
    history.commit({"head_T1w.nii.gz": link(key("head"))})
    history.tag("1.0.0", root)
    history.tag("1.0.1", two, annotated=True)
    history.tag("1.0.2", three)
    history.tag("1.0.10", merge)
    found = read(history.write(), tmp_path)
    rows = rows_of(found)
    expected = {
        (T1W, "one"): ("1.0.0", "1.0.10", True),
        (T1W, "two"): ("1.0.1", "1.0.1", False),
        (T1W, "between"): (None, None, False),
        (BOLD, "bold"): ("1.0.0", "1.0.1", False),
        ("copy/sub-01_T1w.nii.gz", "one"): ("1.0.1", "1.0.10", True),
        ("side_T1w.nii.gz", "side"): ("1.0.10", "1.0.10", True),
        ("merge_T1w.nii.gz", "merge"): ("1.0.10", "1.0.10", True),
        ("head_T1w.nii.gz", "head"): (None, None, False),
    }
    told = ("first_version", "last_version", "in_newest")
    assert {place: tuple(row[name] for name in told) for place, row in rows.items()} == {
        (path, md5(name)): versions for (path, name), versions in expected.items()
    }
    assert found.backends == {"MD5E": 8} and not found.unusable
    assert {row["size"] for row in rows.values()} == {1000}


def test_without_tags_the_head_is_the_newest(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    history.commit({T1W: link(key("two"))})
    history.commit({T1W: link(key("dev"))}, ref="refs/heads/dev")
    folder = history.write()
    for head, newest in (("main", "two"), ("dev", "dev"), ("unborn", "two")):
        git(folder, "symbolic-ref", "HEAD", f"refs/heads/{head}")
        rows = rows_of(read(folder, tmp_path))
        assert {md5 for (_, md5), row in rows.items() if row["in_newest"]} == {md5(newest)}
        assert {row["last_version"] for row in rows.values()} == {None}
    git(folder, "branch", "-m", "main", "other")
    assert {md5 for (_, md5), row in rows_of(read(folder, tmp_path)).items() if row["in_newest"]} == {
        md5("dev")
    }


def test_tags_of_one_commit_and_tags_of_none(history: History, tmp_path: Path) -> None:
    one = history.commit({T1W: link(key("one"))})
    history.tag("2.0.0", one)
    history.tag("2.0.0-rc1", one, annotated=True)
    history.tag("00010", one)
    history.tag("00009", one)
    history.tag("0123456789abcdef01234567", one)
    folder = history.write()
    git(folder, "tag", "tree", "HEAD^{tree}")
    git(folder, "tag", "blob", f"HEAD:{T1W}")
    git(folder, "tag", "-a", "-m", "x", "blob-annotated", "blob")
    git(folder, "tag", "-a", "-m", "x", "nested", "2.0.0-rc1")
    git(folder, "update-ref", "refs/tags/ümläut", "HEAD")
    ((_, row),) = rows_of(read(folder, tmp_path)).items()
    assert (row["first_version"], row["last_version"]) == ("0123456789abcdef01234567", "ümläut")


def test_all_refs_count_but_those_of_git_annex(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("main"))})
    for number, ref in enumerate(
        ["heads/adjusted/main(unlocked)", "heads/synced/main", "remotes/origin/x", "tags/t", "pull/1/head"]
    ):
        history.commit({T1W: pointer(key(f"in {number}"))}, ref=f"refs/{ref}")
    for ref in ("heads/git-annex", "heads/synced/git-annex", "remotes/o/git-annex", "stash", "notes/commits"):
        history.commit({T1W: link(key("out"))}, ref=f"refs/{ref}")
    found = set(read(history.write(), tmp_path).copies.column("md5").to_pylist())
    assert found == {md5("main"), *(md5(f"in {number}") for number in range(5))}


def test_a_detached_head_counts(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("main"))})
    history.commit({T1W: link(key("lost"))}, ref="refs/heads/lost")
    folder = history.write()
    git(folder, "update-ref", "--no-deref", "HEAD", "refs/heads/lost")
    git(folder, "update-ref", "-d", "refs/heads/lost")
    bundle = tmp_path / "x.bundle"
    git(folder, "bundle", "create", "--quiet", str(bundle), "HEAD")
    for place in (folder, bundle):
        newest = [row["md5"] for row in read(place, tmp_path).copies.to_pylist() if row["in_newest"]]
        assert newest == [md5("lost")]


def test_images_in_clear_are_hashed(history: History, tmp_path: Path) -> None:
    small, large = b"\x5c\x01 small", os.urandom(3_000_000)
    history.commit(
        {T1W: (FILE, small), BOLD: (FILE, large), "x.nii": ("100755", large), "empty.nii": (FILE, b"")}
    )
    found = read(history.write(), tmp_path)
    told = {row["path"]: (row["md5"], row["size"]) for row in found.copies.to_pylist()}
    assert told == {
        T1W: (hashlib.md5(small).hexdigest(), len(small)),
        BOLD: (hashlib.md5(large).hexdigest(), len(large)),
        "x.nii": (hashlib.md5(large).hexdigest(), len(large)),
    }
    assert found.backends == {"git": 4} and found.unusable == {"empty file": 1}


def test_what_gives_no_checksum_is_counted_by_reason(history: History, tmp_path: Path) -> None:
    sha = "SHA256E-s5--" + "ab" * 32 + ".nii.gz"
    history.commit(
        {
            "sha_T1w.nii.gz": link(sha),
            "sha_bold.nii.gz": pointer(sha),
            "worm_T1w.nii.gz": link("WORM-s5-m1--worm"),
            "url_T1w.nii.gz": link("URL--http&c%%example.org%a"),
            "short_T1w.nii.gz": link("MD5E-s5--abc.nii.gz"),
            "none_T1w.nii.gz": link("no key"),
            "sub-01/out_T1w.nii.gz": (LINK, b"../../etc/passwd"),
            "sub-01/absolute_T1w.nii.gz": (LINK, b"/etc/passwd"),
            "sub-01/in_T1w.nii.gz": (LINK, b"../sha_T1w.nii.gz"),
            "sub-01/long_T1w.nii.gz": (LINK, b"a/" * 20_000),
            "mixed_T1w.nii.gz": (FILE, f"/annex/objects/{key('mixed')}\ndata".encode()),
            "sub.nii.gz": (SUBMODULE, b"1" * 40),
            "sub-02": (SUBMODULE, b"2" * 40),
            "good_T1w.nii.gz": link(key("good")),
            "folder.nii.gz/T1w.nii": link(key("inside")),
        }
    )
    history.commit({"sha_T1w.nii.gz": pointer(sha), "moved_T1w.nii.gz": link(sha)})
    found = read(history.write(), tmp_path)
    assert {row["md5"] for row in found.copies.to_pylist()} == {md5("good"), md5("inside")}
    assert found.unusable == {
        "keys of backend SHA256E tell no MD5": 3,
        "keys of backend WORM tell no MD5": 1,
        "keys of backend URL tell no MD5": 1,
        "MD5E key whose digest is not 32 hexadecimal digits": 1,
        "annexed, but with no git-annex key": 1,
        "symlink that leaves the repository": 2,
        "symlink to no annexed file": 2,
        "pointer file with other data after its key": 1,
        "submodule, not a file": 1,
    }
    assert found.backends == {"SHA256E": 3, "WORM": 1, "URL": 1, "MD5E": 4}


def test_one_checksum_by_several_keys_is_one_row(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(f"MD5--{md5('one')}")})
    history.commit({T1W: link(key("one", ".foo.bar", size=7))})
    history.commit({T1W: pointer(key("one", backend="MD5"))})
    history.commit({T1W: link(key("one").replace(md5("one"), md5("one").upper()))})
    found = read(history.write(), tmp_path)
    assert [(row["md5"], row["size"]) for row in found.copies.to_pylist()] == [(md5("one"), 1000)]
    assert found.backends == {"MD5": 2, "MD5E": 2}
    assert found.unusable == {"other size for the same checksum and path; the newest is kept": 1}


def test_odd_paths(history: History, tmp_path: Path) -> None:
    paths = [
        b"new\nline_T1w.nii.gz", b"tab\t_T1w.nii.gz", b'"quoted"_T1w.nii.gz', b"back\\slash_T1w.nii.gz",
        b" blanks _T1w.nii.gz", "ümläut_T1w.nii.gz".encode(), b"latin-\xfc_T1w.nii.gz", b":colon::_T1w.nii.gz",
        b"?&#%41_T1w.nii", b"sub\xff/\xfe\n/x_T1w.nii.gz", b"\xf0\x9f\xa7\xa0.nii", b".nii", b"-o.nii.gz",
    ]  # fmt: skip
    remote = (
        b"u type=S3 encryption=none exporttree=yes fileprefix=ds/ public=yes publicurl=https://s3.example.org/b "
        b"timestamp=1s\n"
    )
    one = history.commit({path: link(key(str(number))) for number, path in enumerate(paths)})
    history.commit({"remote.log": (FILE, remote)}, ref="refs/heads/git-annex")
    history.tag("1", one)
    found = read(history.write(), tmp_path)
    by_md5 = {row["md5"]: row for row in found.copies.to_pylist()}
    assert len(by_md5) == len(paths) and not found.unusable
    for number, path in enumerate(paths):
        row = by_md5[md5(str(number))]
        assert row["path"] == path.decode("utf-8", "backslashreplace")
        assert row["last_version"] == "1" and row["in_newest"]
    urls = {row["path"]: row["url"] for row in by_md5.values()}
    assert urls["new\nline_T1w.nii.gz"] == "https://s3.example.org/b/ds/new%0Aline_T1w.nii.gz"
    assert urls["latin-\\xfc_T1w.nii.gz"] == "https://s3.example.org/b/ds/latin-%FC_T1w.nii.gz"
    assert urls["?&#%41_T1w.nii"] == "https://s3.example.org/b/ds/%3F%26%23%2541_T1w.nii"


def test_descriptions_and_dois(history: History, tmp_path: Path) -> None:
    def description(**keys: object) -> tuple[str, bytes]:
        return FILE, json.dumps(keys).encode()

    path = "dataset_description.json"
    one = history.commit({T1W: link(key("one")), path: (FILE, b"{broken")})
    two = history.commit({T1W: link(key("two")), path: description(Name=1, DatasetDOI="doi:10.1/none")})
    doi = "https://doi.org/10.18112/openneuro.ds000901.v1.0.0"
    three = history.commit({T1W: link(key("three")), path: description(DatasetDOI=doi)})
    four = history.commit({T1W: link(key("four")), path: link(key("json"), "")})
    newest = description(
        Name=" The\ud800 name ", License="CC0", DatasetDOI="doi:10.18112/openneuro.ds000901.v2.0.0"
    )
    five = history.commit({T1W: link(key("five")), path: (FILE, b"\xef\xbb\xbf" + newest[1])})
    for number, mark in enumerate((one, two, three, four, five)):
        history.tag(str(number), mark)
    folder = history.write().rename(tmp_path / "name")
    found = read(folder, tmp_path)
    rows = {row["last_version"]: row for row in found.copies.to_pylist()}
    assert [rows[str(number)]["doi"] for number in range(5)] == [
        None, None, "10.18112/openneuro.ds000901.v1.0.0", None, "10.18112/openneuro.ds000901.v2.0.0",
    ]  # fmt: skip
    assert {(row["name"], row["licence"], row["dataset"]) for row in rows.values()} == {
        ("The? name", "CC0", "ds000901")
    }
    assert found.unusable == {
        "dataset_description.json: no JSON object": 1,
        "dataset_description.json: annexed or no file": 1,
    }


@pytest.mark.parametrize(
    ("address", "doi", "expected"),
    [
        ("https://github.com/OpenNeuroDatasets/ds000114", None, "ds000114"),
        ("https://github.com/OpenNeuroDatasets/ds000114.git/", None, "ds000114"),
        ("git@github.com:ds000114.git", None, "ds000114"),
        ("/data/ds000114.bundle", "10.18112/openneuro.ds000001.v1", "ds000114"),
        ("/data/ds000114/.git", None, "ds000114"),
        ("/data/mine", "10.18112/openneuro.ds000114.v1.0.2", "ds000114"),
        ("/data/mine.git", "10.1000/other", "mine"),
        ("/data/ds000114-fork", None, "ds000114-fork"),
    ],
)
def test_accessions(address: str, doi: str | None, expected: str) -> None:
    assert accession_of(address, doi) == expected


def test_sidecars_are_those_of_the_last_version(history: History, tmp_path: Path) -> None:
    side, near = "task-rest_bold.json", BOLD.replace(".nii.gz", ".json")
    one = history.commit({BOLD: link(key("one")), side: (FILE, b'{"RepetitionTime": 1, "EchoTime": 1}')})
    two = history.commit(
        {side: (FILE, b'{"RepetitionTime": 2, "EchoTime": 2}'), near: (FILE, b'{"EchoTime": 3}')}
    )
    history.commit({BOLD: link(key("between")), side: (FILE, b'{"RepetitionTime": 4}'), near: None})
    three = history.commit({BOLD: link(key("new")), side: (FILE, b'{"RepetitionTime": 5}')})
    for number, mark in enumerate((one, two, three)):
        history.tag(str(number), mark)
    history.commit({side: None})
    found = read(history.write(), tmp_path)
    told = {
        row["md5"]: (json.loads(found.sidecars[row["sidecar"]]), row["sidecar_path"])
        for row in found.copies.to_pylist()
    }
    assert told == {
        md5("one"): ({"RepetitionTime": 2, "EchoTime": 3}, f"{near} + {side}"),
        md5("between"): ({"RepetitionTime": 4}, side),
        md5("new"): ({"RepetitionTime": 5}, side),
    }


def test_sidecars_that_cannot_be_read(history: History, tmp_path: Path) -> None:
    """What is farther than one of them may be overridden by it, and is not relied upon."""
    files: dict[str | bytes, Any] = {"bold.json": (FILE, b'{"EchoTime": 1}')}
    for number, middle in enumerate(
        (link(key("json"), ""), pointer(key("json")), (FILE, b"{broken"), (FILE, b"[]"))
    ):
        folder = f"sub-0{number}"
        files |= {
            f"{folder}/{folder}_bold.json": middle,
            f"{folder}/func/{folder}_task-rest_bold.json": (FILE, b'{"RepetitionTime": 2}'),
            f"{folder}/func/{folder}_task-rest_bold.nii.gz": link(key(folder)),
            f"{folder}/func/{folder}_task-other_bold.nii.gz": link(key(folder + "other")),
        }
    files["sub-09/func/sub-09_bold.nii.gz"] = link(key("plain"))
    files["sub-08/func/sub-08_bold.nii.gz"] = link(key("halves"))
    files["sub-08/func/sub-08_bold.json"] = (FILE, b'{"Text": "\\ud800"}')
    history.commit(files)
    found = read(history.write(), tmp_path)
    told = {row["path"]: found.sidecars.get(row["sidecar"]) for row in found.copies.to_pylist()}
    for number in range(4):
        assert told[f"sub-0{number}/func/sub-0{number}_task-rest_bold.nii.gz"] == '{"RepetitionTime":2}'
        assert told[f"sub-0{number}/func/sub-0{number}_task-other_bold.nii.gz"] is None
    assert told["sub-09/func/sub-09_bold.nii.gz"] == '{"EchoTime":1}'
    assert found.unusable["sidecar: annexed, cannot be read"] == 2
    assert found.unusable["sidecar: no JSON object"] >= 2


def test_datasets_of_git_annex_itself(tmp_path: Path) -> None:
    """Locked and unlocked, MD5E and SHA256E, in an adjusted branch, and moved."""
    folder = tmp_path / "mine"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "annex", "init", "--quiet")
    files = {
        "locked_T1w.nii.gz": "MD5E",
        "unlocked_T1w.nii.gz": "MD5E",
        "plain_T1w.nii": "MD5",
        "sha_T1w.nii.gz": "SHA256E",
    }
    for name, backend in files.items():
        (folder / name).write_text(name)
        git(folder, "annex", "add", "--quiet", f"--backend={backend}", name)
    git(folder, "annex", "unlock", "--quiet", "unlocked_T1w.nii.gz")
    git(folder, "commit", "--quiet", "-m", "one")
    (folder / "sub-01").mkdir()
    git(folder, "mv", "locked_T1w.nii.gz", "sub-01/moved_T1w.nii.gz")
    git(folder, "commit", "--quiet", "-m", "two", "--no-verify")
    git(folder, "annex", "adjust", "--quiet", "--unlock")
    found = read(folder, tmp_path)
    told = {row["path"]: (row["md5"], row["size"], row["in_newest"]) for row in found.copies.to_pylist()}
    assert told == {
        "locked_T1w.nii.gz": (md5("locked_T1w.nii.gz"), 17, False),
        "sub-01/moved_T1w.nii.gz": (md5("locked_T1w.nii.gz"), 17, True),
        "unlocked_T1w.nii.gz": (md5("unlocked_T1w.nii.gz"), 19, True),
        "plain_T1w.nii": (md5("plain_T1w.nii"), 13, True),
    }
    assert found.backends == {"MD5E": 3, "MD5": 1, "SHA256E": 1}
    assert found.unusable == {"keys of backend SHA256E tell no MD5": 1}


def test_a_partial_clone_is_told_apart(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one")), BOLD: (FILE, os.urandom(10_000))})
    folder = history.write()
    git(folder, "config", "uploadpack.allowFilter", "true")
    place = tmp_path / "partial"
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{folder}", str(place))
    with pytest.raises(
        SourceFailed, match=f"{place}: git cat-file .*get it anew|clone it anew without a filter"
    ):
        read_repository(str(place), cache=tmp_path)


def test_settings_of_a_hostile_repository_do_not_run(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    folder, trap = history.write(), tmp_path / "trapped"
    for setting in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "gpg.program",
        "diff.external",
        "core.askPass",
    ):
        git(folder, "config", setting, f"touch {trap}")
    git(folder, "config", "log.showSignature", "true")
    git(folder, "config", "core.worktree", "/etc")
    assert len(read(folder, tmp_path).copies) == 1
    assert not trap.exists()


def test_variables_of_the_environment_do_not_matter(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.commit({T1W: link(key("one"))})
    folder = history.write()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_NAMESPACE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert len(read(folder, tmp_path).copies) == 1


def test_only_news_are_read(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = history.commit({T1W: link(key("one"))})
    folder = history.write()
    before = read(folder, tmp_path)
    assert json.loads(json.dumps(before.state)) == before.state
    used: list[tuple[str, ...]] = []
    run = Repository.run
    monkeypatch.setattr(Repository, "run", lambda *a, **k: (used.append(a[1:]), run(*a, **k))[1])
    assert read_repository(str(folder), cache=tmp_path, state=before.state) is None
    assert [arguments[0] for arguments in used] == ["show-ref"]
    history.tag("1.0.0", one)
    history.write()
    after = read(folder, tmp_path, before.state)
    assert after.copies.column("last_version").to_pylist() == ["1.0.0"]
    history.commit({"uuid.log": (FILE, b"")}, ref="refs/heads/git-annex")
    history.write()
    assert read(folder, tmp_path, after.state).state != after.state


def test_three_thousand_files(history: History, tmp_path: Path) -> None:
    """With their history; a second is what the benchmark shows, ten here leave room for a busy machine."""
    paths = [
        f"sub-{n // 20:03}/func/sub-{n // 20:03}_task-rest_run-{n % 20:02}_bold.nii.gz" for n in range(3000)
    ]
    for start in range(0, 3000, 100):
        history.commit({path: link(key(path)) for path in paths[start : start + 100]})
    for path in paths[::100]:
        history.commit({path: link(key(path + "again"))})
    found = read(history.write(), tmp_path)
    assert len(found.copies) == 3030
    assert sum(found.copies.column("in_newest").to_pylist()) == 3000

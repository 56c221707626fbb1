"""Local BIDS folders: hashed, cached, and with all that may lie in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.index import folder as module
from curation.index.bids import digest
from curation.index.folder import read_folder
from curation.index.model import COPIES, SourceFailed, SourceRead

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
BOLD = "sub-01/func/sub-01_task-rest_bold.nii.gz"
KEY = "MD5E-s8677710--d6820f6cb8fb965e864419c14f6a22d5.nii.gz"
SHA_KEY = f"SHA256E-s3--{hashlib.sha256(b'x').hexdigest()}.nii.gz"
LONG_AGO = 1_500_000_000


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "ds000114"
    write(root, T1W, b"anatomy")
    write(root, BOLD, b"function")
    return root


def write(root: Path, path: str, content: bytes | str | dict[str, Any]) -> Path:
    """A file that was written long ago."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content) if isinstance(content, dict) else content
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


def link(root: Path, path: str, target: str | Path) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


def read(root: Path, **options: Any) -> SourceRead:
    one = read_folder(root, **options)
    assert one is not None
    assert one.copies.schema == COPIES
    one.copies.validate(full=True)
    assert one.copies["path"].to_pylist() == sorted(one.copies["path"].to_pylist())
    told = json.dumps(
        [one.copies.to_pylist(), one.state, one.source, one.dataset, one.unusable, one.backends]
    )
    assert str(root.parent) not in told
    return one


def sums(one: SourceRead) -> dict[str, str]:
    return dict(zip(one.copies["path"].to_pylist(), one.copies["md5"].to_pylist(), strict=True))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed from now on."""
    hashed: list[str] = []
    real = module._hash

    def counting(file: Path) -> Any:
        hashed.append(file.name)
        return real(file)

    monkeypatch.setattr(module, "_hash", counting)
    return hashed


def test_a_folder(dataset: Path) -> None:
    description = {
        "Name": "Ten people",
        "License": "CC0",
        "DatasetDOI": "doi:10.18112/openneuro.ds000114.v1.0.2",
    }
    write(dataset, "dataset_description.json", description)
    write(dataset, ".git/x.nii", b"hidden")
    write(dataset, "sub-01/anat/._sub-01_T1w.nii.gz", b"of a Mac")
    write(dataset, "sub-01/sub-01_scans.tsv", b"")
    one = read(dataset)
    assert sums(one) == {T1W: md5(b"anatomy"), BOLD: md5(b"function")}
    assert one.copies.to_pylist()[0] == {
        **dict.fromkeys(COPIES.names),
        "md5": md5(b"anatomy"),
        "size": 7,
        "source": "ds000114",
        "dataset": "ds000114",
        "path": T1W,
        "in_newest": True,
        "licence": "CC0",
        "name": "Ten people",
        "doi": "10.18112/openneuro.ds000114.v1.0.2",
        "entities": '{"datatype": "anat", "extension": ".nii.gz", "subject": "01", "suffix": "T1w"}',
    }
    assert one.backends == {"md5": 2} and not one.unusable
    named = read(dataset, dataset="mine", address="https://example.org/mine", threads=1)
    assert (named.source, named.dataset) == ("https://example.org/mine", "mine")


@pytest.mark.parametrize(
    "text",
    [b"[]", b"{", b"\xff", b'{"Name": 1, "License": " ", "DatasetDOI": "none"}', b'{"Name": "\\ud800"}'],
)
def test_descriptions_that_say_nothing(dataset: Path, text: bytes) -> None:
    write(dataset, "dataset_description.json", text)
    row = read(dataset).copies.to_pylist()[0]
    assert (row["name"], row["licence"], row["doi"]) in {(None, None, None), ("?", None, None)}


def test_only_what_changed_is_hashed_again(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = count_hashes(monkeypatch)
    state = json.loads(json.dumps(read(dataset).state))
    assert sorted(hashed) == sorted([Path(T1W).name, Path(BOLD).name])
    hashed.clear()
    assert read_folder(dataset, state=state) is None
    assert hashed == []
    write(dataset, T1W, b"Anatomy")
    os.utime(dataset / T1W, (LONG_AGO, LONG_AGO + 1))
    one = read(dataset, state=state)
    assert sums(one)[T1W] == md5(b"Anatomy") and hashed == [Path(T1W).name]
    write(dataset, "sub-02_T1w.nii", b"new")
    (dataset / BOLD).unlink()
    hashed.clear()
    again = read(dataset, state=one.state)
    assert list(sums(again)) == [T1W, "sub-02_T1w.nii"] and hashed == ["sub-02_T1w.nii"]
    assert read_folder(dataset, state=again.state, dataset="mine") is not None


def test_what_was_written_just_now_is_hashed_again(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset / T1W).touch()
    first = read(dataset)
    before = (dataset / T1W).stat()
    (dataset / T1W).write_bytes(b"ANATOMY")  # as long, and within the file system's resolution
    os.utime(dataset / T1W, ns=(before.st_atime_ns, before.st_mtime_ns))
    hashed = count_hashes(monkeypatch)
    assert sums(read(dataset, state=first.state))[T1W] == md5(b"ANATOMY")
    assert hashed == [Path(T1W).name]


def test_links(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside = write(tmp_path, "secret/x.nii", b"secret").parent
    link(dataset, "sub-02/inside.nii.gz", f"../{T1W}")
    link(dataset, "sub-02/absolute.nii.gz", dataset / T1W)
    link(dataset, "sub-02/outside.nii", outside / "x.nii")
    link(dataset, "sub-02/relative.nii", "../../secret/x.nii")
    link(dataset, "sub-02/nothing.nii", "nothing")
    link(dataset, "sub-02/outside_nothing.nii", "../../nothing")
    link(dataset, "sub-02/loop.nii", "loop.nii")
    link(dataset, "sub-02/README", "nothing")
    link(dataset, "round", ".")
    link(dataset, "away", outside)
    link(dataset, "folder.nii", "sub-01")
    with caplog.at_level(logging.WARNING):
        one = read(dataset)
    assert sums(one).keys() == {T1W, BOLD, "sub-02/inside.nii.gz", "sub-02/absolute.nii.gz"}
    assert sums(one)["sub-02/inside.nii.gz"] == md5(b"anatomy")
    assert one.unusable == {"symlink leaves the folder": 4, "broken symlink": 2, "symlink to a folder": 2}
    assert "ds000114: away: symlink leaves the folder" in caplog.messages
    assert "secret" not in caplog.text and str(tmp_path) not in " ".join(caplog.messages)


def test_a_root_that_is_a_link(dataset: Path, tmp_path: Path) -> None:
    link(tmp_path, "link", dataset)
    assert len(read(tmp_path / "link").copies) == 2


def test_annexed_files(dataset: Path) -> None:
    objects = ".git/annex/objects/aa/bb"
    present = f"MD5E-s6--{md5(b'is not')}.nii.gz"
    write(dataset, f"{objects}/{present}/{present}", b"is here")
    link(dataset, "sub-02/here.nii.gz", f"../{objects}/{present}/{present}")
    link(dataset, "sub-02/away.nii.gz", f"../{objects}/{KEY}/{KEY}")
    link(dataset, "sub-02/sha.nii.gz", f"../{objects}/{SHA_KEY}/{SHA_KEY}")
    link(dataset, "sub-02/elsewhere.nii.gz", f"../../super/.git/modules/x/annex/objects/aa/bb/{KEY}/{KEY}")
    write(dataset, "sub-02/pointer.nii.gz", f"/annex/objects/{KEY}\n")
    write(dataset, "sub-02/shapointer.nii.gz", f"/annex/objects/{SHA_KEY}\n")
    one = read(dataset)
    digest = "d6820f6cb8fb965e864419c14f6a22d5"
    assert sums(one) == {
        T1W: md5(b"anatomy"),
        BOLD: md5(b"function"),
        "sub-02/here.nii.gz": md5(b"is here"),
        "sub-02/away.nii.gz": digest,
        "sub-02/elsewhere.nii.gz": digest,
        "sub-02/pointer.nii.gz": digest,
    }
    assert one.copies.filter(one.copies["md5"].to_numpy() == digest)["size"].to_pylist() == [8677710] * 3
    assert one.backends == {"md5": 3, "MD5E": 3, "SHA256E": 2}
    assert one.unusable == {"keys of backend SHA256E tell no MD5": 2}
    assert read_folder(dataset, state=one.state) is None


def test_what_cannot_be_read(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(dataset, "closed.nii", b"x")
    write(dataset, "empty.nii", b"")
    os.mkfifo(dataset / "pipe.nii")
    (dataset / "folder.nii").mkdir()
    write(dataset, os.fsdecode(b"caf\xe9.nii"), b"latin")
    write(dataset, "new\nline.nii", b"line")
    refuse(monkeypatch, "open", "closed.nii")
    with caplog.at_level(logging.WARNING):
        one = read(dataset)
    assert sums(one).keys() == {T1W, BOLD, "caf\\xe9.nii", "new\nline.nii"}
    assert one.unusable == {"cannot be read": 1, "empty file": 1, "no regular file": 1}
    assert "ds000114: closed.nii: cannot be read" in caplog.messages


def refuse(monkeypatch: pytest.MonkeyPatch, function: str, name: str) -> None:
    """Make a function of ``os`` refuse a place; rights do not bind the user root."""
    real: Callable[..., Any] = getattr(os, function)

    def refusing(path: Any, *args: Any) -> Any:
        if Path(os.fsdecode(path)).name == name:
            raise PermissionError(13, "Permission denied")
        return real(path, *args)

    monkeypatch.setattr(os, function, refusing)


def test_a_closed_folder(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "scandir", "func")
    one = read(dataset)
    assert list(sums(one)) == [T1W] and one.unusable == {"folder cannot be read": 1}


def test_a_disk_that_fails_loses_nothing(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def failing(path: Any) -> Any:
        if Path(path).name == "func":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(SourceFailed, match=r"cannot be listed \(Input/output error\)"):
        read_folder(dataset)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_hash", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(SourceFailed, match="none of its images can be read"):
        read_folder(dataset)


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"no \.nii or \.nii\.gz file"):
        read_folder(tmp_path)
    with pytest.raises(SourceFailed, match=r"cannot be listed \(No such file or directory\)"):
        read_folder(tmp_path / "missing")
    with pytest.raises(SourceFailed, match=r"cannot be listed \(Not a directory\)"):
        read_folder(write(tmp_path, "file.nii", b""))


@pytest.mark.parametrize(("changes", "usable"), [(1, True), (9, False)])
def test_a_file_that_changes_while_it_is_hashed(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, changes: int, usable: bool
) -> None:
    left = [changes]

    def growing(content: bytes) -> None:
        if content.startswith(b"anatomy") and left[0]:
            left[0] -= 1
            with (dataset / T1W).open("ab") as stream:
                stream.write(b"!")

    monkeypatch.setattr(module, "content_of_file", growing)
    one = read(dataset)
    if usable:
        assert sums(one)[T1W] == md5(b"anatomy!") and not one.unusable
    else:
        assert T1W not in sums(one) and one.unusable == {"changed while it was hashed": 1}
        assert left == [7]


def test_large_files(dataset: Path) -> None:
    content = os.urandom(3_000_001)
    write(dataset, T1W, content)
    assert sums(read(dataset))[T1W] == md5(content)


# Sidecars.


def applied(one: SourceRead, path: str) -> tuple[dict[str, Any] | None, str | None]:
    """Metadata that applies to an image, and the path of the nearest sidecar."""
    row = next(row for row in one.copies.to_pylist() if row["path"] == path)
    return json.loads(one.sidecars[row["sidecar"]]) if row["sidecar"] else None, row["sidecar_path"]


def test_sidecars(dataset: Path) -> None:
    write(dataset, "task-rest_bold.json", {"RepetitionTime": 2, "EchoTime": 0.03})
    near = BOLD.replace(".nii.gz", ".json")
    write(dataset, near, {"RepetitionTime": 3})
    one = read(dataset)
    assert applied(one, BOLD) == ({"EchoTime": 0.03, "RepetitionTime": 3}, f"{near} + task-rest_bold.json")
    assert applied(one, T1W) == (None, None)
    assert dict(one.sidecars) == dict([digest({"EchoTime": 0.03, "RepetitionTime": 3})])
    assert read_folder(dataset, state=one.state) is None
    write(dataset, near, {"RepetitionTime": 4})
    assert applied(read(dataset, state=one.state), BOLD)[0] == {"EchoTime": 0.03, "RepetitionTime": 4}
    (dataset / near).unlink()
    link(dataset, near, "../../task-rest_bold.json")
    assert applied(read(dataset), BOLD) == (
        {"EchoTime": 0.03, "RepetitionTime": 2},
        f"{near} + task-rest_bold.json",
    )


@pytest.mark.parametrize(
    "target", ["/etc/hostname", "nothing", f"../../.git/annex/objects/a/b/{KEY}/{KEY}", None]
)
def test_nothing_farther_than_a_sidecar_that_cannot_be_read_counts(dataset: Path, target: str | None) -> None:
    write(dataset, "bold.json", {"RepetitionTime": 2})
    write(dataset, "sub-01/func/sub-01_task-rest_bold.json", {"EchoTime": 1})
    between = "sub-01/sub-01_task-rest_bold.json"
    if target is None:
        write(dataset, between, b"[]")
    else:
        link(dataset, between, target)
    one = read(dataset)
    assert applied(one, BOLD) == ({"EchoTime": 1}, "sub-01/func/sub-01_task-rest_bold.json")
    reason = "sidecar: no JSON object" if target is None else "sidecar: cannot be read"
    assert one.unusable == {reason: 1}


# Real datasets.


def test_a_real_clone_without_content(shared: Path, tmp_path: Path) -> None:
    clone = tmp_path / "ds000114"
    bundle = shared / "annex" / "ds000114.bundle"
    subprocess.run(["git", "clone", "--quiet", bundle, clone], check=True, capture_output=True)
    one = read(clone)
    with gzip.open(shared / "mriqc" / "ds000114.jsonl.gz") as lines:
        found = [json.loads(line) for line in lines]
    measured = {
        line["path"].replace(".json", ".nii.gz"): line["record"]["provenance"]["md5sum"] for line in found
    }
    assert len(measured) == 120 and measured.items() <= sums(one).items()
    assert one.backends == {"MD5E": len(one.copies)} and not one.unusable
    assert one.copies["doi"][0].as_py() == "10.18112/openneuro.ds000114.v1.0.2"
    assert applied(one, "sub-01/ses-test/func/sub-01_ses-test_task-linebisection_bold.nii.gz")[1]

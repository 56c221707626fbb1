"""Where images can be fetched, by what the git-annex branch says."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.index.annex_logs import AnnexBranch
from curation.index.git import Object
from curation.index.repository import read_repository
from tests.curation.index.fast_import import FILE, Entry, History, git, key, link, md5, pointer

PATH = "sub-01/anat/sub-01_T1w.nii.gz"
OTHER = "sub-02/anat/sub-02_T1w.nii.gz"
KEY = key("image")
RMET, WEB, LOG = f"ab/cd/{KEY}.log.rmet", f"ab/cd/{KEY}.log.web", f"ab/cd/{KEY}.log"
PUBLIC = "type=S3 encryption=none public=yes publicurl=https://s3.example.org/b fileprefix=ds/ exporttree=yes"
PLAIN = f"https://s3.example.org/b/ds/{PATH}"


def urls(tmp_path: Path, logs: Mapping[str, str | bytes], **others: Entry) -> dict[str, str | None]:
    """URLs of an image at two paths; with these files on the git-annex branch."""
    history = History(tmp_path / "x.git")
    one = history.commit({PATH: link(KEY), OTHER: link(KEY), **others})
    history.tag("1", one)
    files = {name: (FILE, log if isinstance(log, bytes) else log.encode()) for name, log in logs.items()}
    history.commit(files, ref="refs/heads/git-annex")
    found = read_repository(str(history.write()), cache=tmp_path)
    assert found is not None
    return {row["path"]: row["url"] for row in found.copies.to_pylist()}


def remote(uuid: str = "u", settings: str = PUBLIC, time: str = "5.5") -> str:
    return f"{uuid} {settings} timestamp={time}s\n"


def test_the_version_under_the_path_goes_first(tmp_path: Path) -> None:
    log = (
        f"1s u:V +one#ds/{PATH}\n2.5s u:V +two#ds/{PATH}\n2.25s u:V +less#ds/{PATH}\n"
        f"9s u:V +elsewhere#ds/x.nii.gz\n9s private:V +no#ds/{PATH}\n"
    )
    found = urls(tmp_path, {"remote.log": remote(), RMET: log})
    assert found[PATH] == f"{PLAIN}?versionId=two"
    # The same bytes, of the latest object that has them.
    assert found[OTHER] == "https://s3.example.org/b/ds/x.nii.gz?versionId=elsewhere"


@pytest.mark.parametrize(
    ("log", "version"),
    [
        (f"1s u:V +one#ds/{PATH} +two#ds/{PATH}\n", "one"),
        (f"1s u:V +one#ds/{PATH}\n2s u:V -one#ds/{PATH}\n", None),
        (f"2s u:V -one#ds/{PATH}\n3s u:V +one#ds/{PATH}\n", "one"),
        (f"1s u:W +one#ds/{PATH} u:V +three#ds/{PATH}\n", "three"),
        (f"1s u:V +!{base64.b64encode(f'b 64#ds/{PATH}'.encode()).decode()}\n", "b%2064"),
        ("1s u:V +!no-base-64\n", None),
        (f"1s u:V +#ds/{PATH}\n", None),
        ("1s u:V +one\n", None),
        (f"x u:V +one#ds/{PATH}\n", None),
        (f"u:V +one#ds/{PATH}\n", None),
        ("\n\n1s\n1s u:V\n+\n", None),
        (f"1s u:V +a&b?c#ds/{PATH}\n", "a%26b%3Fc"),
        (b"1s u:V +\xff\xfe#ds/\xff\n", "%FF%FE"),
    ],
)
def test_lines_of_metadata(log: str | bytes, version: str | None, tmp_path: Path) -> None:
    found = urls(tmp_path, {"remote.log": remote(), RMET: log})[PATH]
    assert found == (PLAIN if version is None else found)
    assert found is not None and found.partition("?versionId=")[2] == (version or "")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PUBLIC, PLAIN),
        # The bucket is public by its policy: OpenNeuro's are, since 2023.
        (PUBLIC.replace("public=yes", "public=no"), PLAIN),
        (PUBLIC.replace("publicurl=https://s3.example.org/b ", ""), None),
        (
            "type=S3 encryption=none public=yes host=s3.amazonaws.com bucket=b exporttree=yes",
            f"https://b.s3.amazonaws.com/{PATH}",
        ),
        ("type=S3 encryption=none host=s3.amazonaws.com bucket=private exporttree=yes", None),
        (PUBLIC.replace("encryption=none", "encryption=shared"), None),
        (PUBLIC.replace("type=S3", "type=web"), None),
        (PUBLIC.replace("https://", "https://a:secret@"), None),
        (PUBLIC.replace("https://", "file://"), None),
        (PUBLIC.replace("https://s3.example.org/b", "https://[broken"), None),
        (
            PUBLIC.replace("fileprefix=ds/", "fileprefix=a&32;b&38;/"),
            f"https://s3.example.org/b/a%20b%26/{PATH}",
        ),
        (PUBLIC.replace(" exporttree=yes", ""), None),
    ],
)
def test_only_public_buckets_count(settings: str, expected: str | None, tmp_path: Path) -> None:
    assert urls(tmp_path, {"remote.log": remote(settings=settings)})[PATH] == expected


def test_the_latest_settings_of_living_remotes_count(tmp_path: Path) -> None:
    other = PUBLIC.replace("/b", "/other")
    logs: dict[str, str | bytes] = {
        "remote.log": remote(settings=other, time="3") + remote(time="4") + remote("dead", other, "9"),
        "trust.log": "dead 1 timestamp=1s\ndead X timestamp=2s\nu X timestamp=1s\nu ? timestamp=3s\n",
        RMET: f"9s dead:V +old#ds/{PATH}\n1s u:V +new#ds/{PATH}\n",
    }
    assert urls(tmp_path, logs)[PATH] == f"{PLAIN}?versionId=new"
    # Better than nothing: what was exported to a public bucket mostly stays there.
    logs[RMET] = f"9s dead:V +old#ds/{PATH}\n"
    assert urls(tmp_path / "2", logs)[PATH] == f"https://s3.example.org/other/ds/{PATH}?versionId=old"


def test_without_a_version_only_the_newest_files_are_there(tmp_path: Path) -> None:
    history = History(tmp_path / "x.git")
    history.commit({PATH: link(key("old"))})
    history.commit({PATH: link(key("new"))})
    history.commit({"remote.log": (FILE, remote().encode())}, ref="refs/heads/git-annex")
    found = read_repository(str(history.write()), cache=tmp_path)
    assert found is not None
    assert {row["md5"]: row["url"] for row in found.copies.to_pylist()} == {
        md5("new"): PLAIN,
        md5("old"): None,
    }


def test_objects_called_as_their_keys(tmp_path: Path) -> None:
    settings = PUBLIC.replace(" exporttree=yes", "")
    logs: dict[str, str | bytes] = {"remote.log": remote(settings=settings), LOG: "1s 0 u\n2s 1 u\n"}
    assert urls(tmp_path, logs)[PATH] == f"https://s3.example.org/b/ds/{KEY}"
    logs[LOG] = "1s 1 u\n2s 0 u\n3s 1 other\n"
    assert urls(tmp_path / "2", logs)[PATH] is None
    logs |= {"remote.log": remote(settings=f"{settings} chunk=1MiB"), LOG: "1s 1 u\n"}
    assert urls(tmp_path / "3", logs)[PATH] is None


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("1s 1 https://example.org/a\n2s 1 https://example.org/b\n", "https://example.org/b"),
        ("1s 1 https://example.org/a\n2s 0 https://example.org/a\n", None),
        ("1s 1 :https://example.org/a b?c=d&e#f%20\n", "https://example.org/a%20b?c=d&e#f%20"),
        ("1s 1 yt:https://example.org/a\n", None),
        ("1s 1 s3://bucket/a\n1s 1 dl+archive:x#path=y\n1s 1 file:///etc/passwd\n1s 1 javascript:x\n", None),
        ("1s 1 https://somebody:secret@example.org/a\n", None),
        ("1s 1\n1s\n\nx 1 https://example.org/a\n", None),
        (b"1s 1 https://example.org/\xff\n", "https://example.org/%FF"),
    ],
)
def test_urls_of_the_web(log: str | bytes, expected: str | None, tmp_path: Path) -> None:
    assert urls(tmp_path, {WEB: log})[PATH] == expected


class Branch:
    """Stands for a repository and its objects: files of the git-annex branch, by name."""

    def __init__(self, files: dict[bytes, bytes]) -> None:
        self._files = files

    def files(self, _: str) -> Iterator[tuple[bytes, str, bytes]]:
        return ((b"100644", name.hex(), name) for name in self._files)

    def read(self, blobs: Iterable[str], largest: int) -> Iterator[Object]:
        return (Object(blob, "blob", 0, self._files[bytes.fromhex(blob)], None) for blob in blobs)


_words = st.sampled_from(
    b" |\n|1s|2.5s|u|u:V|+a#b|-a#b|+!|1|0|=|type=S3|&|&99;|publicurl=https://h/|http://|\xff|timestamp=1s|"
    b"exporttree=yes|fileprefix=&9999999;".split(b"|")
)
_logs = st.lists(_words | st.binary(max_size=4), max_size=30).map(b"".join)


@given(_logs, _logs, _logs, _logs, st.booleans())
def test_no_log_breaks_the_reader(
    settings: bytes, trust: bytes, metadata: bytes, web: bytes, newest: bool
) -> None:
    known = b"u type=S3 publicurl=https://h/ exporttree=yes timestamp=1s\n"
    files = {
        b"remote.log": known + settings,
        b"trust.log": trust,
        b"a/k.log.rmet": metadata,
        b"a/k.log.web": web,
    }
    branch: Any = Branch(files)
    told = AnnexBranch(branch, branch, ["commit"])
    told.read(["k"])
    url = told.url("a\udcff\n", ["k", "unknown"], in_newest=newest)
    assert url is None or (url.startswith(("http://", "https://")) and url.isascii() and url.isprintable())


def test_copies_of_the_branch_are_read_together(tmp_path: Path) -> None:
    """A clone has the branch of where it is from, and perhaps an older one of its own."""
    history = History(tmp_path / "x.git")
    history.commit({PATH: link(KEY)})
    history.commit({"remote.log": (FILE, remote().encode())}, ref="refs/heads/git-annex")
    for number, ref in enumerate(("remotes/origin/git-annex", "heads/synced/git-annex"), start=1):
        files: dict[str | bytes, Entry] = {RMET: (FILE, f"{number}s u:V +v{number}#ds/{PATH}\n".encode())}
        history.commit(files, ref=f"refs/{ref}")
    found = read_repository(str(history.write()), cache=tmp_path)
    assert found is not None and found.copies.column("url").to_pylist() == [f"{PLAIN}?versionId=v2"]


def test_exported_files_in_clear_have_versions_too(tmp_path: Path) -> None:
    history = History(tmp_path / "x.git")
    history.commit({PATH: (FILE, b"an image")})
    blob = git(history.write(), "rev-parse", f"main:{PATH}").decode().strip()
    log = f"1s u:V +v#ds/{PATH}\n".encode()
    files: dict[str | bytes, Entry] = {
        "remote.log": (FILE, remote().encode()),
        f"a/b/GIT--{blob}.log.rmet": (FILE, log),
    }
    history.commit(files, ref="refs/heads/git-annex")
    found = read_repository(str(history.write()), cache=tmp_path)
    assert found is not None and found.copies.column("url").to_pylist() == [f"{PLAIN}?versionId=v"]


def test_hosts_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the network: the addresses lead to a repository here."""
    history = History(tmp_path / "x.git")
    one = history.commit({PATH: pointer(KEY), "old_T1w.nii": (FILE, b"old"), "a b_T1w.nii": (FILE, b"image")})
    history.commit({"old_T1w.nii": None})
    history.tag("1", one)
    history.tag("2", history.commit({"x": (FILE, b"")}))
    folder = history.write()
    first, second = (git(folder, "rev-parse", tag).decode().strip() for tag in "12")
    settings = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))

    def told(address: str) -> dict[str, str | None]:
        settings.write_text(f'[url "file://{folder}"]\n\tinsteadOf = {address}\n')
        found = read_repository(address, cache=tmp_path / "cache")
        assert found is not None and found.source == address
        return {row["path"]: row["url"] for row in found.copies.to_pylist()}

    for address in (
        "https://github.com/OpenNeuroDatasets/ds000900",
        "git@github.com:OpenNeuroDatasets/ds000900.git",
    ):
        raw = "https://raw.githubusercontent.com/OpenNeuroDatasets/ds000900"
        assert told(address) == {
            PATH: None,
            "old_T1w.nii": f"{raw}/{first}/old_T1w.nii",
            "a b_T1w.nii": f"{raw}/{second}/a%20b_T1w.nii",
        }
    base = "https://datasets.datalad.org/openneuro/ds000900"
    git(folder, "annex", "init", "--quiet")
    place = git(folder, "annex", "examinekey", "--format=${hashdirmixed}${key}/${key}", KEY).decode()
    assert told(base) == {
        PATH: f"{base}/.git/annex/objects/{place}",
        "old_T1w.nii": None,
        "a b_T1w.nii": f"{base}/a%20b_T1w.nii",
    }
    assert set(told("https://example.org/ds000900").values()) == {None}

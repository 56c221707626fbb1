"""Bundles, folders and URLs, sound and broken; and the subdatasets of superdatasets."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.index import clones
from curation.index.clones import registered_subdatasets
from curation.index.git import environment, run, without_credentials
from curation.index.model import SourceFailed
from curation.index.repository import read_repository
from tests.curation.index.fast_import import FILE, SUBMODULE, Entry, History, git, key, link, md5

T1W = "sub-01/anat/sub-01_T1w.nii.gz"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "server" / "ds000900.git")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the folder ``server``, which git reads by its simplest protocol."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def checksums(address: str | Path, cache: Path) -> set[str]:
    found = read_repository(str(address), cache=cache)
    assert found is not None
    return set(found.copies.column("md5").to_pylist())


def temporary(folder: Path) -> list[Path]:
    return list(folder.glob("mriqc-snapshot-*"))


@pytest.fixture
def leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("part", [0, 0.0001, 0.01, 0.1, 0.5, 0.9, 0.999, -1, -20])
def test_a_bundle_that_is_cut_off_fails_by_name(
    part: float, history: History, tmp_path: Path, leftovers: Path
) -> None:
    for n in range(20):
        history.commit({f"sub-{n}_T1w.nii.gz": link(key(str(n)))})
    whole, cut = tmp_path / "whole.bundle", tmp_path / "cut.bundle"
    git(history.write(), "bundle", "create", "--quiet", str(whole), "--all")
    assert len(checksums(whole, tmp_path)) == 20
    content = whole.read_bytes()
    cut.write_bytes(content[: int(part) if part < 0 else int(len(content) * part)])
    with pytest.raises(SourceFailed, match=f"{cut}: (git .* git said: .*|has no commits); .*get it anew"):
        read_repository(str(cut), cache=tmp_path)
    assert not list(leftovers.iterdir())


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7])
def test_a_real_bundle_cut_in_half(part: float, shared: Path, tmp_path: Path) -> None:
    content = (shared / "annex" / "ds000114.bundle").read_bytes()
    cut = tmp_path / "ds000114.bundle"
    cut.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(SourceFailed, match="git fetch ended with exit code"):
        read_repository(str(cut), cache=tmp_path)


def test_a_damaged_byte_of_a_bundle_is_noticed(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    bundle = tmp_path / "x.bundle"
    git(history.write(), "bundle", "create", "--quiet", str(bundle), "--all")
    content = bytearray(bundle.read_bytes())
    content[-60] ^= 0xFF
    bundle.write_bytes(content)
    with pytest.raises(SourceFailed, match="git fetch ended with exit code"):
        read_repository(str(bundle), cache=tmp_path)


def test_repositories_with_long_ids(tmp_path: Path) -> None:
    folder, bundle = tmp_path / "long", tmp_path / "long.bundle"
    git(tmp_path, "init", "--quiet", "--object-format=sha256", str(folder))
    (folder / "x_T1w.nii").write_text("image")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "x")
    git(folder, "bundle", "create", "--quiet", str(bundle), "--all")
    assert checksums(folder, tmp_path) == checksums(bundle, tmp_path) == {md5("image")}


def test_a_bundle_of_news_only_fails(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    history.commit({T1W: link(key("two"))})
    bundle = tmp_path / "x.bundle"
    git(history.write(), "bundle", "create", "--quiet", str(bundle), "main~1..main")
    with pytest.raises(SourceFailed, match="holds only what is new since another one"):
        read_repository(str(bundle), cache=tmp_path)


def test_what_is_no_repository_fails_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.bundle").write_text("no bundle")
    (tmp_path / "empty").mkdir()
    git(tmp_path, "init", "--quiet", "outer")
    (tmp_path / "outer/inner").mkdir()
    (tmp_path / "broken/.git").mkdir(parents=True)
    for name, said in {
        "nothing": "there is no such file or folder",
        "text.bundle": "does not look like a v2 or v3 bundle",
        "empty": "is no git repository",
        "outer/inner": "is no git repository",
        "outer": "has no commits",
        "broken": "not a git repository",
    }.items():
        with pytest.raises(SourceFailed, match=f"{tmp_path / name}: .*{said}.*[;,(]"):
            read_repository(str(tmp_path / name), cache=tmp_path)
    for address in ("s3://bucket/x", "ext::sh -c id", "/dev/null", "-upload-pack=id", "\0"):
        with pytest.raises(SourceFailed):
            read_repository(address, cache=tmp_path)


def test_a_repository_of_git_annex_alone_fails(history: History, tmp_path: Path) -> None:
    history.commit({"uuid.log": (FILE, b"")}, ref="refs/heads/git-annex")
    folder = history.write()
    git(folder, "symbolic-ref", "HEAD", "refs/heads/git-annex")
    with pytest.raises(SourceFailed, match="no commits but git-annex' own"):
        read_repository(str(folder), cache=tmp_path)


def test_a_repository_that_lost_objects_fails(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    history.commit({T1W: link(key("two"))})
    folder = history.write()
    tree = git(folder, "rev-parse", "main~1^{tree}", "main~1").decode().split()
    for lost in tree:
        path = folder / "objects" / lost[:2] / lost[2:]
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(SourceFailed, match=f"{folder}: git .*{lost}"):
            read_repository(str(folder), cache=tmp_path)
        path.write_bytes(kept)


def test_a_url_is_cloned_once_and_then_updated(history: History, server: str, tmp_path: Path) -> None:
    one = history.commit({T1W: link(key("one"))})
    history.commit({"extra_T1w.nii.gz": link(key("extra"))}, ref="refs/heads/extra")
    history.tag("1", one)
    remote = (
        b"u type=S3 encryption=none public=yes publicurl=https://s3.example.org exporttree=yes timestamp=1s\n"
    )
    history.commit({"remote.log": (FILE, remote)}, ref="refs/heads/git-annex")
    history.commit({T1W: link(key("pull"))}, ref="refs/pull/1/head")
    folder = history.write()
    git(folder, "update-server-info")
    address, cache = f"{server}/ds000900.git", tmp_path / "cache"
    found = read_repository(address, cache=cache)
    assert found is not None and (found.dataset, found.source) == ("ds000900", address)
    assert {row["md5"]: row["last_version"] for row in found.copies.to_pylist()} == {
        md5("one"): "1",
        md5("extra"): None,
    }
    assert f"https://s3.example.org/{T1W}" in found.copies.column("url").to_pylist()
    assert read_repository(address, cache=cache, state=found.state) is None

    # A branch is rewritten, another one goes, a tag moves, and there is a new head.
    two = history.commit({T1W: link(key("two"))}, parents=[])
    history.tag("1", two)
    history.commit({T1W: link(key("new"))}, ref="refs/heads/new", parents=[])
    history.write()
    git(folder, "branch", "-D", "extra")
    git(folder, "symbolic-ref", "HEAD", "refs/heads/new")
    git(folder, "update-server-info")
    after = read_repository(address, cache=cache, state=found.state)
    assert after is not None
    assert {row["md5"]: row["last_version"] for row in after.copies.to_pylist()} == {
        md5("two"): "1",
        md5("new"): None,
    }
    assert len(list(cache.glob("*.git"))) == 1

    # A clone that was killed in between is completed.
    (clone,) = cache.glob("*.git")
    git(clone, "update-ref", "-d", "refs/heads/new")
    (clone / "objects/pack/tmp_pack_x").write_bytes(b"PACK")
    lock = clone / "refs/heads/new.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(SourceFailed, match=r"new\.lock"):  # another may be at work
        read_repository(address, cache=cache)
    os.utime(lock, (0, 0))
    assert checksums(address, cache) == {md5("two"), md5("new")}


def test_a_url_with_a_password_is_told_nowhere(
    history: History, server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark = history.commit({T1W: link(key("one"))})
    history.tag("none", mark)
    folder = history.write()
    git(folder, "tag", "--force", "none", f"main:{T1W}")
    git(folder, "update-server-info")
    address, cache = f"{server.replace('//', '//somebody:secret@')}/ds000900.git", tmp_path / "cache"
    found = read_repository(address, cache=cache)
    assert found is not None
    told = f"{found!r} {found.copies.to_pylist()} {caplog.text} {[*cache.rglob('*')]}"
    told += "".join(path.read_text() for path in cache.rglob("config"))
    assert "secret" not in told and found.source == f"{server}/ds000900.git"
    with pytest.raises(SourceFailed) as raised:
        read_repository(address.replace("ds000900", "nothing"), cache=cache)
    assert "secret" not in str(raised.value) and "not found" in str(raised.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:secret@host/x", "https://host/x"),
        ("https://token@host/x", "https://host/x"),
        ("ssh://git:secret@host:22/x", "ssh://git@host:22/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("git@host:x", "git@host:x"),
        ("/data/a@b/x", "/data/a@b/x"),
        ("fatal: https://a:b@c/ and http://d@e/", "fatal: https://c/ and http://e/"),
    ],
)
def test_credentials_are_taken_out(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "LIST_SECONDS", 0.5)
    # It takes connections, for it listens, but nothing serves them.
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent,
        pytest.raises(SourceFailed, match=r"git ls-remote .*seconds; try again later"),
    ):
        read_repository(f"http://127.0.0.1:{silent.server_port}/x", cache=tmp_path)


def test_git_runs_without_prompts_helpers_and_other_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSL_CAINFO", "/certificates")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.fsmonitor'='evil'")
    local, network = environment(), environment(network=True)
    assert local["GIT_ALLOW_PROTOCOL"] == "none" and "ext" not in network["GIT_ALLOW_PROTOCOL"].split(":")
    assert network["GIT_TERMINAL_PROMPT"] == "0" and network["GIT_SSL_CAINFO"] == "/certificates"
    assert "GIT_CONFIG_PARAMETERS" not in network
    settings = {local[f"GIT_CONFIG_KEY_{n}"]: local[f"GIT_CONFIG_VALUE_{n}"] for n in range(7)}
    assert settings["credential.helper"] == "" and settings["core.fsmonitor"] == "false"
    assert settings["protocol.ext.allow"] == "never"
    with pytest.raises(
        SourceFailed, match=r"git frobnicate ended with exit code 1; git said: .*not a git command"
    ):
        run("here", "frobnicate")


def superdataset(history: History, modules: str, *paths: str) -> Path:
    files: dict[str | bytes, Entry] = {path: (SUBMODULE, b"1" * 40) for path in paths}
    history.commit({".gitmodules": (FILE, modules.encode()), "x": (FILE, b""), **files})
    return history.write()


def module(path: str, url: str | None, **more: str) -> str:
    lines = [f'[submodule "{path}"]', f"\tpath = {path}"]
    lines += [] if url is None else [f"\turl = {url}"]
    return (
        "\n".join([*lines, *(f"\t{name.replace('_', '-')} = {value}" for name, value in more.items())]) + "\n"
    )


def test_subdatasets_of_a_superdataset(
    history: History, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    modules = [
        module("ds000001", "https://github.com/OpenNeuroDatasets/ds000001"),
        module("a b/ds000002", "https://example.org/2", datalad_id="x"),
        module("ds000003", "./ds000003"),
        module("ds000004", "../other/ds000004.git"),
        module("ds000005", "https://example.org/5", datalad_url="https://example.org/better"),
        module("ds000006", "https://example.org/6", datalad_url="ria+https://example.org#~x"),
        module("ds000007", "///openneuro/ds000007"),
        module("ds000008", "git@example.org:8"),
        module("ds000009", "/data/ds000009"),
        module("no-url", None),
        module("no-link", "https://example.org/n"),
        module("ext", "ext::sh -c id"),
        module("option", "--upload-pack=id"),
        module("x", "https://example.org/a-file"),
        '[submodule "no.path"]\n\turl = https://example.org/n\n[core]\n\tpager = evil\n',
    ]
    links = [f"ds00000{n}" for n in (1, 3, 4, 5, 6, 7, 8, 9)]
    folder = superdataset(
        history, "".join(modules), *links, "a b/ds000002", "no-url", "ext", "option", "unregistered"
    )
    assert registered_subdatasets(str(folder), tmp_path) == [
        ("a b/ds000002", "https://example.org/2"),
        ("ds000001", "https://github.com/OpenNeuroDatasets/ds000001"),
        ("ds000003", f"{folder}/ds000003"),
        ("ds000004", f"{folder.parent}/other/ds000004.git"),
        ("ds000005", "https://example.org/better"),
        ("ds000006", "https://example.org/6"),
        ("ds000007", "https://datasets.datalad.org/openneuro/ds000007"),
        ("ds000008", "git@example.org:8"),
        ("ds000009", "/data/ds000009"),
    ]
    assert "6 of 15 registered subdatasets left out" in caplog.text
    git(folder, "config", "remote.origin.url", "https://example.org/super/")
    told = dict(registered_subdatasets(str(folder), tmp_path))
    assert told["ds000003"] == "https://example.org/super/ds000003"
    assert told["ds000004"] == "https://example.org/other/ds000004.git"
    (folder / "ds000003").mkdir()
    assert dict(registered_subdatasets(str(folder), tmp_path))["ds000003"] == f"{folder}/ds000003"


def test_a_superdataset_elsewhere_names_no_folders_here(
    history: History, server: str, tmp_path: Path
) -> None:
    modules = module("a", "/etc") + module("b", "file:///etc") + module("c", "../c.git") + module("d", "./d")
    folder = superdataset(history, modules, "a", "b", "c", "d")
    git(folder, "update-server-info")
    assert registered_subdatasets(f"{server}/ds000900.git", tmp_path / "cache") == [
        ("c", f"{server}/c.git"),
        ("d", f"{server}/ds000900.git/d"),
    ]


def test_relative_addresses_are_resolved_as_git_does(tmp_path: Path) -> None:
    for base, url in [
        ("https://example.org/a/b", "../c"),
        ("https://example.org/a/b/", "./c/"),
        ("https://example.org/a/b", "../../c/d"),
        ("ssh://git@example.org/a/b", "../.././c"),
        ("git@example.org:a/b", "../c"),
        ("git@example.org:a", "../c"),
        ("git@example.org:a/b", "../../c"),
        ("/data/super", "../c.git"),
        ("/data/super", "./c"),
    ]:
        folder = tmp_path / str(abs(hash((base, url))))
        git(tmp_path, "init", "--quiet", str(folder))
        git(folder, "config", "remote.origin.url", base)
        (folder / ".gitmodules").write_text(module("sub", url))
        git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
        git(folder, "submodule", "--quiet", "init")
        expected = git(folder, "config", "submodule.sub.url").decode().strip()
        assert clones._relative(base, url) == expected.rstrip("/")


def test_datasets_without_subdatasets(history: History, tmp_path: Path) -> None:
    history.commit({T1W: link(key("one"))})
    folder = history.write()
    assert registered_subdatasets(str(folder), tmp_path) == []
    history.commit({".gitmodules": link("x", "")})
    assert registered_subdatasets(str(history.write()), tmp_path) == []
    history.commit({".gitmodules": (FILE, b"[broken")})
    with pytest.raises(SourceFailed, match="git config ended with exit code"):
        registered_subdatasets(str(history.write()), tmp_path)

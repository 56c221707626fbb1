"""Storage on servers: S3 (moto's), WebDAV (WsgiDAV's), plain HTTP; all on loopback."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from cheroot import wsgi
from moto.server import ThreadedMotoServer
from wsgidav.wsgidav_app import WsgiDAVApp

from curation.annexed import Annex
from curation.errors import DatasetError, UsageError
from curation.publish import SnapshotDataset
from curation.publish.commands import datalad, git
from curation.siblings import PushReport, add_sibling, find_sibling, parse_storage, push
from tests.support.snapshots import TABLES, content, make_dataset

USER, PASSWORD = "SNAPSHOTUSER", "very-secret-password"


@pytest.fixture(autouse=True)
def _loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git-annex talks to servers on loopback only where it is allowed to."""
    config = "[user]\n name = a\n email = a@localhost\n[annex.security]\n allowed-ip-addresses = 127.0.0.1\n"
    (tmp_path / "gitconfig").write_text(config.replace("[annex.security]", '[annex "security"]'))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("made") / "data").path


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> SnapshotDataset:
    shutil.copytree(made, tmp_path / "data", symlinks=True)
    return SnapshotDataset(tmp_path / "data")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket that everybody may read."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="snapshots", ACL="public-read")
    yield url
    moto.stop()


@pytest.fixture
def webdav(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "dav").mkdir()
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(tmp_path / "dav")},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "logging": {"enable": False},
            "verbose": 0,
        }
    )
    server = wsgi.Server(("127.0.0.1", 0), app)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"http://127.0.0.1:{server.bind_addr[1]}"
    server.stop()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    """A plain web server of a folder."""
    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def add_and_push(dataset: SnapshotDataset, storage: str, repository: Path, **options: str) -> PushReport:
    with dataset.lock():
        add_sibling(dataset, "public", parse_storage(storage, **options), str(repository))
        report = push(dataset, "public")
        assert push(dataset, "public").status == "notneeded"
    return report


def assert_clone_gets(repository: str, folder: Path) -> None:
    datalad(folder, "clone", repository, "clone")
    datalad(folder / "clone", "get", ".")
    for name in TABLES:
        assert (folder / "clone" / name).read_bytes() == content(0, name)


def assert_secret_nowhere(*folders: Path) -> None:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert PASSWORD.encode() not in path.read_bytes(), path
        assert PASSWORD not in git(folder, "log", "-p", "--format=%B", "git-annex")


def set_credentials(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name, value in zip(names, (USER, PASSWORD), strict=True):
        monkeypatch.setenv(name, value)


AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
WEBDAV = ("WEBDAV_USERNAME", "WEBDAV_PASSWORD")


def test_s3_is_read_by_everybody_and_written_with_credentials(
    s3: str, dataset: SnapshotDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_credentials(monkeypatch, *AWS)
    report = add_and_push(
        dataset, "s3:snapshots/mriqc", tmp_path / "r.git",
        endpoint=s3, region="us-east-1", public_url=f"{s3}/snapshots",
    )  # fmt: skip
    assert report.keys == 4
    assert find_sibling(dataset, "public").place == "snapshots/mriqc"
    assert_secret_nowhere(dataset.path, tmp_path / "r.git")
    for name in AWS:
        monkeypatch.delenv(name)
    with (
        pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set"),
        dataset.lock(),
    ):
        push(dataset, "public")
    dataset.path.rename(tmp_path / "away")
    assert_clone_gets(str(tmp_path / "r.git"), tmp_path)


def test_webdav_is_read_and_written_with_credentials(
    webdav: str, dataset: SnapshotDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_credentials(monkeypatch, *WEBDAV)
    assert add_and_push(dataset, f"webdav:{webdav}/mriqc", tmp_path / "r.git").keys == 4
    assert_secret_nowhere(dataset.path, tmp_path / "r.git")
    dataset.path.rename(tmp_path / "away")
    assert_clone_gets(str(tmp_path / "r.git"), tmp_path)


def test_wrong_password_is_told_without_it(
    webdav: str, dataset: SnapshotDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_credentials(monkeypatch, *WEBDAV)
    monkeypatch.setenv("WEBDAV_PASSWORD", f"wrong-{PASSWORD}")
    with pytest.raises(DatasetError, match="initremote") as raised:
        add_and_push(dataset, f"webdav:{webdav}/mriqc", tmp_path / "r.git")
    assert PASSWORD not in str(raised.value)
    assert_secret_nowhere(dataset.path)
    # Put right, the same command goes on.
    monkeypatch.setenv("WEBDAV_PASSWORD", PASSWORD)
    assert add_and_push(dataset, f"webdav:{webdav}/mriqc", tmp_path / "r.git").keys == 4


def test_folder_behind_a_plain_web_server_is_enough_for_everybody(
    http: str, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    """Repository and content are static files; the paths that they were written to are not there for who clones."""
    private = tmp_path / "mounted"
    add_and_push(
        dataset, f"directory:{private / 'content'}", private / "mriqc.git", public_url=f"{http}/content"
    )
    for name in ("content", "mriqc.git"):
        os.replace(private / name, tmp_path / "www" / name)
    dataset.path.rename(tmp_path / "away")
    assert_clone_gets(f"{http}/mriqc.git", tmp_path)


def test_adding_again_gives_a_storage_another_address(
    http: str, dataset: SnapshotDataset, tmp_path: Path
) -> None:
    storage = f"directory:{tmp_path / 'www' / 'content'}"
    add_and_push(dataset, storage, tmp_path / "r.git", public_url="http://127.0.0.1:9/old")
    add_and_push(dataset, storage, tmp_path / "r.git", public_url=f"{http}/content")
    sibling = find_sibling(dataset, "public")
    assert len(Annex(dataset.path).stored(sibling.storage, Annex(dataset.path).keys(["HEAD"]))) == 4
    assert git(dataset.path, "config", "remote.public-storage-public.annex-uuid").strip()
    log = git(dataset.path, "cat-file", "blob", "git-annex:remote.log")
    assert f"url={http}/content" in log

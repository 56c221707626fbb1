"""The command ``import``: exit codes, what it prints, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation.store import RecordStore
from tests.conftest import REPOSITORY
from tests.support.dumps import bson_of, compressed, database_document

DOCUMENTS = [database_document(n, second=n, email="someone@example.org") for n in range(20)]
CONTENT = bson_of(DOCUMENTS)


def run(*arguments: str, cwd: Path, content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "import", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        input=content,
        capture_output=True,
    )


def test_what_is_whole_is_0_and_again_too(tmp_path: Path) -> None:
    (tmp_path / "T1w.bson.gz").write_bytes(compressed(CONTENT, ".gz"))
    for known in (0, 20):
        done = run("T1w.bson.gz", "--store", "store", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        resources = json.loads(done.stdout)["resources"]
        assert (resources["T1w"]["new"], resources["T1w"]["known"]) == (20 - known, known)
    assert len(RecordStore(tmp_path / "store").parts("T1w")) == 1


def test_what_cannot_be_read_is_1_and_named_while_the_rest_is_stored(tmp_path: Path) -> None:
    (tmp_path / "bold.bson").write_bytes(CONTENT)
    done = run("-", "bold.bson", "--resource", "T1w", "--store", "store", cwd=tmp_path, content=CONTENT[:-3])
    assert done.returncode == 1
    start = len(bson_of(DOCUMENTS[:-1]))
    first, *_, last = done.stderr.decode().splitlines()
    assert first == (
        f"standard input: byte {start}: found the end of the dump at byte {len(CONTENT) - 3}, expected the rest of a "
        "document; what came before was read"
    )
    assert last.startswith("mriqc-snapshot: 1 place(s) could not be read (standard input: 1 cut short)")
    assert "20" in done.stdout.decode() and "someone" not in (done.stdout + done.stderr).decode()
    assert RecordStore(tmp_path / "store").known("T1w").count("0" * 24, "f" * 24) == 20


@pytest.mark.parametrize(
    "arguments",
    [[], ["missing.bson"], ["users.bson"], ["--resource", "dwi", "T1w.bson"], ["T1w.bson", "--no"]],
)
def test_wrong_usage_is_2(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "T1w.bson").write_bytes(CONTENT)
    (tmp_path / "users.bson").write_bytes(bson_of([{"username": "someone"}]))
    done = run(*arguments, "--store", "store", cwd=tmp_path)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_held_lock_is_3(tmp_path: Path) -> None:
    (tmp_path / "T1w.bson").write_bytes(CONTENT)
    with RecordStore(tmp_path / "store").lock():
        assert run("T1w.bson", "--store", "store", cwd=tmp_path).returncode == 3

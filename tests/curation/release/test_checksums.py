"""SHA256SUMS: coreutils writes the same and checks it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.release.checksums import read_sha256sums, sha256sums

DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name).map(os.fsdecode)
ODD = [
    "a b.csv",
    " lead",
    "back\\slash",
    "new\nline",
    "re\rturn",
    "\\n",
    "ü.csv",
    os.fsdecode(b"\xff.csv"),
    "*star",
]


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, DIGEST))
def test_what_is_written_is_read(digests: dict[str, str]) -> None:
    content = sha256sums(digests)
    assert read_sha256sums(content) == digests
    assert content == sha256sums(dict(reversed(digests.items())))


def test_coreutils_writes_the_same_and_finds_a_changed_file(tmp_path: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no coreutils here")
    for name in ODD:
        (tmp_path / name).write_bytes(os.fsencode(name))
    content = sha256sums({name: hashlib.sha256(os.fsencode(name)).hexdigest() for name in ODD})
    theirs = subprocess.run(
        [program, "--", *sorted(ODD, key=os.fsencode)], cwd=tmp_path, capture_output=True, check=True
    )
    assert content == theirs.stdout
    (tmp_path / "SHA256SUMS").write_bytes(content)
    check = [program, "--strict", "-c", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "new\nline").write_bytes(b"other")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    "content", [b"x\n", b"0" * 64 + b" a\n", b"0" * 63 + b"  a\n", (b"0" * 64 + b"  a\n") * 2, b"\n"]
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match=r"SHA256SUMS, line [12]"):
        read_sha256sums(content)

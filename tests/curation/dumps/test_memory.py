"""Memory does not grow with dumps, nor with what is in a single line, document or compressed block of them."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import bson
import pytest
import zstandard

from tests.support.dumps import database_document, dialects

# What an import may need beside the interpreter and its libraries: a document of the largest size, some blocks, and a
# part that is being written.
MOST = 160 << 20
SIZE = 220 << 20
"""Bytes of a dump, many times that."""

# The peak of the process itself: what resource.getrusage tells may be that of its parent.
DRIVER = """
import re, sys
from pathlib import Path
from curation.dumps import find_dumps, import_dumps
from curation.store import RecordStore

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

store = RecordStore(Path("store"))
before = peak()
report = import_dumps(store, find_dumps([Path(sys.argv[1])]))
print(peak() - before, report.files[0].documents, report.files[0].problems)
"""
DOCUMENT = database_document(1, text="x" * 100_000)


def one_line_array() -> Iterator[bytes]:
    text = dialects(DOCUMENT)["relaxed"]
    yield b"[" + text
    for _ in range(SIZE // len(text)):
        yield b"," + text
    yield b"]"


def oversized_line() -> Iterator[bytes]:
    yield dialects(DOCUMENT)["relaxed"] + b'\n{"text": "'
    for _ in range(SIZE >> 20):
        yield b"x" * (1 << 20)
    yield b'"}\n' + dialects(DOCUMENT)["relaxed"] + b"\n"


def oversized_bson() -> Iterator[bytes]:
    sound = bson.encode(DOCUMENT)
    yield sound + (SIZE + 16).to_bytes(4, "little") + b"\x02text\0" + (SIZE + 1).to_bytes(4, "little")
    for _ in range(SIZE >> 20):
        yield b"x" * (1 << 20)
    yield b"\0\0" + sound + sound


DUMPS = {
    "array": (one_line_array, SIZE // len(dialects(DOCUMENT)["relaxed"]) + 1, {}),
    "line": (oversized_line, 2, {"too large": 1}),
    "bson": (oversized_bson, 3, {"too large": 1}),
}


def _compressing(raw: BinaryIO, suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1)
    return zstandard.ZstdCompressor().stream_writer(raw)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc that tells the peak of a process"
)
@pytest.mark.parametrize(
    ("name", "suffix"), [("array", ".zst"), ("line", ".gz"), ("line", ".zst"), ("bson", ".gz")]
)
def test_memory_stays_within_bounds(name: str, suffix: str, tmp_path: Path) -> None:
    pieces, documents, problems = DUMPS[name]
    path = tmp_path / f"T1w.{'bson' if name == 'bson' else 'json'}{suffix}"
    with path.open("wb") as raw, _compressing(raw, suffix) as out:
        for piece in pieces():
            out.write(piece)
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, path.name],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    used, read, named = done.stdout.split(maxsplit=2)
    assert (int(read), named.strip()) == (documents, str(problems))
    assert int(used) < MOST

"""Checksum manifests: every form, and hostile ones."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import logging
import os
import subprocess
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UsageError
from curation.index.manifests import read_manifest
from curation.index.model import COPIES, SourceFailed, SourceRead

A, B, C = (hashlib.md5(letter).hexdigest() for letter in (b"a", b"b", b"c"))
SHA = hashlib.sha256(b"a").hexdigest()
IMAGE = "sub-01/anat/sub-01_T1w.nii.gz"


def read(path: Path, **options: Any) -> dict[str, SourceRead]:
    found = read_manifest(path, **options)
    assert found is not None
    for one in found:
        assert one.copies.schema == COPIES
        one.copies.validate(full=True)
        keys = list(zip(one.copies["path"].to_pylist(), one.copies["md5"].to_pylist(), strict=True))
        assert keys == sorted(keys)
    return {one.dataset: one for one in found}


def read_text(folder: Path, text: str | bytes, name: str = "sums.md5", **options: Any) -> SourceRead:
    """Read a manifest that is of one dataset."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (one,) = read(path, **options).values()
    return one


def claims(one: SourceRead, *columns: str) -> list[Any]:
    found = [one.copies[name].to_pylist() for name in columns or ("path", "md5")]
    return list(zip(*found, strict=True)) if len(found) > 1 else found[0]


def test_a_claim(tmp_path: Path) -> None:
    one = read_text(tmp_path, f"{A.upper()}  ./{IMAGE}\n{B}  README\n", base_url="https://example.org/a b/")
    assert one.copies.to_pylist() == [
        {
            **dict.fromkeys(COPIES.names),
            "md5": A,
            "source": "sums.md5",
            "dataset": "sums",
            "path": IMAGE,
            "in_newest": True,
            "url": f"https://example.org/a%20b/{IMAGE}",
            "entities": '{"datatype": "anat", "extension": ".nii.gz", "subject": "01", "suffix": "T1w"}',
        }
    ]
    assert one.backends == {"md5": 1} and not one.unusable
    assert str(tmp_path) not in json.dumps([one.copies.to_pylist(), one.state])


def test_datasets_in_one_manifest(tmp_path: Path) -> None:
    path = tmp_path / "all.md5"
    path.write_text(f"{A}  ds000002/{IMAGE}\n{B}  x/ds000001/{IMAGE}\n{C}  other/x.nii\nnonsense\n")
    found = read(path, base_url="https://example.org", address="https://example.org/all.md5")
    assert {name: claims(one, "path", "md5", "url", "source") for name, one in found.items()} == {
        "all": [("other/x.nii", C, "https://example.org/other/x.nii", "https://example.org/all.md5")],
        "ds000001": [(IMAGE, B, f"https://example.org/x/ds000001/{IMAGE}", "https://example.org/all.md5")],
        "ds000002": [(IMAGE, A, f"https://example.org/ds000002/{IMAGE}", "https://example.org/all.md5")],
    }
    assert [one.unusable for one in found.values()] == [{"no line of a manifest": 1}, {}, {}]
    named = read(path, dataset="ds000001")["ds000001"]
    assert claims(named) == [(f"ds000002/{IMAGE}", A), ("other/x.nii", C), (IMAGE, B)]


ODD = [
    b"new\nline.nii",
    b"back\\slash.nii",
    b"re\rturn.nii",
    b" lead.nii",
    b"*star.nii",
    b"pl(x) = y.nii",
    b"\\n.nii",
]
ODD += [
    "ü 日本.nii.gz".encode(),
    b"latin-\xfc.nii",
    b"%0A.nii",
    b"a,b\tc;d.nii",
    b'"quoted".nii',
    b"#hash.nii",
]


@pytest.mark.parametrize("option", ["-b", "-t", "--tag"])
def test_what_md5sum_prints(tmp_path: Path, option: str) -> None:
    folder = os.fsencode(tmp_path)
    for name in ODD:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(name)
    printed = subprocess.run(["md5sum", option, "--", *ODD], cwd=tmp_path, capture_output=True, check=True)
    one = read_text(tmp_path, printed.stdout, base_url="https://example.org")
    assert not one.unusable
    shown = {name.decode("utf-8", "backslashreplace"): hashlib.md5(name).hexdigest() for name in ODD}
    assert claims(one) == sorted(shown.items(), key=lambda item: item[0].encode())
    assert "https://example.org/latin-%FC.nii" in claims(one, "url")


FILE_NAMES = st.lists(st.integers(1, 255), min_size=1, max_size=12).map(
    lambda name: bytes(name).replace(b"/", b"-")
)
FILES = st.dictionaries(
    FILE_NAMES.map(lambda name: b"d/" + name + b".nii"), st.binary(max_size=3), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(FILES, st.booleans())
def test_names_of_any_bytes(files: dict[bytes, bytes], tagged: bool) -> None:
    lines = []
    for name, content in files.items():
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != name else b""
        digest = hashlib.md5(b"x" + content).hexdigest().encode()
        lines.append(
            mark + (b"MD5 (%s) = %s" % (escaped, digest) if tagged else b"%s  %s" % (digest, escaped))
        )
    lines.append(A.encode() + b"  last.nii")
    with tempfile.TemporaryDirectory() as folder:
        one = read_text(Path(folder), b"\n".join(lines))
    assert not one.unusable
    expected = [
        (name.decode("utf-8", "backslashreplace"), hashlib.md5(b"x" + content).hexdigest())
        for name, content in files.items()
    ]
    assert Counter(claims(one)) == Counter([*expected, ("last.nii", A)])


@pytest.mark.parametrize(
    "line", [f"MD5({IMAGE})= {A}", f"{A} {IMAGE}", f"{A}\t{IMAGE}", f"{A} *{IMAGE}", f"MD5 ({IMAGE}) = {A}"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_other_tools_lines_and_ends(tmp_path: Path, line: str, end: str, mark: str) -> None:
    text = f"{mark}# made by a tool{end or chr(10)}{line}{end}"
    assert claims(read_text(tmp_path, text)) == [(IMAGE, A)]
    assert claims(read_text(tmp_path, gzip.compress(text.encode()), "sums.txt")) == [(IMAGE, A)]


def test_lines_that_are_none_are_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        f"{A}  a.nii", "", "   ", "nonsense", f"{A[:-1]}  short.nii", f"{A}  /etc/x.nii", f"{A}  ../x.nii",
        f"{A}  a/../x.nii", f"{SHA}  sha.nii", f"SHA256 (x.nii) = {SHA}", f"BLAKE2b-128 (x.nii) = {A}", f"{A}  n\0.nii",
        f"\\{A}  bad\\escape.nii", f"\\{A}  bad.nii\\", f"{A}", f"{A}  c:\\x.nii", f"{B}  b.nii",
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        one = read_text(tmp_path, "\n".join(lines))
    assert claims(one) == [("a.nii", A), ("b.nii", B)]
    assert one.unusable == {
        "no line of a manifest": 5,
        "path leaves the dataset": 4,
        "SHA-256 digest": 2,
        "unknown digest": 1,
        "NUL byte": 1,
    }
    assert [record.getMessage() for record in caplog.records][:2] == [
        "sums.md5, line 4: no line of a manifest",
        "sums.md5, line 5: no line of a manifest",
    ]
    caplog.clear()
    one = read_text(tmp_path, f"{A}  a.nii\n" + "nonsense\n" * 1000)
    assert one.unusable == {"no line of a manifest": 1000}
    assert len(caplog.records) == 21 and "980 more" in caplog.text


def test_claims_that_contradict_each_other_are_kept_and_counted(tmp_path: Path) -> None:
    one = read_text(tmp_path, f"{B}  a.nii\n{A}  a.nii\n{A}  a.nii\n{A}  b.nii\n")
    assert claims(one) == [("a.nii", A), ("a.nii", B), ("b.nii", A)]
    assert one.unusable == {"conflicting digest": 1, "repeated": 1}
    table = f"md5,path,size\n{A},a.nii,1\n{A},b.nii,2\n{B},c.nii,2\n{B},d.nii,\n{C},e.nii,many\n{C},e.nii,\n"
    one = read_text(tmp_path, table, "sums.csv")
    assert claims(one, "path", "size") == [
        ("a.nii", 1),
        ("b.nii", 2),
        ("c.nii", 2),
        ("d.nii", None),
        ("e.nii", None),
    ]
    assert one.unusable == {"conflicting size": 2, "size is no number": 1, "repeated": 1}


def test_contradictions_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{digest}  {number // 3}.nii" for number in range(30) for digest in (A, B, A)]
    whole = read_text(tmp_path, "\n".join(lines))
    monkeypatch.setattr("curation.index.claims._CHUNK", 2)
    monkeypatch.setattr("curation.index.claims._MOST_OPEN", 7)
    parts = read_text(tmp_path, "\n".join(lines))
    assert parts.copies.equals(whole.copies) and parts.unusable == whole.unusable
    assert whole.unusable == {"conflicting digest": 10, "repeated": 70}


def test_an_empty_file_is_no_image(tmp_path: Path) -> None:
    one = read_text(tmp_path, f"{hashlib.md5(b'').hexdigest()}  empty.nii\n{A}  a.nii\n")
    assert claims(one) == [("a.nii", A)] and one.unusable == {"empty file": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "but nothing; expected lines like"),
        (f"{A}  README\n".encode(), "but 1 other files"),
        (f"{SHA}  a.nii\n{SHA}  b.nii\n".encode(), r"SHA-256 digest \(2 times, the first in line 1\).*md5sum"),
        (b"<html>\n<body>\n", r"no line of a manifest \(2 times, the first in line 1\)"),
        (f"{A}  /x.nii".encode(), "path leaves the dataset"),
        ("\ufeffx".encode("utf-16-le"), "is UTF-16; expected UTF-8"),
        (gzip.compress(f"{A}  a.nii\n".encode() * 100, mtime=0)[:-9], "cut off or damaged"),
        (gzip.compress(Random(1).randbytes(1000), mtime=0)[:-100] + b"x" * 100, "cut off or damaged"),
        (b"\x1f\x8bnonsense", "cut off or damaged"),
        (f"{A}  a.nii\0{A}  b.nii\0".encode(), "NUL byte"),
    ],
)  # fmt: skip
def test_what_is_no_manifest(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(SourceFailed, match=rf"sums\.md5: .*{said}"):
        read_text(tmp_path, content)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceFailed, match="no regular file"):
        read_manifest(tmp_path / "pipe")
    with pytest.raises(SourceFailed, match="No such file"):
        read_manifest(tmp_path / "missing")
    with pytest.raises(SourceFailed, match="folder with no manifest"):
        read_manifest(tmp_path)
    for url in ("example.org", "https://user:secret@example.org", "https://[", "file:///x"):
        with pytest.raises(UsageError) as told:
            read_text(tmp_path, f"{A}  a.nii", base_url=url)
        assert "secret" not in str(told.value)


def test_a_manifest_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sums.md5"
    path.write_text(f"{A}  a.nii\n")

    def place_of(found: str, dataset: str | None = None) -> tuple[None, str]:
        with path.open("a") as more:
            more.write("x")
        return None, found

    monkeypatch.setattr("curation.index.manifests.place_of", place_of)
    with pytest.raises(SourceFailed, match="changed while"):
        read_manifest(path)


@pytest.mark.parametrize("filler", [b"a", b"\0", b" "])
def test_a_line_of_100_megabytes(tmp_path: Path, filler: bytes) -> None:
    path = tmp_path / "sums.md5"
    with path.open("wb") as stream:
        stream.write(f"{A}  a.nii\n".encode())
        for _ in range(100):
            stream.write(filler * 1_000_000)
        stream.write(f"\n{B}  b.nii".encode())
    tracemalloc.start()
    (one,) = read(path).values()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert claims(one) == [("a.nii", A), ("b.nii", B)] and one.unusable == {"line too long": 1}
    assert peak < 30_000_000


def test_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "sums.md5"
    path.write_text(f"{A}  ds000001/a.nii\n{B}  ds000002/a.nii\n")
    state = read(path)["ds000002"].state
    os.utime(path, (1, 1))
    assert read_manifest(path, state=json.loads(json.dumps(state))) is None
    assert read_manifest(path, state=state, base_url="https://example.org") is not None
    path.write_text(f"{A}  ds000001/a.nii\n")
    assert list(read(path, state=state)) == ["ds000001"]


# Tables.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", f"md5,path\n{A},{IMAGE}\n"),
        ("x.tsv", f"File Name\tMD5-Sum\tother\n{IMAGE}\t{A.upper()}\tx\n"),
        ("x.csv", f'\ufeff"Checksum";"File"\r\n"md5:{A}";"{IMAGE}"\r\n'),
        ("x.txt", f"size, path, md5, note\n12, {IMAGE}, {A}\n"),
        ("x", f"uri,hash\nhttps://example.org/ds000001/{IMAGE}?v=1#x,{A}\n"),
        ("x", f"uri,hash\n{IMAGE},{A}\n"),
    ],
)  # fmt: skip
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    assert claims(read_text(tmp_path, text, name)) == [(IMAGE, A)]
    assert claims(read_text(tmp_path, gzip.compress(text.encode()), f"{name}.gz")) == [(IMAGE, A)]


def test_urls_of_tables(tmp_path: Path) -> None:
    rows = [
        ("https://example.org/a b/ü.nii?x=1&y=%20", "1.nii"), ("https://user:secret@example.org/2.nii", "2.nii"),
        ("file:///home/me/3.nii", "3.nii"), ("https://[", "4.nii"), ("", "5.nii"),
    ]  # fmt: skip
    text = "md5,url,path\n" + "".join(f"{A},{url},{path}\n" for url, path in rows)
    assert claims(read_text(tmp_path, text, "x.csv"), "url") == [
        "https://example.org/a%20b/%C3%BC.nii?x=1&y=%20", None, None, None, None,
    ]  # fmt: skip
    urls = claims(read_text(tmp_path, text, "x.csv", base_url="https://base.org/"), "url")
    assert urls[1:] == [f"https://base.org/{number}.nii" for number in (2, 3, 4, 5)]
    text = f"md5,url\n{A},file:///home/me/3.nii\n{A},https://[\n{A},https://a.org/%00.nii\n{B},https://a.org/%0A.nii\n"
    one = read_text(tmp_path, text, "x.csv")
    assert claims(one) == [("\n.nii", B)]
    assert one.unusable == {"path leaves the dataset": 1, "no line of a manifest": 2}


def test_a_quote_that_is_never_closed_costs_its_line(tmp_path: Path) -> None:
    rows = [f"{A},{number}.nii" for number in range(100)]
    text = "\n".join(
        ["md5,path", *rows[:50], f'{B},"open.nii', *rows[50:], f'"{C}","two\nlines.nii"', f'{B},"open']
    )
    one = read_text(tmp_path, text, "x.csv")
    assert claims(one) == sorted([*((f"{number}.nii", A) for number in range(100)), ("two\nlines.nii", C)])
    assert one.unusable == {"no line of a manifest": 2}


LETTERS = st.characters(exclude_characters="\0\r\n/\\", exclude_categories=["Cs"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1), max_size=8), st.sampled_from(",;\t"))
def test_names_of_any_text_in_tables(files: list[str], delimiter: str) -> None:
    files = [f"d/{name}.nii" for name in files]
    text = io.StringIO()
    table = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    table.writerows([["md5", "path"], *([A, name] for name in files), [A, "last.nii"]])
    with tempfile.TemporaryDirectory() as folder:
        one = read_text(Path(folder), text.getvalue(), "x.csv")
    assert set(claims(one, "path")) == {*files, "last.nii"}
    assert set(one.unusable) <= {"repeated"}


@pytest.mark.parametrize("header", ["sha256,path", "md5,size", "a\tb", "one"])
def test_a_table_without_the_columns(tmp_path: Path, header: str) -> None:
    with pytest.raises(SourceFailed, match=r"x\.csv: its first line names no columns.*md5.*path"):
        read_text(tmp_path, f"{header}\n{A},{IMAGE}\n", "x.csv")


def test_md5sum_output_in_a_file_called_csv(tmp_path: Path) -> None:
    assert claims(read_text(tmp_path, f"{A}  {IMAGE}\n", "x.csv")) == [(IMAGE, A)]


def test_a_table_of_other_digests(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"SHA-256 digest \(1 times, the first in line 2\)"):
        read_text(tmp_path, f"checksum,path\nsha256:{SHA},{IMAGE}\n", "x.csv")


# BagIt.


def bag(folder: Path, manifest: str, info: str | None = None) -> Path:
    found = folder / "my-bag"
    found.mkdir()
    (found / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (found / "manifest-md5.txt").write_bytes(manifest.encode())
    (found / "manifest-sha256.txt").write_text(f"{SHA}  data/{IMAGE}\n")
    (found / "tagmanifest-md5.txt").write_text(f"{A}  bagit.txt\n")
    if info is not None:
        (found / "bag-info.txt").write_bytes(info.encode())
    return found


def test_a_bag(tmp_path: Path) -> None:
    found = bag(
        tmp_path,
        f"{A}  data/{IMAGE}\r\n{B} \t data/new%0aline%0D%25%41.nii\r\n"
        f"{C} *data/c.nii\r\n{C}  c.nii\r\n{C}  ../data/c.nii",
    )
    (one,) = read(found, base_url="https://example.org/bag").values()
    assert (one.source, one.dataset) == ("my-bag", "my-bag")
    assert claims(one) == [("c.nii", C), ("new\nline\r%%41.nii", B), (IMAGE, A)]
    assert claims(one, "url")[1:] == [
        "https://example.org/bag/data/new%0Aline%0D%25%2541.nii",
        f"https://example.org/bag/data/{IMAGE}",
    ]
    assert one.unusable == {"path outside the bag's payload": 1, "path leaves the dataset": 1}
    assert claims(read(found / "manifest-md5.txt")["my-bag"]) == claims(one)


def test_what_a_bag_says_of_itself(tmp_path: Path) -> None:
    info = "External-Identifier: https://doi.org/10.18112/openneuro.ds000114.v1.0.2\n"
    info += "External-Description: A\r\n\tlong one\n"
    found = bag(tmp_path, f"{A}  data/{IMAGE}\n", info)
    (one,) = read(found).values()
    assert claims(one, "dataset", "doi", "name") == [
        ("my-bag", "10.18112/openneuro.ds000114.v1.0.2", "A long one")
    ]
    (found / "bag-info.txt").write_text("external-identifier: ds000114\n")
    assert read_manifest(found, state=one.state) is not None
    assert list(read(found)) == ["ds000114"]
    assert list(read(found, dataset="mine")) == ["mine"]


def test_other_manifests_of_a_bag(tmp_path: Path) -> None:
    found = bag(tmp_path, f"{A}  data/{IMAGE}\n")
    with pytest.raises(SourceFailed, match="lists the bag's own tag files; expected MD5 of its payload"):
        read_manifest(found / "tagmanifest-md5.txt")
    with pytest.raises(SourceFailed, match="lists sha256 digests"):
        read_manifest(found / "manifest-sha256.txt")
    (found / "manifest-md5.txt").unlink()
    with pytest.raises(
        SourceFailed, match=r"folder with manifest-sha256\.txt, tagmanifest-md5\.txt; expected"
    ):
        read_manifest(found)

"""Keys of git-annex: read as git-annex reads them, whatever somebody may have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.index.keys import (
    LARGEST_POINTER,
    OTHER_LINK,
    Key,
    content_of_file,
    content_of_link,
    key_file,
    key_of_file,
    mixed_directory,
    parse_key,
)
from tests.curation.index.fast_import import git, key, md5

DIGEST = md5("image")

_numbers = st.none() | st.integers(0, 2**63 - 1)
_names = st.text(st.characters(exclude_categories=("Cs",)), max_size=40).filter(lambda name: "." not in name)
_extensions = st.sampled_from(["", ".nii", ".nii.gz", ".gz", ".foo.bar", ".x--y", "."])
_backends = st.sampled_from(["MD5", "MD5E", "SHA256E", "SHA1", "URL", "WORM", "BLAKE2B160E", "XFOO", "GIT"])
keys = st.builds(
    Key, _backends, st.builds(str.__add__, _names, _extensions), _numbers, _numbers, _numbers, _numbers
)


@given(keys)
def test_a_key_is_read_as_it_was_written(one: Key) -> None:
    assert parse_key(str(one)) == one
    assert key_of_file(key_file(one)) == one
    assert "/" not in key_file(one) and ":" not in key_file(one)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    found = parse_key(text)
    assert found is None or parse_key(str(found)) == found


@given(st.binary(max_size=200))
def test_no_bytes_break_links_and_pointer_files(content: bytes) -> None:
    for found in (content_of_link(content), content_of_link(b"/annex/objects/" + content)):
        assert (found.md5 is None) == (found.reason is not None)
    content_of_file(content)
    told = content_of_file(b"/annex/objects/" + content)
    assert told is not None and (told.md5 is None) == (told.reason is not None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"MD5E-s5--{DIGEST}.nii.gz", Key("MD5E", f"{DIGEST}.nii.gz", 5)),
        (f"MD5--{DIGEST}", Key("MD5", DIGEST)),
        ("WORM-s5-m1500000000--a-b--c", Key("WORM", "a-b--c", 5, 1500000000)),
        ("SHA256E-s9-S3-C2--ab.nii", Key("SHA256E", "ab.nii", 9, None, 3, 2)),
        ("MD5E-C2-m1-s5--x", Key("MD5E", "x", 5, 1, None, 2)),  # in any order, says the documentation
        ("MD5E-s005--x", Key("MD5E", "x", 5)),
        ("MD5E-s5---x", Key("MD5E", "-x", 5)),
        ("URL--http&c%%example.org%a", Key("URL", "http&c%%example.org%a")),
        ("MD5E-s5-s6--x", None),
        ("MD5E-s--x", None),
        ("MD5E-s-5--x", None),
        ("MD5E-q5--x", None),
        ("MD5E-s5-x", None),
        ("MD5E", None),
        ("-s5--x", None),
        ("md5-s5--x", None),
        ("", None),
        (f"MD5E-s{2**63}--x", None),
        (f"MD5E-s{'9' * 5000}--x", None),
        ("MD5E-s５--x", None),
        (f"MD5E-s5--x.{'a' * 63}", Key("MD5E", f"x.{'a' * 63}", 5)),
        (f"MD5E-s5--x.{'a' * 64}", None),
        (f"MD5-s5--x.{'a' * 64}", Key("MD5", f"x.{'a' * 64}", 5)),
    ],
)
def test_keys(text: str, expected: Key | None) -> None:
    assert parse_key(text) == expected


def test_git_annex_reads_keys_in_the_same_way(tmp_path: Path) -> None:
    """Wherever git-annex reads a key, the same is read here, and the same folder is named."""
    texts = [
        f"MD5E-s5--{DIGEST}.nii.gz", f"MD5--{DIGEST}", "SHA256E-s1-m2-S3-C4--x.nii", "MD5E-s5--x.é", "WORM-s1-m2--a_b",
        "URL-s7--http://example.org/a%20b?c=d&e", "MD5E-s5---x", f"MD5E-s5--x.{'a' * 63}", f"MD5E-s5--x.{'a' * 64}",
        "MD5E-s5-s6--x", "MD5E-s--x", "MD5E", "XFOO-s1--%&a&s&c:", "FOO--a/../b", "MD5E-s05--x",
    ]  # fmt: skip
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "annex", "init", "--quiet")
    for text in texts:
        found = parse_key(text)
        if found is None:
            with pytest.raises(AssertionError, match="bad key"):
                git(tmp_path, "annex", "examinekey", "--json", text)
            continue
        told = json.loads(git(tmp_path, "annex", "examinekey", "--json", text))
        assert (told["key"], told["backend"], told["keyname"]) == (str(found), found.backend, found.name)
        assert told["bytesize"] == ("unknown" if found.size is None else str(found.size))
        assert told["hashdirmixed"] == f"{mixed_directory(found)}/"
        assert (
            told["objectpath"]
            == f".git/annex/objects/{mixed_directory(found)}/{key_file(found)}/{key_file(found)}"
        )


@pytest.mark.parametrize("extension", ["", ".nii", ".nii.gz", ".gz", ".foo.bar", ".nii.GZ", "."])
@pytest.mark.parametrize("backend", ["MD5", "MD5E"])
def test_the_extension_does_not_matter(backend: str, extension: str) -> None:
    found = content_of_link(f"../.git/annex/objects/a/b/k/{backend}-s7--{DIGEST.upper()}{extension}".encode())
    assert (found.md5, found.size, found.backend, found.reason) == (DIGEST, 7, backend, None)


@pytest.mark.parametrize(
    ("name", "backend", "reason"),
    [
        (f"SHA256E-s7--{'ab' * 32}.nii.gz", "SHA256E", "keys of backend SHA256E tell no MD5"),
        (f"SHA1-s7--{DIGEST}", "SHA1", "keys of backend SHA1 tell no MD5"),
        ("URL--http&c%%example.org%a.nii", "URL", "keys of backend URL tell no MD5"),
        ("WORM-s7-m1--a.nii.gz", "WORM", "keys of backend WORM tell no MD5"),
        (f"MD5E-s7--{DIGEST[:-1]}.nii", "MD5E", "MD5E key whose digest is not 32 hexadecimal digits"),
        (f"MD5E-s7--{DIGEST}0.nii", "MD5E", "MD5E key whose digest is not 32 hexadecimal digits"),
        (f"MD5E-s7--{DIGEST[:-1]}g.nii", "MD5E", "MD5E key whose digest is not 32 hexadecimal digits"),
        ("MD5-s7--", "MD5", "MD5 key whose digest is not 32 hexadecimal digits"),
        (f"MD5E-s7-S3-C1--{DIGEST}.nii", "MD5E", "key of a chunk"),
        (f"MD5E-s0--{md5('')}.nii", "MD5E", "empty file"),
        ("passwd", None, "annexed, but with no git-annex key"),
        ("", None, "annexed, but with no git-annex key"),
    ],
)
def test_keys_that_give_no_checksum_have_a_reason(name: str, backend: str | None, reason: str) -> None:
    found = content_of_link(f"../../.git/annex/objects/aa/bb/{name}/{name}".encode())
    assert (found.md5, found.backend, found.reason) == (None, backend, reason)


@pytest.mark.parametrize(
    "target",
    [
        ".git/annex/objects/aa/bb/{0}/{0}",
        "../../../../../../.git/annex/objects/aa/bb/{0}/{0}",
        "/data/ds/.git/annex/objects/aa/bb/{0}/{0}",
        "../.git/modules/sub/annex/objects/aa/bb/{0}/{0}",
        ".git/annex/objects/{0}",
    ],
)
def test_links_of_any_depth_are_annexed(target: str) -> None:
    assert content_of_link(target.format(key("image")).encode()).md5 == DIGEST


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../other.nii.gz", b"", b"annex/objects/x", b"\xff\n"])
def test_other_links_are_not_annexed(target: bytes) -> None:
    found = content_of_link(target)
    assert (found.md5, found.backend, found.reason) == (None, None, OTHER_LINK)


def test_pointer_files() -> None:
    name = key("image")
    for content in (f"/annex/objects/{name}\n", f"/annex/objects/{name}", f"/annex/objects/{name}\r\n"):
        found = content_of_file(content.encode())
        assert found is not None and (found.md5, found.size, found.file) == (DIGEST, 1000, name)
    longer = content_of_file(f"/annex/objects/{name}\n/annex/objects/{name}\nsee /annex/ there\n".encode())
    assert longer is not None and longer.md5 == DIGEST
    for rest in (b"\x5c\x01data", b"more\n", b"\n", b"/annex/ without an end"):
        found = content_of_file(f"/annex/objects/{name}\n".encode() + rest)
        assert found is not None and found.md5 is None
        assert found.reason == "pointer file with other data after its key"
    assert content_of_file(b"\x5c\x01\x00\x00 an image") is None
    assert content_of_file(b"an image that names /annex/objects/ but no key\n") is None
    broken = content_of_file(b"/annex/objects/nothing\n")
    assert broken is not None and broken.reason == "annexed, but with no git-annex key"
    large = content_of_file(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    assert large is not None and large.md5 is None and large.backend == "git-lfs"
    assert LARGEST_POINTER == 32768

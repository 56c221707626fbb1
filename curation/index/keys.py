"""git-annex keys, and the links and pointer files that name them.

The format is ``BACKEND-sSIZE-mMTIME-SSIZE-CNUMBER--NAME``, every field but backend and name optional:
https://git-annex.branchable.com/internals/key_format/. Where that is silent, ``git annex examinekey`` decided.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

LARGEST_POINTER = 32 * 1024
"""Bytes; a longer file is no pointer file for git-annex, whatever it begins with."""

_KEY = re.compile(r"([A-Z0-9_]{1,40})((?:-[smSC][0-9]+)*)--(.*)", re.DOTALL)
_DIGEST = re.compile(r"[0-9A-Fa-f]{32}")
# git-annex refuses keys with longer extensions: they could hide the colliding bytes of an attack on SHA-1.
_LONGEST_EXTENSION = 64
_LARGEST_SIZE = 2**63 - 1  # of the column that takes it

_OBJECTS = b"/annex/objects/"
_ANNEX = b"/annex/"
_LFS = b"version https://git-lfs.github.com/spec/"  # how pointer files of git-lfs begin
# How a key becomes a file's name: "/" may not stand in one, and ":" not on FAT. The order matters.
_ESCAPES = (("&", "&a"), ("%", "&s"), (":", "&c"), ("/", "%"))

OTHER_LINK = "symlink to no annexed file"


@dataclass(frozen=True, slots=True)
class Key:
    """A git-annex key.

    Attributes:
        backend: e.g. ``MD5E``.
        name: digest and extension, for backends that hash.
        size: bytes of the content.
        mtime: seconds since 1970 (of WORM keys).
        chunk_size: bytes, if the key is that of a chunk of another key's content.
        chunk_number: from 1.
    """

    backend: str
    name: str
    size: int | None = None
    mtime: int | None = None
    chunk_size: int | None = None
    chunk_number: int | None = None

    def __str__(self) -> str:
        fields = {"s": self.size, "m": self.mtime, "S": self.chunk_size, "C": self.chunk_number}
        shown = "".join(f"-{letter}{value}" for letter, value in fields.items() if value is not None)
        return f"{self.backend}{shown}--{self.name}"


@dataclass(frozen=True, slots=True)
class Content:
    """What a link, a pointer file or a file in clear says of an image's bytes.

    Attributes:
        backend: git-annex' backend; ``git`` of a file in clear, ``git-lfs`` of one that is there; None without a key.
        md5: 32 lower-case hexadecimal digits, None where nothing tells it.
        size: bytes, where known.
        file: the key as a file's name, as git-annex has it below ``.git/annex/objects`` and in its logs; of a link
            that leads elsewhere (:data:`OTHER_LINK`), its target.
        reason: why there is no MD5.
    """

    backend: str | None = None
    md5: str | None = None
    size: int | None = None
    file: str | None = None
    reason: str | None = None


def parse_key(text: str) -> Key | None:
    """Read a key; None if it is none.

    The fields between backend and name may come in any order, as the documentation allows, but once each.
    """
    found = _KEY.fullmatch(text)
    if not found:
        return None
    backend, shown, name = found.groups()
    fields: dict[str, int] = {}
    for field in filter(None, shown.split("-")):
        digits = field[1:].lstrip("0") or "0"
        if field[0] in fields or len(digits) > 19 or int(digits) > _LARGEST_SIZE:
            return None
        fields[field[0]] = int(digits)
    _, dot, extension = name.partition(".")
    if (
        backend.endswith("E")
        and len((dot + extension).encode("utf-8", "surrogateescape")) > _LONGEST_EXTENSION
    ):
        return None
    return Key(backend, name, fields.get("s"), fields.get("m"), fields.get("S"), fields.get("C"))


def key_file(key: Key) -> str:
    """The name of the file that holds a key's content, and of its logs but for their extension."""
    text = str(key)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def key_of_file(name: str) -> Key | None:
    """Read a key from a file's name; see :func:`key_file`."""
    for plain, escaped in reversed(_ESCAPES):
        name = name.replace(escaped, plain)
    return parse_key(name)


def mixed_directory(key: Key) -> str:
    """The folder, e.g. ``pX/1J``, of a key's content below ``.git/annex/objects`` of a repository with a work tree.

    https://git-annex.branchable.com/internals/hashing/, "old hash format": five bits of every six of the first word of
    the key's MD5 are a character each. Chunks are where their whole is.
    """
    whole = str(replace(key, chunk_size=None, chunk_number=None)).encode("utf-8", "surrogateescape")
    word = int.from_bytes(hashlib.md5(whole, usedforsecurity=False).digest()[:4], "little")
    a, b, c, d = ("0123456789zqjxkmvwgpfZQJXKMVWGPF"[word >> (6 * place) & 31] for place in range(4))
    return f"{b}{a}/{d}{c}"


def _content(name: bytes) -> Content:
    """What the key in a file's name tells."""
    file = name.decode("utf-8", "surrogateescape")
    key = key_of_file(file)
    if key is None:
        return Content(reason="annexed, but with no git-annex key")
    told = Content(key.backend, None, key.size, file)
    if key.backend not in {"MD5", "MD5E"}:
        return Content(told.backend, None, told.size, file, f"keys of backend {key.backend} tell no MD5")
    if key.chunk_size is not None or key.chunk_number is not None:
        return Content(told.backend, None, told.size, file, "key of a chunk")
    digest = key.name.partition(".")[0]
    if not _DIGEST.fullmatch(digest):
        return Content(
            told.backend,
            None,
            told.size,
            file,
            f"{key.backend} key whose digest is not 32 hexadecimal digits",
        )
    if key.size == 0:
        return Content(told.backend, None, 0, file, "empty file")
    return Content(told.backend, digest.lower(), key.size, file)


def content_of_link(target: bytes) -> Content:
    """What a symlink tells. Nothing is followed: as for git-annex, only what the target says counts.

    A link is annexed if its target has ``/annex/objects/`` in it; the key is its last part. How many ``..`` come first
    does not matter: links of files that were moved point to nowhere until ``git annex fix``.
    """
    if _OBJECTS not in target:
        return Content(reason=OTHER_LINK, file=target.decode("utf-8", "surrogateescape"))
    return _content(target.rpartition(b"/")[2])


def content_of_file(content: bytes) -> Content | None:
    """What a file of at most :data:`LARGEST_POINTER` bytes tells if it is a pointer file; None if it is in clear.

    A pointer file's first line has the key, and every further line ``/annex/`` in it
    (https://git-annex.branchable.com/internals/pointer_file/). Anything else after the key makes it a mixture of
    pointer and data, which is neither an image nor an annexed file.
    """
    if content.startswith(_LFS):
        return Content("git-lfs", reason="files of git-lfs tell no MD5")
    first, _, rest = content.partition(b"\n")
    if _OBJECTS not in first:
        return None
    told = _content(first.removesuffix(b"\r").rpartition(b"/")[2])
    if told.backend is None and not first.startswith(_OBJECTS):
        return None
    if rest and not (rest.endswith(b"\n") and all(_ANNEX in line for line in rest[:-1].split(b"\n"))):
        return Content(told.backend, None, told.size, told.file, "pointer file with other data after its key")
    return told

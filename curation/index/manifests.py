"""Checksum manifests: what ``md5sum`` and BSD's ``md5`` print, BagIt's, and tables (CSV, TSV); plain or gzipped.

A line of a manifest is a claim, and anybody can write one. Claims that contradict each other are therefore all kept,
and counted; lines that claim nothing of an image within its dataset are kept out, and counted as well.

Sources: https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html and
https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html (``md5sum``),
https://www.rfc-editor.org/rfc/rfc8493 (BagIt).
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import logging
import re
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import quote, unquote, urlsplit

from curation.errors import UsageError
from curation.index.bags import Bag, file_and_bag
from curation.index.claims import IMAGES, LEAVES, Claims, place_of, plain_path
from curation.index.folder import opened
from curation.index.model import SourceFailed, SourceRead

log = logging.getLogger(__name__)

NO_CLAIM = "no line of a manifest"
TOO_LONG = "line too long"
NUL_BYTE = "NUL byte"
OUTSIDE = "path outside the bag's payload"
NO_SIZE = "size is no number"  # kept, without a size

LONGEST_LINE = 1 << 16
"""Bytes. Linux has no longer paths than 4,096, which percent-encoding makes three times as long."""
_BLOCK = 1 << 20
_NAMED = 20  # faults whose lines are named; all are counted
_FIELD_LINES = 16  # lines of one field of a table, at most
_FORMAT = b"1"  # part of the state: another reading of the same manifest is another number

_ALGORITHMS = {32: "MD5", 40: "SHA-1", 56: "SHA-224", 64: "SHA-256", 96: "SHA-384", 128: "SHA-512"}
# A digest, a blank, " " for text or "*" for binary, and the name; a single blank is `md5 -r`. A backslash in front says
# that the name is escaped.
_GNU = re.compile(rb"(\\?)([0-9A-Fa-f]{32,128})(?: [ *]|[ \t]+)(.+)", re.DOTALL)
# `md5`, `md5sum --tag`, and without blanks `openssl md5`. The name may have ") = " in it.
_BSD = re.compile(rb"(\\?)([A-Z][A-Za-z0-9/-]+) ?\((.+)\) ?= ([0-9A-Fa-f]{32,128})", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)
_ESCAPED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}
# RFC 8493, 2.1.3: these and only these are percent-encoded, and blanks or tabs separate.
_BAG = re.compile(rb"([0-9A-Fa-f]{32,128})[ \t]+\*?(.+)", re.DOTALL)
_BAG_ENCODED = re.compile(rb"%(0[AaDd]|25)")
_PAYLOAD = "data/"
_CELL = re.compile(r"(?:(?:md5|sha-?\d+):)?([0-9A-Fa-f]{32,128})", re.IGNORECASE)
_SIZE = re.compile(r"[0-9]{1,18}")
_SCHEMES = {"http", "https", "ftp"}
_DIGEST_COLUMNS = ("md5", "md5sum", "md5checksum", "md5hash", "checksummd5", "checksum", "hash", "digest")
_PATH_COLUMNS = ("path", "filepath", "relativepath", "file", "filename", "name")
_URL_COLUMNS = ("url", "uri", "downloadurl", "fileurl")
_SIZE_COLUMNS = ("size", "sizebytes", "bytes", "filesize", "length")

_BYTES = "surrogateescape"  # names are bytes; those that are no UTF-8 go through

Claim = tuple[int, str, str, int | None, str | None]
"""Number of its line, MD5 (or a digest of another length), path as listed, size and URL where they are listed."""


def read_manifest(
    path: Path,
    *,
    dataset: str | None = None,
    base_url: str | None = None,
    address: str | None = None,
    state: Mapping[str, Any] | None = None,
) -> list[SourceRead] | None:
    """What a manifest says of NIfTI images; other files that it lists are passed over.

    Args:
        path: a file, or the folder of a bag, whose ``manifest-md5.txt`` is read.
        dataset: whose images they are; without it the first folder of a path that is an accession (``ds000114``) tells,
            else what ``bag-info.txt`` has as ``External-Identifier``, else the name of the manifest or bag.
        base_url: where the listed paths can be fetched below; a URL in a table goes first.
        address: what the copies have as their source, instead of the name of the manifest or bag.
        state: of any of the datasets read before.

    Returns:
        A read a dataset; ``None`` if manifest and arguments are as they were. Lines without a claim are counted under
        the manifest's own dataset, or the only one. Of a path with several digests all are kept, those after the first
        are counted as ``conflicting digest``; of a digest with several sizes all are kept and counted as ``conflicting
        size``; a line that comes again is counted as ``repeated``.

    Raises:
        SourceFailed: it cannot be read, is cut off, or lists no MD5 of a NIfTI image at all.
        UsageError: ``base_url`` is no URL.
    """
    if base_url is not None and not _is_url(base_url):
        raise UsageError("base URL: cannot be published; expected https://host/folder, without a user")
    try:
        return _read(Path(path), dataset, base_url, address, state)
    except OSError as error:
        reason = error.strerror or error
        raise SourceFailed(f"{path}: cannot be read ({reason}); check path and rights") from error


def _read(
    path: Path,
    dataset: str | None,
    base_url: str | None,
    address: str | None,
    state: Mapping[str, Any] | None,
) -> list[SourceRead] | None:
    file, bag = file_and_bag(path)
    own_name = (bag.dataset or bag.folder) if bag else file.name.partition(".")[0]
    claims = Claims(address or (bag.folder if bag else file.name), dataset or own_name or file.name)
    faults = _Faults(file.name)
    with opened(file) as stream:
        new = {"manifest": _digest(stream, (dataset, base_url, bag))}
        if state == new:
            return None
        with _unpacked(file, stream) as content:
            listed = _take(claims, _claims(file, content, faults, bag), faults, dataset, base_url, bag)
    if not claims:
        raise SourceFailed(_nothing(file, listed, faults))
    claims.note(faults.told())
    return claims.finish(new, name=bag.name if bag else None, doi=bag.doi if bag else None)


def _take(
    claims: Claims,
    found: Iterator[Claim],
    faults: _Faults,
    dataset: str | None,
    base_url: str | None,
    bag: Bag | None,
) -> int:
    """Take the claims on images; returns how many files are listed with an MD5."""
    base = base_url and _quoted(base_url.rstrip("/"))
    listed = 0
    for number, digest, path, size, url in found:
        if len(digest) != 32:
            faults.add(number, f"{_ALGORITHMS.get(len(digest), 'unknown')} digest")
            continue
        listed += 1
        if not path.endswith(IMAGES):
            continue
        plain = plain_path(path)
        if plain is None:
            faults.add(number, LEAVES)
        elif bag and not plain.startswith(_PAYLOAD):
            faults.add(number, OUTSIDE)
        else:
            owner, below = place_of(plain.removeprefix(_PAYLOAD) if bag else plain, dataset)
            where = f"{base}/{quote(plain, errors=_BYTES)}" if base and url is None else url
            claims.add(owner, digest.lower(), below, size, where)
    return listed


def _nothing(file: Path, listed: int, faults: _Faults) -> str:
    """Why there is no image in a manifest."""
    if faults.counts:
        told = ", ".join(
            f"{reason} ({count} times, the first in line {faults.first[reason]})"
            for reason, count in faults.counts.most_common()
        )
    else:
        told = f"{listed} other files" if listed else "nothing"
    return (
        f"{file}: lists no MD5 of a NIfTI image (.nii, .nii.gz), but {told}; expected lines like"
        " `<32 hexadecimal digits>  <path>`, or columns md5 and path; write it with md5sum"
    )


class _Faults:
    """Lines that are no claim: all are counted, and the first ones named in the log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.first: dict[str, int] = {}

    def add(self, number: int, reason: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, number)
        if self.counts.total() <= _NAMED:
            log.warning("%s, line %d: %s", self.name, number, reason)

    def told(self) -> Counter[str]:
        """All of them, when there will be no more."""
        if self.counts.total() > _NAMED:
            log.warning("%s: %d more lines of that kind", self.name, self.counts.total() - _NAMED)
        return self.counts


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.hostname) and "@" not in parts.netloc


def _quoted(url: str) -> str:
    """A URL in which characters that no URL has are percent-encoded."""
    return quote(url, safe="%:/?#[]@!$&'()*+,;=~", errors=_BYTES)


def _digest(stream: BinaryIO, arguments: object) -> str:
    digest = hashlib.sha256(_FORMAT + repr(arguments).encode("utf-8", "backslashreplace"))
    while block := stream.read(_BLOCK):
        digest.update(block)
    stream.seek(0)
    return digest.hexdigest()


@contextmanager
def _unpacked(file: Path, stream: BinaryIO) -> Iterator[BinaryIO]:
    gzipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if not gzipped:
        yield stream
        return
    try:
        with gzip.open(stream) as content:
            yield cast(BinaryIO, content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceFailed(f"{file}: its gzip data are cut off or damaged ({error}); get it anew") from error


def _lines(content: BinaryIO, faults: _Faults) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of the lines that may be claims; LF, CR LF, or (where there is no LF) CR end them."""
    block = content.read(_BLOCK)
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceFailed(
            f"{faults.name}: is UTF-16; expected UTF-8; convert it, e.g. with iconv -f UTF-16 -t UTF-8"
        )
    block = block.removeprefix(codecs.BOM_UTF8)
    end = b"\r" if b"\r" in block and b"\n" not in block else b"\n"
    number, rest, too_long = 0, b"", False
    while block or rest or too_long:
        pieces = (rest + block).split(end)
        rest = pieces.pop() if block else b""  # the last line may have no end
        for piece in pieces:
            number += 1
            line = piece.removesuffix(b"\r")
            if too_long or len(line) > LONGEST_LINE:
                faults.add(number, TOO_LONG)
                too_long = False
            elif b"\0" in line:
                faults.add(number, NUL_BYTE)
            elif line and not line.isspace():
                yield number, line
        if len(rest) > LONGEST_LINE:
            rest, too_long = b"", True
        block = content.read(_BLOCK)


def _claims(file: Path, content: BinaryIO, faults: _Faults, bag: Bag | None) -> Iterator[Claim]:
    lines = _lines(content, faults)
    # A comment may stand in front; coreutils pass it over as well.
    first = next((one for one in lines if not one[1].startswith(b"#")), None)
    if first is None:
        return iter(())
    if bag:
        return _bag_claims(chain([first], lines), faults)
    if columns := _Columns.of(first[1]):
        return _table_claims(lines, columns, faults)
    if {".csv", ".tsv"} & set(file.suffixes) and not (_GNU.fullmatch(first[1]) or _BSD.fullmatch(first[1])):
        raise SourceFailed(
            f"{file}: its first line names no columns of paths and checksums; expected one of"
            f" {', '.join(_DIGEST_COLUMNS)}, and one of {', '.join((*_PATH_COLUMNS, *_URL_COLUMNS))}"
        )
    return _md5sum_claims(chain([first], lines), faults)


def _text(name: bytes) -> str:
    return name.decode("utf-8", _BYTES)


def _md5sum_claims(lines: Iterator[tuple[int, bytes]], faults: _Faults) -> Iterator[Claim]:
    for number, line in lines:
        if match := _GNU.fullmatch(line):
            escaped, digest, name = match.groups()
        elif match := _BSD.fullmatch(line):
            escaped, algorithm, name, digest = match.groups()
            digest = digest if algorithm == b"MD5" or len(digest) > 32 else b""
        elif line.startswith(b"#"):
            continue
        else:
            faults.add(number, NO_CLAIM)
            continue
        try:
            if escaped:
                name = _ESCAPE.sub(lambda found: _ESCAPED[found[1]], name)
            yield number, digest.decode(), _text(name), None, None
        except KeyError:
            faults.add(number, NO_CLAIM)


def _bag_claims(lines: Iterator[tuple[int, bytes]], faults: _Faults) -> Iterator[Claim]:
    for number, line in lines:
        match = _BAG.fullmatch(line)
        if match is None:
            faults.add(number, NO_CLAIM)
            continue
        name = _BAG_ENCODED.sub(lambda found: bytes.fromhex(found[1].decode()), match[2])
        yield number, match[1].decode(), _text(name), None, None


class _Columns(NamedTuple):
    """Where in a row of a table what is; at least one of path and URL is there."""

    delimiter: str
    digest: int
    path: int | None
    url: int | None
    size: int | None

    @classmethod
    def of(cls, header: bytes) -> _Columns | None:
        """Those that a header names; None if it is no header of a manifest."""
        for delimiter in "\t,;":
            names = [re.sub(r"[\W_]+", "", name).lower() for name in _row(header, delimiter) or ()]
            digest, path, url, size = (
                next((names.index(name) for name in wanted if name in names), None)
                for wanted in (_DIGEST_COLUMNS, _PATH_COLUMNS, _URL_COLUMNS, _SIZE_COLUMNS)
            )
            if digest is not None and (path is not None or url is not None):
                return cls(delimiter, digest, path, url, size)
        return None


def _row(text: bytes, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([_text(text)], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return None


def _rows(
    lines: Iterator[tuple[int, bytes]], delimiter: str, faults: _Faults
) -> Iterator[tuple[int, list[str]]]:
    """Rows of a table, and the numbers of the lines where they begin.

    A field in quotes may have line ends. A quote that is never closed costs its own line, and not all that follow.
    """
    waiting: deque[tuple[int, bytes]] = deque()
    while one := waiting.popleft() if waiting else next(lines, None):
        number, text = one
        following: list[tuple[int, bytes]] = []
        row = _row(text, delimiter)
        while row is None and text.count(b'"') % 2 and len(following) < _FIELD_LINES:
            further = waiting.popleft() if waiting else next(lines, None)
            if further is None:
                break
            following.append(further)
            text += b"\n" + further[1]
            row = _row(text, delimiter)
        if row is not None:
            yield number, row
        else:
            waiting.extendleft(reversed(following))
            faults.add(number, NO_CLAIM)


def _table_claims(lines: Iterator[tuple[int, bytes]], columns: _Columns, faults: _Faults) -> Iterator[Claim]:
    for number, row in _rows(lines, columns.delimiter, faults):
        digest, path, url, size = (row[at] if at is not None and at < len(row) else "" for at in columns[1:])
        match = _CELL.fullmatch(digest.strip())
        where, path_there = _taken_apart(url.strip())
        path = path or path_there
        if match is None or not path or "\0" in path:
            faults.add(number, NO_CLAIM)
            continue
        size = size.strip()
        number_of_bytes = int(size) if _SIZE.fullmatch(size) else None
        if size and number_of_bytes is None:
            faults.add(number, NO_SIZE)
        yield number, match[1], path, number_of_bytes, where


def _taken_apart(url: str) -> tuple[str | None, str]:
    """A URL as it may be published (else None), and the path in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, ""
    if not parts.scheme:
        return None, url
    path = unquote(parts.path, errors=_BYTES)
    if not _is_url(url):
        return None, path
    return _quoted(url), path.lstrip("/")

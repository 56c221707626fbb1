"""``SHA256SUMS``: what ``sha256sum -c`` checks a copy of a release by."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from curation.errors import UsageError

# https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html: a line whose name holds one of these
# begins with a backslash.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")


def sha256sums(digests: Mapping[str, str]) -> bytes:
    """A checksum file in the format of coreutils' ``sha256sum``.

    Args:
        digests: path of a file, relative to the folder that the checksum file is in, to its SHA-256 (hex).

    Returns:
        A line a file, ordered by the bytes of the paths.
    """
    names = sorted(digests, key=os.fsencode)
    return b"".join(os.fsencode(_line(name, digests[name])) for name in names)


def _line(name: str, digest: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in name)
    return f"{'' if escaped == name else chr(92)}{digest.lower()}  {escaped}\n"


def read_sha256sums(content: bytes) -> dict[str, str]:
    """Read what :func:`sha256sums` wrote: path to SHA-256 (hex).

    Raises:
        UsageError: a line is none of such a file, or two are of one path.
    """
    found: dict[str, str] = {}
    text = os.fsdecode(content)
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"SHA256SUMS, line {number}: expected a SHA-256, two blanks and a path")
        name = match[3]
        if match[1]:
            name = re.sub(r"\\[\\nr]", lambda escape: _UNESCAPES[escape[0]], name)
        if name in found:
            raise UsageError(f"SHA256SUMS, line {number}: {name!r} is there twice")
        found[name] = match[2]
    return found

"""The git-annex branch: where the contents of keys can be fetched.

Its files are documented at https://git-annex.branchable.com/internals/: ``remote.log`` and ``trust.log`` tell of
remotes, ``<folders>/<key>.log`` of where a key is, ``<key>.log.web`` of URLs, and ``<key>.log.rmet`` what a remote
needs to know of a key, which for S3 is the version of the object (field ``V``, ``<version id>#<object>``).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from curation.index.git import Objects, Repository, without_credentials
from curation.index.keys import key_of_file

_PLACES, _METADATA, _WEB = ".log", ".log.rmet", ".log.web"
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)s?")
# Blanks and "&" of values in remote.log.
_ESCAPED = re.compile(r"&([0-9]{1,7});")
_LARGEST_LOG = 1 << 22  # bytes


@dataclass(frozen=True)
class _Remote:
    """A public S3 bucket.

    Attributes:
        base: what comes before an object's name in its URL.
        prefix: of the names of its objects.
        exported: whether objects are called as the files of a version are, and not as keys.
        whole: whether every key is one object.
        alive: not declared dead.
        changed: when its settings were, seconds since 1970.
    """

    uuid: str
    base: str
    prefix: str
    exported: bool
    whole: bool
    alive: bool
    changed: float


@dataclass(frozen=True)
class _Stored:
    """A version of an object on S3."""

    remote: _Remote
    object: str
    version: str
    time: float


class AnnexBranch:
    """What the git-annex branch, and remotes' copies of it that were not merged yet, say together.

    Attributes:
        remotes: public S3 buckets, best first.
    """

    def __init__(self, repository: Repository, objects: Objects, commits: Iterable[str]) -> None:
        """List its files.

        Args:
            repository: whose branch it is.
            objects: of it.
            commits: of the branch and its copies.
        """
        self._objects = objects
        self._files: dict[str, set[str]] = {}
        for commit in commits:
            for _, blob, path in repository.files(commit):
                # Folders are hashes of the name, and there may be one or two levels of them.
                self._files.setdefault(_text(path).rpartition("/")[2], set()).add(blob)
        dead = _dead(self._lines("trust.log"))
        self.remotes = sorted(
            _public_remotes(self._lines("remote.log"), dead),
            key=lambda one: (not one.alive, -one.changed, one.uuid),
        )
        self._stored: dict[str, list[_Stored]] = {}
        self._places: dict[str, set[str]] = {}
        self._web: dict[str, list[str]] = {}

    def read(self, keys: Iterable[str]) -> None:
        """Read at once the logs of keys, given as names of files; :meth:`url` knows only of these."""
        remotes = {remote.uuid: remote for remote in self.remotes}
        # What there is most of is read only where it can tell something.
        by_key = any(remote.whole and remote.alive and not remote.exported for remote in self.remotes)
        kinds = (_METADATA, _WEB, _PLACES) if by_key else (_METADATA, _WEB)
        wanted = [(key, kind) for key in keys for kind in kinds if key + kind in self._files]
        texts = self._texts([key + kind for key, kind in wanted])
        for key, kind in wanted:
            lines = _lines(texts[key + kind])
            if kind == _METADATA:
                self._stored[key] = list(_stored(lines, remotes))
            elif kind == _WEB:
                self._web[key] = [url for url in map(_encoded, _there(lines)) if _is_public(url)]
            else:
                self._places[key] = set(_there(lines))

    def url(self, path: str, keys: Iterable[str], *, in_newest: bool) -> str | None:
        """Where a file can be fetched, None where the branch does not tell.

        In this order: the version of the S3 object that was exported under its path, other S3 objects with the same
        content (both of remotes that are not dead first, the latest first), an object that is called as the key, the
        object under its path without a version if the newest version of the dataset has the file, and URLs.

        Args:
            path: of the file.
            keys: its keys, as names of files.
            in_newest: whether the newest version of the dataset has the content at that path.
        """
        keys = list(keys)
        versions = [stored for key in keys for stored in self._stored.get(key, ())]
        if versions:
            best = min(versions, key=lambda one: _rank(one, path))
            return f"{best.remote.base}/{_quoted(best.object)}?versionId={_quoted(best.version, safe='')}"
        return next(self._without_version(path, keys, in_newest), None)

    def _without_version(self, path: str, keys: list[str], in_newest: bool) -> Iterator[str]:
        alive = [remote for remote in self.remotes if remote.alive]
        for remote in alive:
            for key in keys:
                if remote.whole and not remote.exported and remote.uuid in self._places.get(key, ()):
                    yield f"{remote.base}/{_quoted(f'{remote.prefix}{key_of_file(key) or key}')}"
        for remote in alive:
            if remote.exported and in_newest and keys:
                yield f"{remote.base}/{_quoted(remote.prefix + path)}"
        for key in keys:
            yield from self._web.get(key, ())

    def _texts(self, names: list[str]) -> dict[str, list[bytes]]:
        """Contents of files; of copies that differ, all: git-annex merges them by taking the lines of both."""
        blobs = dict.fromkeys(blob for name in names for blob in sorted(self._files[name]))
        contents = {
            found.id: found.content or b"" for found in self._objects.read(blobs, largest=_LARGEST_LOG)
        }
        return {name: [contents[blob] for blob in sorted(self._files[name])] for name in names}

    def _lines(self, name: str) -> list[str]:
        return _lines(self._texts([name])[name]) if name in self._files else []


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _quoted(text: str, safe: str = "/") -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe)


def _lines(texts: Iterable[bytes]) -> list[str]:
    return [_text(line) for text in texts for line in text.split(b"\n") if line]


def _time(text: str) -> float | None:
    found = _TIME.fullmatch(text)
    return float(found[1]) if found else None


def _rank(stored: _Stored, path: str) -> tuple[bool, bool, float, str, str]:
    elsewhere = stored.object != stored.remote.prefix + path
    return (not stored.remote.alive, elsewhere, -stored.time, stored.object, stored.version)


def _latest(lines: Iterable[str]) -> Iterator[tuple[str, list[str], float]]:
    """Of logs with ``<uuid> <words> timestamp=<seconds>s`` a line: the last line of every uuid, its words and time."""
    latest: dict[str, tuple[float, list[str]]] = {}
    for line in lines:
        uuid, *words = line.split(" ")
        times = [
            time for word in words if word.startswith("timestamp=") and (time := _time(word[10:])) is not None
        ]
        found = (times[-1] if times else 0.0, words)
        latest[uuid] = max(latest.get(uuid, found), found)
    for uuid, (changed, words) in latest.items():
        yield uuid, words, changed


def _dead(lines: Iterable[str]) -> set[str]:
    return {uuid for uuid, words, _ in _latest(lines) if words[:1] == ["X"]}


def _public_remotes(lines: Iterable[str], dead: set[str]) -> Iterator[_Remote]:
    """S3 remotes that anybody may read.

    ``publicurl`` says so by itself: buckets that are public by their policy have ``public=no``, which is about access
    lists only (https://git-annex.branchable.com/special_remotes/S3/).
    """
    for uuid, words, changed in _latest(lines):
        pairs = (word.partition("=") for word in words if "=" in word)
        settings = {name: _ESCAPED.sub(_unescape, value) for name, _, value in pairs}
        base = _base(settings)
        if settings.get("type") == "S3" and settings.get("encryption", "none") == "none" and base:
            exported = settings.get("exporttree") == "yes"
            whole = "chunk" not in settings and "chunksize" not in settings
            yield _Remote(
                uuid, base, settings.get("fileprefix", ""), exported, whole, uuid not in dead, changed
            )


def _base(settings: Mapping[str, str]) -> str | None:
    url = settings.get("publicurl", "").rstrip("/")
    if url:
        return _encoded(url) if _is_public(url) else None
    bucket = settings.get("bucket", "")
    if settings.get("public") == "yes" and settings.get("host") == "s3.amazonaws.com" and bucket:
        return f"https://{_quoted(bucket, safe='')}.s3.amazonaws.com"
    return None


def _unescape(found: re.Match[str]) -> str:
    number = int(found[1])
    return chr(number) if number < 0xD800 else found[0]


def _is_public(url: str) -> bool:
    """Whether it is a URL that anybody can open and that tells no password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and without_credentials(url) == url


def _stored(lines: Iterable[str], remotes: Mapping[str, _Remote]) -> Iterator[_Stored]:
    """Versions of objects that a key's log says are there: set (``+``), and not unset (``-``) later.

    A line is ``<seconds>s <uuid>:V +<value> ...``; more fields and values may follow.
    """
    states: dict[tuple[str, str], tuple[float, bool]] = {}
    for line in lines:
        first, *words = line.split(" ")
        time, field = _time(first), ""
        for word in words if time is not None else []:
            if word[:1] not in {"+", "-"}:
                field = word
            elif field.endswith(":V") and time is not None:
                entry = (field[:-2], _value(word[1:]))
                states[entry] = max(states.get(entry, (time, False)), (time, word[0] == "+"))
    for (uuid, value), (time, is_set) in states.items():
        version, _, name = value.partition("#")
        if is_set and uuid in remotes and version and name:
            yield _Stored(remotes[uuid], name, version, time)


def _value(text: str) -> str:
    """A value of metadata; those with blanks are in base64 after a ``!``."""
    if not text.startswith("!"):
        return text
    try:
        return _text(base64.b64decode(text[1:], validate=True))
    except (binascii.Error, ValueError):
        return ""


def _there(lines: Iterable[str]) -> list[str]:
    """What a log with ``<seconds>s <state> <value>`` a line says is there (state 1), the latest first."""
    states: dict[str, tuple[float, bool]] = {}
    for line in lines:
        first, _, rest = line.partition(" ")
        state, _, value = rest.partition(" ")
        time = _time(first)
        if time is not None and value:
            states[value] = max(states.get(value, (time, False)), (time, state == "1"))
    return [value for _, value in sorted((-time, value) for value, (time, there) in states.items() if there)]


def _encoded(url: str) -> str:
    """A URL of a log, with what may not stand in one percent-encoded.

    One that begins with a colon is for a special remote, which may know it to be a plain one; those of ``yt:`` and
    other downloaders lead to pages, not to files, and are no public ones.
    """
    return _quoted(url.removeprefix(":"), safe="!#$%&'()*+,/:;=?@[]~")

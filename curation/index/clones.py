"""Repositories by their addresses: folders, bundles and URLs; and the subdatasets that a superdataset registers."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from curation.index.git import Repository, run, without_credentials
from curation.index.model import SourceFailed

FETCH_SECONDS = 3600
"""Longest time for bringing in what is new of one repository. One that stalls is given up after a minute."""
LIST_SECONDS = 120
"""Longest time for asking a server what refs it has."""

_LOG = logging.getLogger(__name__)
_SCHEMES = {"http", "https", "ssh", "git", "git+ssh", "ssh+git"}
_SCP = re.compile(r"[^/:-][^/:]*:(?!//|:)")  # git's short form of ssh addresses: user@host:path
_BRANCHES = ("refs/heads/main", "refs/heads/master", "refs/remotes/origin/main", "refs/remotes/origin/master")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def scheme_of(address: str) -> str:
    """What stands before ``://``, in lower case."""
    return address.partition("://")[0].lower()


def local_path(address: str) -> Path | None:
    """Where a repository is on this machine, absolute; None if the address is of another one.

    Raises:
        SourceFailed: there is nothing, or the address is of a kind that is not read.
    """
    if address.startswith("file://"):
        # file://host/path; what is no address at all is git's to refuse.
        place = Path("/" + unquote(address.removeprefix("file://").partition("/")[2]))
    elif "://" in address:
        scheme = scheme_of(address)
        if scheme not in _SCHEMES:
            raise SourceFailed(
                f"{without_credentials(address)}: addresses of kind {scheme}:// are not read; "
                f"give a path or one of {', '.join(sorted(_SCHEMES))}"
            )
        return None
    elif _SCP.match(address) and not Path(address).exists():
        return None
    else:
        place = Path(address)
    if not (place.is_file() or place.is_dir()):
        raise SourceFailed(
            f"{address}: there is no such file or folder; expected a git repository or a bundle"
        )
    return place.absolute()


def _git_dir(folder: Path, address: str) -> Path:
    """The ``.git`` of a folder. Git is not asked: it would find a repository that the folder is somewhere within."""
    found = None
    if (folder / ".git").exists():
        found = folder / ".git"
    elif (folder / "HEAD").is_file() and (folder / "objects").is_dir():
        found = folder
    if found is not None and (found / "shallow").exists():
        raise SourceFailed(
            f"{address}: is a shallow clone, without its history; run git fetch --unshallow in it"
        )
    if found is not None:
        return found
    raise SourceFailed(
        f"{address}: is no git repository (neither .git nor a bare one); name the folder of one"
    )


def list_refs(address: str) -> dict[str, str]:
    """Refs of a repository, and ``HEAD``, to object ids. Nothing is fetched; this is how news are noticed.

    Raises:
        SourceFailed: there is no such repository, it cannot be reached, or nothing was committed to it yet.
    """
    shown, place = without_credentials(address), local_path(address)
    if place is None:
        patterns = ["HEAD", "refs/heads/*", "refs/tags/*"]
        advice = "check the address and the network, and try again"
        command = ["ls-remote", "--", _url(address), *patterns]
        printed = run(shown, *command, network=True, seconds=LIST_SECONDS, advice=advice)
    elif place.is_dir():
        printed = Repository(shown, _git_dir(place, shown)).run("show-ref", "--head", allowed=(0, 1))
    else:
        advice = "expected a bundle as git bundle create makes it; get it anew"
        printed = run(shown, "bundle", "list-heads", str(place), advice=advice)
    refs = _refs(printed)
    if not refs:
        what = "nothing was committed to it yet, or it is a bundle that was cut off; get it anew"
        raise SourceFailed(f"{shown}: has no commits; {what}")
    return refs


def _refs(printed: bytes) -> dict[str, str]:
    """Names to object ids, from lines of ``show-ref``, ``ls-remote`` or ``bundle list-heads``."""
    refs = {}
    for line in printed.decode("utf-8", "backslashreplace").split("\n"):
        object_id, _, name = line.replace("\t", " ").partition(" ")
        if _OBJECT_ID.fullmatch(object_id) and not name.endswith("^{}"):
            refs[name] = object_id
    return refs


def _url(address: str) -> str:
    """An address as git reads it: ``git+ssh`` is an old name of ``ssh``."""
    return re.sub(r"^(?:git\+ssh|ssh\+git)://", "ssh://", address)


@contextmanager
def opened(address: str, cache: Path, refs: Mapping[str, str]) -> Iterator[Repository]:
    """A repository on this machine with all that ``refs`` lead to, while it is needed.

    Folders are read where they are. Bundles are unpacked into a temporary folder. Of other addresses a bare clone is
    kept, and brought up to date.

    Args:
        address: a folder, a bundle, or a URL.
        cache: where clones are kept.
        refs: of it, see :func:`list_refs`.

    Raises:
        SourceFailed: it cannot be fetched or unpacked.
    """
    shown, place = without_credentials(address), local_path(address)
    if place is not None and place.is_dir():
        yield Repository(shown, _git_dir(place, shown), refs)
    elif place is not None:
        with tempfile.TemporaryDirectory(prefix="mriqc-snapshot-") as folder:
            # A detached HEAD is no ref, and would be left behind.
            wanted = ["+refs/*:refs/*", *(["+HEAD:refs/bundle/HEAD"] if "HEAD" in refs else [])]
            advice = (
                "the bundle is cut off or damaged, or holds only what is new since another one; get it anew"
            )
            yield _fetched(shown, str(place), Path(folder), wanted, refs, advice)
    else:
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", shown.rstrip("/"))[-60:].strip("-.")
        clone = cache.absolute() / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}.git"
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(clone.with_suffix(".lock")):
            wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
            advice = f"check the network and try again; if it is the copy that is damaged, remove {clone}"
            yield _fetched(shown, _url(address), clone, wanted, refs, advice)


def _fetched(
    shown: str, origin: str, clone: Path, wanted: list[str], refs: Mapping[str, str], advice: str
) -> Repository:
    """Fetch refs into a bare repository, made if need be. What was killed is completed by the next."""
    for lock in [*clone.glob("*.lock"), *clone.glob("refs/**/*.lock")]:
        # Of a fetch that was killed: no other may work here, and none lasts so long.
        if time.time() - lock.stat().st_mtime > FETCH_SECONDS:
            lock.unlink()
    kind = "sha256" if len(next(iter(refs.values()))) == 64 else "sha1"
    run(shown, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", str(clone))
    quiet = ["fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head"]
    fetch = [f"--git-dir={clone}", *quiet, "--", origin, *wanted]
    run(shown, *fetch, network=True, seconds=FETCH_SECONDS, advice=advice)
    known = _refs(Repository(shown, clone).run("show-ref", allowed=(0, 1)))
    if refs.get("HEAD") in known.values():
        known["HEAD"] = refs["HEAD"]
    return Repository(shown, clone, known)


def heads(refs: Mapping[str, str]) -> list[str]:
    """Refs that may be a repository's head, the likeliest first."""
    return [ref for ref in ("HEAD", *_BRANCHES) if ref in refs]


def registered_subdatasets(address: str, cache: Path) -> list[tuple[str, str]]:
    """Paths and addresses of the subdatasets that the head of a superdataset registers, sorted by path.

    ``datalad-url`` goes before ``url``. Relative addresses are resolved as ``git submodule`` does: against the
    superdataset's address, or, of a clone on this machine that has no such subdataset beside it, against where that was
    cloned from. Left out, and logged, are entries without a usable address or without a commit, and folders of this
    machine that a superdataset elsewhere names.

    Args:
        address: of the superdataset: a folder, a bundle, or a URL.
        cache: where clones of URLs are kept.

    Raises:
        SourceFailed: it cannot be read.
    """
    refs = list_refs(address)
    with opened(address, cache, refs) as repository:
        head = next((repository.refs[ref] for ref in heads(repository.refs)), None)
        files = {path: mode for mode, _, path in repository.files(head)} if head else {}
        if not files.get(b".gitmodules", b"").startswith(b"100"):
            return []
        printed = repository.run("config", "-z", "--blob", f"{head}:.gitmodules", "--list")
        origin = repository.run("config", "--get", "remote.origin.url", allowed=(0, 1)).decode(
            errors="replace"
        )
    place = local_path(address)
    found: dict[str, str] = {}
    entries = _submodules(printed)
    for entry in entries:
        path = entry.get("path", "").rstrip("/")
        urls = [entry[name] for name in ("datalad-url", "url") if name in entry]
        resolved = (
            _resolved(url, str(place or address), origin.strip(), is_local=place is not None) for url in urls
        )
        usable = next(filter(None, resolved), None)
        if usable and files.get(path.encode("utf-8", "surrogateescape")) == b"160000":
            found[path] = usable
    if len(found) < len(entries):
        shown = without_credentials(address)
        _LOG.warning(
            "%s: %d of %d registered subdatasets left out", shown, len(entries) - len(found), len(entries)
        )
    return sorted(found.items())


def _submodules(printed: bytes) -> list[dict[str, str]]:
    """Settings of submodules, from what ``git config -z --list`` prints."""
    found: dict[str, dict[str, str]] = {}
    for record in printed.decode("utf-8", "surrogateescape").split("\0"):
        key, has_value, value = record.partition("\n")
        section, _, rest = key.partition(".")
        name, _, setting = rest.rpartition(".")
        if section == "submodule" and name and has_value:
            found.setdefault(name, {})[setting] = value
    return list(found.values())


def _resolved(url: str, base: str, origin: str, *, is_local: bool) -> str | None:
    """An address that a superdataset registers, absolute; None if it cannot be used.

    Args:
        url: as registered.
        base: address of the superdataset.
        origin: where that was cloned from, if it is a clone.
        is_local: whether the superdataset is on this machine.
    """
    if url.startswith("///"):
        return f"https://datasets.datalad.org/{url.lstrip('/')}"
    if url.startswith(("./", "../")):
        place = _relative(base, url)
        elsewhere = is_local and not Path(place).exists() and re.match(r"/|[^/]+:", origin)
        return _relative(origin, url) if elsewhere else place
    if url.startswith(("/", "file://")):
        return url if is_local else None
    if "://" in url:
        return url if scheme_of(url) in _SCHEMES else None
    return url if _SCP.match(url) else None


def _relative(base: str, url: str) -> str:
    """A relative address resolved as ``git submodule`` does: folder by folder, whatever the base is."""
    base, separator = base.rstrip("/").removesuffix("/.git"), "/"
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            # In user@host:folder a colon comes before the first folder.
            separator = "/" if "/" in base else ":"
            base = base.rpartition(separator)[0]
        url = url.partition("/")[2]
    return f"{base}{separator}{url}".rstrip("/")

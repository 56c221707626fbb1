"""Siblings: made, and found again in git's configuration where DataLad has them, too."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from curation.annexed import UNATTENDED
from curation.errors import DatasetError, UsageError
from curation.publish import SnapshotDataset
from curation.publish.commands import datalad, git, run
from curation.siblings.storage import Storage, require_url

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SCP = re.compile(r"[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]+)?:(?!//).+")  # git's short form of ssh addresses
# The name that DataLad and git-annex know a remote's settings by, https://docs.datalad.org/en/stable/config.html
_DEPENDS = "datalad-publish-depends"
# Credentials stay in the environment; git-annex would keep them in a file below .git.
_ANNEX = ["git", "-c", "annex.cachecreds=false", "annex"]
_ORA = "ora"  # the program with which DataLad reaches RIA stores from git-annex
_LOG = "remote.log"  # https://git-annex.branchable.com/internals/: lines of uuid, parameters and a time


@dataclass(frozen=True)
class Sibling:
    """A sibling of the dataset.

    Attributes:
        name: of git's remote.
        repository: its path or URL.
        storage: name of git-annex's special remote.
        uuid: of that.
        type: of that, as a person names it: ``directory``, ``ria``, ``s3`` or ``webdav``.
        place: of that.
        pushed: the commit that was pushed last, as far as this clone knows.
    """

    name: str
    repository: str
    storage: str
    uuid: str
    type: str
    place: str
    pushed: str | None


def siblings(dataset: SnapshotDataset) -> list[Sibling]:
    """All siblings that can be pushed to, by name."""
    settings = _settings(dataset.path)
    log = {about.get("name"): about for about in _remotes(dataset.path).values()}
    branch = current_branch(dataset)
    found = []
    for name, about in sorted(settings.items()):
        storage = about.get(_DEPENDS)
        if storage is None or "url" not in about or "annex-uuid" not in settings.get(storage, {}):
            continue
        parameters = log.get(storage, {})
        tracked = git(
            dataset.path, "for-each-ref", "--format=%(objectname)", f"refs/remotes/{name}/{branch}"
        ).strip()
        found.append(
            Sibling(
                name,
                about["url"],
                storage,
                settings[storage]["annex-uuid"],
                *_described(parameters),
                pushed=tracked or None,
            )
        )
    return found


def find_sibling(dataset: SnapshotDataset, name: str) -> Sibling:
    """The sibling of a name.

    Raises:
        UsageError: there is none.
    """
    known = {one.name: one for one in siblings(dataset)}
    if name not in known:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise UsageError(
            f"{name}: no sibling of {dataset.path}; {has}; `mriqc-snapshot sibling add` makes one"
        )
    return known[name]


def add_sibling(
    dataset: SnapshotDataset, name: str, storage: Storage, repository: str | None = None
) -> Sibling:
    """Make a sibling, or finish one that was not made wholly; nothing is pushed.

    The dataset is locked by the caller.

    Args:
        dataset: it exists.
        name: of the sibling.
        storage: where content goes. A RIA store has the repository in it.
        repository: path or URL of a bare repository. One at a path is made; one at a URL has to be there.

    Raises:
        UsageError: a name or address cannot be used, or credentials are missing.
        DatasetError: git, git-annex or DataLad failed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r}: no name of a sibling; letters, digits, - and _ are expected")
    storage.require_credentials()
    address = _address(storage, repository)
    settings = _settings(dataset.path)
    url = settings.get(name, {}).get("url")
    elsewhere = address is None and not Path(url or "").is_relative_to(storage.place)
    if url is not None and (elsewhere or address not in (None, url)):
        raise UsageError(f"{name}: a remote of {dataset.path} already, with {url}; choose another name")
    with dataset.exclusive() as descriptor:
        if address is None:
            _add_ria(dataset, name, storage, descriptor)
        else:
            _make_bare(dataset, address)
            git(dataset.path, "config", f"remote.{name}.url", address)
            git(dataset.path, "config", f"remote.{name}.fetch", f"+refs/heads/*:refs/remotes/{name}/*")
            # Content goes to the storage, not into the bare repository.
            git(dataset.path, "config", f"remote.{name}.annex-ignore", "true")
            _add_storage(dataset, f"{name}-storage", storage, descriptor)
            git(dataset.path, "config", f"remote.{name}.{_DEPENDS}", f"{name}-storage")
    return find_sibling(dataset, name)


def current_branch(dataset: SnapshotDataset) -> str:
    """The branch that nights are committed to: the one that is checked out.

    Raises:
        DatasetError: none is.
    """
    try:
        return git(dataset.path, "symbolic-ref", "--short", "HEAD").strip()
    except DatasetError as error:
        raise DatasetError(f"{dataset.path}: no branch is checked out; `git checkout` one") from error


def local_path(address: str) -> Path | None:
    """The folder of a repository on this machine; ``None`` for other addresses."""
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    return Path(address) if address.startswith("/") else None


def _address(storage: Storage, repository: str | None) -> str | None:
    """Where the repository is; ``None`` if it is in a RIA store."""
    if storage.type == "ria":
        if repository is not None:
            raise UsageError("--repository: a RIA store has the repository in it; leave it out")
        return None
    if repository is None:
        raise UsageError(
            f"--repository is missing: storage of type {storage.type} has no place for git's part"
        )
    if "://" in repository:
        require_url(repository, ("https", "http", "ssh", "file"))
        return repository
    if _SCP.fullmatch(repository) and not Path(repository).exists():
        return repository
    return str(Path(repository).resolve())


def _make_bare(dataset: SnapshotDataset, address: str) -> None:
    """Make a bare repository at a path, whole or not at all; at a URL, see that it answers."""
    path = local_path(address)
    if path is None or address.startswith("file://"):
        run(["git", "ls-remote", address], dataset.path, extra=UNATTENDED)
        return
    if path.exists() and (path / "HEAD").exists() and (path / "objects").is_dir():
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: not empty and no bare repository; choose another --repository")
    unfinished = path.with_name(f".{path.name}.creating")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    git(unfinished, "init", "--quiet", "--bare")
    _set_up_bare(dataset, unfinished)
    if path.exists():
        path.rmdir()
    unfinished.rename(path)


def _set_up_bare(dataset: SnapshotDataset, path: Path) -> None:
    """Clones start at our branch, and can be made over plain HTTP, too."""
    git(path, "symbolic-ref", "HEAD", f"refs/heads/{current_branch(dataset)}")
    git(path, "config", "receive.updateServerInfo", "true")


def _add_ria(dataset: SnapshotDataset, name: str, storage: Storage, descriptor: int) -> None:
    """DataLad makes the store, its repository and git-annex's special remote; what there is it leaves."""
    datalad(
        dataset.path, "create-sibling-ria", "-d", str(dataset.path), "-s", name, "--storage-name",
        f"{name}-storage", "--new-store-ok", "--existing", "reconfigure", f"ria+file://{storage.place}",
        extra=UNATTENDED, keep=[descriptor],
    )  # fmt: skip
    _set_up_bare(dataset, Path(_settings(dataset.path)[name]["url"]))


def _add_storage(dataset: SnapshotDataset, name: str, storage: Storage, descriptor: int) -> None:
    """Make git-annex's special remote, or go on with one that was begun."""

    def annex(*arguments: str) -> None:
        run([*_ANNEX, *arguments], dataset.path, extra=UNATTENDED, keep=[descriptor])

    if storage.type == "directory":
        Path(storage.place).mkdir(parents=True, exist_ok=True)
    names = {about.get("name") for about in _remotes(dataset.path).values()}
    annex("enableremote" if name in names else "initremote", name, *storage.parameters())
    git(dataset.path, "config", "annex.cachecreds", "false")
    if storage.type == "directory":
        _publish_directory(dataset, name, storage.place, descriptor)
    if storage.public_url and storage.type != "s3":
        public = f"{name}-public"
        options = ["type=httpalso", f"url={storage.public_url}", "autoenable=true"]
        if public in names:
            annex("enableremote", public, *options)
        else:
            annex("initremote", public, f"--sameas={name}", *options)


def _publish_directory(dataset: SnapshotDataset, name: str, place: str, descriptor: int) -> None:
    """Tell clones where a directory special remote is, so that they enable it by themselves.

    git-annex keeps the folder in the configuration of the clone that made the remote, as it may differ between
    machines, but takes it from its branch where that has it. No command of its own writes it there.
    """
    for uuid, about in _remotes(dataset.path).items():
        if about.get("name") != name or about.get("directory") == place:
            continue
        about = {**about, "directory": place}
        moment = max(time.time(), float(about.pop("timestamp").removesuffix("s")) + 0.001)
        words = [f"{field}={_escaped(value)}" for field, value in sorted(about.items())]
        line = f"{uuid} {' '.join(words)} timestamp={moment:.6f}s\n"
        log = git(dataset.path, "cat-file", "blob", f"git-annex:{_LOG}") + line
        message = f"{name}: its directory\n"
        command = (
            "commit refs/heads/git-annex\n"
            f"committer mriqc-snapshot <mriqc-snapshot@localhost> {int(moment)} +0000\n"
            f"data {len(message.encode())}\n{message}"
            "from refs/heads/git-annex^0\n"
            f"M 100644 inline {_LOG}\n"
            f"data {len(log.encode('utf-8', 'surrogateescape'))}\n{log}\n"
        )
        run(["git", "fast-import", "--quiet"], dataset.path, told=command, keep=[descriptor])


def _remotes(path: Path) -> dict[str, dict[str, str]]:
    """Special remotes by uuid, with the parameters that clones have of them; the newest of each counts."""
    text = ""
    if git(path, "for-each-ref", "refs/heads/git-annex") and git(path, "ls-tree", "git-annex", _LOG):
        text = git(path, "cat-file", "blob", f"git-annex:{_LOG}")
    journal = path / ".git" / "annex" / "journal" / _LOG
    if journal.exists():  # of a command that was killed before it committed what it wrote
        text += journal.read_text(encoding="utf-8", errors="surrogateescape")
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        uuid, *words = line.split(" ")
        about = {field: _unescaped(value) for field, _, value in (word.partition("=") for word in words)}
        moment = float(about.get("timestamp", "0s").removesuffix("s"))
        if uuid not in found or moment >= float(found[uuid].get("timestamp", "0s").removesuffix("s")):
            found[uuid] = about
    return {
        uuid: {**about, "name": about.get("name", about.get("sameas-name", ""))}
        for uuid, about in found.items()
    }


def _escaped(value: str) -> str:
    return "".join(f"&{ord(c)};" if c.isspace() or c == "&" else c for c in value)


def _unescaped(value: str) -> str:
    return re.sub(r"&(\d+);", lambda found: chr(int(found[1])), value)


def _described(parameters: dict[str, str]) -> tuple[str, str]:
    """Type and place of a special remote as a person names them."""
    kind = parameters.get("externaltype") or parameters.get("type", "")
    if kind == _ORA:
        return "ria", parameters.get("url", "").removeprefix("ria+file://")
    if kind == "S3":
        return "s3", f"{parameters.get('bucket', '')}/{parameters.get('fileprefix', '')}".rstrip("/")
    return kind, parameters.get("directory") or parameters.get("url", "")


def _settings(path: Path) -> dict[str, dict[str, str]]:
    """Settings of git's remotes, by name."""
    found: dict[str, dict[str, str]] = {}
    for entry in git(path, "config", "--local", "--list", "-z").split("\0"):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        name, _, setting = rest.rpartition(".")
        if section == "remote" and name:
            found.setdefault(name, {})[setting] = value
    return found

"""Reads objects of git repositories of other people with git's batch commands.

What such a repository says is never trusted: no hook, helper or file system monitor of its configuration runs, nothing
is checked out, and reading one never asks anybody for a password.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from curation.index.model import SourceFailed

# Variables of git that stay: how the network is reached, and where the user's settings are. The others could turn git
# to another repository, or change what it prints.
_KEPT = (
    "GIT_SSH", "GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_EXEC_PATH",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
)  # fmt: skip
_OVERRIDES = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
}
_USER_INFO = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)([^/@\s]*)@")
# Object names written at once, before the answers are read: fewer bytes than the smallest pipe takes (4,096), so that
# neither side waits for the other.
_AT_ONCE = 50
_BLOCK = 1 << 20


def without_credentials(text: str) -> str:
    """An address, or a text with addresses in it, without user names and passwords; ssh's user names stay."""

    def shorten(found: re.Match[str]) -> str:
        scheme, user = found.groups()
        user = user.partition(":")[0] if "ssh" in scheme else ""
        return f"{scheme}{user}@" if user else scheme

    return _USER_INFO.sub(shorten, text)


def environment(*, network: bool = False) -> dict[str, str]:
    """The environment in which git runs; only with ``network`` may it talk to a server or another repository."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    env.pop("LANGUAGE", None)
    env |= {"LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GIT_OPTIONAL_LOCKS": "0"}
    env |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1"}
    env["GIT_ALLOW_PROTOCOL"] = "file:git:http:https:ssh" if network else "none"
    env.setdefault("GIT_HTTP_LOW_SPEED_LIMIT", "1000")  # bytes a second
    env.setdefault("GIT_HTTP_LOW_SPEED_TIME", "60")  # seconds
    if "GIT_SSH" not in env:
        env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30")
    env["GIT_CONFIG_COUNT"] = str(len(_OVERRIDES))
    for number, (name, value) in enumerate(_OVERRIDES.items()):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return env


@dataclass(frozen=True)
class Repository:
    """A repository on this machine.

    Attributes:
        address: where it is from, without credentials; messages name it.
        git_dir: its ``.git`` folder, or itself if it is bare.
        refs: full names of its refs, and ``HEAD``, to ids of what they point to: commits, or tags.
    """

    address: str
    git_dir: Path
    refs: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, feed: bytes = b"", allowed: tuple[int, ...] = (0,)) -> bytes:
        """Run git on it and return what it printed; see :func:`run`."""
        return run(self.address, f"--git-dir={self.git_dir}", *arguments, feed=feed, allowed=allowed)

    def records(self, *arguments: str, feed: bytes = b"") -> Iterator[bytes]:
        """Run git on it and hand over, as they come, the NUL-terminated records that it prints.

        Raises:
            SourceFailed: git failed.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(feed)
            given.seek(0)
            process = _start(["git", f"--git-dir={self.git_dir}", *arguments], given, said)
            output = _stdout(process)
            rest = b""
            try:
                while block := output.read(_BLOCK):
                    *whole, rest = (rest + block).split(b"\0")
                    yield from whole
                process.wait()
            finally:
                _end(process)
            if process.returncode or rest:
                raise failed(self.address, arguments[0], process.returncode, _tail(said))

    def files(self, tree: str, endings: tuple[bytes, ...] = (b"",)) -> Iterator[tuple[bytes, str, bytes]]:
        """Mode, object id and path of all files, links and submodules of a tree, or of a commit's, that end so."""
        for record in self.records("ls-tree", "-r", "-z", "--full-tree", tree):
            if record.endswith(endings):
                about, _, path = record.partition(b"\t")
                yield about[:6], about[about.rindex(b" ") + 1 :].decode(), path


def failed(address: str, command: str, code: int | None, said: bytes | str, advice: str = "") -> SourceFailed:
    """The error of a git command that did not end well."""
    text = said if isinstance(said, str) else said.decode("utf-8", "backslashreplace")
    text = without_credentials(" ".join(text.split()))[-1000:] or "nothing"
    advice = advice or "check it with git fsck, or get it anew"
    return SourceFailed(f"{address}: git {command} ended with exit code {code}; git said: {text}; {advice}")


def _start(
    command: list[str], given: IO[bytes] | int, said: IO[bytes] | int, *, network: bool = False
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment(network=network),
            # Git must not find another repository around the one that it is told of.
            cwd="/",
            # Git's children, which talk to the server, have to end with it: see run.
            start_new_session=network,
        )
    except OSError as error:
        raise SourceFailed(f"git: cannot be started ({error}); install git") from error


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise SourceFailed("git: its output is closed")
    return process.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that a process is gone, whatever it was doing."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    if process.poll() is None:
        process.kill()
        process.wait()


def _tail(said: IO[bytes]) -> bytes:
    said.seek(0)
    return said.read()[-4000:]


def run(
    address: str,
    *arguments: str,
    feed: bytes = b"",
    network: bool = False,
    seconds: float | None = None,
    allowed: tuple[int, ...] = (0,),
    advice: str = "",
) -> bytes:
    """Run git and return what it printed.

    Args:
        address: of the repository, for messages.
        arguments: of git.
        feed: its standard input.
        network: whether it may talk to a server.
        seconds: after which it and its children are killed.
        allowed: exit codes that are no failure.
        advice: what to do if it fails.

    Raises:
        SourceFailed: it could not be started, took too long, or failed.
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    with _start(["git", *arguments], subprocess.PIPE, subprocess.PIPE, network=network) as process:
        try:
            printed, said = process.communicate(feed, timeout=seconds)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if network else process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                took = f"nothing for {seconds:.0f} seconds"
                raise failed(address, command, None, took, "try again later") from error
            raise
    if process.returncode not in allowed:
        raise failed(address, command, process.returncode, said or printed, advice)
    return printed


class Object(NamedTuple):
    """An object of git.

    Attributes:
        id: of it.
        type: ``blob``, ``tree`` or ``commit``.
        size: bytes.
        content: None if it is larger than was asked for.
        md5: of the content, if asked for.
    """

    id: str
    type: str
    size: int
    content: bytes | None
    md5: str | None


class Objects:
    """Reads objects of one repository with one process, ``git cat-file --batch``."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        command = ["git", f"--git-dir={repository.git_dir}", "cat-file", "--batch"]
        self._process = _start(command, subprocess.PIPE, self._said)
        self._trees: dict[str, dict[bytes, tuple[bytes, str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._process)
        self._said.close()

    def read(self, names: Iterable[str], *, largest: int = _BLOCK, md5: bool = False) -> Iterator[Object]:
        """Read objects, in the order of their names.

        Args:
            names: object ids.
            largest: size in bytes from which on contents are not kept.
            md5: whether to compute it, block by block.

        Raises:
            SourceFailed: one is missing or damaged.
        """
        for name, found in self.find(names, largest=largest, md5=md5):
            if found is None:
                raise failed(
                    self._repository.address, "cat-file", 0, f"{name} missing",
                    "the clone is damaged or partial; check it with git fsck, or clone it anew without a filter",
                )  # fmt: skip
            yield found

    def find(
        self, names: Iterable[str], *, largest: int = _BLOCK, md5: bool = False
    ) -> Iterator[tuple[str, Object | None]]:
        """The same with names beside, e.g. ``<id>^{commit}``, and None for what there is not."""
        waiting = iter(names)
        while some := list(islice(waiting, _AT_ONCE)):
            try:
                if self._process.stdin is None:
                    raise BrokenPipeError
                self._process.stdin.write("".join(f"{name}\n" for name in some).encode())
                self._process.stdin.flush()
                # All answers before any is handed over: whoever gets one may ask for others.
                answers = [self._answer(largest, md5) for _ in some]
            except (BrokenPipeError, EOFError) as error:
                self._process.wait()
                raise failed(
                    self._repository.address, "cat-file", self._process.returncode, _tail(self._said)
                ) from error
            yield from zip(some, answers, strict=True)

    def _answer(self, largest: int, md5: bool) -> Object | None:
        output = _stdout(self._process)
        header = output.readline()
        if not header.endswith(b"\n"):
            raise EOFError
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return None
        object_id, kind, digits = header.decode().split()
        size, kept, digest = int(digits), [], hashlib.md5(usedforsecurity=False)
        for start in range(0, size, _BLOCK):
            block = output.read(min(_BLOCK, size - start))
            if size <= largest:
                kept.append(block)
            if md5:
                digest.update(block)
        if output.read(1) != b"\n":
            raise EOFError
        content = b"".join(kept) if size <= largest else None
        return Object(object_id, kind, size, content, digest.hexdigest() if md5 else None)

    def tree(self, tree: str) -> dict[bytes, tuple[bytes, str]]:
        """Names in a tree to modes (without zeros in front) and object ids; read once."""
        if tree not in self._trees:
            (found,) = self.read([tree], largest=1 << 30)
            self._trees[tree] = dict(_entries(found.content or b"", len(tree) // 2))
        return self._trees[tree]


def _entries(content: bytes, id_length: int) -> Iterator[tuple[bytes, tuple[bytes, str]]]:
    position = 0
    while position < len(content):
        name = content.index(b" ", position)
        end = content.index(b"\0", name)
        following = end + 1 + id_length
        yield content[name + 1 : end], (content[position:name], content[end + 1 : following].hex())
        position = following

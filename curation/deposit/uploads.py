"""Uploads: which files an article lacks, and how their bytes get there once.

The service lays out the parts of an upload; a part is PUT once and only while it is pending, and parts that arrived
before are not sent again. A part has no checksum: what counts is ``computed_md5`` of the whole file, which the service
computes after the upload.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from curation.deposit.articles import entity, list_files
from curation.deposit.client import FigShare
from curation.deposit.files import Content, LocalFile, Release, opened
from curation.deposit.models import Part, RemoteFile, UnexpectedAnswer, Upload, read
from curation.deposit.problems import Locked, NotThere, Refused, Trouble
from curation.errors import ServiceUnavailable, SnapshotError

PART_WORKERS = 4
"""Parts of one file under way at once; other clients warn of 429 beyond 32 in all."""
RESTARTS = 2
"""Times that a file is uploaded anew when FigShare received something else."""
# Bytes a second at which the service's check of files is believed to go at least.
_CHECKED_PER_SECOND = 1e6

CREATED, AVAILABLE, FAILED = "created", "available", "ic_fail"
"""States of a file that mean something here. They are not documented; all others are on the way between these."""


class Action(Enum):
    """What is to be done for a file."""

    KEEP = "is there"
    AWAIT = "is being checked"
    CONTINUE = "was begun"
    UPLOAD = "is not there"


@dataclass(frozen=True)
class Decision:
    """What is to be done for one file.

    Attributes:
        local: the file.
        action: what.
        remote: of the files with its name, the one that stays.
    """

    local: LocalFile
    action: Action
    remote: RemoteFile | None = None


@dataclass(frozen=True)
class Plan:
    """What makes an article's files those of a release.

    Attributes:
        decisions: one a file.
        broken: unusable remains of earlier runs, removed first.
        old: whole files that the release does not have, removed when its own are confirmed.
    """

    decisions: tuple[Decision, ...]
    broken: tuple[RemoteFile, ...]
    old: tuple[RemoteFile, ...]

    @property
    def bytes(self) -> int:
        """That are to be uploaded beside what is there."""
        return sum(one.local.size for one in self.decisions if one.action is Action.UPLOAD)


@dataclass
class Done:
    """What was done, by names of files."""

    uploaded: list[str] = field(default_factory=list)
    continued: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class _Gone(Exception):
    """An upload that cannot be continued."""


def plan(locals_: Sequence[LocalFile], remotes: Sequence[RemoteFile]) -> Plan:
    """Decide what to do for every file; names are not unique at FigShare, ids are."""
    decisions = tuple(
        _decide(local, [remote for remote in remotes if remote.name == local.name]) for local in locals_
    )
    stay = {one.remote.id for one in decisions if one.remote is not None}
    leave = [remote for remote in remotes if remote.id not in stay]
    old = tuple(remote for remote in leave if remote.status == AVAILABLE)
    return Plan(decisions, tuple(remote for remote in leave if remote.status != AVAILABLE), old)


def _decide(local: LocalFile, remotes: Sequence[RemoteFile]) -> Decision:
    for action in (Action.KEEP, Action.AWAIT, Action.CONTINUE):
        for remote in remotes:
            if state(local, remote) is action:
                return Decision(local, action, remote)
    return Decision(local, Action.UPLOAD)


def state(local: LocalFile, remote: RemoteFile) -> Action:
    """What a file of the article is for a local one; ``UPLOAD``: of no use."""
    computed, supplied = ((md5 or "").lower() for md5 in (remote.computed_md5, remote.supplied_md5))
    status = remote.status or ""
    if remote.is_link_only or remote.size != local.size or status.startswith(FAILED):
        return Action.UPLOAD
    if computed:
        if computed != local.md5:
            return Action.UPLOAD
        return Action.KEEP if status == AVAILABLE else Action.AWAIT
    if supplied != local.md5:
        return Action.UPLOAD
    if status == CREATED:
        return Action.CONTINUE if remote.upload_url else Action.UPLOAD
    return Action.AWAIT


class Uploader:
    """Makes the files of an article those of a release.

    Args:
        client: of the account.
        release: whose files they are.
        article: its id.
        on_bytes: told of bytes of a file that were sent; by several threads.
    """

    def __init__(
        self, client: FigShare, release: Release, article: int, on_bytes: Callable[[LocalFile, int], None]
    ) -> None:
        self._client, self._release, self._article, self._on_bytes = client, release, article, on_bytes
        self._path = f"/account/articles/{article}/files"

    def run(self, planned: Plan) -> Done:
        """Upload what is missing, await FigShare's checksums, then remove what does not belong.

        Raises:
            SnapshotError: FigShare received something else, however often it was sent.
            ServiceUnavailable: the service is away, or its check takes too long.
        """
        done = Done()
        for remote in planned.broken:
            self._remove(remote, done)
        ours: dict[int, LocalFile] = {}
        for decision in planned.decisions:
            number = self._bring(decision)
            ours[number] = decision.local
            names = {Action.UPLOAD: done.uploaded, Action.CONTINUE: done.continued}
            names.get(decision.action, done.kept).append(decision.local.name)
        self._confirm(ours)
        # Listed again: nothing is removed on the word of a list that uploads have made old.
        for remote in list_files(self._client, self._article):
            if remote.id not in ours:
                self._remove(remote, done)
        return done

    def _bring(self, decision: Decision) -> int:
        """Get a file's bytes to FigShare; returns the file's id."""
        remote = decision.remote
        if remote is not None and decision.action in (Action.KEEP, Action.AWAIT):
            return remote.id
        for _ in range(RESTARTS + 1):
            remote = remote or self._begin(decision.local)
            try:
                self._send(decision.local, remote)
                return remote.id
            except _Gone:
                self._client.delete(f"{self._path}/{remote.id}")
                remote = None
        raise ServiceUnavailable(
            f"{self._client.service}: uploads of {decision.local.name} ended {RESTARTS + 1} times before they were "
            "complete; run the command again later"
        )

    def _begin(self, local: LocalFile) -> RemoteFile:
        """Announce a file; where no answer came, find what became of it."""

        def begun() -> int | None:
            for remote in list_files(self._client, self._article):
                if remote.name == local.name and state(local, remote) is Action.CONTINUE:
                    return remote.id
            return None

        body = {"name": local.name, "size": local.size, "md5": local.md5}
        number = self._client.post_once(self._path, begun, entity, body)
        # A file may be missing for a moment after it was announced.
        return self._client.wait_for(lambda: self._file(number), f"{local.name}: its announcement")

    def _file(self, number: int) -> RemoteFile | None:
        path = f"{self._path}/{number}"
        try:
            return read(RemoteFile, self._client.get(path), path)
        except NotThere:
            return None

    def _send(self, local: LocalFile, remote: RemoteFile) -> None:
        if remote.status == CREATED:
            if not remote.upload_url:
                raise _Gone
            with opened(self._release, local) as content:
                self._send_parts(remote.upload_url, local, content)
        path = f"{self._path}/{remote.id}"

        def accepted() -> bool | None:
            found = self._file(remote.id)
            return True if found is not None and found.status != CREATED else None

        try:
            self._client.post_once(path, accepted, lambda _: True, expected=(202, 200))
        except Refused:
            # Completed before, which the service may tell late.
            if not accepted():
                raise

    def _send_parts(self, url: str, local: LocalFile, content: Content) -> None:
        """Send parts until none is pending.

        What a failed PUT left is only known after the upload was looked at again, so this goes by rounds.
        """
        idle, deadline = 0, time.monotonic() + self._client.check_seconds
        while pending := [part for part in self._parts(url, local) if part.status == "PENDING"]:
            # A part stays locked for a while after a client that wrote to it went away.
            free = [part for part in pending if not part.locked]
            troubles = self._put(url, local, content, free)
            if len(troubles) < len(free):
                idle, deadline = 0, time.monotonic() + self._client.check_seconds
            idle += bool([one for one in troubles if isinstance(one, Trouble)])
            if idle >= self._client.politeness.attempts or time.monotonic() > deadline:
                reason = next((str(one) for one in troubles), "locked")
                raise ServiceUnavailable(
                    f"{self._client.service}: {local.name}: {len(pending)} part(s) cannot be sent: {reason}; what "
                    "arrived is kept, run the command again later"
                )
            if troubles or not free:
                asked = [one.retry_after or 0.0 for one in troubles if isinstance(one, Trouble)]
                self._client.rest(idle, max(asked, default=0.0))

    def _parts(self, url: str, local: LocalFile) -> list[Part]:
        """The parts of an upload, which have to cover the file without gaps."""
        try:
            upload = read(Upload, self._client.upload_get(url), f"upload of {local.name}")
        except NotThere:
            raise _Gone from None
        if (
            upload.status == "ABORTED"
            or upload.size != local.size
            or (upload.md5 or local.md5).lower() != local.md5
        ):
            raise _Gone
        parts = sorted(upload.parts, key=lambda part: part.startOffset)
        starts = [part.startOffset for part in parts] + [local.size]
        ends = [0] + [part.endOffset + 1 for part in parts]
        if starts != ends:
            raise UnexpectedAnswer(
                f"{self._client.service}: the parts of {local.name} do not cover its {local.size} bytes one "
                "after another"
            )
        return [] if upload.status == "COMPLETED" else parts

    def _put(
        self, url: str, local: LocalFile, content: Content, parts: Sequence[Part]
    ) -> list[Trouble | Locked]:
        """PUT parts, some at once; returns what went wrong."""
        if not parts:
            return []
        with ThreadPoolExecutor(min(PART_WORKERS, len(parts))) as pool:
            found = list(pool.map(lambda part: self._put_one(url, local, content, part), parts))
        return [trouble for trouble in found if trouble is not None]

    def _put_one(self, url: str, local: LocalFile, content: Content, part: Part) -> Trouble | Locked | None:
        def chunks() -> Iterator[bytes]:
            yield from content.chunks(part.startOffset, part.length)

        try:
            self._client.upload_part(f"{url.rstrip('/')}/{part.partNo}", chunks(), part.length)
        except (Trouble, Locked) as trouble:
            return trouble
        except NotThere:
            raise _Gone from None
        self._on_bytes(local, part.length)
        return None

    def _confirm(self, ours: dict[int, LocalFile]) -> None:
        """Wait until FigShare computed every file's checksum; send what arrived as something else again.

        Args:
            ours: ids to files; ids of files that are sent again change.
        """
        sent = {local.name: 1 for local in ours.values()}
        seconds = sum(local.size for local in ours.values()) / _CHECKED_PER_SECOND

        def confirmed() -> bool | None:
            listed = {remote.id: remote for remote in list_files(self._client, self._article)}
            states = {
                number: state(local, listed[number]) if number in listed else Action.UPLOAD
                for number, local in ours.items()
            }
            for number, found in states.items():
                if found is Action.UPLOAD:
                    self._again(number, ours, sent, listed.get(number))
            return True if all(found is Action.KEEP for found in states.values()) else None

        self._client.wait_for(confirmed, f"article {self._article}: checksums", seconds)

    def _again(
        self, number: int, ours: dict[int, LocalFile], sent: dict[str, int], remote: RemoteFile | None
    ) -> None:
        local = ours.pop(number)
        if sent[local.name] > RESTARTS:
            got = f"{remote.size} bytes with MD5 {remote.computed_md5 or 'unknown'}" if remote else "nothing"
            raise SnapshotError(
                f"{self._client.service}: {local.name} was sent {sent[local.name]} times ({local.size} bytes with MD5 "
                f"{local.md5}), and FigShare has {got}; nothing was published"
            )
        sent[local.name] += 1
        self._client.delete(f"{self._path}/{number}")
        ours[self._bring(Decision(local, Action.UPLOAD))] = local

    def _remove(self, remote: RemoteFile, done: Done) -> None:
        self._client.delete(f"{self._path}/{remote.id}")
        done.removed.append(remote.name)

"""The life of one record or image: its fate in every version, and what changed from one to the next, and why."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.diff.causes import OF_IMAGE
from curation.diff.cell_rows import is_by_code
from curation.diff.compare import Files, draft_of, evidence_of, explain_all
from curation.diff.disproof import counterpart
from curation.diff.evidence import Wanted
from curation.diff.explaining import Draft
from curation.diff.listed import Stray, gone, strays
from curation.diff.model import UNEXPLAINED
from curation.diff.reading import (
    COMPARED,
    OneRow,
    TableFile,
    has_table,
    ledger,
    missing_content,
    open_table,
    table_key,
)
from curation.diff.rows import UPSTREAM, resource_of
from curation.diff.version import SNAPSHOT, Version, open_version, require_dataset
from curation.errors import DatasetError, UsageError
from curation.publish.commands import git, run
from schemas import RESOURCES

_CHECKSUM = re.compile(r"[0-9a-fA-F]{32}")
_RECORD_ID = re.compile(r'[0-9a-f]{24}|".*"')
"""Of a record: an ObjectId or, where it has another, what ``audit/records`` shows of it."""
_FATE = (
    "record_id", "resource", "created", "updated", "etag", "md5sum", "fate", "reason", "representative",
    "curated_representative", "curated_reason",
)  # fmt: skip


@dataclass(frozen=True)
class RecordFate:
    """A record in one version: its row of ``audit/records``."""

    record_id: str
    resource: str
    created: str | None
    updated: str | None
    etag: str | None
    md5sum: str | None
    fate: str | None
    reason: str | None
    representative: str | None
    curated_representative: str | None
    curated_reason: str | None


@dataclass(frozen=True)
class Event:
    """Something that happened between a version and the one before.

    Attributes:
        what: ``came``, ``left``, ``changed upstream``, ``fate``, ``representative``, ``row added``, ``row removed``,
            ``changed``, ``appeared``, ``disappeared`` or ``rounding``.
        where: the record, or the table.
        column: whose cell changed; ``None`` for records and rows.
        old: what was; new: what is.
        cause: why; :data:`UNEXPLAINED` where no ledger and no version tells.
        rule: the rules of repair.
        by_code: whether the only cause is that the versions were made with other code, dictionary or rules.
    """

    what: str
    where: str
    column: str | None = None
    old: str | None = None
    new: str | None = None
    cause: str | None = None
    rule: str | None = None
    by_code: bool = False

    @property
    def is_unexplained(self) -> bool:
        """Whether no ledger and no version tells why."""
        return self.cause == UNEXPLAINED


@dataclass(frozen=True)
class Stage:
    """One version.

    Attributes:
        version: its tag or, of a night, the beginning of its commit.
        commit: 40 hexadecimal digits.
        newest_record: creation time of the newest record that it has, ISO 8601.
        fates: of the records.
        tables: that have a row of it.
        events: since the version before.
    """

    version: str
    commit: str
    newest_record: str | None
    fates: tuple[RecordFate, ...]
    tables: tuple[str, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Life:
    """The life of one record or image.

    Attributes:
        asked: a checksum or a record's id.
        stages: a version each, oldest first.
        left_out: nights that were not looked at, as their content was dropped and nobody has it.
        strays: ledgers that are gone and, where something has no cause, files that were changed.
    """

    asked: str
    stages: tuple[Stage, ...]
    left_out: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()

    @property
    def unexplained(self) -> int:
        """Events that have no cause."""
        return sum(event.is_unexplained for stage in self.stages for event in stage.events)

    @property
    def by_code(self) -> int:
        """Events for which nothing but other code, dictionary or rules is a cause."""
        return sum(event.by_code for stage in self.stages for event in stage.events)

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"unexplained": self.unexplained, "by_code": self.by_code}


def life_of_record(
    text: str, dataset: Path, *, nights: bool = False, on_version: Callable[[str], None] = lambda name: None
) -> Life:
    """Follow a record or an image through the versions of a dataset.

    Args:
        text: a checksum (32 hexadecimal digits), whose records and ratings are all followed, or a record's id.
        dataset: the snapshot dataset.
        nights: whether to look at every night whose content is anywhere; else at every tag, and at the last commit.
        on_version: told what is looked at.

    Raises:
        UsageError: no version has it, or the text is neither a checksum nor a record's id.
        DatasetError: content is not on this machine, or git failed.
    """
    require_dataset(dataset)
    if not _CHECKSUM.fullmatch(text) and not _RECORD_ID.fullmatch(text):
        raise UsageError(
            f"{text!r}: neither a checksum (32 hexadecimal digits) nor a record's id (24, in small letters; others in "
            "quotes, as audit/records.csv has them)"
        )
    asked = text.lower() if _CHECKSUM.fullmatch(text) else text
    versions, left_out = _open_versions(dataset, nights)
    stages: list[Stage] = []
    with tempfile.TemporaryDirectory() as scratch:
        looking = _Looking(asked, Path(scratch))
        before: tuple[Version, tuple[RecordFate, ...]] | None = None
        for version in versions:
            on_version(version.name)
            fates = looking.fates(version)
            events = () if before is None else tuple(looking.events(*before, version, fates))
            stages.append(
                Stage(
                    version.name, version.commit or "", version.snapshot.get("newest_record"), fates,
                    tuple(looking.tables(version, fates)), events,
                )
            )  # fmt: skip
            before = version, fates
    if not any(stage.fates for stage in stages):
        raise UsageError(
            f"{text}: in none of {len(stages)} version(s) of {dataset}"
            + (f" ({len(left_out)} night(s) left out, whose content was dropped)" if left_out else "")
            + "; what was withdrawn before the first version is in none"
        )
    life = Life(asked, tuple(stages), left_out, tuple(stray for one in versions for stray in gone(one)))
    # To look at all files takes longer than all else.
    return (
        replace(life, strays=tuple(s for one in versions for s in strays(one))) if life.unexplained else life
    )


def _open_versions(dataset: Path, nights: bool) -> tuple[list[Version], tuple[str, ...]]:
    """Versions whose content is here, and names of nights that have lost theirs."""
    versions, left_out = [], []
    for name, needed in _versions(dataset, nights).items():
        version = open_version(name, dataset)
        missing = missing_content(version, COMPARED)
        if not missing:
            versions.append(version)
        elif not needed and version.files.lost(missing):
            left_out.append(name)
        else:
            raise DatasetError(
                f"{name}: the content of {len(missing)} file(s) is not on this machine, {missing[0]} for one; "
                f"{version.files.ways(missing)}"
            )
    return versions, tuple(left_out)


def _versions(dataset: Path, nights: bool) -> dict[str, bool]:
    """Names of versions, oldest first: tags, the last commit (``True``) and, if asked for, other nights (``False``)."""
    tags: dict[str, str] = {}
    form = "--format=%(refname:short) %(objectname) %(*objectname)"
    for line in git(dataset, "for-each-ref", "--sort=creatordate", form, "refs/tags").splitlines():
        name, *objects = line.split()
        tags.setdefault(objects[-1], name)
    commits = git(dataset, "rev-list", "--reverse", "--topo-order", "HEAD", "--tags").split()
    # Also what a person may have changed in tables alone.
    made = git(dataset, "rev-list", "HEAD", "--tags", "--", SNAPSHOT, "csv", "parquet", "audit").split()
    versions = _with_snapshot(dataset, [commit for commit in commits if commit in {*made, *tags}])
    if not versions:
        raise UsageError(f"{dataset}: no version yet (no commit with {SNAPSHOT})")
    last = [commit for commit in versions if commit in made][-1]
    wanted = {*tags, last, *(made if nights else ())}
    # A night is named by its commit.
    return {tags.get(one, one[:10]): one in tags or one == last for one in versions if one in wanted}


def _with_snapshot(dataset: Path, commits: Sequence[str]) -> list[str]:
    """Those of some commits that are versions; a tag from before the first night is of none."""
    told = "".join(f"{commit}:{SNAPSHOT}\n" for commit in commits)
    answers = run(["git", "cat-file", "--batch-check=%(objecttype)"], dataset, told=told).splitlines()
    return [commit for commit, kind in zip(commits, answers, strict=True) if kind == "blob"]


@dataclass(frozen=True)
class _Looking:
    """Looks for a record or image in versions.

    Attributes:
        asked: a checksum or a record's id.
        scratch: a folder for what is made of CSV.
    """

    asked: str
    scratch: Path
    _files: dict[tuple[str, str], TableFile] = field(default_factory=dict, repr=False)

    def fates(self, version: Version) -> tuple[RecordFate, ...]:
        """Of the records: that which was asked for, or all of the image."""
        rows = _ledger_rows(version, self.asked)
        return tuple(
            RecordFate(**row) for row in sorted(rows, key=lambda row: (row["resource"], row["record_id"]))
        )

    def tables(self, version: Version, fates: Sequence[RecordFate]) -> Iterator[str]:
        """Tables that have a row of it."""
        for name, key in self._keys(fates):
            if has_table(version, name) and self._row(version, name, key).rows:
                yield name

    def events(
        self, a: Version, old: Sequence[RecordFate], b: Version, new: Sequence[RecordFate]
    ) -> Iterator[Event]:
        """What happened between two versions."""
        drafts: list[Draft] = []
        rows: dict[tuple[str, str], Files] = {}
        keys: dict[int, str] = {}
        for name, key in self._keys([*old, *new]):
            if has_table(a, name) and has_table(b, name):
                rows[name, key] = self._row(a, name, key), self._row(b, name, key)
                draft = draft_of(name, *rows[name, key])
                if draft.cells or len(draft.aligned.alignment.only_a) or len(draft.aligned.alignment.only_b):
                    drafts.append(draft)
                    keys[id(draft)] = key

        def beside(draft: Draft) -> Files | None:
            return rows.get((counterpart(draft.aligned.table) or "", keys[id(draft)]))

        if drafts or list(old) != list(new):
            yield from _of_records(a, b, old, new)
        for table in explain_all(a, b, drafts, beside, alone=True):
            for group in table.cells:
                for row in group.to_arrow().to_pylist():
                    cause = f"{row['cause']} ({row['detail']})" if row["detail"] else row["cause"]
                    yield Event(
                        row["kind"], row["table"], row["column"], row["old"], row["new"], cause, row["rule"],
                        is_by_code(row["cause"], row["detail"]),
                    )  # fmt: skip

    def _keys(self, fates: Sequence[RecordFate]) -> list[tuple[str, str]]:
        """Tables and keys of the rows that tell of these records."""
        found = []
        for name in COMPARED:
            mine = [one for one in fates if one.resource == resource_of(name)]
            keys = (one.record_id if table_key(name) == "record_id" else one.md5sum for one in mine)
            found += [(name, key) for key in dict.fromkeys(keys) if key]
        return found

    def _row(self, version: Version, name: str, key: str) -> OneRow:
        file = self._file(version, name)
        return OneRow(file, file.find(table_key(name), key))

    def _file(self, version: Version, name: str) -> TableFile:
        """A table, opened once: what is found out of the whole of it is kept with it."""
        key = str(version.commit), name
        if key not in self._files:
            self._files[key] = open_table(version, name, self.scratch / key[0])
        return self._files[key]


def _ledger_rows(version: Version, asked: str) -> list[dict[str, Any]]:
    """Rows of ``audit/records`` of a record, or of all records of an image."""
    found = []
    for batch in ledger(version, "records", _FATE):
        if _CHECKSUM.fullmatch(asked):
            which = pc.equal(pc.utf8_lower(batch.column("md5sum")), asked)
        else:
            which = pc.equal(batch.column("record_id"), asked)
        found += batch.filter(which).to_pylist()
    return found


def _of_records(
    a: Version, b: Version, old: Sequence[RecordFate], new: Sequence[RecordFate]
) -> Iterator[Event]:
    """Records that came, left, changed, or have another fate."""
    before, now = ({(one.resource, one.record_id): one for one in fates} for fates in (old, new))
    nothing = Wanted(pa.array([], pa.string()), pa.array([], pa.string()))
    passing = (
        evidence_of(a, b, dict.fromkeys(RESOURCES, nothing)).passing if before.keys() != now.keys() else {}
    )
    for key in sorted(before.keys() | now.keys()):
        was, is_, (resource, record_id) = before.get(key), now.get(key), key
        if was is None and is_ is not None:
            cause, detail = passing[resource].came
            yield Event("came", record_id, new=is_.fate, cause=f"{cause} ({detail})" if detail else cause)
        elif is_ is None and was is not None:
            left = passing[resource].left
            cause = "the counts of snapshot.json do not tell" if left is None else left[0]
            yield Event("left", record_id, old=was.fate, cause=cause)
        elif was is not None and is_ is not None:
            yield from _of_record(was, is_)


def _of_record(was: RecordFate, now: RecordFate) -> Iterator[Event]:
    if (was.etag, was.updated) != (now.etag, now.updated):
        yield Event("changed upstream", now.record_id, old=was.updated, new=now.updated, cause=UPSTREAM)
    if (was.fate, was.reason) != (now.fate, now.reason):
        cause = UPSTREAM if was.etag != now.etag else now.reason or OF_IMAGE
        yield Event("fate", now.record_id, old=was.fate, new=now.fate, cause=cause)
    for name in ("representative", "curated_representative"):
        if getattr(was, name) != getattr(now, name):
            reason = now.curated_reason if name == "curated_representative" else None
            yield Event(
                name.replace("_", " "), now.record_id, old=getattr(was, name), new=getattr(now, name),
                cause=reason or OF_IMAGE,
            )  # fmt: skip

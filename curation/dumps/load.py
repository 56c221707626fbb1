"""The import: dumps of the service's database into the record store, file after file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from curation.dumps.problems import Kind, Problem
from curation.dumps.sink import Imported, Sink
from curation.dumps.sources import Dump, own_resource, read_dump
from curation.dumps.streams import Stream
from curation.store import Record, RecordStore
from schemas import RESOURCES

MOST_TOLD = 20
"""Problems of a file that are told one by one; all are counted."""


@dataclass
class FileReport:
    """What was read of a file.

    Attributes:
        name: of the file, without folders.
        format: BSON or JSON.
        compression: ``gzip`` or ``zstd``.
        size: bytes of the file that were read.
        sha256: of the file, if it was read to its end.
        documents: how many were read.
        problems: places that could not be read, counted by kind.
        told: the first of them, in words that quote nothing.
        whole: whether it was read to its end without damage.
    """

    name: str
    format: str | None = None
    compression: str | None = None
    size: int = 0
    sha256: str | None = None
    documents: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    whole: bool = False


@dataclass
class ImportReport:
    """What an import did."""

    sequence: int
    files: list[FileReport] = field(default_factory=list)
    resources: dict[str, Imported] = field(default_factory=dict)

    @property
    def unread(self) -> int:
        """Places that could not be read."""
        return sum(sum(file.problems.values()) for file in self.files)


def import_dumps(
    store: RecordStore,
    dumps: Sequence[Dump],
    *,
    on_bytes: Callable[[Dump, int], None] = lambda dump, count: None,
    on_problem: Callable[[Dump, Problem], None] = lambda dump, problem: None,
) -> ImportReport:
    """Read dumps into the store; what cannot be read is named and left out.

    Documents go into the store with the ids and etags that the Web-API would send, so that the next pull continues
    from there (see :mod:`curation.dumps.continuing`). Whatever ends the import early, documents that came are sealed
    first; the same import run again stores only what is missing.

    Args:
        store: the record store, locked by the caller.
        dumps: of :func:`~curation.dumps.sources.find_dumps`, one after the other.
        on_bytes: called with a dump and how many more bytes of its file were read.
        on_problem: called with the first :data:`MOST_TOLD` problems of a dump.

    Returns:
        What was done; it is in the run's manifest ``runs/N.json`` as well.

    Raises:
        OSError: the disk refused; what was sealed before stays.
        StoreCorrupted: a part of the store is not what its manifest says.
    """
    return _Import(store, on_bytes, on_problem).run(dumps)


class _Import:
    def __init__(
        self,
        store: RecordStore,
        on_bytes: Callable[[Dump, int], None],
        on_problem: Callable[[Dump, Problem], None],
    ) -> None:
        self._store = store
        self._on_bytes = on_bytes
        self._on_problem = on_problem
        self._began = datetime.now(UTC)
        self._report = ImportReport(store.next_sequence())
        self._sinks: dict[str, Sink] = {}
        # Resources of files that were not read to their ends.
        self._broken: set[str] = set()

    def run(self, dumps: Sequence[Dump]) -> ImportReport:
        outcome = {"outcome": "complete"}
        try:
            try:
                for dump in dumps:
                    self._file(dump)
                for resource, sink in self._sinks.items():
                    sink.finish(whole=resource not in self._broken)
            except OSError:
                raise
            except BaseException:
                for sink in self._sinks.values():
                    sink.seal()
                raise
        except BaseException as error:
            outcome = {"outcome": type(error).__name__, "reason": str(error)}
            raise
        finally:
            for sink in self._sinks.values():
                sink.close()
            self._record(outcome)
        return self._report

    def _record(self, outcome: dict[str, str]) -> None:
        self._report.resources = {name: self._sinks[name].report for name in RESOURCES if name in self._sinks}
        manifest: dict[str, Any] = {
            **asdict(self._report),
            **outcome,
            "kind": "import",
            "started": self._began.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._store.record_run(self._report.sequence, manifest)

    def _file(self, dump: Dump) -> None:
        report = FileReport(dump.name)
        self._report.files.append(report)
        one = None if dump.resource is None else self._sink(dump.resource, dump.name)
        try:
            opened = dump.open()
        except OSError as error:
            text = f"found a file that cannot be opened ({error.strerror}), expected a dump; nothing of it was read"
            self._tell(dump, Problem(0, Kind.DAMAGED, text), report)
        else:
            with opened as source:
                self._read(dump, Stream(source, lambda count: self._on_bytes(dump, count)), one, report)
        report.whole = not {Kind.CUT_SHORT, Kind.DAMAGED} & report.problems.keys()
        for resource, sink in self._sinks.items():
            if sink.is_open:
                sink.end_file()
                if not report.whole:
                    self._broken.add(resource)

    def _read(self, dump: Dump, stream: Stream, one: Sink | None, report: FileReport) -> None:
        """Put the documents of a dump into ``one`` resource, or into that which each tells."""
        reading = read_dump(dump, stream)
        report.format, report.compression = reading.format, stream.compression
        for found in reading.documents:
            problem = found if isinstance(found, Problem) else self._take(*found, one, dump.name, report)
            if problem is not None:
                self._tell(dump, problem, report)
        report.size, report.sha256 = stream.size, stream.sha256

    def _tell(self, dump: Dump, problem: Problem, report: FileReport) -> None:
        kind = str(problem.kind)
        report.problems[kind] = report.problems.get(kind, 0) + 1
        if len(report.told) < MOST_TOLD:
            report.told.append(str(problem))
            self._on_problem(dump, problem)

    def _take(
        self, offset: int, record: Record, sink: Sink | None, name: str, report: FileReport
    ) -> Problem | None:
        if sink is None:
            resource = own_resource(record)
            if resource is None:
                text = (
                    f"found a document without a bids_meta.modality of {', '.join(RESOURCES)}, expected one, or a file "
                    "named after its resource, or --resource; it was left out, what follows was read"
                )
                return Problem(offset, Kind.NO_RESOURCE, text)
            sink = self._sink(resource, name)
        report.documents += 1
        sink.add(record)
        return None

    def _sink(self, resource: str, name: str) -> Sink:
        sink = self._sinks.get(resource)
        if sink is None:
            sink = self._sinks[resource] = Sink(self._store, resource, self._report.sequence, self._began)
        if not sink.is_open:
            sink.begin_file(name)
        return sink

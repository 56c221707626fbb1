"""Where stages run: Dask's threads and processes on this machine, or a ``dask.distributed`` cluster.

Work is given as Dask's delayed calls, the same ones wherever they run. Reading documents makes Python objects, which
hold the interpreter's lock: on one machine that is done in processes as soon as there is enough of it. All else is
Arrow's and NumPy's, and done in threads.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Any

from dask.delayed import Delayed, delayed

from curation.code import code_digest
from curation.errors import ClusterFailed, UsageError
from curation.partitions import checked_folder

CONNECT_SECONDS = 30
AHEAD = 1
"""Calls a worker, and one more, that are under way or done and not yet used: a result may be a chunk, of 30 MB."""
_ARENA_MAX, _ARENAS = -8, 2
"""``M_ARENA_MAX`` of glibc's malloc.h, and how many arenas threads share: with one each, much stays behind in them;
https://man7.org/linux/man-pages/man3/mallopt.3.html"""
LOOK_SECONDS = 10
NO_WORKERS_SECONDS = 300
"""How long a cluster may be without workers before a run gives up."""
_OTHER_CODE = "has another version of mriqc-snapshot, Arrow or NumPy than this machine; install the same"
log = logging.getLogger(__name__)


class Engine:
    """Runs delayed calls; a context manager that ends what it started.

    Args:
        scheduler: address of a ``dask.distributed`` scheduler (``tcp://...``, ``tls://...``); this machine without.
            Documents, and the key for pseudonyms, go to its workers: it has to be one's own.
        workers: processes and threads on this machine; as many as it has processors for this process without.
        processes: whether documents may be read in processes of their own. These import the program's main module,
            which has to be made for it: https://docs.python.org/3/library/multiprocessing.html#the-spawn-and-forkserver-start-methods
        partitions: folder or URL of typed columns that workers share; beside the store's parts without.

    Raises:
        UsageError: ``distributed`` is not installed, or no scheduler answers at the address.

    Attributes:
        threads: of this process.
        partitions: as given.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        workers: int | None = None,
        *,
        processes: bool = True,
        partitions: str | None = None,
    ) -> None:
        self._may_start = processes
        self.partitions = checked_folder(partitions) if partitions else None
        self.threads = workers or len(os.sched_getaffinity(0))
        _share_arenas()
        self._threads = ThreadPoolExecutor(self.threads, "curate")
        self._processes: ProcessPoolExecutor | None = None
        self._client: Any = _connect(scheduler) if scheduler else None

    @property
    def workers(self) -> int:
        """How many calls run at a time: threads of the cluster's workers now, where there is one."""
        return self.threads if self._client is None else max(1, sum(self._client.nthreads().values()))

    @property
    def is_cluster(self) -> bool:
        """Whether calls run on other machines, which see only what is shared with them."""
        return self._client is not None

    def require_outside(self, folder: Path) -> None:
        """Stop where typed columns would lie among what is published.

        Raises:
            UsageError: partitions are kept in ``folder``.
        """
        if self.partitions is None or "://" in self.partitions:
            return
        if Path(self.partitions).resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"{self.partitions}: inside {folder}, which is published; choose other --partitions"
            )

    def require_same_code(self) -> None:
        """Stop before anything is done where workers would make other bytes than this machine.

        Raises:
            UsageError: they have other code, or there are none.
        """
        if self._client is None:
            return
        try:
            found = self._client.run(code_digest)
        except Exception as error:
            raise UsageError(
                f"a worker cannot say what it works with ({type(error).__name__}: {error}); install the same "
                "version of mriqc-snapshot there"
            ) from None
        if not found:
            raise UsageError("the scheduler has no workers; start some: dask worker ADDRESS --nthreads 1")
        if others := sorted(address for address, said in found.items() if said != code_digest()):
            raise UsageError(f"the worker at {others[0]} (of {len(others)}) {_OTHER_CODE}")

    def call(self, function: Callable[..., Any], *args: Any) -> Delayed:
        """A delayed call, which a worker refuses that has other code: some join when work has begun."""
        if self._client is None:
            return delayed(function)(*args)
        return delayed(_with_same_code)(code_digest(), function, *args)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, processes and connection."""
        self.end_processes()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def end_processes(self) -> None:
        """End the processes, whose memory is given back; they are started again when they are needed."""
        if self._processes is not None:
            self._processes.shutdown(wait=True, cancel_futures=True)
            self._processes = None

    def run(self, calls: Iterable[Delayed]) -> Iterator[Any]:
        """The results of calls, in their order; some are computed while others are used.

        Raises:
            ClusterFailed: a call could not be run, on any worker.
        """
        if self._client is None:
            return self.run_here(calls)
        return self._in_order(calls, self._on_cluster, lambda: self.workers)

    def run_here(self, calls: Iterable[Delayed]) -> Iterator[Any]:
        """As :meth:`run`, in threads of this process: of calls that read what only this machine has."""
        return self._in_order(calls, self._in_threads, lambda: self.threads)

    def run_python(self, calls: Iterable[Delayed]) -> Iterator[Any]:
        """As :meth:`run`, of calls that hold the interpreter's lock."""
        if self._client is not None or self.threads == 1 or not self._may_start:
            return self.run(calls)
        if self._processes is None:
            self._processes = ProcessPoolExecutor(
                self.threads, mp_context=get_context("spawn"), initializer=_end_with_parent
            )
        return self._in_order(calls, self._in_processes, lambda: self.threads)

    def _in_order(
        self, calls: Iterable[Delayed], submit: Callable[[Delayed], Any], workers: Callable[[], int]
    ) -> Iterator[Any]:
        waiting: deque[Any] = deque()
        try:
            for call in calls:
                with self._told():
                    waiting.append(submit(call))
                if len(waiting) > AHEAD * workers():  # workers of a cluster come and go
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _in_threads(self, call: Delayed) -> Any:
        return self._threads.submit(_compute, call)

    def _in_processes(self, call: Delayed) -> Any:
        if self._processes is None:
            raise RuntimeError("processes were ended while calls were under way")
        return self._processes.submit(_compute, call)

    def _on_cluster(self, call: Delayed) -> Any:
        return self._client.compute(call, optimize_graph=False)

    def _result(self, future: Any) -> Any:
        with self._told():
            if isinstance(future, Future):
                return future.result()
            # Of a cluster: it is looked at now and then whether anybody works.
            alone = 0
            while True:
                try:
                    return future.result(timeout=LOOK_SECONDS)
                except TimeoutError:
                    if future.done():  # just now, or the error is the call's own
                        return future.result()
                alone = 0 if self._client.nthreads() else alone + LOOK_SECONDS
                if alone == LOOK_SECONDS:
                    log.warning("the scheduler has no workers any more; waiting for some")
                if alone >= NO_WORKERS_SECONDS:
                    raise ClusterFailed(
                        f"the scheduler has had no workers for {alone} seconds; start some, and run the same command "
                        "again"
                    )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what is meant where those that do the work end; errors of the work itself go on as they are."""
        try:
            yield
        except BrokenProcessPool as error:
            self.end_processes()
            raise ClusterFailed(
                "a process that reads documents ended before its work did (killed, or memory is short: `workers` sets "
                "how many there are; or this program's main module cannot be imported); run the same command again"
            ) from error
        except Exception as error:
            if not type(error).__module__.startswith("distributed"):
                raise
            raise ClusterFailed(
                f"the cluster could not do it: {type(error).__name__}: {error}; run the same command again"
            ) from None


def _with_same_code(code: str, function: Callable[..., Any], *args: Any) -> Any:
    if code != code_digest():
        raise UsageError(f"a worker on {platform.node()} {_OTHER_CODE}")
    return function(*args)


def _compute(call: Delayed) -> Any:
    return call.compute(scheduler="synchronous", optimize_graph=False)


def _share_arenas() -> None:
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; a cluster needs: pip install 'mriqc-snapshot[cluster]'"
        ) from error
    # What it says of a lost connection is told by this module in a line.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); expected the address that "
            "`dask scheduler` prints, such as tcp://127.0.0.1:8786"
        ) from None


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    _share_arenas()
    # What was imported stays, and documents are trees: there is little to collect.
    gc.freeze()
    gc.set_threshold(100_000)

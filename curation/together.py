"""Work done together on one event loop, none of which goes on once one of it has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")
# One thread each keeps up with any service; more would contend for the interpreter and each hold memory of their own.
# Sealing waits for the disk, which is no reason to stop flushing.
_flushing = ThreadPoolExecutor(1, "flush")
_sealing = ThreadPoolExecutor(1, "seal")


async def all_or_first_error(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all and return their results; on an error the others are cancelled and have ended before it is raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def begin_flush(flush: Callable[[], None]) -> asyncio.Future[None]:
    """Begin to run ``flush`` in the thread for it."""
    work = asyncio.get_running_loop().run_in_executor(_flushing, flush)
    # Whoever does not wait for it learns of a failure when sealing.
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    return work


async def in_thread(function: Callable[[], T]) -> T:
    """Run ``function`` in a thread; it has ended when this returns or raises, however often the task is cancelled.

    It has the caller's context, by which Prefect knows whose log lines are whose.

    A thread cannot be stopped, and one that still writes to a store whose lock was given back could meet the next run.
    """
    work = asyncio.get_running_loop().run_in_executor(_sealing, copy_context().run, function)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        work.exception()  # looked at: the cancellation is what is told
        raise cancelled
    return work.result()

"""Several calls at once, and one writer: workers talk to a vendor, the caller's thread to the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TypeVar

Job = TypeVar("Job")


def run_workers(
    work: Callable[[Job], Job], write: Callable[[Sequence[Job], int], Sequence[Job]], *, width: int, ahead: int
) -> None:
    """Have `width` workers do jobs until `write` has no more of them; returns when none is under way.

    `write(ended, room)` is called in this thread, never twice at once, with the jobs that have ended since
    (none at first), and returns at most `room` further ones: `ahead` of them wait for a worker, so that
    the workers go on while it writes. All that ended meanwhile comes at once: the slower the writing, the more
    is written together. Neither may stay in a transaction across the other.

    Where `work` or `write` fails, no further job is begun, those under way end and are handed to `write` with a
    room of 0, and the first error is raised: what was done is written down whatever else went wrong.
    """
    if width <= 1:
        _one_by_one(work, write)
        return
    failed: list[BaseException] = []
    ended: SimpleQueue[Job | BaseException] = SimpleQueue()

    def do(job: Job) -> None:
        try:
            ended.put(work(job))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
            ended.put(error)

    under_way = 0
    done: list[Job] = []
    with ThreadPoolExecutor(width, thread_name_prefix="mpsync-call") as pool:
        while True:
            try:
                jobs = write(done, 0 if failed else width + ahead - under_way)
            except Exception as error:  # noqa: BLE001 - raised below, once what is under way has ended
                failed.append(error)
                jobs = []
            for job in jobs:
                pool.submit(do, job)
            under_way += len(jobs)
            if under_way == 0:
                break
            results = _all_of(ended)
            under_way -= len(results)
            failed += [result for result in results if isinstance(result, BaseException)]
            done = [result for result in results if not isinstance(result, BaseException)]
    if failed:
        raise failed[0]


def _one_by_one(work: Callable[[Job], Job], write: Callable[[Sequence[Job], int], Sequence[Job]]) -> None:
    jobs = list(write([], 1))
    while jobs:
        jobs = list(write([work(job) for job in jobs], 1))


def _all_of(queue: SimpleQueue[Job]) -> list[Job]:
    """Wait for one, and return it with whatever else is there."""
    found = [queue.get()]
    try:
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found

"""Several workers and one writer: nothing is lost, nothing is begun after a failure."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from sync.work.workers import run_workers


class Desk:
    """Hands out numbers, and writes down those that come back."""

    def __init__(self, last: int) -> None:
        self.left = list(range(last))
        self.written: list[int] = []
        self.under_way = 0
        self.most = 0
        self.broken_at: int | None = None

    def write(self, ended: Sequence[int], room: int) -> list[int]:
        self.written += ended
        self.under_way -= len(ended)
        if self.broken_at in ended:
            self.broken_at = None
            raise OSError("the disk is full")
        begun = [self.left.pop(0) for _ in range(min(room, len(self.left)))]
        self.under_way += len(begun)
        self.most = max(self.most, self.under_way)
        return begun


@pytest.mark.parametrize(("width", "ahead", "most"), [(1, 0, 1), (4, 4, 8)])
def test_every_job_is_done_once_and_no_more_are_under_way_than_asked_for(width: int, ahead: int, most: int) -> None:
    desk = Desk(200)

    run_workers(lambda n: n, desk.write, width=width, ahead=ahead)

    assert sorted(desk.written) == list(range(200))
    assert desk.most == most


def test_only_the_calling_thread_writes() -> None:
    desk, writers = Desk(50), set()

    def write(ended: Sequence[int], room: int) -> list[int]:
        writers.add(threading.get_ident())
        return desk.write(ended, room)

    run_workers(lambda n: n, write, width=4, ahead=4)

    assert writers == {threading.get_ident()}


def test_after_a_failed_call_none_is_begun_and_those_under_way_are_written_down() -> None:
    desk = Desk(100)

    def work(n: int) -> int:
        if n == 3:
            raise ValueError("a bug")
        return n

    with pytest.raises(ValueError, match="a bug"):
        run_workers(work, desk.write, width=4, ahead=4)

    begun = set(range(100)) - set(desk.left)
    assert set(desk.written) == begun - {3}


def test_after_a_failed_write_the_answers_that_still_come_are_written_down() -> None:
    desk = Desk(100)
    desk.broken_at = 2

    with pytest.raises(OSError, match="disk is full"):
        run_workers(lambda n: n, desk.write, width=4, ahead=4)

    assert set(desk.written) == set(range(100)) - set(desk.left)

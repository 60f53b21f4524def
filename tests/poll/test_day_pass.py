"""When a pass over days writes what it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from sync.database.engine import Store
from sync.ledger.coverage import RECEIPTS
from sync.poll.days import day_pass
from sync.poll.days.day_pass import DayPass
from sync.poll.days.read import make_ready, read_day
from tests.clocks import FakeClock
from tests.worlds.poll_world import PollWorld, poll_world, receipt

FIRST = date(2024, 1, 1)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def _add(world: PollWorld, reading: DayPass, day: date, *ids: int) -> None:
    world.put("receipts", *(receipt(n, created_on=day.isoformat()) for n in ids), day=day)
    assert world.ctx.mpw is not None
    read = read_day(world.ctx.mpw, RECEIPTS, day, clock=world.clock)
    make_ready(read, lock_date=None, sqlite=world.store.is_sqlite)
    reading.add(read)


def test_a_pause_writes_what_is_worth_a_transaction_and_no_less(
    world: PollWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_pass, "WORTH_ROWS", 3)
    reading = DayPass(world.ctx, 1)
    _add(world, reading, FIRST, 1, 2)

    reading.pause()
    too_few = len(world.entries())
    _add(world, reading, FIRST + timedelta(days=1), 3)
    reading.pause()

    assert (too_few, len(world.entries())) == (0, 3)


def test_days_without_a_new_row_wait_for_their_batch(world: PollWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_pass, "WORTH_ROWS", 1)
    reading = DayPass(world.ctx, 1)
    for n in range(day_pass.BATCH_DAYS - 1):
        _add(world, reading, FIRST + timedelta(days=n))
        reading.pause()
    before = world.rows("select count(*) from coverage")

    _add(world, reading, FIRST + timedelta(days=day_pass.BATCH_DAYS))

    assert (before, world.rows("select count(*) from coverage")) == ([(0,)], [(day_pass.BATCH_DAYS,)])


def test_quiet_is_held_while_questions_are_asked_and_not_while_rows_are_written(
    world: PollWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    written = day_pass.take_days

    class Quiet:
        def __enter__(self) -> None:
            told.append("quiet")

        def __exit__(self, *_error: object) -> None:
            told.append("free")

    def watched(*args: object, **named: object) -> object:
        told.append("asks")
        taken = written(*args, **named)  # type: ignore[arg-type]
        told.append("has written")
        return taken

    monkeypatch.setattr(day_pass, "take_days", watched)
    reading = DayPass(world.ctx, 1, quiet=Quiet())
    for n in range(2):
        _add(world, reading, FIRST + timedelta(days=n), n)
        reading.flush()

    assert told == ["quiet", "asks", "free", "has written"] * 2

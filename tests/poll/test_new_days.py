"""What a backfill makes ready while it reads is stored as if each row had been looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from sync.database.engine import Store
from sync.database.schema import coverage, documents, ledger_entries, pushed_rows, quarantine
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.poll.backfill import backfill_once
from sync.poll.days.day_pass import read_days
from sync.poll.days.read import make_ready, read_day, take_days
from tests.clocks import FakeClock
from tests.worlds.poll_world import PollWorld, issuance, poll_world, receipt

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(12)]


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


@pytest.fixture
def reference(sqlite_template: Path, tmp_path: Path, clock: FakeClock) -> Iterator[PollWorld]:
    """Another program with the same vendors, which reads its days one by one and looks at each row."""
    shutil.copyfile(sqlite_template, tmp_path / "reference.db")
    store = Store(f"sqlite:///{tmp_path / 'reference.db'}")
    with poll_world(store, clock) as made:
        yield made
    store.close()


def _fill(world: PollWorld) -> None:
    """A history with everything in it that a short cut could get wrong."""
    for n, day in enumerate(DAYS):
        on = {"created_on": day.isoformat()}
        rows: list[Any] = [receipt(n * 10 + i, quantity_received=i / 4, **on) for i in range(5)]
        if n == 2:
            rows[1] |= {"api_key": "erp-1"}
            rows[2] |= {"api_key": "no key at all"}
        if n == 3:
            rows[0] |= {"unit_cost": 9_000_000_000_000, "quantity_received": 9_000_000_000}
        if n == 4:
            rows[4] |= {"quantity_received": "many"}
        if n == 7:
            rows[3] |= {"created_on": FIRST.isoformat(), "description": "tab\tline\nback\\slash \\N"}
        if n == 8:
            rows[0] |= {"description": "for [mps-9-1]", "api_key": "mps-7-1"}
        world.put("receipts", *(rows if n != 9 else []), day=day)
        marked = issuance(n * 10 + 1, description="ours [mps-9-1]" if n == 6 else None, **on)
        world.put("issuances", issuance(n * 10, **on), marked, day=day)


def _contents(store: Store) -> dict[str, list[Any]]:
    """Return what the tables hold, without ids and instants."""
    aside = {"id", "run_id", "entry_id", "recorded_at", "first_seen_at", "last_seen_at", "last_read_at"}
    aside |= {"fetch_began_at", "seen_at", "began_no", "read_no"}
    found: dict[str, list[Any]] = {}
    with store.read() as conn:
        for table in (documents, ledger_entries, coverage, quarantine):
            columns = [column for column in table.c if column.name not in aside]
            found[table.name] = sorted((tuple(row) for row in conn.execute(select(*columns))), key=repr)
        links = select(documents.c.remote_id, documents.c.type, ledger_entries.c.remote_id, ledger_entries.c.kind)
        query = links.join(ledger_entries, ledger_entries.c.id == documents.c.entry_id)
        found["links"] = sorted(tuple(row) for row in conn.execute(query))
    return found


def _push(world: PollWorld) -> None:
    world.add_push("post_issuance", "mps-9-1")
    pushed = world.add_push("post_receipt", "mps-8-1")
    world.add_push("post_receipt", "mps-7-1")
    with world.store.write() as conn:
        row = {"type": "receipt", "remote_id": "103", "outbox_id": pushed, "api_key": "mps-8-1"}
        conn.execute(insert(pushed_rows).values(**row))


@pytest.mark.parametrize("known", [False, True])
def test_a_backfill_stores_what_reading_day_by_day_stores(world: PollWorld, reference: PollWorld, known: bool) -> None:
    for one in (world, reference):
        if known:
            _push(one)
        _fill(one)

    done = backfill_once(world.ctx, DAYS[0], DAYS[-1], sources=[RECEIPTS, ISSUANCES])
    slow = [read_days(reference.ctx, reference.ctx.mpw, s, DAYS, 1) for s in (ISSUANCES, RECEIPTS)]  # type: ignore[arg-type]

    assert _contents(world.store) == _contents(reference.store)
    assert (done.counts.added, done.counts.quarantined) == (
        sum(one.counts.added for one in slow),
        sum(one.counts.quarantined for one in slow),
    )
    keys = {row.remote_id: row.api_key for row in world.entries() if row.kind == "receipt"}
    assert keys["21"] == "erp-1"
    assert keys["103"] == ("mps-8-1" if known else "mpw-r-103")


def test_a_row_that_moved_while_we_read_is_stored_once(world: PollWorld, reference: PollWorld) -> None:
    for one in (world, reference):
        _fill(one)
        moved = receipt(61, description="moved while we read", created_on=DAYS[5].isoformat())
        one.put("receipts", receipt(50), moved, day=DAYS[5])

    backfill_once(world.ctx, DAYS[0], DAYS[-1], sources=[RECEIPTS])
    read_days(reference.ctx, reference.ctx.mpw, RECEIPTS, DAYS, 1)  # type: ignore[arg-type]

    assert _contents(world.store) == _contents(reference.store)
    assert len([row for row in world.entries() if row.remote_id == "61"]) == 1


def test_a_day_that_was_stored_with_other_rows_has_them_marked_as_missing(world: PollWorld) -> None:
    client = world.ctx.mpw
    assert client is not None
    world.put("receipts", receipt(7), receipt(8), day=DAYS[0])
    read_days(world.ctx, client, RECEIPTS, [DAYS[0]], 1)
    world.clock.advance(minutes=1)
    world.put("receipts", receipt(9), day=DAYS[0])
    world.put("receipts", receipt(10), day=DAYS[1])
    reads = [read_day(client, RECEIPTS, day, clock=world.clock) for day in DAYS[:2]]
    for read in reads:
        make_ready(read, lock_date=None, sqlite=world.store.is_sqlite)

    with world.store.write() as conn:
        taken = take_days(Books(conn, now=world.clock.now(), policy=world.ctx.policy, run_id=1), reads)

    assert all(read.ready is not None for read in reads)
    assert taken.counts.added == 2
    assert world.document("7").missing_since is not None
    assert world.document("9").missing_since is None


def test_a_row_that_is_known_under_another_day_is_no_second_document(world: PollWorld) -> None:
    world.put("receipts", receipt(7), receipt(8), day=DAYS[0])
    backfill_once(world.ctx, DAYS[0], DAYS[0], sources=[RECEIPTS])
    world.put("receipts", receipt(8), day=DAYS[0])
    world.put("receipts", receipt(7), receipt(9), day=DAYS[1])
    world.clock.advance(minutes=5)

    done = backfill_once(world.ctx, DAYS[1], DAYS[1], sources=[RECEIPTS])

    assert (done.counts.added, done.failed) == (1, [])
    assert [row[0] for row in world.rows("select remote_id from documents order by remote_id")] == ["7", "8", "9"]
    assert world.document("7").day == DAYS[1]


def test_a_day_that_somebody_else_stored_meanwhile_is_not_stored_twice(world: PollWorld) -> None:
    client = world.ctx.mpw
    assert client is not None
    world.put("receipts", receipt(7), receipt(8), day=DAYS[0])
    read_days(world.ctx, client, RECEIPTS, [DAYS[0]], 1)
    world.put("receipts", receipt(7), receipt(8, quantity_received=5), receipt(9), day=DAYS[0])
    world.clock.advance(minutes=1)
    read = read_day(client, RECEIPTS, DAYS[0], clock=world.clock)
    make_ready(read, lock_date=None, sqlite=world.store.is_sqlite)

    with world.store.write() as conn:
        taken = take_days(Books(conn, now=world.clock.now(), policy=world.ctx.policy, run_id=1), [read])

    assert read.ready is not None
    assert (taken.counts.added, taken.counts.changed, taken.counts.unchanged) == (1, 1, 1)
    assert [row[1:] for row in world.brief()] == [
        ("mpw-r-7", "1"),
        ("mpw-r-8", "1"),
        ("mpw-r-8", "-1"),
        ("mpw-r-8", "5"),
        ("mpw-r-9", "1"),
    ]


def test_of_days_read_together_only_those_with_known_rows_are_looked_at_row_by_row(world: PollWorld) -> None:
    world.put("receipts", receipt(20), day=DAYS[0])
    backfill_once(world.ctx, DAYS[0], DAYS[0], sources=[RECEIPTS])
    for n, ids in enumerate(([10, 20], [15, 25], [16, 30]), 1):
        world.put("receipts", *map(receipt, ids), day=DAYS[n])
    world.put("receipts", day=DAYS[0])
    world.clock.advance(minutes=5)

    done = backfill_once(world.ctx, DAYS[1], DAYS[3], sources=[RECEIPTS])

    assert (done.counts.seen, done.counts.added, done.counts.changed) == (6, 5, 1)
    assert len(world.entries()) == 6
    assert world.document("20").day == DAYS[1]


def test_a_row_whose_amount_the_ledger_cannot_hold_is_set_aside_alone(world: PollWorld) -> None:
    huge = receipt(2, unit_cost=9_000_000_000_000, quantity_received=9_000_000_000)
    world.put("receipts", receipt(1), huge, receipt(3), day=DAYS[0])

    done = backfill_once(world.ctx, DAYS[0], DAYS[0], sources=[RECEIPTS])

    assert (done.counts.added, done.counts.quarantined) == (2, 1)
    assert [row.remote_id for row in world.entries()] == ["1", "3"]

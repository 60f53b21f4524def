"""Retention: what is forgotten, and what must never be."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update

from sync.database import schema
from sync.database.engine import Store
from sync.database.facts import beat
from sync.database.tallies import ATTEMPTS, PUSHES, ROWS, RUNS, tallied
from sync.errors import LeaseLostError
from sync.jobs import prune
from sync.jobs.due import an_agenda
from sync.jobs.prune import PruneCounts, prune_if_due_once, prune_once
from sync.jobs.reports import event_story, last_runs
from sync.ledger.books import Books
from sync.outbox.machine import PATCH_STOCK
from sync.outbox.rows import push_exists
from sync.stock.facts import item_facts
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.work.context import Context
from tests.clocks import FakeClock
from tests.views.story import NOON, done, push, tell

YEARS = timedelta(days=1000)
NOTHING = PruneCounts()


def context(store: Store, clock: FakeClock, **policy: Any) -> Context:
    clock.current = NOON + YEARS
    return Context(store=store, clock=clock, policy=replace(Policy(), **policy), agenda=an_agenda())


def add(store: Store, table: Any, **values: Any) -> int:
    with store.write() as conn:
        key = conn.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def attempt(store: Store, outbox_id: int, n: int = 1, outcome: str = "done") -> None:
    with store.write() as conn:
        values = {"outbox_id": outbox_id, "n": n, "fence": n, "started_at": NOON, "outcome": outcome}
        conn.execute(insert(schema.attempts).values(**values))


def run(store: Store, flow: str = "poll", **changed: Any) -> int:
    return add(store, schema.runs, **{"flow": flow, "started_at": NOON, "outcome": "ok", "seen": 3, **changed})


def count(store: Store, table: str, where: str = "1 = 1") -> int:
    with store.read() as conn:
        return int(conn.execute(text(f"select count(*) from {table} where {where}")).scalar_one())


def payload(store: Store, outbox_id: int) -> str:
    with store.read() as conn:
        return str(conn.execute(select(schema.outbox.c.payload).where(schema.outbox.c.id == outbox_id)).scalar_one())


def test_old_runs_go_but_the_last_and_the_last_good_one_of_each_flow_stay(store: Store, clock: FakeClock) -> None:
    for _ in range(3):
        run(store)
    good = run(store)
    failed = run(store, outcome="failed", error="down")
    other = run(store, flow="push", outcome=None)

    counts = prune_once(context(store, clock))

    assert counts == PruneCounts(runs=3)
    with store.read() as conn:
        assert set(conn.execute(select(schema.runs.c.id)).scalars()) == {good, failed, other}
        assert [row["id"] for row in last_runs(conn)] == [failed, other]


def test_young_runs_stay(store: Store, clock: FakeClock) -> None:
    young = NOON + YEARS - timedelta(days=89)
    for _ in range(3):
        run(store, started_at=young)

    assert prune_once(context(store, clock)) == NOTHING
    assert count(store, "runs") == 3


def test_what_pruned_rows_had_counted_is_added_up_over_several_prunings(store: Store, clock: FakeClock) -> None:
    ctx = context(store, clock)
    for _ in range(2):
        for _ in range(3):
            run(store, added=2)
        run(store, outcome="failed", seen=1)
        prune_once(ctx)

    with store.read() as conn:
        assert tallied(conn, RUNS) == {"poll|ok": 6, "poll|failed": 2}
        assert tallied(conn, ROWS) == {"poll|added": 12}
    assert count(store, "runs") == 2
    assert count(store, "tallies") == 3  # added up: a row a label


def test_a_done_push_keeps_its_row_key_and_evidence_and_loses_payload_and_attempts(
    store: Store, clock: FakeClock
) -> None:
    id_ = add(store, schema.outbox, **done("k-1"))
    attempt(store, id_, 1, "unknown")
    attempt(store, id_, 2)

    counts = prune_once(context(store, clock))

    assert counts == PruneCounts(pushes=1)
    assert payload(store, id_) == '{"pruned_on": "2026-12-10"}'
    assert count(store, "attempts") == 0
    with store.read() as conn:
        assert push_exists(conn, "receipt", "k-1")
        assert event_story(conn, "k-1")["pushes"][0]["evidence"] == "answered 200"
        assert tallied(conn, ATTEMPTS) == {"unknown": 1, "done": 1}
        assert tallied(conn, PUSHES) == {"done": 1}
    assert prune_once(context(store, clock)) == NOTHING


@pytest.mark.parametrize(
    "state",
    [
        {"state": "held"},
        {"state": "ready"},
        {"state": "unknown", "ambiguous": True},
        {"state": "dead", "finalized_at": NOON},
        {"state": "discarded", "finalized_at": NOON},
        {"state": "superseded", "finalized_at": NOON},
        {"state": "done", "evidence": "e", "finalized_at": NOON + YEARS - timedelta(days=399)},
        {"state": "done", "evidence": "e", "finalized_at": NOON, "unseen_since": NOON},
    ],
    ids=("held", "ready", "unknown", "dead", "discarded", "superseded", "done lately", "done and not seen yet"),
)
def test_what_is_not_long_done_is_left_whole(store: Store, clock: FakeClock, state: dict[str, Any]) -> None:
    id_ = add(store, schema.outbox, **push("k-1", **state))
    attempt(store, id_)

    assert prune_once(context(store, clock)) == NOTHING

    assert payload(store, id_) == '{"part_number": "P-1"}'
    assert count(store, "attempts") == 1


def test_the_newest_stock_patch_of_an_item_stays_whole_for_the_next_to_be_compared_with(
    store: Store, clock: FakeClock
) -> None:
    older = add(store, schema.outbox, **done("s-1", operation=PATCH_STOCK, item="EXT-1"))
    newest = add(store, schema.outbox, **done("s-2", operation=PATCH_STOCK, item="EXT-1"))

    prune_once(context(store, clock))

    assert "pruned_on" in payload(store, older)
    assert payload(store, newest) == '{"part_number": "P-1"}'


@pytest.mark.parametrize("state", ["held", "ready"])
def test_an_item_s_newest_done_patch_stays_whole_while_one_waits_that_may_be_superseded_yet(
    store: Store, clock: FakeClock, state: str
) -> None:
    patch = {"operation": PATCH_STOCK, "item": "E", "payload": '{"new_stock": "5", "new_cost": "2.5"}'}
    older, kept = (add(store, schema.outbox, **done(f"s-{n}", **patch)) for n in (1, 2))
    waiting = add(store, schema.outbox, **push("s-3", **patch, state=state))
    ctx = context(store, clock)

    prune_once(ctx)
    with store.write() as conn:
        conn.execute(
            update(schema.outbox).where(schema.outbox.c.id == waiting).values(state="superseded", finalized_at=NOON)
        )
    with store.read() as conn:
        known = item_facts(conn, ["E"], policy=ctx.policy)["E"].patch

    assert known is not None
    assert (known.outbox_id, known.new_stock, known.new_cost) == (kept, Decimal(5), Decimal("2.5"))
    assert "pruned_on" in payload(store, older)


def test_an_item_whose_newest_patch_was_forgotten_is_looked_at_as_one_without_a_patch(
    store: Store, clock: FakeClock
) -> None:
    ctx = context(store, clock)
    add(store, schema.outbox, **done("s-1", operation=PATCH_STOCK, item="E", payload='{"pruned_on": "2026-01-01"}'))

    with store.read() as conn:
        assert item_facts(conn, ["E"], policy=ctx.policy)["E"].patch is None


def test_a_push_that_somebody_is_asked_about_stays_whole(store: Store, clock: FakeClock) -> None:
    id_ = add(store, schema.outbox, **done("k-1"))
    waiting = add(store, schema.outbox, **done("s-1", operation=PATCH_STOCK, item="E"))
    add(store, schema.outbox, **done("s-2", operation=PATCH_STOCK, item="E"))
    with store.write() as conn:
        Books(conn, now=NOON).open_exception("order_changed", about=Subject.push(id_), detail="d", hint="h")
        echo = {"outbox_id": waiting, "n": 1, "external_id": "E", "new_stock": Decimal(1), "claimed_seq": 0}
        costs = {"new_cost": Decimal(1), "sent_cost": Decimal("1.000001")}
        conn.execute(insert(schema.echoes).values(**echo, **costs))

    assert prune_once(context(store, clock)) == NOTHING


def test_raw_texts_go_and_digests_and_the_ledger_stay(store: Store, clock: FakeClock) -> None:
    values = {
        "system": "mpw",
        "type": "receipt",
        "source": "mpw.receipts",
        "digest": "d",
        "raw": '{"id": 1}',
        "first_seen_at": NOON,
    }
    old = add(store, schema.documents, **values, remote_id="1", last_seen_at=NOON)
    young = add(store, schema.documents, **values, remote_id="2", last_seen_at=NOON + YEARS)

    assert prune_once(context(store, clock)).documents == 1
    assert prune_once(context(store, clock)) == NOTHING

    with store.read() as conn:
        raw = dict(conn.execute(select(schema.documents.c.id, schema.documents.c.raw)).all())
    assert raw == {old: '{"pruned_on": "2026-12-10"}', young: '{"id": 1}'}
    assert count(store, "documents", "digest = 'd'") == 2


def test_what_the_erp_said_stays_whole(store: Store, clock: FakeClock) -> None:
    values = {"source": "inbox", "digest": "d", "raw": '{"kind": "receipt"}', "first_seen_at": NOON}
    add(store, schema.documents, **values, system="erp", type="void", remote_id="receipt:1", last_seen_at=NOON)

    assert prune_once(context(store, clock)) == NOTHING


def test_books_keys_and_what_people_decide_are_never_removed(store: Store, clock: FakeClock) -> None:
    with store.write() as conn:
        tell(conn)
    tables = ["ledger_entries", "outbox", "inbox", "exceptions", "quarantine", "gaps", "coverage", "purchase_orders"]
    before = {table: count(store, table) for table in tables}

    prune_once(context(store, clock))

    assert {table: count(store, table) for table in tables} == before
    assert all(before.values())


def test_zero_days_keep_everything_for_ever(store: Store, clock: FakeClock) -> None:
    run(store)
    run(store)
    add(store, schema.outbox, **done("k-1"))

    counts = prune_once(context(store, clock, keep_runs=None, keep_done=None, keep_raw=None))

    assert counts == NOTHING
    assert count(store, "runs") == 2


def test_more_than_a_batch_goes_in_one_pruning(
    sqlite_store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "BATCH", 2)
    for n in range(7):
        run(sqlite_store)
        add(sqlite_store, schema.outbox, **done(f"k-{n}"))

    assert prune_once(context(sqlite_store, clock)) == PruneCounts(runs=6, pushes=7)


def test_it_is_done_once_a_day_whoever_starts(sqlite_store: Store, clock: FakeClock) -> None:
    ctx = context(sqlite_store, clock)
    assert prune_if_due_once(ctx) == NOTHING

    clock.advance(hours=23)
    assert prune_if_due_once(ctx) is None

    clock.advance(hours=1)
    assert prune_if_due_once(ctx) == NOTHING


def test_a_process_that_does_not_lead_forgets_nothing(sqlite_store: Store, clock: FakeClock) -> None:
    run(sqlite_store)
    run(sqlite_store)
    ctx = context(sqlite_store, clock)

    def lost() -> Any:
        raise LeaseLostError("somebody else leads")

    ctx.lease = lost
    with pytest.raises(LeaseLostError):
        prune_once(ctx)

    assert count(sqlite_store, "runs") == 2


def test_a_file_gives_back_what_was_freed_and_its_log_is_emptied(sqlite_store: Store, clock: FakeClock) -> None:
    path = str(sqlite_store.url.database)
    with sqlite_store.write() as conn:
        rows = [{"flow": "poll", "started_at": NOON, "outcome": "failed", "error": "x" * 2000} for _ in range(2000)]
        conn.execute(insert(schema.runs), rows)

    def pages() -> int:
        connection = sqlite3.connect(path)
        try:
            return int(connection.execute("pragma page_count").fetchone()[0])
        finally:
            connection.close()

    before = pages()
    prune_once(context(sqlite_store, clock))

    assert pages() < before / 2
    with open(f"{path}-wal", "rb") as log:
        assert log.read() == b""


def test_hosts_whose_daemon_is_long_gone_are_forgotten_and_the_heartbeat_is_not(store: Store, clock: FakeClock) -> None:
    ctx = context(store, clock)
    with store.write() as conn:
        beat(conn, "gone", now=clock.now() - timedelta(days=61))
        beat(conn, "still-here", now=clock.now() - timedelta(days=3))

    prune_once(ctx)

    with store.read() as conn:
        names = set(conn.execute(select(schema.facts.c.name)).scalars())
    assert {"heartbeat_at", "heartbeat_at:still-here"} <= names
    assert "heartbeat_at:gone" not in names


def test_a_vacuum_of_postgresql_may_take_longer_than_any_other_statement(postgres_url: str, clock: FakeClock) -> None:
    store = Store(postgres_url)
    said: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    prune_once(context(store, clock))

    vacuums = [place for place, statement in enumerate(said) if statement.startswith("vacuum")]
    assert len(vacuums) == 5
    assert said.index("set statement_timeout = 0") < min(vacuums)
    with store.read() as conn:
        assert conn.exec_driver_sql("show statement_timeout").scalar_one() == "2min", "and that one only"
    store.close()

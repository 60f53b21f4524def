"""What a round asks before it does anything: idle costs a handful of statements, and nothing that is due is missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import event

from sync.database.engine import Store
from sync.database.facts import fact
from sync.errors import AuthError
from sync.jobs.cycle import CycleReport, work_once
from sync.jobs.resolve import resolve_by_person
from sync.journal.account_rows import save_rules
from sync.journal.accounts import numbered, read_rules, sample
from sync.journal.derive import JOURNAL_SEQ
from sync.ledger.books import Books
from sync.values.books import JournalTerms
from tests.statements import counted, plans, scans, steps
from tests.worlds.stock_world import StockWorld, stock_world

AN_IDLE_ROUND = 10
"""Statements at most, the transaction's own begin among them."""


@pytest.fixture
def world(store: Store) -> Iterator[StockWorld]:
    with stock_world(store) as made:
        made.moves(5)
        made.settle()
        while work_once(made.ctx, CycleReport()):
            pass
        yield made


def test_an_idle_round_costs_a_handful_of_statements(world: StockWorld) -> None:
    with counted(world.store) as sent:
        assert not work_once(world.ctx, CycleReport())
    assert 0 < len(sent) <= AN_IDLE_ROUND, sent


def test_an_idle_round_with_a_journal_costs_no_more(world: StockWorld) -> None:
    with counted(world.store) as without:
        work_once(world.ctx, CycleReport())
    world.policy(journal=JournalTerms(starts_on=date(2020, 1, 1)))
    with world.ctx.anyone_writes() as books:
        save_rules(books, read_rules(numbered(sample())).rules, by="ann")
    while work_once(world.ctx, CycleReport()):
        pass
    with world.store.read() as conn:
        assert int(fact(conn, JOURNAL_SEQ) or 0) > 0
    with counted(world.store) as sent:
        assert not work_once(world.ctx, CycleReport())
    assert sent == without


def test_a_round_sees_what_its_own_passes_have_made_due(world: StockWorld) -> None:
    world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off"})
    world.moves(7)
    world.poll()
    with world.ctx.agenda.round():
        before = world.ctx.due()
        assert world.ctx.due() is before  # nothing was written
        with world.store.write() as conn:
            Books(conn, now=world.clock.now()).note_fact("a_thing", "1")
        assert world.ctx.due().facts["a_thing"] == "1"
    report = CycleReport()
    assert work_once(world.ctx, report)
    assert (report.derived, report.pushed) == (1, 1)  # derived and pushed in one round


def test_what_another_process_writes_is_seen_by_the_next_round(world: StockWorld) -> None:
    other = Store(world.store.engine.url.render_as_string(hide_password=False))
    try:
        assert not work_once(world.ctx, CycleReport())
        with other.write() as conn:
            Books(conn, now=world.clock.now()).note_fact("a_thing", "2")
        with world.ctx.agenda.round():
            assert world.ctx.due().facts["a_thing"] == "2"
    finally:
        other.close()


def test_each_thread_has_a_round_of_its_own(world: StockWorld) -> None:
    found: list[bool] = []

    def elsewhere() -> None:
        found.append(world.ctx.agenda.known(world.ctx) is None)

    with world.ctx.agenda.round():
        world.ctx.due()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert world.ctx.agenda.known(world.ctx) is not None
    assert found == [True]
    assert world.ctx.agenda.known(world.ctx) is None


def test_a_pause_that_a_person_lifts_ends_with_the_next_round(world: StockWorld) -> None:
    world.ctx.pause("mpw", AuthError("mpw refused the login"))
    assert world.ctx.paused("mpw") is not None
    resolve_by_person(world.ctx, kind="credentials", why="they are right", by="ann")
    with world.ctx.agenda.round():
        world.ctx.due()
        assert world.ctx.paused("mpw") is None


SMALL = ("facts", "pauses", "learned", "CONSTANT ROW")
"""Tables of a few rows for good."""

QUEUES = (
    *("ix_echoes_open", "ix_echoes_asking", "ix_exceptions_to_act", "ix_outbox_unseen"),
    *("ix_item_states_dirty", "ix_outbox_awaiting_stock", "ix_outbox_queue", "ix_outbox_open"),
    "ix_book_differences_waits",
)
"""Partial indexes that hold nothing but what there is to do."""


def test_an_index_that_is_read_whole_is_seen_on_either_database(world: StockWorld) -> None:
    whole = "select count(api_key) from outbox where payload <> ''"
    unled = "select id from outbox where kind = 'receipt' order by api_key"  # not by what the index begins with
    looked_up = "select id from outbox where api_key = 'k'"
    last = "select max(id) from ledger_entries"
    assert scans(world.store, plans(world.store, whole, ()))
    assert scans(world.store, plans(world.store, unled, ()))
    assert scans(world.store, plans(world.store, looked_up, ())) == []
    assert scans(world.store, plans(world.store, last, ())) == []


def test_no_statement_of_an_idle_round_reads_a_table_from_end_to_end(world: StockWorld) -> None:
    asked: list[tuple[str, Any]] = []

    def note(conn: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        asked.append((statement, values))

    event.listen(world.store.engine, "before_cursor_execute", note)
    try:
        assert not work_once(world.ctx, CycleReport())
    finally:
        event.remove(world.store.engine, "before_cursor_execute", note)

    found = [
        line
        for one in asked
        if one[0].lower().startswith("select")
        for line in scans(world.store, plans(world.store, *one))
    ]
    assert found, "the small tables at least are read whole"
    assert [line for line in found if not any(name in line for name in SMALL + QUEUES)] == []


OLD = (
    "insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, attempts, tries, fence,"
    " due_at, payload, created_at, finalized_at, evidence) select 'voids', 'delete_receipt', 'receipt', 'old-' || i,"
    " 'item:X', 'X', 0, 'done', 1, 1, 1, :at, '{}', :at, :at, '404' from numbers",
    "insert into exceptions (kind, subject, subject_type, detail, hint, opened_at, resolved_at, acted_at, resolved_by,"
    " resolution) select 'echo_undecided', 'old-' || i, 'event', 'd', 'h', :at, :at, :at, 'ann', 'ours' from numbers",
    "insert into exceptions (kind, subject, subject_type, detail, hint, opened_at, resolved_at, resolved_by,"
    " resolution) select 'push_not_there', 'old-' || i, 'push', 'd', 'h', :at, :at, 'ann', 'ours' from numbers",
    "insert into item_states (external_id, managed, audited_at) select 'X-' || i, 1, :now from numbers",
    "insert into inventories (warehouse, part_number, found, read_at) select 'Main', 'X-' || i, 1, :at from numbers",
    "insert into echoes (outbox_id, n, external_id, new_stock, new_cost, sent_cost, claimed_seq, outcome, closed_at)"
    " select id, 9, item, 0, 0, 0, 0, 'found', :at from outbox",
)
"""Rows of long ago, of all that a round looks into."""


def test_an_idle_round_is_as_short_beside_a_long_history(sqlite_store: Store) -> None:
    with stock_world(sqlite_store) as world:
        world.moves(5)
        world.settle()
        while work_once(world.ctx, CycleReport()):
            pass
        before = steps(world.store, lambda: work_once(world.ctx, CycleReport()))
        values = {"at": "2020-01-01T00:00:00.000000Z", "now": f"{world.clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"}
        for statement in OLD:
            head, select = statement.split(" select ", 1)
            counted = "with recursive numbers(i) as (select 1 union all select i + 1 from numbers where i < 2000) "
            world.execute(f"{head} {counted if 'numbers' in select else ''}select {select}", **values)
        while work_once(world.ctx, CycleReport()):
            pass
        after = steps(world.store, lambda: work_once(world.ctx, CycleReport()))
    assert 0 < after < before + 200, "a step or more for each of 2,000 old rows of a kind"


def test_an_idle_round_looks_at_no_push_that_failed_long_ago(world: StockWorld) -> None:
    with counted(world.store) as sent:
        assert not work_once(world.ctx, CycleReport())
    assert sent
    assert [one for one in sent if "recorded_at >= outbox.finalized_at" in one] == []

"""A scrape of /metrics and a day's retention cost the same however long the history is."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from sync.app import App
from sync.database import schema
from sync.database.tallies import ATTEMPTS, PUSHES, tallied
from sync.jobs import prune
from sync.jobs.prune import prune_once
from sync.ledger.coverage import RECEIPTS
from sync.outbox.pushed import pushed_days
from sync.web.metrics import Metrics
from tests.clocks import FakeClock
from tests.statements import asked, plans, scans, steps
from tests.views.story import NOON, done, push, tell

OLD = 2000
NOW = (
    "facts",
    "pauses",
    "learned",
    "feeds",
    "leases",
    "todo_kinds",
    "CONSTANT ROW",
    "tallies",
    "items",
    "item_states",
    "known",
)
"""Tables that say what is so now, and the changes of one day."""
FEW = ("coverage", "gaps")
"""A row a day; a row for each time that MPservices' feed was out of reach for two days."""
OPEN = (
    "uq_exceptions_open",
    "ix_echoes_open",
    "uq_quarantine_open",
    "ix_outbox_open",
    "ix_outbox_forgettable",
    "uq_outbox_in_flight",
)
"""Indexes that hold nothing that is over."""


def add_old(app: App, first: int = 0) -> None:
    """Add what retention has long been through: documents, pushes with their tries, and what runs did, added up."""
    with app.store.write() as conn:
        at = {"created_at": NOON, "finalized_at": NOON, "due_at": NOON, "payload": '{"pruned_on": "2025-01-01"}'}
        pushes = [{**done(f"old-{n}"), **at} for n in range(first, first + OLD)]
        conn.execute(insert(schema.outbox), pushes)
        ids = conn.execute(text("select id from outbox where api_key like 'old-%' order by id desc")).scalars().all()
        tries = [{"outbox_id": id_, "n": 1, "fence": 1, "started_at": NOON, "outcome": "done"} for id_ in ids[:OLD]]
        conn.execute(insert(schema.attempts), tries)
        values = {"system": "mpw", "type": "receipt", "source": "mpw.receipts", "digest": "d", "raw": "{}"}
        seen = {"first_seen_at": NOON, "last_seen_at": NOON}
        conn.execute(
            insert(schema.documents), [{**values, **seen, "remote_id": str(n)} for n in range(first, first + OLD)]
        )


@pytest.fixture(autouse=True)
def _nothing_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "tidy", lambda store: None)  # of which the database decides what it costs


def settled(app: App, clock: FakeClock) -> None:
    clock.advance(days=1)
    prune_once(app.context())


def test_a_day_s_retention_is_as_short_beside_a_long_history(sqlite_app: App, clock: FakeClock) -> None:
    clock.advance(days=1000)
    ctx = sqlite_app.context()
    settled(sqlite_app, clock)
    before = steps(sqlite_app.store, lambda: prune_once(ctx))
    add_old(sqlite_app)
    settled(sqlite_app, clock)  # goes through them, once
    after = steps(sqlite_app.store, lambda: prune_once(ctx))
    assert 0 < after < before + 200


def test_a_scrape_is_as_short_beside_a_long_history(sqlite_app: App, clock: FakeClock) -> None:
    clock.advance(days=1000)
    with sqlite_app.store.write() as conn:
        run = {"flow": "poll", "outcome": "ok", "started_at": clock.now(), "ended_at": clock.now()}
        conn.execute(insert(schema.runs).values(**run))
    add_old(sqlite_app)
    settled(sqlite_app, clock)
    before = steps(sqlite_app.store, Metrics(sqlite_app).text)
    add_old(sqlite_app, OLD)
    settled(sqlite_app, clock)
    after = steps(sqlite_app.store, Metrics(sqlite_app).text)
    assert 0 < after < before + 500
    with sqlite_app.store.read() as conn:
        assert (tallied(conn, PUSHES), tallied(conn, ATTEMPTS)) == ({"done": 2 * OLD}, {"done": 2 * OLD})


def test_a_tick_s_look_at_the_day_s_pushes_is_as_short_beside_a_long_history(
    sqlite_app: App, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(days=1000)

    def look() -> None:
        with sqlite_app.store.read() as conn:
            assert len(pushed_days(conn, RECEIPTS, now=clock.now())) == 1

    with sqlite_app.store.write() as conn:
        late = {"created_at": clock.now(), "finalized_at": clock.now(), "due_at": clock.now()}
        payload = {"last_sent_at": clock.now(), "payload": '{"created_on": "2026-01-02"}'}
        conn.execute(insert(schema.outbox).values(**(done("late") | late | payload)))
    before = steps(sqlite_app.store, look)
    add_old(sqlite_app)
    parsed: list[str] = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))  # type: ignore[func-returns-value]
    assert 0 < steps(sqlite_app.store, look) < before + 200
    assert parsed == []  # nor is what a tick before this one has read


def test_no_statement_of_a_scrape_or_of_retention_reads_what_is_over(app: App, clock: FakeClock) -> None:
    with app.store.write() as conn:
        tell(conn)
    ctx = app.context()
    clock.advance(days=1000)
    with asked(app.store) as sent:
        prune_once(ctx)
        Metrics(app).text()
        prune_once(ctx)

    looked = [one for one in sent if one[0].lower().startswith(("select", "update", "delete", "with"))]
    plain = [
        one for one in looked if "v_todo" not in one[0] and not isinstance(one[1], list)
    ]  # tests/views/test_todo.py
    found = [(line, said) for said, values in plain for line in scans(app.store, plans(app.store, said, values))]
    assert found, "what is now is read whole"
    assert [one for one in found if not any(name in one[0] for name in NOW + FEW + OPEN)] == []


def test_a_later_pruning_finds_what_was_young_or_has_changed_since(app: App, clock: FakeClock) -> None:
    def add_document(remote_id: str, first: int, last: int) -> None:
        at = {"first_seen_at": NOON + timedelta(days=first), "last_seen_at": NOON + timedelta(days=last)}
        values = {"system": "mpw", "type": "receipt", "source": "s", "digest": "d", "raw": "{}", "remote_id": remote_id}
        with app.store.write() as conn:
            conn.execute(insert(schema.documents).values(**values, **at))

    def pruned(days: int) -> list[str]:
        clock.current = NOON + timedelta(days=400 + days)
        prune_once(app.context())
        with app.store.read() as conn:
            query = "select remote_id from documents where raw like '%pruned_on%' order by remote_id"
            return list(conn.execute(text(query)).scalars())

    add_document("a: never changed", 0, 0)
    add_document("b: changed twice", 0, 5)
    add_document("c: younger", 10, 10)
    add_document("d: an id too late", 1, 1)
    assert pruned(1) == ["a: never changed"]
    assert pruned(6) == ["a: never changed", "b: changed twice"]
    with app.store.write() as conn:
        changed = {"at": (NOON + timedelta(days=20)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        conn.execute(text("update documents set raw = '{}', last_seen_at = :at where remote_id like 'b%'"), changed)
    assert pruned(11) == ["a: never changed", "c: younger", "d: an id too late"]
    assert pruned(21) == ["a: never changed", "b: changed twice", "c: younger", "d: an id too late"]


def test_a_push_that_leaves_a_final_state_is_not_counted_there_any_more(app: App) -> None:
    with app.store.write() as conn:
        conn.execute(insert(schema.outbox).values(**done("k-1")))
        conn.execute(insert(schema.outbox).values(**push("k-2", state="ready")))
        conn.execute(text("update outbox set state = 'dead' where api_key = 'k-1'"))
        conn.execute(text("update outbox set state = 'discarded', finalized_at = due_at where api_key = 'k-2'"))
        assert tallied(conn, PUSHES) == {"done": 0, "discarded": 1}

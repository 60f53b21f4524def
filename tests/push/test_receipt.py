"""Receipts: an upsert, so what stands under the key is compared before anything is sent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.clients.http import Answer
from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.ledger.books import Books
from sync.outbox.rows import Which, resolve, retry
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, PART, OutboxWorld, outbox_world

FAULTS = [
    "refused_before",
    "lost_request",
    "lost_answer",
    "error_before",
    "error_after",
    "cut_body",
    "html",
    "html_after",
    "too_many",
    "unauthorized",
]
ONCE_AND_AGAIN = [(fault, times) for fault in FAULTS for times in (1, 4) if (fault, times) != ("unauthorized", 4)]
"""A token just obtained that is refused twice pauses the system: that is no passing fault."""


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def lone_world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    """On SQLite only: for the long tables of faults, which are about the vendor and not about the database."""
    with outbox_world(sqlite_store, clock) as made:
        yield made


def test_a_receipt_is_posted_once_and_known_as_ours(world: OutboxWorld) -> None:
    push = world.receipt()

    counts = world.push()

    row = world.row(push)
    assert (counts.sent, row.state, row.attempts) == (1, "done", 1)
    assert row.remote_id is not None
    assert row.remote_id in (row.evidence or "")
    assert world.sandbox.mpw.stock(PART, MAIN) == 105
    assert world.push().moved == 0
    assert world.requests("mpw.post_receipt") == 1


@pytest.mark.parametrize(("fault", "times"), ONCE_AND_AGAIN)
def test_whatever_goes_wrong_a_receipt_has_one_effect(lone_world: OutboxWorld, fault: str, times: int) -> None:
    push = lone_world.receipt()
    lone_world.sandbox.faults.add("mpw.post_receipt", fault, times, retry_after=1)

    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 105
    assert lone_world.told() == []


def test_a_lost_answer_is_settled_by_reading_not_by_sending_again(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    assert world.state(push) == "unknown"

    world.settle()

    assert world.requests("mpw.post_receipt") == 1
    assert "equal fields" in (world.row(push).evidence or "")


def test_absence_proves_nothing_before_the_late_arrival_time_is_over(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_request")
    world.push()
    world.clock.advance(minutes=1)

    world.verify()

    assert world.state(push) == "unknown"
    assert world.push().sent == 0
    world.clock.advance(minutes=14)
    assert world.verify().settled == 1
    assert world.state(push) == "ready"


def test_a_person_s_correction_is_not_overwritten_after_a_lost_answer(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    (mine,) = [row for row in world.sandbox.mpw.receipt_by_id.values() if row.api_key == "erp-r-1"]
    world.sandbox.mpw.person_edits_receipt(mine.id, quantity=3)

    world.settle()

    assert world.state(push) == "dead"
    assert world.told() == [("push_conflict", str(push))]
    assert "3" in world.detail("push_conflict")
    assert world.requests("mpw.post_receipt") == 1


def test_a_receipt_whose_parts_were_used_meanwhile_is_done_not_dead(world: OutboxWorld) -> None:
    push = world.receipt(part_number="P-2", unit_cost=3)
    world.sandbox.mpw.add_part("P-2", MAIN)
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    world.sandbox.mpw.person_issues("P-2", MAIN, 2)
    with world.store.write() as conn:  # a worker that never heard of the first call: the database was restored
        from sync.database.schema import attempts, outbox

        conn.execute(attempts.delete())
        conn.execute(outbox.update().values(state="ready", ambiguous=False, tries=0, attempts=0))

    world.clock.advance(minutes=1)

    world.push()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock("P-2", MAIN) == 3
    assert "equal fields" in (world.row(push).evidence or "")


def test_a_refused_receipt_is_dead_and_a_person_is_told_what_to_do(world: OutboxWorld) -> None:
    push = world.receipt(warehouse_name="Nowhere")

    world.settle()

    assert world.state(push) == "dead"
    assert world.told() == [("push_dead", str(push))]
    assert "exact match" in world.detail("push_dead")


def test_a_retried_dead_push_goes_and_its_exception_closes(world: OutboxWorld) -> None:
    push = world.receipt(warehouse_name="Warehouse #2")
    world.settle()
    world.sandbox.mpw.add_part(PART, "Warehouse #2")

    with world.store.write() as conn:
        assert retry(Books(conn, now=world.clock.now()), Which(ids=[push]), by="ann") == 1
    world.settle()

    assert world.state(push) == "done"
    assert world.told() == []


def test_what_cannot_be_read_under_its_key_is_not_overwritten(
    lone_world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = lone_world.receipt()
    lone_world.sandbox.faults.add("mpw.post_receipt", "lost_answer", 1)
    lone_world.push()
    body = b'[{"id":1,"api_key":"erp-r-1","part_number":"P-1","quantity_received":"five"}]'
    with monkeypatch.context() as patch:
        patch.setattr(MpwClient, "receipts", lambda *_, **__: Answer(200, body, {}, None))
        for _ in range(3):
            lone_world.clock.advance(hours=2)
            lone_world.verify()
            lone_world.push()
        assert lone_world.state(push) == "unknown"
        assert "cannot be read" in (lone_world.row(push).last_error or "")

    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert lone_world.requests("mpw.post_receipt") == 1


@pytest.mark.parametrize("verb", ["retry", "not_done"])
def test_a_push_that_grew_too_old_goes_again_when_a_person_says_so(lone_world: OutboxWorld, verb: str) -> None:
    push = lone_world.receipt()
    lone_world.sandbox.faults.add("mpw.post_receipt", "lost_request", 1000)
    for _ in range(40):
        lone_world.clock.advance(hours=12)
        lone_world.push()
        lone_world.verify()
    assert lone_world.row(push).state == "dead"
    assert "given up" in (lone_world.row(push).last_error or "")

    lone_world.sandbox.faults.clear()
    with lone_world.store.write() as conn:
        if verb == "retry":
            assert retry(Books(conn, now=lone_world.clock.now()), Which(ids=[push]), by="ann") == 1
        else:
            assert resolve(Books(conn, now=lone_world.clock.now()), push, done=False, why="looked", by="ann")
    lone_world.sandbox.faults.add("mpw.post_receipt", "lost_request", 1)
    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert lone_world.told() == []

"""Issuances: an existing key is refused, more than the current receipt is refused, and GET shows no key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.schema import attempts, issuance_parts, outbox, pushed_rows
from sync.errors import RejectedError
from sync.ledger.books import Books
from sync.ledger.coverage import ISSUANCES
from sync.ledger.documents import insert_documents
from sync.ledger.rules import new_entry
from sync.outbox.rows import DENIED_TRIES, RETRIED_AT, push_by_id
from sync.outbox.shown import shown_rows
from sync.poll.schedule import poll_days_once
from sync.stock.facts import UNSEEN, item_facts
from tests.clocks import FakeClock
from tests.push.test_receipt import ONCE_AND_AGAIN
from tests.worlds.outbox_world import MAIN, PART, TODAY, OutboxWorld, outbox_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def lone_world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    """On SQLite only: for the long tables of faults, which are about the vendor and not about the database."""
    with outbox_world(sqlite_store, clock) as made:
        yield made


def split_part(world: OutboxWorld, *quantities: int) -> None:
    """A part with one receipt for each quantity, the oldest first."""
    world.sandbox.mpw.add_part("SPLIT", MAIN)
    for day, quantity in enumerate(quantities, start=1):
        world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", f"2024-02-{day:02d}")


def issued(world: OutboxWorld, part: str) -> list[tuple[str | None, int]]:
    rows = world.sandbox.mpw.issuance_by_id.values()
    return [(row.api_key, int(row.quantity)) for row in rows if row.part.part_number == part]


def forget_the_call(world: OutboxWorld) -> None:
    """The database was restored from a backup that was made before the call."""
    with world.store.write() as conn:
        conn.execute(attempts.delete())
        conn.execute(outbox.update().values(state="ready", ambiguous=False, tries=0, attempts=0, finalized_at=None))


def test_an_issuance_is_posted_once(world: OutboxWorld) -> None:
    push = world.issuance()

    world.push()

    assert world.state(push) == "done"
    assert issued(world, PART) == [("erp-i-1", 2)]
    assert world.push().moved == 0


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize(("fault", "times"), ONCE_AND_AGAIN)
def test_whatever_goes_wrong_an_issuance_has_one_effect(
    lone_world: OutboxWorld, fault: str, times: int, marker: bool
) -> None:
    push = lone_world.issuance(marker=marker)
    lone_world.sandbox.faults.add("mpw.post_issuance", fault, times, retry_after=1)

    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert issued(lone_world, PART) == [("erp-i-1", 2)]
    assert lone_world.told() == []


def test_exists_with_equal_fields_is_done_even_without_a_recorded_attempt(world: OutboxWorld) -> None:
    push = world.issuance()
    world.push()
    forget_the_call(world)

    world.push()

    assert world.state(push) == "done"
    assert "equal fields" in (world.row(push).evidence or "")
    assert len(issued(world, PART)) == 1


def test_exists_with_another_quantity_is_a_conflict(world: OutboxWorld) -> None:
    push = world.issuance()
    world.push()
    forget_the_call(world)
    (mine,) = world.sandbox.mpw.issuance_by_id.values()
    mine.quantity = mine.quantity + 1

    world.push()

    assert world.state(push) == "dead"
    assert world.told() == [("push_conflict", str(push))]


def test_exists_that_nobody_can_find_is_no_success(world: OutboxWorld) -> None:
    push = world.issuance()
    world.push()
    forget_the_call(world)
    (mine,) = world.sandbox.mpw.issuance_by_id.values()
    world.sandbox.mpw.person_edits_issuance(mine.id, created_on="2024-03-01", description="taken by Joe")

    world.push()

    assert world.state(push) == "dead"
    assert "exists" in world.detail("push_conflict")


def of_another_program(world: OutboxWorld, key: str) -> None:
    """Another program has used our key, for something else on another day."""
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity": 7, "created_on": "2024-03-01", "api_key": key}
    assert world.ctx.mpw is not None
    world.ctx.mpw.post_issuance(json.dumps(fields))


@pytest.mark.parametrize(("his", "another"), [("taken by Joe", None), (None, "shop")])
def test_a_person_s_equal_issuance_does_not_stand_for_ours_where_our_key_is_somebody_else_s(
    world: OutboxWorld, his: str | None, another: str | None
) -> None:
    of_another_program(world, "erp-i-1")
    world.sandbox.mpw.person_issues(PART, MAIN, 2, TODAY, description=his)
    world.sandbox.mpw.person_issues(PART, MAIN, 1, TODAY, description=another)
    push = world.issuance()

    world.settle()

    assert world.state(push) == "dead"
    assert world.told() == [("push_conflict", str(push))]
    assert "no issuance of 2024-03-15 shows this key" in world.detail("push_conflict")
    assert issued(world, PART) == [("erp-i-1", 7), (None, 2), (None, 1)]


def test_where_a_day_shows_no_descriptions_an_equal_issuance_is_ours_if_its_key_exists(world: OutboxWorld) -> None:
    push = world.issuance()
    world.push()
    forget_the_call(world)
    with world.store.write() as conn:
        conn.execute(pushed_rows.delete())
    (mine,) = world.sandbox.mpw.issuance_by_id.values()
    mine.description = None

    world.push()

    assert world.state(push) == "done"
    assert world.told() == []


def test_after_a_lost_answer_an_equal_issuance_whose_marker_a_person_removed_is_ours(world: OutboxWorld) -> None:
    push = world.issuance()
    world.sandbox.mpw.person_issues(PART, MAIN, 1, TODAY, description="shop")
    world.sandbox.faults.add("mpw.post_issuance", "lost_answer", 1)
    world.push()
    (mine,) = [row for row in world.sandbox.mpw.issuance_by_id.values() if row.api_key == "erp-i-1"]
    world.sandbox.mpw.person_edits_issuance(mine.id, description="Joe's")

    world.settle()

    assert world.state(push) == "done"
    assert issued(world, PART).count(("erp-i-1", 2)) == 1
    assert world.told() == []


def test_an_issuance_larger_than_the_current_receipt_arrives_whole_in_parts(world: OutboxWorld) -> None:
    split_part(world, 4, 3, 5)
    push = world.issuance(part_number="SPLIT", quantity=10)

    world.settle()

    assert world.state(push) == "done"
    assert issued(world, "SPLIT") == [("erp-i-1_s1", 4), ("erp-i-1_s2", 3), ("erp-i-1_s3", 3)]
    assert len((world.row(push).remote_id or "").split(",")) == 3
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 2
    assert world.told() == []


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("fault", ["lost_request", "lost_answer", "error_after", "cut_body", "html_after", "too_many"])
def test_a_split_issuance_has_one_effect_whichever_call_fails(lone_world: OutboxWorld, fault: str, after: int) -> None:
    split_part(lone_world, 4, 3, 5)
    push = lone_world.issuance(part_number="SPLIT", quantity=10)
    lone_world.sandbox.faults.add("mpw.post_issuance", fault, 2, after)

    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert lone_world.sandbox.mpw.stock("SPLIT", MAIN) == 2
    assert sum(quantity for _, quantity in issued(lone_world, "SPLIT")) == 10


def test_the_item_waits_while_a_part_of_a_split_is_not_seen_though_another_is(world: OutboxWorld) -> None:
    split_part(world, 4, 3)
    push = world.issuance(part_number="SPLIT", quantity=6)
    while world.state(push) != "done":
        world.push()
    mpw = world.sandbox.mpw
    mpw.drop_issuance(mpw.issuances_by_key["erp-i-1_s1"][0])
    world.clock.advance(seconds=1)
    poll_days_once(world.ctx, ISSUANCES, [date.fromisoformat(TODAY)])

    with world.store.read() as conn:
        policy = replace(world.ctx.policy, warehouse=MAIN)
        pushes = item_facts(conn, ["SPLIT"], policy=policy)["SPLIT"].pushes

    assert [state for state, *_ in pushes] == [UNSEEN]


def test_what_mpw_took_of_a_split_counts_also_where_a_person_says_that_the_last_try_did_nothing(
    world: OutboxWorld,
) -> None:
    split_part(world, 4, 3)
    push = world.issuance(part_number="SPLIT", quantity=6)
    while world.state(push) != "done":
        world.push()
    poll_days_once(world.ctx, ISSUANCES, [date.fromisoformat(TODAY)])
    world.clock.advance(minutes=5)
    denied = {DENIED_TRIES: 1, RETRIED_AT: world.clock.now().isoformat()}
    with world.store.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id == push).values(facts=json.dumps(denied)))

    with world.store.read() as conn:
        row = push_by_id(conn, push)
        assert row is not None
        assert sorted(one.quantity for one in shown_rows(conn, "issuance", row)) == [2, 4]


def test_the_parts_of_a_split_carry_their_own_markers(world: OutboxWorld) -> None:
    split_part(world, 4, 3)
    world.issuance(part_number="SPLIT", quantity=6)

    world.settle()

    rows = world.sandbox.mpw.issuance_by_id.values()
    assert [row.description for row in rows] == ["Folio-198 [erp-i-1_s1]", "Folio-198 [erp-i-1_s2]"]


def test_equipment_issuances_are_split_by_mpw_itself(world: OutboxWorld) -> None:
    split_part(world, 4, 3, 5)
    world.sandbox.mpw.add_equipment("001")
    push = world.issuance(part_number="SPLIT", quantity=10, equipment_unit_number="001")

    world.settle()

    assert world.state(push) == "done"
    assert world.requests("mpw.post_issuance") == 1
    assert [key for key, _ in issued(world, "SPLIT")] == ["erp-i-1"] * 3


def test_an_issuance_without_stock_waits_and_goes_when_some_is_received(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("NONE", MAIN)
    push = world.issuance(part_number="NONE", quantity=2)
    world.push()
    assert (world.state(push), world.outcomes(push)) == ("ready", [])
    assert world.push().sent == 0

    world.clock.advance(seconds=1)
    world.receipt(part_number="NONE")
    world.push()
    world.push()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock("NONE", MAIN) == 3
    assert world.told() == []


def test_a_person_is_told_at_once_of_an_issuance_that_waits_for_stock(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("NONE", MAIN)
    push = world.issuance(part_number="NONE", quantity=2)
    for _ in range(26):
        world.push()
        assert world.told() == [("not_enough_stock", str(push))]
        world.clock.advance(hours=1)

    world.sandbox.mpw.person_receives("NONE", MAIN, 9, "1")
    world.clock.advance(hours=1)
    world.push()

    assert world.state(push) == "done"
    assert world.told() == []


def test_an_issuance_of_which_a_part_is_there_waits_for_the_rest(world: OutboxWorld) -> None:
    split_part(world, 4, 2)
    push = world.issuance(part_number="SPLIT", quantity=6)
    while not issued(world, "SPLIT"):
        world.push()
    world.sandbox.mpw.person_issues("SPLIT", MAIN, 2, TODAY)
    for _ in range(5):
        world.push()
    assert issued(world, "SPLIT") == [("erp-i-1_s1", 4), (None, 2)]
    assert world.state(push) == "ready"
    assert "4 of it is posted already" in world.detail("not_enough_stock")

    world.sandbox.mpw.person_receives("SPLIT", MAIN, 9, "1")
    world.clock.advance(hours=1)
    world.settle()

    assert issued(world, "SPLIT") == [("erp-i-1_s1", 4), (None, 2), ("erp-i-1_s2", 2)]
    assert world.state(push) == "done"
    assert world.told() == []


def test_waiting_for_stock_holds_up_nothing_else_of_the_item(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("NONE", MAIN)
    world.issuance("erp-i-1", part_number="NONE", quantity=2)
    world.push()
    later = world.add("delete_receipt", "erp-r-9", {"part_number": "NONE"})

    world.push()

    assert world.state(later) == "done"


def test_without_a_number_in_the_error_the_parts_follow_what_the_last_polls_know(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_part(world, 4, 3, 5)
    now = world.clock.now()
    rows = [(receipt.id, receipt.created_on, receipt.remaining) for receipt in world.sandbox.mpw.receipt_by_id.values()
            if receipt.part.part_number == "SPLIT"]  # fmt: skip
    with world.store.write() as conn:
        for remote_id, day, remaining in rows:
            known: dict[str, Any] = {
                "item": "SPLIT",
                "warehouse": MAIN,
                "quantity": Decimal(5),
                "unit_cost": Decimal(1),
            }
            entry = new_entry("mpw", "receipt", f"mpw-r-{remote_id}", str(remote_id), occurred_on=day, **known)
            Books(conn, now=now).append([entry])
            document: dict[str, Any] = {"system": "mpw", "type": "receipt", "remote_id": str(remote_id)}
            document |= {
                "source": "mpw.receipts",
                "raw": "{}",
                "digest": "d",
                "item": "SPLIT",
                "warehouse": MAIN,
                "remaining": remaining,
            }
            insert_documents(conn, [document | {"day": day, "first_seen_at": now, "last_seen_at": now}])
    real = MpwClient.post_issuance

    def wordless(self: MpwClient, issuance: str) -> object:
        try:
            return real(self, issuance)
        except RejectedError as error:
            raise RejectedError("Not enough in the current Receipt", status=422) from error

    monkeypatch.setattr(MpwClient, "post_issuance", wordless)
    push = world.issuance(part_number="SPLIT", quantity=6)

    world.push()
    world.push()

    assert issued(world, "SPLIT") == [("erp-i-1_s1", 4)]
    assert world.state(push) == "ready"
    assert world.told() == []


def test_a_refusal_about_something_else_is_dead(world: OutboxWorld) -> None:
    push = world.issuance(quantity=2.5)

    world.settle()

    assert world.state(push) == "dead"
    assert issued(world, PART) == []


def polled(world: OutboxWorld) -> None:
    """The day's issuances as a poll files them, of which our outbox knows nothing."""
    now = world.clock.now()
    filed = [
        {
            "system": "mpw",
            "type": "issuance",
            "remote_id": str(row.id),
            "source": "mpw.issuances",
            "day": now.date(),
            "raw": f'{{"id":{row.id},"part_number":"{row.part.part_number}","warehouse_name":"{MAIN}",'
            f'"quantity":{row.quantity},"unit_cost":1,"created_on":"{TODAY}","description":"{row.description}"}}',
            "digest": "d",
            "first_seen_at": now,
            "last_seen_at": now,
        }
        for row in world.sandbox.mpw.issuance_by_id.values()
    ]
    with world.store.write() as conn:
        insert_documents(conn, filed)


def split_before_the_backup_came_back(world: OutboxWorld, *, missing: int = 0) -> int:
    """An issuance went in parts, then the database was put back; the current receipt now holds the whole."""
    split_part(world, 4, 3, 5)
    push = world.issuance(part_number="SPLIT", quantity=10)
    world.settle()
    for row in list(world.sandbox.mpw.issuance_by_id.values())[:missing]:
        world.sandbox.mpw.person_deletes_issuance(row.id)
    forget_the_call(world)
    with world.store.write() as conn:
        conn.execute(issuance_parts.delete())
        conn.execute(pushed_rows.delete())
    polled(world)
    world.sandbox.mpw.person_receives("SPLIT", MAIN, 500, "5", "2024-01-01")
    return push


def test_parts_that_a_lost_database_had_sent_are_found_and_the_whole_is_not_issued_on_top(world: OutboxWorld) -> None:
    push = split_before_the_backup_came_back(world)
    before = world.requests("mpw.post_issuance")

    world.settle()

    assert world.requests("mpw.post_issuance") == before
    assert world.state(push) == "done"
    assert [quantity for _, quantity in issued(world, "SPLIT")] == [4, 3, 3]
    assert world.told() == []


def test_parts_that_do_not_make_up_the_whole_are_left_to_a_person(world: OutboxWorld) -> None:
    push = split_before_the_backup_came_back(world, missing=1)
    before = world.requests("mpw.post_issuance")

    world.settle()

    assert world.requests("mpw.post_issuance") == before
    assert world.state(push) == "dead"
    assert "MPW has 6 of 10 in parts that bear its key" in world.detail("push_conflict")

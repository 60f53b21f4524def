"""A 2xx proves nothing by itself: what is done was seen, and what was seen is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from sync.database.engine import Store
from sync.database.schema import outbox
from sync.ledger.coverage import ISSUANCES, RECEIPTS
from sync.ledger.entries import event_entries
from sync.outbox.rows import Which
from sync.outbox.seen import unseen_pushes
from sync.poll.schedule import poll_days_once
from sync.poll.spans.orders import poll_orders_once
from sync.push import proofs
from sync.push.operations.receipt import PostReceipt
from sync.push.operator import discard_pushes, resolve_push, retry_pushes
from tests.clocks import FakeClock
from tests.worlds.answering import Answering, answering
from tests.worlds.outbox_world import MAIN, PART, RECEIPT_FIELDS, TODAY, OutboxWorld, outbox_world

PROVE_NOTHING: list[object] = [
    {},
    [],
    None,
    {"success": False},
    {"status": "error"},
    {"data": None},
    {"data": {}},
    {"id": 4711},
    {"message": "Thank you"},
    {"success": True},
    b"OK",
]
DAY = date.fromisoformat(TODAY)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def lone_world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(sqlite_store, clock) as made:
        yield made


@pytest.fixture
def mpw(world: OutboxWorld) -> Answering:
    return answering(world)


def poll(world: OutboxWorld, source: str = RECEIPTS) -> None:
    """Read the day, a moment after whatever was done."""
    world.clock.advance(seconds=1)
    poll_days_once(world.ctx, source, [DAY])
    world.clock.advance(seconds=1)


def in_mpw(world: OutboxWorld, kind: str, fields: dict[str, Any]) -> None:
    """Another program posts it."""
    exact = json.loads(json.dumps(fields), parse_float=Decimal)
    status, answer = getattr(world.sandbox.mpw, f"post_{kind}")(exact)
    assert status == 200, answer


def matched(world: OutboxWorld, api_key: str) -> int | None:
    with world.store.read() as conn:
        query = text("select matched from v_events where api_key = :key")
        return conn.execute(query, {"key": api_key}).scalar_one_or_none()


def keys_in_mpw(world: OutboxWorld) -> list[str | None]:
    return [row.api_key for row in world.sandbox.mpw.receipt_by_id.values() if row.api_key]


# --- a 2xx that proves nothing ----------------------------------------------------------------


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("answer", PROVE_NOTHING, ids=str)
def test_a_receipt_whose_answer_proves_nothing_is_read_and_has_one_effect(
    lone_world: OutboxWorld, answer: object, effect: bool
) -> None:
    mpw = answering(lone_world)
    push = lone_world.receipt()
    mpw.says("POST", "/receipts", answer, effect=effect)

    lone_world.push()

    assert lone_world.state(push) == "unknown", "a 2xx that proves nothing is neither done nor refused"
    lone_world.settle()
    assert lone_world.state(push) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 105
    assert mpw.count("POST /receipts") == (1 if effect else 2)


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize(
    "answer", [*PROVE_NOTHING, [{"id": 1, "quantity": "many"}], {"id": 1, "quantity": [2]}], ids=str
)
def test_an_issuance_whose_answer_proves_nothing_is_read_and_has_one_effect(
    lone_world: OutboxWorld, answer: object, effect: bool
) -> None:
    mpw = answering(lone_world)
    push = lone_world.issuance()
    mpw.says("POST", "/issuances", answer, effect=effect)

    lone_world.push()

    assert lone_world.state(push) == "unknown"
    lone_world.settle()
    assert lone_world.state(push) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 98


@pytest.mark.parametrize("change", [{"unit_cost": 3}, {"quantity_received": 50}, {"part_number": "P-9"}])
def test_an_answer_that_shows_something_else_is_read_before_it_is_believed(
    world: OutboxWorld, mpw: Answering, change: dict[str, Any]
) -> None:
    push = world.receipt()
    mpw.says("POST", "/receipts", {**RECEIPT_FIELDS, "id": 9, "api_key": "erp-r-1", **change}, effect=True)

    world.push()
    assert world.state(push) == "unknown"
    world.settle()

    assert world.state(push) == "done"
    assert mpw.count("POST /receipts") == 1


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize("kind", ["receipt", "issuance"])
@pytest.mark.parametrize("answer", [b"", {}, {"success": False}, {"api_key": "another"}, {"id": 7}], ids=str)
def test_a_delete_is_done_by_its_key_or_by_reading(
    lone_world: OutboxWorld, kind: str, answer: object, effect: bool
) -> None:
    _ = lone_world.receipt("k-1") if kind == "receipt" else lone_world.issuance("k-1")
    lone_world.settle()
    mpw = answering(lone_world)
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})
    mpw.says("DELETE", f"/{kind}/k-1", answer, effect=effect)

    lone_world.push()

    assert lone_world.state(delete) == "unknown"
    lone_world.settle()
    assert lone_world.state(delete) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 100
    # what says that nothing was done proves nothing of it either: an issuance is deleted again, and 404 is done
    again = not effect or (kind == "issuance" and answer == {"success": False})
    assert mpw.count("DELETE") == (2 if again else 1)


def test_a_transfer_that_is_not_proved_is_never_sent_again_and_a_person_sees_the_stocks(
    world: OutboxWorld, mpw: Answering
) -> None:
    world.sandbox.mpw.add_warehouse("Shed")
    fields = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "Shed", "quantity": 2}
    push = world.add("post_transfer", "t-1", fields)
    row = {"id": 1, "part_number": PART, "warehouse_name": MAIN, "quantity": 98}
    mpw.says("POST", "/inventory_transfers", [row], effect=True)

    for _ in range(5):
        world.push()
        world.verify()
        world.clock.advance(hours=2)

    assert world.state(push) == "unknown"
    assert mpw.count("POST /inventory_transfers") == 1
    assert ("push_undecidable", str(push)) in world.told()
    detail = world.detail("push_undecidable")
    assert "100" in detail
    assert "98" in detail
    assert "Shed" in detail


def test_a_refusal_in_a_2xx_of_a_transfer_is_a_persons_too(world: OutboxWorld, mpw: Answering) -> None:
    world.sandbox.mpw.add_warehouse("Shed")
    fields = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "Shed", "quantity": 2}
    push = world.add("post_transfer", "t-1", fields)
    mpw.says("POST", "/inventory_transfers", {"message": "Something went wrong"}, effect=True)

    world.push()
    world.clock.advance(hours=1)
    world.verify()

    assert world.state(push) == "unknown"
    assert "went wrong" in world.detail("push_undecidable")


def test_an_approval_is_done_by_the_order_not_by_its_answer(world: OutboxWorld, mpw: Answering) -> None:
    world.sandbox.mpw.add_order(1000, created_on=TODAY, vendor_name="Bosch", warehouse_name=MAIN, lines=[("a", 1, "2")])
    push = world.approval(1000)
    answer = {"results": {"purchase_order_numbers": [1000], "errors": []}}
    mpw.says("POST", "/approve", answer, effect=False)

    world.push()
    assert world.state(push) == "unknown"
    world.settle()

    assert world.state(push) == "done"
    assert mpw.count("POST /purchase_orders/approve") == 2


def test_a_refusal_of_an_approval_is_not_believed_where_the_order_is_ordered(
    world: OutboxWorld, mpw: Answering
) -> None:
    world.sandbox.mpw.add_order(1000, created_on=TODAY, vendor_name="Bosch", warehouse_name=MAIN, lines=[("a", 1, "2")])
    push = world.approval(1000)
    mpw.says("POST", "/approve", {"message": "could not be approved"}, effect=True)

    world.push()

    assert world.state(push) == "done"


def test_a_product_needs_a_2xx_without_an_error_and_is_not_created_again_for_proof(world: OutboxWorld) -> None:
    fields = {"bar_code": "b", "product_name": "n", "product_unit": "u", "external_id": "X-1"}
    push = world.add("create_product", "p-1", fields, entity_key="product:X-1")

    world.settle()

    assert world.state(push) == "done"
    assert world.requests("mpservices.create_product") == 1


# --- look before the first upsert ---------------------------------------------------------------


def test_a_receipt_is_not_sent_over_what_has_its_key(world: OutboxWorld, mpw: Answering) -> None:
    old = {**RECEIPT_FIELDS, "quantity_received": 11, "created_on": "2024-01-10", "api_key": "GR-4711"}
    in_mpw(world, "receipt", old)
    push = world.receipt("GR-4711")

    world.settle()

    assert world.state(push) == "dead"
    assert world.told() == [("key_taken", str(push))]
    assert world.sandbox.mpw.stock(PART, MAIN) == 111, "nothing was overwritten"
    assert mpw.count("POST /receipts") == 0
    assert world.row(push).attempts == 0


def test_the_hint_of_a_taken_key_ends_it(world: OutboxWorld) -> None:
    in_mpw(world, "receipt", {**RECEIPT_FIELDS, "quantity_received": 11, "api_key": "GR-4711"})
    push = world.receipt("GR-4711")
    world.settle()

    discard_pushes(world.ctx, Which(ids=[push]), by="me", why="the ERP sends it as GR-4711-B")

    assert world.told() == []
    world.settle()
    assert world.state(push) == "discarded"
    assert world.sandbox.mpw.stock(PART, MAIN) == 111


def test_a_taken_key_that_a_person_freed_is_sent_when_it_is_tried_again(world: OutboxWorld) -> None:
    in_mpw(world, "receipt", {**RECEIPT_FIELDS, "quantity_received": 11, "api_key": "GR-4711"})
    push = world.receipt("GR-4711")
    world.settle()
    world.sandbox.mpw.delete_receipt("GR-4711")

    retry_pushes(world.ctx, Which(ids=[push]), by="me")
    world.settle()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock(PART, MAIN) == 105
    assert world.told() == []


def test_an_equal_receipt_under_the_key_is_done_and_enters_the_ledger(world: OutboxWorld, mpw: Answering) -> None:
    long_ago = "2023-01-10"
    in_mpw(world, "receipt", {**RECEIPT_FIELDS, "created_on": long_ago, "api_key": "GR-4711"})
    push = world.receipt("GR-4711", created_on=long_ago)

    world.push()

    assert world.state(push) == "done"
    assert mpw.count("POST /receipts") == 0
    with world.store.read() as conn:
        (entry,) = event_entries(conn, "receipt", "GR-4711")
    assert (entry.system, entry.quantity, entry.occurred_on.isoformat()) == ("mpw", 5, long_ago)


def test_a_key_in_other_letters_is_the_same_key_to_a_database_that_does_not_tell(
    world: OutboxWorld, mpw: Answering
) -> None:
    row = {**RECEIPT_FIELDS, "id": 77, "quantity_received": 11, "quantity_remaining": 11, "api_key": "gr-4711"}
    mpw.says("GET", "/receipts", [row], effect=False, times=9)
    push = world.receipt("GR-4711")

    world.push()

    assert world.state(push) == "dead"
    assert mpw.count("POST /receipts") == 0


def test_a_row_that_only_differs_in_the_letters_of_its_key_stays_one_event(world: OutboxWorld, mpw: Answering) -> None:
    row = {**RECEIPT_FIELDS, "id": 77, "quantity_remaining": 5, "description": None, "api_key": "gr-4711"}
    mpw.says("GET", "/receipts", [row], effect=False, times=9)
    push = world.receipt("GR-4711")
    world.push()

    poll(world)

    assert world.state(push) == "done"
    with world.store.read() as conn:
        assert len(event_entries(conn, "receipt", "GR-4711")) == 1
        assert event_entries(conn, "receipt", "gr-4711") == []


def test_a_look_that_fails_sends_nothing_and_is_made_again(world: OutboxWorld, mpw: Answering) -> None:
    push = world.receipt()
    mpw.says("GET", "/receipts", b"<html>", effect=False)

    world.push()
    assert (world.state(push), mpw.count("POST /receipts")) == ("ready", 0)
    world.settle()

    assert world.state(push) == "done"
    assert world.row(push).attempts == 1


def test_a_person_is_told_of_an_old_push_once_its_look_was_refused_twice_in_a_row(
    world: OutboxWorld, mpw: Answering, clock: FakeClock
) -> None:
    world.receipt()
    clock.advance(days=3)  # it was held, or the clock was set
    told = []
    for _ in range(2):
        mpw.says("GET", "/receipts", b"<html>", effect=False)
        world.push()
        told.append([kind for kind, _ in world.told()])
        clock.advance(hours=2)
    world.settle()

    assert told == [[], ["push_undecidable"]]
    assert world.told() == []


def upsert(world: OutboxWorld, kind: str) -> int:
    if kind == "receipt":
        return world.receipt()
    part = {"part_number": "P-7", "warehouse_name": MAIN, "quantity": 100, "unit_cost": 10, "api_key": "inv-1"}
    return world.add("post_inventory", "inv-1", part)


@pytest.mark.parametrize(("kind", "path"), [("receipt", "/receipts"), ("inventory", "/inventories")])
@pytest.mark.parametrize("equal", [True, False])
def test_what_lands_after_the_verifier_looked_is_found_before_it_is_sent_again(
    world: OutboxWorld, mpw: Answering, kind: str, path: str, equal: bool
) -> None:
    push = upsert(world, kind)
    world.sandbox.faults.add(f"mpw.post_{kind}", "lost_request")
    world.push()
    world.clock.advance(minutes=20)
    world.verify()
    assert (world.state(push), world.row(push).ambiguous) == ("ready", True)
    fields = json.loads(world.row(push).payload)
    in_mpw(world, kind, fields if equal else fields | {"unit_cost": 3})
    world.clock.advance(hours=2)

    world.push()

    assert mpw.count(f"POST {path}") == 1, "it is not sent over what stands there"
    assert world.state(push) == ("done" if equal else "dead")
    assert world.told() == ([] if equal else [("push_conflict", str(push))])


@pytest.mark.parametrize("kept", ["0.08", "0.09"])
def test_an_issuance_that_mpw_keeps_rounded_is_seen(world: OutboxWorld, kept: str) -> None:
    world.with_policy(fractional_issuances=True)
    world.sandbox.mpw.options.allow_fractions = True
    world.sandbox.faults.add("mpw.post_issuance", "lost_answer")
    for key in ("lost", "answered"):
        push = world.issuance(key, quantity=0.083333)
        world.push()
        for row in world.sandbox.mpw.issuance_by_id.values():
            row.quantity = Decimal(kept)
        poll(world, ISSUANCES)
        world.verify()
        assert world.state(push) == "done", key

    assert world.told() == []
    assert world.requests("mpw.post_issuance") == 2


def test_a_part_is_not_posted_over_what_has_its_key(world: OutboxWorld, mpw: Answering) -> None:
    in_mpw(world, "inventory", {"part_number": "P-7", "warehouse_name": MAIN, "api_key": "inv-1"})
    push = world.add("post_inventory", "inv-1", {"part_number": "P-8", "warehouse_name": MAIN, "api_key": "inv-1"})

    world.settle()

    assert world.state(push) == "dead"
    assert ("key_taken", str(push)) in world.told()
    assert mpw.count("POST /inventories") == 0


def test_an_equal_part_under_the_key_is_done_without_a_post(world: OutboxWorld, mpw: Answering) -> None:
    in_mpw(world, "inventory", {"part_number": "P-7", "warehouse_name": MAIN, "api_key": "inv-1"})
    push = world.add("post_inventory", "inv-1", {"part_number": "P-7", "warehouse_name": MAIN, "api_key": "inv-1"})

    world.settle()

    assert world.state(push) == "done"
    assert mpw.count("POST /inventories") == 0


# --- done and never there -----------------------------------------------------------------------


def perfect(api_key: str = "erp-r-1") -> dict[str, Any]:
    return {**RECEIPT_FIELDS, "id": 4711, "quantity_remaining": 5, "api_key": api_key}


def test_what_was_answered_and_is_not_there_is_a_persons(world: OutboxWorld, mpw: Answering) -> None:
    push = world.receipt()
    mpw.says("POST", "/receipts", perfect(), effect=False)
    world.push()
    assert world.state(push) == "done"

    world.verify()
    assert world.told() == [], "its day has not been read since"
    poll(world)
    world.verify()

    assert world.state(push) == "dead"
    assert world.told() == [("push_not_there", str(push))]
    assert f"outbox retry {push}" in hint(world, "push_not_there")


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_what_a_hidden_warehouse_does_not_show_is_not_missed_for_a_day(world: OutboxWorld, kind: str) -> None:
    push = world.receipt() if kind == "receipt" else world.issuance()
    source = RECEIPTS if kind == "receipt" else ISSUANCES
    world.push()
    world.sandbox.mpw.hide_warehouse(MAIN)
    poll(world, source)
    world.verify()
    assert (world.state(push), world.told()) == ("done", [])
    with world.store.read() as conn:
        assert [row.id for row in unseen_pushes(conn, after=0, limit=9)] == [push], "no patch of its item goes"

    world.clock.advance(seconds=proofs.HIDDEN_MAX.total_seconds())
    poll(world, source)
    world.verify()
    assert (world.state(push), world.told()) == ("dead", [("push_not_there", str(push))])

    world.sandbox.mpw.show_warehouse(MAIN)
    poll(world, source)
    world.verify()
    assert (world.state(push), world.told()) == ("done", [])


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_what_a_reading_lacked_while_its_warehouse_was_hidden_is_read_again_once_that_is_shown(
    world: OutboxWorld, mpw: Answering, kind: str
) -> None:
    push = world.receipt() if kind == "receipt" else world.issuance()
    source = RECEIPTS if kind == "receipt" else ISSUANCES
    world.push()
    world.sandbox.mpw.hide_warehouse(MAIN)
    poll(world, source)
    world.sandbox.mpw.show_warehouse(MAIN)
    world.verify()
    assert (world.state(push), world.told()) == ("done", [])
    world.verify()
    with world.store.read() as conn:
        assert unseen_pushes(conn, after=0, limit=9) == []


def hint(world: OutboxWorld, kind: str) -> str:
    with world.store.read() as conn:
        query = text("select hint from v_exceptions where kind = :kind and resolved_at is null")
        return str(conn.execute(query, {"kind": kind}).scalar_one())


def test_a_day_read_before_the_answer_says_nothing(world: OutboxWorld, mpw: Answering) -> None:
    poll(world)
    push = world.receipt()
    mpw.says("POST", "/receipts", perfect(), effect=False)
    world.push()

    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []


def test_a_day_with_a_row_that_cannot_be_read_says_nothing(world: OutboxWorld, mpw: Answering) -> None:
    push = world.receipt()
    mpw.says("POST", "/receipts", perfect(), effect=False)
    world.push()
    mpw.says("GET", "/receipts", [{"id": 3, "part_number": PART, "warehouse_name": None}], effect=False)

    poll(world)
    world.verify()

    assert world.state(push) == "done"


def test_posting_it_again_under_the_same_key_ends_it(world: OutboxWorld, mpw: Answering) -> None:
    push = world.receipt()
    mpw.says("POST", "/receipts", perfect(), effect=False)
    world.push()
    poll(world)
    world.verify()

    retry_pushes(world.ctx, Which(ids=[push]), by="me")
    world.settle()
    poll(world)
    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []
    assert keys_in_mpw(world) == ["erp-r-1"]
    assert matched(world, "erp-r-1") == 1


def test_a_receipt_that_is_there_under_another_day_is_not_missed(world: OutboxWorld) -> None:
    push = world.receipt()
    world.push()
    (mine,) = [row for row in world.sandbox.mpw.receipt_by_id.values() if row.api_key == "erp-r-1"]
    mine.created_on = DAY - timedelta(days=3)

    poll(world)
    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []
    with world.store.read() as conn:
        assert len(event_entries(conn, "receipt", "erp-r-1")) == 1


def test_what_a_poll_has_seen_and_a_person_deleted_is_not_missed(world: OutboxWorld) -> None:
    push = world.receipt()
    world.push()
    poll(world)
    world.verify()
    world.sandbox.mpw.delete_receipt("erp-r-1")

    for _ in range(3):
        poll(world)
        world.verify()
        world.clock.advance(hours=2)

    assert world.state(push) == "done"
    assert "push_not_there" not in [kind for kind, _ in world.told()]


def test_what_we_took_back_ourselves_is_not_missed(world: OutboxWorld) -> None:
    push = world.receipt()
    world.push()
    world.add("delete_receipt", "erp-r-1", {"part_number": PART})
    with world.store.write() as conn:
        conn.execute(outbox.update().where(outbox.c.operation == "delete_receipt").values(kind="receipt"))
    world.settle()

    poll(world)
    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []


def test_an_issuance_that_was_answered_and_is_not_there_is_posted_again_on_a_persons_word(
    world: OutboxWorld, mpw: Answering
) -> None:
    push = world.issuance()
    answer = {"id": 9, "part_number": PART, "warehouse_name": MAIN, "quantity": 2.0, "created_on": TODAY}
    mpw.says("POST", "/issuances", answer, effect=False)
    world.push()
    poll(world, ISSUANCES)
    world.verify()
    assert world.told() == [("push_not_there", str(push))]

    retry_pushes(world.ctx, Which(ids=[push]), by="me")
    world.settle()
    poll(world, ISSUANCES)
    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []
    assert world.sandbox.mpw.stock(PART, MAIN) == 98


def test_a_row_that_turns_up_after_all_settles_what_was_given_up(world: OutboxWorld, mpw: Answering) -> None:
    push = world.receipt()
    mpw.says("POST", "/receipts", perfect(), effect=False)
    world.push()
    poll(world)
    world.verify()
    assert world.state(push) == "dead"

    in_mpw(world, "receipt", json.loads(world.row(push).payload))
    poll(world)
    world.verify()

    assert world.state(push) == "done"
    assert world.told() == []


# --- what our own poll saw counts ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_what_a_poll_saw_and_a_person_deleted_is_not_made_again(world: OutboxWorld, kind: str) -> None:
    push = world.receipt("k-1") if kind == "receipt" else world.issuance("k-1")
    world.sandbox.faults.add(f"mpw.post_{kind}", "lost_answer")
    world.push()
    poll(world, RECEIPTS if kind == "receipt" else ISSUANCES)
    getattr(world.sandbox.mpw, f"delete_{kind}")("k-1")

    world.settle()

    assert world.state(push) == "done"
    assert world.requests(f"mpw.post_{kind}") == 1
    assert world.sandbox.mpw.stock(PART, MAIN) == 100, "a person's undo stands"


def test_it_is_done_at_once_without_asking_the_vendor(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    poll(world)
    asked = world.requests("mpw.receipts")

    world.verify()

    assert world.state(push) == "done"
    assert world.requests("mpw.receipts") == asked
    assert "poll has seen" in (world.row(push).evidence or "")


def test_what_many_undecided_rows_stand_before_is_settled_too(
    lone_world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "AT_ONCE", 1)
    pushes = [
        lone_world.add("post_receipt", key, RECEIPT_FIELDS | {"api_key": key}, entity_key=f"item:{key}")
        for key in ("erp-r-1", "erp-r-2", "erp-r-3")
    ]
    for _ in pushes:
        lone_world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    lone_world.push()
    poll(lone_world)
    real = PostReceipt.shown
    monkeypatch.setattr(
        PostReceipt, "shown", lambda self, conn, row: None if row.id == pushes[0] else real(self, conn, row)
    )

    proofs.settle_shown(lone_world.ctx)

    assert [lone_world.state(push) for push in pushes] == ["unknown", "done", "done"]


def test_what_was_done_since_the_newest_reading_began_is_not_looked_at(lone_world: OutboxWorld) -> None:
    poll(lone_world)
    push = lone_world.receipt()
    lone_world.push()
    assert lone_world.state(push) == "done"
    with lone_world.store.read() as conn:
        before = unseen_pushes(conn, after=0, limit=10)

    poll(lone_world)
    with lone_world.store.read() as conn:
        after = unseen_pushes(conn, after=0, limit=10)

    assert (before, [row.id for row in after]) == ([], [push])


def test_a_person_who_says_that_it_was_not_done_is_obeyed(world: OutboxWorld) -> None:
    push = world.receipt()
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    world.ctx.leads = lambda: False
    poll(world)
    world.sandbox.mpw.delete_receipt("erp-r-1")
    world.clock.advance(minutes=1)

    resolve_push(world.ctx, push, done=False, why="I deleted it by mistake", by="me")
    world.push()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock(PART, MAIN) == 105


def test_an_approval_that_a_poll_saw_and_a_person_withdrew_is_not_made_again(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_order(1000, created_on=TODAY, vendor_name="Bosch", warehouse_name=MAIN, lines=[("a", 1, "2")])
    push = world.approval(1000)
    world.sandbox.faults.add("mpw.approve", "lost_answer")
    world.push()
    world.clock.advance(seconds=1)
    poll_orders_once(world.ctx)
    world.sandbox.mpw.orders[1000].status = "requisition"
    world.clock.advance(seconds=1)
    poll_orders_once(world.ctx)

    world.settle()

    assert world.state(push) == "done"
    assert world.requests("mpw.approve") == 1
    assert world.sandbox.mpw.orders[1000].status == "requisition"


def test_an_order_that_was_ordered_before_the_attempt_proves_nothing(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_order(
        1000, created_on=TODAY, vendor_name="Bosch", warehouse_name=MAIN, lines=[("a", 1, "2")], status="Ordered"
    )
    poll_orders_once(world.ctx)
    world.clock.advance(seconds=1)
    world.sandbox.mpw.orders[1000].status = "requisition"
    poll_orders_once(world.ctx)
    world.clock.advance(seconds=1)
    push = world.approval(1000)
    world.sandbox.faults.add("mpw.approve", "lost_request")

    world.settle()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.orders[1000].status == "Ordered"


# --- orders that cannot be read, or are not shown -----------------------------------------------


def test_an_order_that_cannot_be_read_is_not_taken_for_unknown(world: OutboxWorld, mpw: Answering) -> None:
    push = world.approval(1000)
    body = {
        "purchase_orders": [{"sequential_id": 1000, "status": "requisition", "created_on": TODAY}],
        "pagination": {"page": 1, "pageSize": 100, "pageCount": 1, "count": 1},
    }
    mpw.says("GET", "/purchase_orders", body, effect=False)

    world.push()

    row = world.row(push)
    assert row.state == "ready"
    assert "cannot be read" in (row.last_error or "")
    assert world.told() == []
    assert mpw.count("GET /purchase_orders") == 1


def test_a_day_of_250_orders_is_read_by_status_where_no_page_can_be_asked_for(world: OutboxWorld) -> None:
    world.sandbox.mpw.options.page_parameter = False
    for number in range(1000, 1250):
        status = ("requisition", "Ordered", "Received")[number % 3]
        world.sandbox.mpw.add_order(
            number, created_on=TODAY, vendor_name="B", warehouse_name=MAIN, lines=[("a", 1, "2")], status=status
        )

    poll_orders_once(world.ctx)

    assert stored_orders(world) == 250
    assert world.told() == []


def stored_orders(world: OutboxWorld) -> int:
    with world.store.read() as conn:
        return int(conn.execute(text("select count(*) from v_purchase_orders")).scalar_one())


def test_what_a_day_does_not_show_is_named_and_no_other_day_suffers(world: OutboxWorld, mpw: Answering) -> None:
    world.with_policy(start_date=DAY - timedelta(days=30))
    world.sandbox.mpw.options.page_parameter = False
    for number in range(1000, 1150):
        world.sandbox.mpw.add_order(
            number, created_on=TODAY, vendor_name="B", warehouse_name=MAIN, lines=[("a", 1, "2")], required_on=None
        )
    yesterday = (DAY - timedelta(days=1)).isoformat()
    world.sandbox.mpw.add_order(
        1, created_on=yesterday, vendor_name="B", warehouse_name=MAIN, lines=[("a", 1, "2")], required_on=None
    )

    poll_orders_once(world.ctx)

    assert stored_orders(world) == 101
    assert [kind for kind, _ in world.told()] == ["rows_not_shown"]
    assert "100 of 150" in world.detail("rows_not_shown")
    assert mpw.count("GET /purchase_orders") < 80
    world.sandbox.mpw.options.page_parameter = True
    poll_orders_once(world.ctx)
    assert stored_orders(world) == 151
    assert [kind for kind, _ in world.told()] == ["learned_contradicted"]  # the vendor does otherwise than it did


def an_order_that_is_not_shown(world: OutboxWorld) -> int:
    """Return one of a day's orders that no poll can read: MPW ignores `page`, and no filter splits them."""
    world.sandbox.mpw.options.page_parameter = False
    for number in range(1000, 1150):
        world.sandbox.mpw.add_order(
            number, created_on=TODAY, vendor_name="B", warehouse_name=MAIN, lines=[("a", 1, "2")], required_on=None
        )
    poll_orders_once(world.ctx)
    with world.store.read() as conn:
        shown = set(conn.execute(text("select number from v_purchase_orders")).scalars())
    return next(number for number in range(1000, 1150) if str(number) not in shown)


def test_an_approval_of_an_order_that_is_not_shown_is_named_and_its_hint_ends_it(
    world: OutboxWorld, mpw: Answering
) -> None:
    unseen = an_order_that_is_not_shown(world)
    push = world.approval(unseen)

    world.push()
    told, detail = world.told(), world.detail("order_unknown")
    before = mpw.count("GET /purchase_orders")
    world.clock.advance(minutes=30)
    world.push()

    assert ("order_unknown", str(push)) in told
    assert str(unseen) in detail
    assert mpw.count("GET /purchase_orders") == before  # the next look is in an hour
    discard_pushes(world.ctx, Which(ids=[push]), by="ann")
    assert [kind for kind, _ in world.told()] == ["rows_not_shown"]


def test_an_approval_that_was_tried_and_whose_order_is_not_shown_any_more_ends_by_its_hint(
    world: OutboxWorld, mpw: Answering
) -> None:
    """What was tried cannot be discarded while it waits, so it must not wait for an order that nobody can read."""
    push = world.approval(an_order_that_is_not_shown(world))
    with world.store.write() as conn:
        conn.execute(text("update outbox set tries = 1, attempts = 1"))

    world.push()

    assert world.state(push) == "dead"
    assert ("order_unknown", str(push)) in world.told()
    discard_pushes(world.ctx, Which(ids=[push]), by="ann")
    assert [kind for kind, _ in world.told()] == ["rows_not_shown"]


def test_a_filter_that_the_vendor_refuses_ends_no_reading(world: OutboxWorld, mpw: Answering) -> None:
    world.sandbox.mpw.options.page_parameter = False
    for number in range(1000, 1150):
        world.sandbox.mpw.add_order(
            number, created_on=TODAY, vendor_name="B", warehouse_name=MAIN, lines=[("a", 1, "2")]
        )

    def no_status(request: httpx.Request) -> None:
        if "status" in request.url.params:
            mpw.says("GET", "/purchase_orders", {"message": "no such parameter"}, effect=False, status=422)

    mpw.before = no_status
    poll_orders_once(world.ctx)

    assert stored_orders(world) >= 100

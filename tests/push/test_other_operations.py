"""Approvals, products, parts, transfers and deletes: what each does after a lost answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from sync.clients.mpw.client import MpwClient
from sync.database.engine import Store
from sync.database.schema import outbox, purchase_orders
from sync.errors import RejectedError
from sync.jobs.retention import prune_done_pushes
from sync.ledger.books import Books
from sync.ledger.rules import new_entry
from sync.outbox.rows import Push, Which
from sync.outbox.seen import not_unseen
from sync.push.operations.approval import Approve
from sync.push.operations.approval_read import orders_between, orders_of_days, search
from sync.push.operations.posted_rows import mpw
from sync.push.operations.transfer import _hint
from sync.push.operator import resolve_push, retry_pushes
from tests.clocks import FakeClock
from tests.push.test_receipt import FAULTS
from tests.worlds.answering import answering
from tests.worlds.outbox_world import MAIN, PART, TODAY, OutboxWorld, outbox_world

LINES = [("000000", 5, "7"), ("99999", 50, "10")]


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def lone_world(sqlite_store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    """On SQLite only: for the long tables of faults, which are about the vendor and not about the database."""
    with outbox_world(sqlite_store, clock) as made:
        yield made


def order(world: OutboxWorld, number: int, **fields: Any) -> None:
    world.sandbox.mpw.add_order(
        number,
        created_on=fields.pop("created_on", TODAY),
        vendor_name="Bosch",
        warehouse_name=MAIN,
        lines=LINES,
        **fields,
    )


def status(world: OutboxWorld, number: int) -> str:
    return world.sandbox.mpw.orders[number].status


# --- approvals ----------------------------------------------------------------------------


def test_225_orders_are_approved_in_5_calls(world: OutboxWorld) -> None:
    for number in range(1000, 1225):
        order(world, number)
        world.approval(number)

    world.push(limit=500)

    assert not world.unsettled()
    assert {status(world, number) for number in range(1000, 1225)} == {"Ordered"}
    assert world.requests("mpw.approve") == 5


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_goes_wrong_orders_are_approved_once(lone_world: OutboxWorld, fault: str) -> None:
    pushes = []
    for number in (1000, 1001, 1002):
        order(lone_world, number)
        pushes.append(lone_world.approval(number, total="585"))
    lone_world.sandbox.faults.add("mpw.approve", fault, 1, retry_after=1)

    lone_world.settle()

    assert [lone_world.state(push) for push in pushes] == ["done"] * 3
    assert lone_world.told() == []
    has_effect = fault in ("lost_answer", "error_after", "cut_body", "html_after")
    assert lone_world.requests("mpw.approve") == (1 if has_effect else 2)


def test_one_bad_order_sinks_no_other(world: OutboxWorld) -> None:
    order(world, 1000)
    order(world, 1001)
    good, bad = world.approval(1000), world.approval(1001)
    world.sandbox.faults.add(
        "mpw.purchase_orders", "slow", seconds=0, match=lambda _: status_becomes(world, 1001, "on hold")
    )

    world.settle()

    assert world.state(good) == "done"
    assert world.state(bad) == "dead"
    assert status(world, 1000) == "Ordered"


def status_becomes(world: OutboxWorld, number: int, status: str) -> bool:
    world.sandbox.mpw.orders[number].status = status
    return False


def test_a_call_refused_as_a_whole_is_made_again_for_each_order_alone(world: OutboxWorld) -> None:
    for number in (1000, 1001):
        order(world, number)
    first, second = world.approval(1000), world.approval(1001)
    world.sandbox.faults.add("mpw.approve", "error_before", status=422)

    world.push()
    assert world.outcomes(first) == world.outcomes(second) == ["batch_refused"]
    world.settle()

    assert (world.state(first), world.state(second)) == ("done", "done")
    assert world.requests("mpw.approve") == 3


def test_an_order_that_is_ordered_already_is_done_without_a_call(world: OutboxWorld) -> None:
    order(world, 1000, status="Ordered")
    push = world.approval(1000)

    world.push()

    assert world.state(push) == "done"
    assert world.requests("mpw.approve") == 0


@pytest.mark.parametrize("facts", [{"expected_total": "584.99"}, {"terms_digest": "of other lines"}])
def test_an_order_that_changed_since_it_was_approved_is_not_approved(world: OutboxWorld, facts: dict[str, Any]) -> None:
    order(world, 1000)
    push = world.approval(1000, **facts)

    world.settle()

    assert world.state(push) == "dead"
    assert status(world, 1000) == "requisition"
    assert world.told() == [("order_changed", str(push))]
    assert world.requests("mpw.approve") == 0


def test_an_order_changed_while_it_was_approved_is_done_and_a_person_is_told(world: OutboxWorld) -> None:
    order(world, 1000)
    push = world.approval(1000)

    def somebody_adds_a_line(_: object) -> bool:
        world.sandbox.mpw.person_edits_order(1000, quantity=900)
        return False

    world.sandbox.faults.add("mpw.approve", "slow", seconds=0, match=somebody_adds_a_line)
    world.push()

    assert world.state(push) == "done"
    assert world.told() == [("order_changed", str(push))]


def test_an_order_whose_day_nobody_knows_is_searched_for(world: OutboxWorld) -> None:
    order(world, 1000, created_on="2023-09-30")
    push = world.approval(1000, created_on=None)

    world.push()

    assert world.state(push) == "done"
    assert status(world, 1000) == "Ordered"


def test_an_order_that_mpw_does_not_show_is_an_exception(world: OutboxWorld) -> None:
    push = world.approval(4711)

    world.push()

    assert world.state(push) == "dead"
    assert world.told() == [("order_unknown", str(push))]
    assert world.requests("mpw.approve") == 0


def test_the_order_shows_what_became_of_its_approval(world: OutboxWorld) -> None:
    order(world, 1000)
    now = world.clock.now()
    with world.store.write() as conn:
        conn.execute(
            purchase_orders.insert().values(
                number="1000", status="requisition", created_on=now.date(), lines=2, terms_digest="", digest="",
                raw="{}", final=False, first_read_at=now, last_read_at=now, changed_at=now, approval="wanted",
            )
        )  # fmt: skip
    world.approval(1000)
    world.sandbox.faults.add("mpw.approve", "lost_answer")

    seen = []
    for step in (world.push, world.verify):
        step()
        world.clock.advance(minutes=1)
        with world.store.read() as conn:
            seen.append(conn.execute(purchase_orders.select()).one().approval)
    world.verify()
    with world.store.read() as conn:
        assert conn.execute(purchase_orders.select()).one().approval == "done"

    assert seen[0] == "sent"


def test_an_approval_that_an_end_of_the_program_keeps_back_is_not_shown_as_sent(
    world: OutboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(world, 1000)
    now = world.clock.now()
    with world.store.write() as conn:
        conn.execute(
            purchase_orders.insert().values(
                number="1000", status="requisition", created_on=now.date(), lines=2, terms_digest="", digest="",
                raw="{}", final=False, first_read_at=now, last_read_at=now, changed_at=now, approval="wanted",
            )
        )  # fmt: skip
    push = world.approval(1000)
    ending = threading.Event()
    real = Approve.claimed

    def claimed(self: Approve, books: Books, row: Push) -> None:
        real(self, books, row)
        ending.set()

    monkeypatch.setattr(Approve, "claimed", claimed)
    world.ctx.stopping = ending.is_set

    assert world.push().sent == 0

    assert (world.state(push), world.row(push).tries, world.outcomes(push)) == ("ready", 0, [])
    assert world.requests("mpw.approve") == 0
    with world.store.read() as conn:
        assert conn.execute(purchase_orders.select()).one().approval == "wanted"


def test_the_orders_of_many_days_are_read_with_a_sign_of_life_before_each(world: OutboxWorld) -> None:
    today = world.clock.now().date()
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(world.requests("mpw.purchase_orders"))
        return False

    orders_of_days(mpw(world.ctx), [today - timedelta(days=n) for n in range(3)], stopping=stopping)
    search(mpw(world.ctx), ["1000"], today=today, stopping=stopping)

    assert asked == list(range(len(asked)))
    assert world.requests("mpw.purchase_orders") == len(asked)


def test_an_end_between_two_days_of_orders_decides_nothing_of_those_that_were_not_read(world: OutboxWorld) -> None:
    today = world.clock.now().date()
    pushes = []
    for n in range(3):
        day = (today - timedelta(days=n)).isoformat()
        order(world, 1000 + n, created_on=day)
        pushes.append(world.approval(1000 + n, created_on=day))
    world.ctx.stopping = lambda: world.requests("mpw.purchase_orders") >= 1

    world.push()

    assert world.requests("mpw.purchase_orders") == 1
    assert world.requests("mpw.approve") == 0
    assert [(world.state(push), world.row(push).tries) for push in pushes] == [("ready", 0)] * 3
    assert world.told() == []


def test_orders_are_read_also_where_no_page_can_be_asked_for(world: OutboxWorld) -> None:
    world.sandbox.mpw.options.page_parameter = False
    for number in range(1000, 1250):
        day = world.clock.now().date() - timedelta(days=number % 10)
        order(world, number, created_on=day.isoformat())
    today = world.clock.now().date()

    found = orders_between(mpw(world.ctx), today - timedelta(days=9), today)

    assert len(found.orders) == 250
    assert found.why_unsure("1") is None


# --- deletes ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_whatever_goes_wrong_a_delete_has_one_effect(lone_world: OutboxWorld, kind: str, fault: str) -> None:
    posted = lone_world.receipt("k-1") if kind == "receipt" else lone_world.issuance("k-1")
    lone_world.settle()
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})
    lone_world.sandbox.faults.add(f"mpw.delete_{kind}", fault, 1, retry_after=1)

    lone_world.settle()

    assert (lone_world.state(posted), lone_world.state(delete)) == ("done", "done")
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 100


@pytest.mark.parametrize("status", [404, 410, 422, 400])
@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_what_is_not_there_to_be_deleted_is_done_however_the_vendor_says_so(
    lone_world: OutboxWorld, monkeypatch: pytest.MonkeyPatch, kind: str, status: int
) -> None:
    def refused(_client: object, _key: str) -> None:
        raise RejectedError("Could not find it: no such key", status=status)

    monkeypatch.setattr(MpwClient, f"delete_{kind}", refused)
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})

    lone_world.push()

    assert (lone_world.state(delete), lone_world.told()) == ("done", [])


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_a_page_of_a_proxy_is_no_proof_that_a_delete_is_done(lone_world: OutboxWorld, kind: str) -> None:
    posted = lone_world.receipt("k-1") if kind == "receipt" else lone_world.issuance("k-1")
    lone_world.settle()
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})
    lone_world.sandbox.faults.add(f"mpw.delete_{kind}", "html", 1, status=404)

    lone_world.push()

    assert (lone_world.state(posted), lone_world.state(delete)) == ("done", "unknown")
    stock = lone_world.sandbox.mpw.stock(PART, MAIN)
    assert stock != 100, "nothing was deleted"

    lone_world.settle()

    assert lone_world.state(delete) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 100
    assert lone_world.requests(f"mpw.delete_{kind}") == 2


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_what_a_hidden_warehouse_does_not_show_is_not_taken_for_deleted(lone_world: OutboxWorld, kind: str) -> None:
    posted = lone_world.receipt("k-1") if kind == "receipt" else lone_world.issuance("k-1")
    lone_world.settle()
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})
    lone_world.sandbox.mpw.hide_warehouse(MAIN)

    lone_world.push()

    assert (lone_world.state(posted), lone_world.state(delete)) == ("done", "unknown")

    lone_world.sandbox.mpw.show_warehouse(MAIN)
    lone_world.settle()

    assert lone_world.state(delete) == "done"
    assert lone_world.sandbox.mpw.stock(PART, MAIN) == 100


@pytest.mark.parametrize("kind", ["receipt", "issuance"])
def test_a_hidden_warehouse_is_known_from_the_ledger_when_the_push_itself_is_forgotten(
    lone_world: OutboxWorld, kind: str
) -> None:
    pushed = lone_world.receipt("k-1") if kind == "receipt" else lone_world.issuance("k-1")
    lone_world.settle()
    now = lone_world.clock.now()
    with lone_world.store.write() as conn:
        not_unseen(conn, [pushed])
        shown = new_entry(
            "mpw",
            kind,
            "k-1",
            "1",
            item=PART,
            warehouse=MAIN,
            quantity=Decimal(1),
            unit_cost=Decimal(1),
            occurred_on=now.date(),
        )
        Books(conn, now=now).append([shown])
        assert prune_done_pushes(Books(conn, now=now), now + timedelta(days=1), limit=10) == 1
    delete = lone_world.add(f"delete_{kind}", "k-1", {"part_number": PART})
    lone_world.sandbox.mpw.hide_warehouse(MAIN)

    lone_world.push()

    assert lone_world.state(delete) == "unknown"


def test_an_issuance_whose_delete_got_a_page_for_an_answer_is_deleted_again(lone_world: OutboxWorld) -> None:
    lone_world.issuance("k-1")
    lone_world.settle()
    delete = lone_world.add("delete_issuance", "k-1", {"part_number": PART})
    lone_world.sandbox.faults.add("mpw.delete_issuance", "html_after", 1)

    lone_world.settle()

    assert lone_world.state(delete) == "done"
    assert lone_world.requests("mpw.delete_issuance") == 2


def test_an_issuance_that_a_person_moved_to_another_day_is_not_taken_for_deleted(world: OutboxWorld) -> None:
    world.issuance("k-1", quantity=7)
    world.settle()
    delete = world.add("delete_issuance", "k-1", {"part_number": PART})
    world.sandbox.faults.add("mpw.delete_issuance", "lost_request", 1)
    world.push()
    assert world.state(delete) == "unknown"
    (posted,) = world.sandbox.mpw.issuances_by_key["k-1"]
    world.sandbox.mpw.person_edits_issuance(posted.id, created_on=posted.created_on - timedelta(days=3))

    world.settle()

    assert world.state(delete) == "done"
    assert world.sandbox.mpw.issuances_by_key.get("k-1", []) == []
    assert world.sandbox.mpw.stock(PART, MAIN) == 100


def test_a_delete_cancels_what_was_never_sent(world: OutboxWorld) -> None:
    world.with_policy(retry_base=timedelta(hours=1))
    receipt = world.receipt("k-1")
    with world.store.write() as conn:
        conn.execute(outbox.update().values(state="held"))
    delete = world.add("delete_receipt", "k-1", {"part_number": PART})

    world.push()

    assert (world.state(receipt), world.state(delete)) == ("superseded", "done")
    assert world.requests("mpw.post_receipt") == world.requests("mpw.delete_receipt") == 0


def test_a_delete_waits_for_an_unsettled_push_of_its_key(world: OutboxWorld) -> None:
    receipt = world.receipt("k-1")
    world.sandbox.faults.add("mpw.post_receipt", "lost_answer")
    world.push()
    delete = world.add("delete_receipt", "k-1", {"part_number": PART})

    assert world.push().sent == 0
    assert (world.state(receipt), world.state(delete)) == ("unknown", "ready")
    world.settle()

    assert (world.state(receipt), world.state(delete)) == ("done", "done")
    assert world.sandbox.mpw.stock(PART, MAIN) == 100


def test_a_push_that_failed_for_good_is_dropped_once_its_delete_is_done(world: OutboxWorld) -> None:
    posted, other = (world.receipt(key, quantity_received=0) for key in ("k-1", "k-2"))
    world.settle()
    assert (world.state(posted), world.state(other)) == ("dead", "dead")
    delete = world.add("delete_receipt", "k-1", {"part_number": PART})

    world.settle()

    assert (world.state(delete), world.state(posted), world.state(other)) == ("done", "discarded", "dead")
    assert world.told() == [("push_dead", str(other))]
    assert retry_pushes(world.ctx, Which(ids=[posted]), by="ann") == 0


def test_a_push_set_going_again_while_its_delete_is_unclear_is_not_sent_once_that_is_done(world: OutboxWorld) -> None:
    posted = world.receipt("k-1", quantity_received=0)
    world.settle()
    delete = world.add("delete_receipt", "k-1", {"part_number": PART})
    world.sandbox.faults.add("mpw.delete_receipt", "lost_answer")
    world.push()
    assert retry_pushes(world.ctx, Which(ids=[posted]), by="ann") == 1
    assert (world.state(delete), world.state(posted)) == ("unknown", "ready")
    sent = world.requests("mpw.post_receipt")

    world.settle()

    assert (world.state(delete), world.state(posted)) == ("done", "discarded")
    assert world.requests("mpw.post_receipt") == sent


def test_deleting_a_split_issuance_deletes_every_part(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("SPLIT", MAIN)
    for quantity in (4, 3, 5):
        world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", "2024-02-01")
    world.issuance("k-1", part_number="SPLIT", quantity=10)
    world.settle()
    delete = world.add("delete_issuance", "k-1", {"part_number": "SPLIT"})
    world.sandbox.faults.add("mpw.delete_issuance", "lost_answer", 1, 1)

    world.settle()

    assert world.state(delete) == "done"
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 12


def test_a_split_issuance_whose_every_delete_is_answered_by_nothing_is_deleted_once_each(world: OutboxWorld) -> None:
    mpw = answering(world)
    world.sandbox.mpw.add_part("SPLIT", MAIN)
    for quantity in (4, 3, 5):
        world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", "2024-02-01")
    world.issuance("k-1", part_number="SPLIT", quantity=10)
    world.settle()
    delete = world.add("delete_issuance", "k-1", {"part_number": "SPLIT"})
    mpw.says("DELETE", "/issuance/", b"", effect=True, times=100)

    world.settle()

    assert world.state(delete) == "done"
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 12
    assert mpw.count("DELETE /issuance/") == 3


def test_deleting_an_issuance_that_waits_for_the_rest_stops_it(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("SPLIT", MAIN)
    for quantity, day in ((4, "2024-02-01"), (6, "2024-02-02")):
        world.sandbox.mpw.person_receives("SPLIT", MAIN, quantity, "5", day)
    issuance = world.issuance("k-1", part_number="SPLIT", quantity=10)
    while world.sandbox.mpw.stock("SPLIT", MAIN) == 10:
        world.push()
    world.sandbox.mpw.person_issues("SPLIT", MAIN, 6)
    for _ in range(4):
        world.push()
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 0
    delete = world.add("delete_issuance", "k-1", {"part_number": "SPLIT"})

    world.settle()

    assert (world.state(issuance), world.state(delete)) == ("discarded", "done")
    assert world.sandbox.mpw.stock("SPLIT", MAIN) == 4


def test_a_used_receipt_cannot_be_deleted_and_a_person_is_told(world: OutboxWorld) -> None:
    world.sandbox.mpw.add_part("NEW", MAIN)
    world.receipt("k-1", part_number="NEW")
    world.settle()
    world.sandbox.mpw.person_issues("NEW", MAIN, 1)
    delete = world.add("delete_receipt", "k-1", {"part_number": "NEW"})

    world.settle()

    assert world.state(delete) == "dead"
    assert world.told() == [("push_dead", str(delete))]


# --- transfers ----------------------------------------------------------------------------


def transfer(world: OutboxWorld) -> int:
    world.sandbox.mpw.add_part(PART, "WH2")
    payload = {"part_number": PART, "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 30}
    return world.add("post_transfer", "t-1", payload)


def test_a_transfer_is_made_once(world: OutboxWorld) -> None:
    push = transfer(world)

    world.settle()

    assert world.state(push) == "done"
    assert (world.sandbox.mpw.stock(PART, MAIN), world.sandbox.mpw.stock(PART, "WH2")) == (70, 30)


@pytest.mark.parametrize(
    ("fault", "moved", "says"),
    [("lost_answer", 30, "as if it had taken effect"), ("lost_request", 0, "as if it had not taken effect")],
)
def test_invariant_6_a_transfer_is_never_sent_again_while_nobody_knows(
    world: OutboxWorld, fault: str, moved: int, says: str
) -> None:
    push = transfer(world)
    world.sandbox.faults.add("mpw.transfer", fault)

    world.settle(rounds=20)

    assert world.state(push) == "unknown"
    assert world.requests("mpw.transfer") == 1
    assert world.sandbox.mpw.stock(PART, "WH2") == moved
    assert ("push_undecidable", str(push)) in world.told()
    detail = world.detail("push_undecidable")
    assert "before: WH2 0, Warehouse #1 100;" in detail
    assert says in detail


@pytest.mark.parametrize(
    ("left", "arrived", "hint"),
    [
        ("7", "3", "as if it had taken effect"),
        ("10", "0", "as if it had not taken effect"),
        ("13", "-3", "other movements came between"),
        ("7", "2", "other movements came between"),
    ],
)
def test_the_stocks_are_read_for_what_they_suggest(left: str, arrived: str, hint: str) -> None:
    said = _hint({MAIN: "10", "WH2": None}, {MAIN: left, "WH2": arrived}, Decimal(3))

    assert said.endswith(hint)


@pytest.mark.parametrize("done", [True, False])
def test_a_person_s_word_settles_a_transfer(world: OutboxWorld, done: bool) -> None:
    push = transfer(world)
    world.sandbox.faults.add("mpw.transfer", "lost_answer" if done else "lost_request")
    world.settle(rounds=3)

    assert resolve_push(world.ctx, push, done=done, why="seen in MPW", by="ann")
    assert not resolve_push(world.ctx, 4711, done=done, why="seen in MPW", by="ann")
    world.settle()

    assert world.state(push) == "done"
    assert world.sandbox.mpw.stock(PART, "WH2") == 30
    assert world.requests("mpw.transfer") == (1 if done else 2)
    assert world.told() == []


# --- parts and products -------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_goes_wrong_a_part_is_made_once(lone_world: OutboxWorld, fault: str) -> None:
    payload = {"part_number": "NEW", "warehouse_name": MAIN, "api_key": "inv-1", "tracking_enabled": "true"}
    push = lone_world.add("post_inventory", "inv-1", payload)
    lone_world.sandbox.faults.add("mpw.post_inventory", fault, 1, retry_after=1)

    lone_world.settle()

    assert lone_world.state(push) == "done"
    assert (MAIN, "NEW") in lone_world.sandbox.mpw.parts
    assert lone_world.told() == []


def test_tracking_that_mpw_did_not_switch_on_is_told(world: OutboxWorld) -> None:
    payload = {"part_number": "NEW", "warehouse_name": MAIN, "api_key": "inv-1", "tracking_enabled": "true"}
    push = world.add("post_inventory", "inv-1", payload)
    world.sandbox.faults.add("mpw.post_inventory", "lost_answer")
    world.push()
    world.sandbox.mpw.parts[(MAIN, "NEW")].tracking_enabled = False

    world.settle()

    assert world.state(push) == "done"
    assert world.told() == [("tracking_not_enabled", str(push))]


def product(world: OutboxWorld) -> int:
    payload = {"bar_code": "1", "product_name": "Pump", "product_unit": "Pieces", "external_id": "E-1"}
    return world.add("create_product", "E-1", payload, entity_key="product:E-1")


def test_a_patch_that_waits_for_its_product_reads_no_feed(world: OutboxWorld) -> None:
    made = product(world)
    fields = {"external_id": "E-1", "new_stock": "5", "new_cost": "10"}
    patch = world.add("patch_stock", "patch-1", fields, entity_key="mps:E-1")
    with world.store.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id == made).values(due_at=world.clock.now() + timedelta(hours=1)))

    for _ in range(5):
        world.push()
        world.clock.advance(minutes=1)

    assert world.requests("mpservices.movements") == 0
    assert world.state(patch) == "ready"


def test_products_wait_while_their_path_is_not_set(world: OutboxWorld) -> None:
    world.with_policy(create_product_path="")
    push = product(world)

    world.push()

    assert world.state(push) == "ready"
    assert world.outcomes(push) == []
    assert world.requests("mpservices.create_product") == 0

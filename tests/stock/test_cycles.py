"""Stock and cost over HTTP against the sandbox: whole cycles, and people who act at the worst moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import parked
from sync.jobs.compare_stock import plan_stock, stock_once
from sync.ledger.books import Books
from sync.outbox.machine import DELETE_RECEIPT, POST_RECEIPT
from sync.outbox.rows import Which
from sync.push.operator import discard_pushes
from sync.push.round import push_once
from tests.worlds.stock_world import MAIN, PART, StockWorld, stock_world


@pytest.fixture
def world(store: Store) -> Iterator[StockWorld]:
    with stock_world(store) as made:
        yield made


@pytest.fixture
def met(world: StockWorld) -> StockWorld:
    """A world whose item is managed, its MPservices stock proved by an echo: 105 on both sides."""
    world.moves(3)
    world.cycle()
    world.clock.advance(minutes=10)
    world.receives(2)
    world.cycle()
    assert world.stocks() == (105, 105)
    assert world.state().base_verified
    world.clock.advance(minutes=10)
    return world


def test_the_first_movement_makes_an_item_managed_and_three_more_cycles_write_nothing(world: StockWorld) -> None:
    world.moves(7)

    world.settle()
    written = world.writes()
    for _ in range(3):
        world.cycle()

    assert world.stocks() == (107, 107)
    assert written.count("mpw.post_receipt") == 1
    assert written.count("mpservices.patch_stock") == 1
    assert world.writes() == written
    assert world.net("adjustment") == 0  # the patch changed nothing, so it left no movement
    assert [echo.outcome for echo in world.echoes()] == ["none"]
    assert world.exceptions() == []


def test_what_people_receive_in_mpw_reaches_mpservices_and_the_echo_goes_nowhere(met: StockWorld) -> None:
    posted = met.writes().count("mpw.post_receipt")
    met.receives(20, 12)

    met.cycle()
    written = met.writes()
    for _ in range(3):
        met.clock.advance(minutes=5)
        met.cycle()

    assert met.stocks() == (125, 125)
    assert met.writes() == written
    assert written.count("mpw.post_receipt") == posted
    assert met.state().mps_quantity == 125
    assert met.net("adjustment") == 22
    assert met.lines()[-1].role == "echo"


def test_an_echo_is_filed_again_as_an_adjustment_under_the_same_key(met: StockWorld) -> None:
    echo = met.lines()[-1]

    with met.store.read() as conn:
        from sync.ledger.entries import event_entries

        receipts = event_entries(conn, "receipt", echo.api_key)
        adjustments = event_entries(conn, "adjustment", echo.api_key)

    assert [row.entry_type for row in receipts] == ["original", "reversal"]
    assert [row.entry_type for row in adjustments] == ["original"]
    assert adjustments[0].id == echo.entry_id
    assert adjustments[0].quantity == echo.quantity == 2


def test_parts_of_mpw_that_no_movement_named_are_not_patched(world: StockWorld) -> None:
    world.receives(5)

    world.settle()

    assert world.patches() == []
    assert world.rows() == []


def test_a_movement_before_the_drain_withdraws_the_patch_and_reaches_mpw_first(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    assert stock_once(met.ctx).added == 1
    patched = len(met.patches())

    met.moves(-4)
    push_once(met.ctx)

    assert met.rows()[-1].state == "superseded"
    assert len(met.patches()) == patched
    met.cycle()
    assert met.stocks() == (111, 111)
    assert met.exceptions() == []


def test_a_movement_between_the_drain_and_the_patch_is_forwarded_and_the_numbers_meet(met: StockWorld) -> None:
    met.receives(10)
    met.before_patch(lambda: met.moves(-4))

    met.cycle()
    met.cycle()

    assert met.stocks() == (111, 111)
    assert met.writes().count("mpw.post_issuance") == 1
    assert [line.role for line in met.lines()[-3:]] == ["event", "echo", "echo"]
    assert met.net("issuance") == -4
    assert met.exceptions() == []


def test_a_movement_with_the_very_delta_and_cost_of_the_patch_is_told_from_its_echo(met: StockWorld) -> None:
    """Out 10, in 10 at the patched cost, then the echo of 10: by its delta alone each of the two fits."""
    met.receives(10)

    def slip_in() -> None:
        met.moves(-10)
        met.moves(10)

    met.before_patch(slip_in)
    met.cycle()

    assert met.stocks() == (115, 115)
    assert met.writes().count("mpw.post_issuance") == 1
    assert met.writes().count("mpw.post_receipt") == 2  # the first of all, and this one
    assert met.exceptions() == []


def test_a_movement_between_the_patch_and_the_next_poll_is_forwarded(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    stock_once(met.ctx)
    push_once(met.ctx)
    assert met.stocks() == (115, 115)

    met.moves(-6)
    met.cycle()

    assert met.stocks() == (109, 109)
    assert met.state().mps_quantity == 109
    assert met.exceptions() == []


def test_a_new_cost_alone_is_patched_and_leaves_no_echo_and_no_doubt(met: StockWorld) -> None:
    patched = len(met.patches())
    met.execute("update item_states set mps_unit_cost = 9000000, dirty_at = mpw_read_at")

    met.settle()

    assert len(met.patches()) == patched + 1
    assert met.stocks() == (105, 105)
    assert met.echoes()[-1].outcome == "none"
    assert met.state().base_verified
    assert met.exceptions() == []


def test_what_we_took_back_before_a_poll_saw_it_keeps_no_new_cost_waiting(met: StockWorld) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity_received": 4, "unit_cost": 9, "api_key": "GR-1"}
    met.erp_pushes(POST_RECEIPT, "receipt", "GR-1", fields | {"created_on": met.sandbox.mpw.today().isoformat()})
    push_once(met.ctx)
    met.erp_pushes(DELETE_RECEIPT, "receipt", "GR-1", {"api_key": "GR-1"})
    push_once(met.ctx)
    last = max(met.sandbox.mpw.receipt_by_id)

    met.sandbox.mpw.person_edits_receipt(last, unit_cost="20")
    met.cycle()

    assert met.stocks() == (105, 105)
    assert met.cost() == met.state().mps_unit_cost
    assert met.patches()[-1]["new_cost"] == "10.19047"  # (100 at 10, 3 at 10, 2 at 20) ÷ 105


def test_what_no_poll_ever_saw_keeps_a_new_cost_waiting_until_a_person_has_decided(
    met: StockWorld,
) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity_received": 4, "unit_cost": 9, "api_key": "GR-1"}
    last = max(met.sandbox.mpw.receipt_by_id)
    met.erp_pushes(POST_RECEIPT, "receipt", "GR-1", fields | {"created_on": met.sandbox.mpw.today().isoformat()})
    push_once(met.ctx)
    met.sandbox.mpw.person_deletes_receipt(max(met.sandbox.mpw.receipt_by_id))
    met.sandbox.mpw.person_edits_receipt(last, unit_cost="20")

    met.cycle()
    waiting = met.patches()[-1]["new_cost"]
    met.clock.advance(minutes=61)
    met.cycle()

    assert met.patches()[-1]["new_cost"] == waiting == "10"
    with met.store.read() as conn:
        assert [row.kind for row in open_exceptions(conn) if row.kind.startswith("push")] == ["push_not_there"]
    discard_pushes(met.ctx, Which(api_key="GR-1"), by="me", why="I deleted it")
    met.cycle()

    assert met.patches()[-1]["new_cost"] == "10.19047"
    assert met.stocks() == (105, 105)


def test_a_movement_right_after_a_patch_that_changes_nothing_is_people_s(met: StockWorld) -> None:
    met.execute("update item_states set mps_unit_cost = 9000000, dirty_at = mpw_read_at")
    met.poll()
    met.work()

    met.moves(-5)
    met.cycle()

    assert met.stocks() == (100, 100)
    assert met.exceptions() == []


@pytest.mark.parametrize("fault", ["lost_request", "lost_answer", "error_before", "error_after", "cut_body"])
def test_a_fault_in_a_patch_leaves_one_effect_and_settles_by_itself(met: StockWorld, fault: str) -> None:
    met.sandbox.faults.add("mpservices.patch_stock", fault)
    met.receives(10)

    met.settle()
    written = met.writes()
    met.settle()

    assert met.stocks() == (115, 115)
    assert met.net("adjustment") == 12
    assert [row.state for row in met.rows()][-1] == "done"
    assert met.writes() == written
    assert met.writes().count("mpw.post_receipt") == 1
    assert met.state().base_verified
    assert met.exceptions() == []


@pytest.mark.parametrize("fault", ["lost_request", "lost_answer", "error_before", "error_after", "cut_body"])
def test_a_fault_in_an_item_s_very_first_patch_settles_too(world: StockWorld, fault: str) -> None:
    world.sandbox.faults.add("mpservices.patch_stock", fault)
    world.sandbox.mpservices.product(PART).stock += 50  # nobody knows why: the first patch puts it right
    world.moves(2)

    world.settle()
    written = world.writes()
    world.settle()

    assert world.stocks() == (102, 102)
    assert world.net("adjustment") == -50
    assert world.writes() == written
    assert world.writes().count("mpw.post_receipt") == 1
    assert "mpw.post_issuance" not in world.writes()
    assert world.exceptions() == []


@pytest.mark.parametrize("fault", ["lost_request", "lost_answer"])
def test_a_person_who_moves_stock_while_a_patch_is_unclear_is_neither_lost_nor_overwritten(
    met: StockWorld, fault: str
) -> None:
    met.sandbox.faults.add("mpservices.patch_stock", fault)
    met.receives(10)
    met.poll()
    met.reconcile()
    stock_once(met.ctx)
    push_once(met.ctx)

    met.moves(-3)
    met.settle()

    assert met.stocks() == (112, 112)
    assert met.writes().count("mpw.post_issuance") == 1
    assert met.net("issuance") == -3
    assert met.exceptions() == []


def test_a_lost_patch_that_nobody_wants_any_more_is_discarded_and_newer_values_go(met: StockWorld) -> None:
    met.sandbox.faults.add("mpservices.patch_stock", "lost_request")
    met.receives(10)
    met.cycle()
    lost = met.rows()[-1]

    met.moves(-3)
    met.settle()

    assert lost.state == "unknown"
    settled = next(row for row in met.rows() if row.id == lost.id)
    assert settled.state == "discarded"
    assert "no effect" in (settled.evidence or "")
    assert [patch["new_stock"] for patch in met.patches()][-2:] == ["115", "112"]


def test_a_429_uses_up_nothing_and_expects_no_echo_meanwhile(met: StockWorld) -> None:
    met.sandbox.faults.add("mpservices.patch_stock", "too_many", retry_after=30)
    met.receives(10)
    met.poll()
    met.work()
    waiting = met.rows()[-1]

    met.moves(-3)
    met.settle()

    assert (waiting.state, waiting.attempts, waiting.tries) == ("ready", 0, 1)
    assert met.stocks() == (112, 112)
    assert met.exceptions() == []


def test_a_failed_drain_sends_nothing(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    stock_once(met.ctx)
    patched = len(met.patches())

    met.sandbox.faults.add("mpservices.movements", "error_before")
    push_once(met.ctx)

    assert len(met.patches()) == patched
    assert (met.rows()[-1].state, met.rows()[-1].tries) == ("ready", 0)
    met.clock.advance(10)
    met.cycle()
    assert met.stocks() == (115, 115)


def test_on_hold_a_patch_is_shown_once_and_replaced_when_numbers_change(met: StockWorld) -> None:
    met.policy(routes={**met.ctx.policy.routes, "stock_cost": "hold"})
    patched = len(met.patches())
    met.receives(10)
    met.cycle()
    met.cycle()
    held = [row for row in met.rows() if row.state == "held"]
    met.receives(5)
    met.cycle()

    assert [json_stock(row.payload) for row in held] == ["115"]
    assert [(row.state, json_stock(row.payload)) for row in met.rows()[-2:]] == [("superseded", "115"), ("held", "120")]
    assert len(met.patches()) == patched

    met.execute("update outbox set state = 'ready' where state = 'held'")
    met.cycle()
    assert met.stocks() == (120, 120)
    assert len(met.patches()) == patched + 1


def test_a_held_patch_that_is_no_longer_needed_is_superseded(met: StockWorld) -> None:
    met.policy(routes={**met.ctx.policy.routes, "stock_cost": "hold"})
    receipt = met.receives(10)
    met.cycle()
    assert met.rows()[-1].state == "held"

    met.sandbox.mpw.person_deletes_receipt(receipt)
    met.execute("update item_states set dirty_at = mpw_read_at")
    met.cycle()

    assert met.rows()[-1].state == "superseded"


def test_with_the_route_off_nothing_is_read_or_derived_and_turning_it_on_catches_up(met: StockWorld) -> None:
    on = met.ctx.policy
    met.policy(routes={**on.routes, "stock_cost": "off"})
    known = len(met.rows())
    met.receives(10)
    met.cycle()
    asked = len(met.sandbox.requests.of("mpw.inventories"))
    met.cycle()
    assert len(met.rows()) == known
    assert len(met.sandbox.requests.of("mpw.inventories")) == asked

    met.ctx.policy = on
    met.cycle()
    assert met.stocks() == (115, 115)


def test_an_item_waits_while_its_movement_is_held_and_is_not_overwritten(met: StockWorld) -> None:
    met.policy(routes={**met.ctx.policy.routes, "issuances": "hold"})
    patched = len(met.patches())
    met.moves(-4)
    met.receives(10)

    met.cycle()
    met.cycle()

    assert len(met.patches()) == patched
    assert met.stocks() == (115, 101)
    met.execute("update outbox set state = 'ready' where state = 'held'")
    met.cycle()
    assert met.stocks() == (111, 111)


def test_an_item_whose_push_is_dead_is_blocked_with_an_exception_until_a_person_settles_it(met: StockWorld) -> None:
    met.sandbox.faults.add("mpw.post_issuance", "error_before", status=422)
    met.moves(-4)
    met.poll()
    met.reconcile()
    met.execute("update outbox set state = 'dead', finalized_at = created_at where operation = 'post_issuance'")
    patched = len(met.patches())
    met.receives(10)

    met.cycle()
    met.cycle()

    assert len(met.patches()) == patched
    assert ("stock_blocked", f"mps:{PART}") in met.exceptions()
    assert "failed for good" in met.state().blocked_reason
    met.sandbox.faults.clear()
    met.execute("update outbox set state = 'ready', finalized_at = null where state = 'dead'")
    met.cycle()
    assert met.stocks() == (111, 111)
    assert met.exceptions() == []
    assert met.state().blocked_reason is None


def test_a_route_that_is_off_blocks_the_items_whose_movements_it_would_have_pushed(met: StockWorld) -> None:
    met.reconciles = False
    met.policy(routes={**met.ctx.policy.routes, "issuances": "off"})
    met.moves(-4)
    met.poll()
    met.reconciles = True
    with met.store.write() as conn:
        from sync.database.facts import RECONCILED_SEQ
        from sync.ledger.entries import last_seq

        Books(conn, now=met.clock.now()).note_fact(RECONCILED_SEQ, str(last_seq(conn)))
        conn.execute(delete(parked))
    patched = len(met.patches())
    met.receives(10)

    met.cycle()

    assert len(met.patches()) == patched
    assert met.exceptions() == [("stock_blocked", f"mps:{PART}")]


def test_nothing_is_compared_before_what_people_did_is_reconciled(met: StockWorld) -> None:
    met.reconciles = False
    patched = len(met.patches())
    met.moves(-4)
    met.receives(10)

    met.cycle()

    assert len(met.patches()) == patched
    assert met.rows()[-1].state == "done"


def test_nothing_is_compared_while_a_source_has_holes(met: StockWorld) -> None:
    met.execute("update coverage set complete = false where source = 'mpw.receipts'")
    met.execute("update item_states set dirty_at = mpw_read_at")
    asked = len(met.sandbox.requests.of("mpw.inventories"))

    stock_once(met.ctx)

    assert len(met.sandbox.requests.of("mpw.inventories")) == asked


def test_an_open_gap_in_the_feed_stops_patches_and_closing_it_leaves_the_base_unproved(met: StockWorld) -> None:
    met.clock.advance(days=3)
    met.receives(10)
    patched = len(met.patches())
    met.cycle()
    met.cycle()
    assert len(met.patches()) == patched
    assert [kind for kind, _ in met.exceptions()] == ["gap"]

    met.execute("update gaps set closed_at = opened_at, note = 'counted'")
    met.cycle()

    assert met.stocks() == (115, 115)


def test_a_negative_stock_in_mpw_is_never_told(met: StockWorld) -> None:
    met.sandbox.mpw.person_issues(PART, MAIN, 110, overdraft=True)
    patched = len(met.patches())

    met.cycle()

    assert len(met.patches()) == patched
    assert met.exceptions() == [("negative_stock", f"mps:{PART}")]
    met.receives(50)
    met.cycle()
    assert met.exceptions() == []
    assert met.stocks()[0] == met.stocks()[1]


def test_a_product_that_mpservices_does_not_know_ends_with_a_person_and_is_not_tried_again(met: StockWorld) -> None:
    met.sandbox.mpservices.products.clear()
    met.receives(10)

    met.cycle()
    patched = len(met.patches())
    met.cycle()

    assert met.rows()[-1].state == "dead"
    assert [kind for kind, _ in met.exceptions()] == ["unknown_product"]
    assert len(met.patches()) == patched
    assert not any(echo.closed_at is None for echo in met.echoes())


def test_several_items_are_patched_and_followed_up_once_each(world: StockWorld) -> None:
    parts = [f"Q-{n}" for n in range(5)]
    for part in parts:
        world.sandbox.mpw.add_part(part, MAIN)
        world.receives(10, 3, part)
        world.sandbox.mpservices.add_product(part, stock=4, cost="3")
        world.moves(1, 3, part)

    world.settle()
    written = world.writes()
    world.settle()

    assert [world.stocks(part) for part in parts] == [(11, 11)] * 5
    assert sorted(patch["external_id"] for patch in world.patches()) == sorted(parts * 2)  # their stock was unknown
    assert world.writes().count("mpw.post_receipt") == len(parts)
    assert "mpw.post_issuance" not in world.writes()
    assert world.writes() == written
    assert world.exceptions() == []


def test_every_item_is_audited_every_hour_and_a_difference_nobody_reported_is_put_right(met: StockWorld) -> None:
    met.execute("update item_states set mps_unit_cost = 9000000, dirty_at = null")
    patched = len(met.patches())

    met.clock.advance(minutes=40)
    met.cycle()
    assert len(met.patches()) == patched
    met.clock.advance(minutes=20)
    met.cycle()

    assert len(met.patches()) == patched + 1


def test_the_erp_s_own_patch_is_sent_and_stands_until_something_moves(met: StockWorld) -> None:
    met.erp_sets("77", "4.5")

    met.cycle()
    met.clock.advance(hours=30)
    met.cycle()

    assert met.stocks() == (105, 77)
    assert met.patches()[-1] == {"external_id": PART, "new_stock": "77", "new_cost": "4.5"}
    assert met.lines()[-1].role == "echo"
    assert "mpw.post_issuance" not in met.writes()
    assert met.exceptions() == []

    met.receives(1)
    met.cycle()
    assert met.stocks() == (106, 106)


def test_the_erp_s_patch_is_a_command_that_a_movement_does_not_withdraw(met: StockWorld) -> None:
    met.erp_sets("77", "4.5")
    met.moves(-2)

    met.poll()
    push_once(met.ctx)

    assert met.sandbox.mpservices.stock(PART) == 77


def test_the_plan_says_what_would_be_patched_and_writes_nothing(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    before = (met.state(), met.rows())

    planned = plan_stock(met.ctx)

    assert [(plan.external_id, plan.state, json_stock(plan.payload)) for plan in planned] == [(PART, "ready", "115")]
    assert (met.state(), met.rows()) == before
    assert met.writes().count("mpservices.patch_stock") == len(met.rows())


def test_a_pass_over_clean_items_asks_nobody_anything(met: StockWorld) -> None:
    asked = len(met.sandbox.requests.all())

    assert stock_once(met.ctx).seen == 0
    assert len(met.sandbox.requests.all()) == asked


def test_an_item_that_changes_while_mpw_is_read_stays_dirty(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()

    def somebody_moves(_: object) -> bool:
        met.execute("update item_states set dirty_at = '2024-03-16T00:00:00.000000Z'")
        return True

    met.sandbox.faults.add("mpw.inventories", "slow", seconds=0, match=somebody_moves)

    assert stock_once(met.ctx).added == 0
    assert met.state().dirty_at is not None
    assert stock_once(met.ctx).added == 1


def test_with_totals_for_costs_the_echo_is_known_too(store: Store) -> None:
    with stock_world(store, cost_is="total") as world:
        world.policy(push_from=world.ctx.policy.push_from + timedelta(0))
        world.moves(1, 10)
        world.settle()
        world.receives(1, 10)
        world.cycle()

        assert world.stocks() == (102, 102)
        assert replace(world.ctx.policy).cost_is == "total"
        assert world.exceptions() == []


def json_stock(payload: str) -> str:
    import json

    return str(json.loads(payload)["new_stock"])


def test_an_item_known_only_by_mpservices_own_id_is_never_patched(world: StockWorld) -> None:
    """Its id there is no external_id: a patch would be refused, or set another product's stock."""
    item_id = world.sandbox.mpservices.add_product(None, stock=5, cost="10").item_id
    world.sandbox.mpw.add_part(item_id, MAIN)
    world.sandbox.mpw.person_receives(item_id, MAIN, 9, "10", world.sandbox.mpw.today())
    world.sandbox.mpservices.person_moves("Inbound", item_id, 1, "10")

    world.settle()

    assert world.patches() == []
    assert ("stock_blocked", f"mps:{item_id}") in world.exceptions()

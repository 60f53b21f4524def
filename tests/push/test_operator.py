"""An operator's word about pushes: what follows from it beside the row itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from sync.database.engine import Store
from sync.database.schema import outbox, purchase_orders
from sync.outbox.rows import Which
from sync.push.operator import AT_ONCE, discard_pushes, retry_pushes
from tests.clocks import FakeClock
from tests.worlds.outbox_world import MAIN, TODAY, OutboxWorld, outbox_world
from tests.worlds.stock_world import StockWorld, stock_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[OutboxWorld]:
    with outbox_world(store, clock) as made:
        yield made


@pytest.fixture
def met(store: Store) -> Iterator[StockWorld]:
    """Both sides read and equal, and the stock route on hold from here on."""
    with stock_world(store) as made:
        made.moves(1)
        made.settle()
        made.policy(routes={**made.ctx.policy.routes, "stock_cost": "hold"})
        yield made


def an_order(world: OutboxWorld, approval: str) -> None:
    now = world.clock.now()
    with world.store.write() as conn:
        conn.execute(
            purchase_orders.insert().values(
                number="1000", status="requisition", created_on=now.date(), lines=1, terms_digest="", digest="",
                raw="{}", final=False, first_read_at=now, last_read_at=now, changed_at=now, approval=approval,
            )
        )  # fmt: skip


def approval_shown(world: OutboxWorld) -> str | None:
    with world.store.read() as conn:
        return conn.execute(purchase_orders.select()).one().approval  # type: ignore[no-any-return]


def dies(world: OutboxWorld, push: int, *, ambiguous: bool = False) -> None:
    values = {"state": "dead", "finalized_at": world.clock.now(), "ambiguous": ambiguous}
    with world.store.write() as conn:
        conn.execute(update(outbox).where(outbox.c.id == push).values(**values))


def test_an_order_whose_approval_was_discarded_shows_none(world: OutboxWorld) -> None:
    an_order(world, "wanted")
    push = world.approval(1000)

    assert discard_pushes(world.ctx, Which(ids=[push]), by="ann", why="too dear") == 1

    assert world.state(push) == "discarded"
    assert world.row(push).evidence == "discarded by ann: too dear"
    assert approval_shown(world) is None
    assert world.push().moved == 0


@pytest.mark.parametrize(("ambiguous", "state", "shown"), [(False, "ready", "wanted"), (True, "unknown", "sent")])
def test_an_order_whose_dead_approval_is_retried_shows_it_as_under_way(
    world: OutboxWorld, ambiguous: bool, state: str, shown: str
) -> None:
    an_order(world, "exception")
    push = world.approval(1000)
    dies(world, push, ambiguous=ambiguous)

    assert retry_pushes(world.ctx, Which(ids=[push]), by="ann") == 1

    assert world.state(push) == state
    assert approval_shown(world) == shown


def test_an_approval_that_went_back_into_the_queue_is_not_shown_as_sent(world: OutboxWorld) -> None:
    an_order(world, "wanted")
    world.sandbox.mpw.add_order(1000, created_on=TODAY, vendor_name="B", warehouse_name=MAIN, lines=[("P-1", 1, "7")])
    world.approval(1000)
    world.sandbox.faults.add("mpw.approve", "too_many", retry_after=60)

    world.push()

    assert approval_shown(world) == "wanted"


def test_a_dry_run_and_a_push_that_may_not_be_dropped_change_nothing(world: OutboxWorld) -> None:
    an_order(world, "sent")
    push = world.approval(1000)

    counted = discard_pushes(world.ctx, Which(), by="ann", dry_run=True)
    with world.store.write() as conn:
        conn.execute(update(outbox).values(attempts=1, tries=1))
    dropped = discard_pushes(world.ctx, Which(), by="ann")

    assert (counted, dropped) == (1, 0)
    assert world.state(push) == "ready"
    assert approval_shown(world) == "sent"


def test_more_than_fit_into_one_transaction_are_all_dropped(world: OutboxWorld) -> None:
    for n in range(AT_ONCE + 1):
        world.receipt(f"erp-r-{n}")

    assert discard_pushes(world.ctx, Which(operation="post_receipt"), by="ann") == AT_ONCE + 1
    assert discard_pushes(world.ctx, Which(), by="ann") == 0


def test_a_discarded_stock_patch_is_not_derived_again_by_the_next_days_audit(met: StockWorld) -> None:
    met.receives(10)
    met.cycle()
    (held,) = [row for row in met.rows() if row.state == "held"]

    discard_pushes(met.ctx, Which(ids=[held.id]), by="ann")
    for _ in range(2):
        met.clock.advance(minutes=timedelta(hours=21) // timedelta(minutes=1))
        met.cycle()

    assert met.rows()[-1].id == held.id
    assert met.state().blocked_reason == "an operator discarded this very patch"
    assert met.exceptions() == []


def test_after_a_discarded_stock_patch_other_values_are_derived(met: StockWorld) -> None:
    met.receives(10)
    met.cycle()
    discard_pushes(met.ctx, Which(state="held"), by="ann")

    met.receives(5)
    met.cycle()

    assert [row.state for row in met.rows()][-2:] == ["discarded", "held"]
    assert '"116"' in met.rows()[-1].payload


def test_after_a_discarded_stock_patch_a_movement_of_the_item_has_it_derived_anew(met: StockWorld) -> None:
    met.receives(10)
    met.cycle()
    discard_pushes(met.ctx, Which(state="held"), by="ann")

    met.moves(2)
    met.moves(-2)
    met.settle()

    assert [row.state for row in met.rows()][-2:] == ["discarded", "held"]
    assert '"111"' in met.rows()[-1].payload

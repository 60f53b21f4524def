"""MPSERVICES_COST_IS put right: movements are filed anew, and what MPW has of them at the wrong cost is asked about."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from sync.domain.exception_kinds import APPLY, KEEP
from sync.flows import cost_meaning
from sync.flows.push import push_once
from sync.flows.reconcile import reconcile_once
from sync.flows.resolve import Choice, resolve_by_person
from sync.flows.verify import verify_once
from sync.store.engine import Store
from sync.store.reports import view
from tests.flows.stock_world import PART, StockWorld, stock_world


def work(world: StockWorld, *, receipts: str = "push") -> None:
    """Derive, push and verify until nothing is due; patches aside."""
    world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off", "receipts": receipts})
    for _ in range(12):
        reconcile_once(world.ctx)
        push_once(world.ctx)
        verify_once(world.ctx)
        world.clock.advance(seconds=2)


def costs(world: StockWorld, system: str) -> list[Decimal]:
    """Return what each receipt of MPservices' movements costs in the ledger, reversed ones aside."""
    with world.store.read() as conn:
        rows = [row for row in view(conn, "v_ledger") if row["system"] == system and row["kind"] == "receipt"]
    reversed_ids = {row["reverses_id"] for row in rows}
    ours = [row for row in rows if str(row["api_key"]).startswith("mps-") and row["reverses_id"] is None]
    return [row["unit_cost"] for row in ours if row["id"] not in reversed_ids]


def receipts_in_mpw(world: StockWorld) -> list[tuple[Decimal, Decimal]]:
    """Return quantity and cost of the receipts in MPW that we posted."""
    rows = [row for day in world.sandbox.mpw.receipts_by_day.values() for row in day.values()]
    return [(row.received, row.unit_cost) for row in rows if (row.api_key or "").startswith("mps-")]


def test_what_was_not_sent_goes_at_the_right_cost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_meaning, "BATCH", 1)
    with stock_world(store) as world:
        for quantity in (10, 20, -4):
            world.moves(quantity, cost=50)
        world.poll()
        work(world, receipts="hold")
        assert sorted(costs(world, "mpservices")) == [50, 50]

        world.policy(cost_is="total")
        work(world, receipts="hold")
        with store.read() as conn:
            held = [row for row in view(conn, "v_outbox") if row["state"] == "held"]
        assert sorted(json.loads(row["payload"])["unit_cost"] for row in held) == [2.5, 5]
        assert world.exceptions() == []
        assert sorted(costs(world, "mpservices")) == [Decimal("2.5"), 5]


def test_what_was_sent_is_asked_about_once_and_corrected_on_a_word(store: Store) -> None:
    with stock_world(store) as world:
        world.moves(10, cost=50)
        world.moves(1, cost=7)  # of one piece both meanings are the same
        world.moves(-2, cost=30)  # what an issuance costs is MPW's to say
        world.poll()
        work(world)
        assert sorted(receipts_in_mpw(world)) == [(1, 7), (10, 50)]

        world.policy(cost_is="total")
        world.poll()
        work(world)
        [(kind, subject)] = world.exceptions()
        assert (kind, subject) == ("cost_restated", "MPSERVICES_COST_IS")
        assert sorted(receipts_in_mpw(world)) == [(1, 7), (10, 50)]  # nothing changes without a person
        assert sorted(costs(world, "mpservices")) == [5, 7]

        resolve_by_person(world.ctx, kind=kind, why="as it is", by="ann", choice=Choice(APPLY))
        for _ in range(4):
            work(world)
            world.clock.advance(hours=1, minutes=1)
            world.poll()

        assert sorted(receipts_in_mpw(world)) == [(1, 7), (10, 5)]
        assert sorted(costs(world, "mpw")) == [5, 7]
        assert world.exceptions() == []


def test_what_a_person_put_right_by_hand_is_kept(store: Store) -> None:
    with stock_world(store) as world:
        world.moves(10, cost=50)
        world.poll()
        work(world)
        world.policy(cost_is="total")
        work(world)

        resolve_by_person(world.ctx, kind="cost_restated", why="by hand", by="ann", choice=Choice(KEEP))
        writes = world.writes()
        for _ in range(3):
            work(world)
            world.clock.advance(hours=1, minutes=1)
            world.poll()

        assert world.writes() == writes
        assert world.exceptions() == []


def test_a_setting_put_back_is_filed_back_and_a_second_pass_does_nothing(store: Store) -> None:
    with stock_world(store) as world:
        world.moves(10, cost=50, part=PART)
        world.poll()
        work(world, receipts="hold")
        world.policy(cost_is="total")
        work(world, receipts="hold")
        assert cost_meaning.restate_costs(world.ctx) == 0
        world.policy(cost_is="unit")
        work(world, receipts="hold")
        assert costs(world, "mpservices") == [50]

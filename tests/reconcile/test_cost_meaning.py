"""MPSERVICES_COST_IS put right: movements are filed anew, and what MPW has of them at the wrong cost is asked about."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from sync.database.engine import Store
from sync.database.facts import fact
from sync.database.schema import outbox
from sync.errors import ConfigError
from sync.jobs.due import an_agenda
from sync.jobs.reports import view
from sync.jobs.resolve import Choice, resolve_by_person
from sync.ledger.books import Books
from sync.outbox.rows import Which, discard
from sync.poll.feed.window import poll_movements_once
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.reconcile import cost_meaning
from sync.reconcile.derive import reconcile_once
from sync.values.exception_kinds import APPLY, KEEP
from tests.worlds.stock_world import PART, StockWorld, stock_world


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
        assert cost_meaning.note_cost_meaning(world.ctx) == 0
        world.policy(cost_is="unit")
        work(world, receipts="hold")
        assert costs(world, "mpservices") == [50]


def pushed(world: StockWorld, *, cost: int = 50) -> int:
    """Receive ten pieces, have them posted and read back at the wrong cost; return the receipt's id in MPW."""
    world.moves(10, cost=cost)
    world.poll()
    work(world)
    world.clock.advance(minutes=6)
    world.poll()
    [found] = [row for day in world.sandbox.mpw.receipts_by_day.values() for row in day.values() if row.api_key]
    return found.id


def answer(world: StockWorld, option: str) -> None:
    """Let a person decide, and let what follows happen."""
    resolve_by_person(world.ctx, kind="cost_restated", why="so be it", by="ann", choice=Choice(option))
    for _ in range(4):
        work(world)
        world.clock.advance(hours=1, minutes=1)
        world.poll()


def test_what_a_person_deleted_in_mpw_is_not_asked_about(store: Store) -> None:
    with stock_world(store) as world:
        receipt = pushed(world)
        world.sandbox.mpw.person_deletes_receipt(receipt)
        for _ in range(3):
            world.clock.advance(hours=1, minutes=1)
            world.poll()
        world.policy(cost_is="total")
        work(world)

        assert "cost_restated" not in dict(world.exceptions())
        assert receipts_in_mpw(world) == []


def test_a_push_that_a_person_discarded_is_not_asked_about(store: Store) -> None:
    with stock_world(store) as world:
        world.moves(10, cost=50)
        world.poll()
        work(world, receipts="hold")
        with store.write() as conn:
            [held] = conn.execute(select(outbox.c.id)).scalars()
            discard(Books(conn, now=world.clock.now()), Which(ids=[held]), by="ann", why="not ours")
        world.policy(cost_is="total")
        work(world)

        assert world.exceptions() == []
        assert receipts_in_mpw(world) == []
        assert costs(world, "mpservices") == [5]


def test_what_a_person_has_put_right_meanwhile_is_left_alone(store: Store) -> None:
    with stock_world(store) as world:
        receipt = pushed(world)
        world.policy(cost_is="total")
        work(world)
        assert dict(world.exceptions()) == {"cost_restated": "MPSERVICES_COST_IS"}
        world.sandbox.mpw.person_edits_receipt(receipt, unit_cost="5")
        world.clock.advance(minutes=6)
        world.poll()
        writes = world.writes()
        answer(world, APPLY)

        assert world.writes() == writes
        assert receipts_in_mpw(world) == [(10, 5)]


def test_a_setting_put_back_ends_the_question(store: Store) -> None:
    with stock_world(store) as world:
        pushed(world)
        world.policy(cost_is="total")
        work(world)
        world.policy(cost_is="unit")
        work(world)

        assert world.exceptions() == []
        assert costs(world, "mpservices") == [50]


def test_a_correction_is_refused_while_nothing_may_be_deleted(store: Store) -> None:
    with stock_world(store) as world:
        pushed(world)
        world.policy(cost_is="total", routes={**world.ctx.policy.routes, "voids": "off"})
        work(world)
        with pytest.raises(ConfigError, match="voids is off"):
            answer(world, APPLY)
        assert dict(world.exceptions()) == {"cost_restated": "MPSERVICES_COST_IS"}


def test_a_stop_between_two_transactions_leaves_nothing_half_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_meaning, "BATCH", 1)
    with stock_world(store) as world:
        for quantity in (10, 20, 25):
            world.moves(quantity, cost=50)
        world.poll()
        work(world, receipts="hold")
        world.policy(cost_is="total")
        asked = iter([False, True])
        world.ctx.stopping = lambda: next(asked, True)
        cost_meaning.note_cost_meaning(world.ctx)
        assert len(set(costs(world, "mpservices"))) == 2  # one of three is filed again

        world.ctx.stopping = lambda: False
        world.policy(cost_is="unit")
        work(world, receipts="hold")
        assert costs(world, "mpservices") == [50, 50, 50]


def test_a_cost_that_does_not_fit_keeps_nothing_else_from_being_filed(store: Store) -> None:
    with stock_world(store) as world:
        world.policy(cost_is="total")
        world.moves(100_000, cost=500_000_000)
        world.moves(10, cost=50)
        world.poll()
        work(world, receipts="hold")
        assert sorted(costs(world, "mpservices")) == [5, 5000]
        world.policy(cost_is="unit")
        work(world, receipts="hold")

        assert sorted(costs(world, "mpservices")) == [50, 5000]
        [(kind, _)] = world.exceptions()
        assert kind == "cost_restated"


def test_a_movement_that_is_read_again_first_is_no_corrected_one(store: Store) -> None:
    with stock_world(store) as world:
        pushed(world)
        movements = world.sandbox.mpservices.all_movements
        movements[-1] = replace(movements[-1], reference="Folio-9")
        world.policy(cost_is="total")
        world.clock.advance(minutes=6)
        world.poll()
        work(world)

        assert dict(world.exceptions()) == {"cost_restated": "MPSERVICES_COST_IS"}


def with_one_that_does_not_fit(world: StockWorld, *, and_another: bool) -> None:
    """Have a line filed per piece whose whole cost is more than the ledger holds, and one that fits if asked for."""
    world.policy(cost_is="total")
    world.moves(100_000, cost=500_000_000)
    if and_another:
        world.moves(10, cost=50)
    world.poll()
    work(world)
    world.policy(cost_is="unit")
    work(world)


def test_what_does_not_fit_is_named_where_a_person_has_the_rest_corrected(store: Store) -> None:
    with stock_world(store) as world:
        with_one_that_does_not_fit(world, and_another=True)
        answer(world, APPLY)

        assert sorted(receipts_in_mpw(world)) == [(10, 50), (100_000, 5000)]
        with store.read() as conn:
            [asked] = [
                row
                for row in view(conn, "v_exceptions")
                if row["kind"] == "cost_restated" and row["resolved_at"] is None
            ]
        assert "does not fit the ledger (1): mps-" in asked["detail"]
        assert "by hand" in asked["hint"]
        assert "--apply" not in asked["hint"]

        answer(world, KEEP)
        assert "cost_restated" not in dict(world.exceptions())  # that the line cannot be read is told of by itself


def test_nothing_can_be_applied_where_nothing_fits(store: Store) -> None:
    with stock_world(store) as world:
        with_one_that_does_not_fit(world, and_another=False)
        writes = world.writes()
        with pytest.raises(ConfigError, match="does not fit the ledger"):
            answer(world, APPLY)

        assert "cost_restated" in dict(world.exceptions())
        answer(world, KEEP)
        assert "cost_restated" not in dict(world.exceptions())  # that the line cannot be read is told of by itself
        assert world.writes() == writes


def test_two_instances_with_different_settings_do_not_file_to_and_fro(store: Store) -> None:
    with stock_world(store) as world:
        world.moves(10, cost=50)
        world.poll()
        work(world, receipts="hold")
        one = world.ctx
        other = replace(one, policy=replace(one.policy, cost_is="total"), filed_as={}, agenda=an_agenda())

        assert cost_meaning.note_cost_meaning(other) == 1  # it leads now: once
        for _ in range(3):
            with pytest.raises(ConfigError, match="another one on this database"):
                reconcile_once(one)
            with pytest.raises(ConfigError, match="another one on this database"):
                poll_movements_once(one)
        assert costs(world, "mpservices") == [5]
        assert world.exceptions() == [("settings_differ", "MPSERVICES_COST_IS")]

        reconcile_once(other)
        assert world.exceptions() == []
        started_again = replace(one, policy=other.policy, filed_as={}, agenda=an_agenda())
        reconcile_once(started_again)
        assert world.exceptions() == []
        assert costs(world, "mpservices") == [5]


def test_another_thread_whose_disk_filled_up_half_way_is_no_other_instance(store: Store) -> None:
    """Two jobs of one daemon look at the setting at the same moment; one has noted all filed, the other had begun."""
    with stock_world(store) as world:
        world.moves(10, cost=50)
        world.poll()
        work(world, receipts="hold")
        with world.store.write() as conn:
            Books(conn, now=world.clock.now()).note_fact(cost_meaning.COSTS_FILED_AS, cost_meaning.UNDER_WAY)

        reconcile_once(world.ctx)

        assert world.exceptions() == []
        with world.store.read() as conn:
            assert fact(conn, cost_meaning.COSTS_FILED_AS) == "unit"


def test_another_thread_that_has_just_filed_all_is_no_other_instance(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one job read before the other job noted its end is old when it comes to decide."""
    with stock_world(store) as world:
        reconcile_once(world.ctx)
        read = iter([cost_meaning.UNDER_WAY, None])
        monkeypatch.setattr(cost_meaning, "fact", lambda conn, name: next(read, None) or fact(conn, name))

        assert cost_meaning.note_cost_meaning(world.ctx) == 0
        assert world.exceptions() == []

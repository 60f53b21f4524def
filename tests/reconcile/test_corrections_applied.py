"""A corrected movement, applied at MPW: one event, there and in the ledger, whatever keys it was posted under."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from sync.database.engine import Store
from sync.jobs.reports import event_story, view
from sync.jobs.resolve import Choice, resolve_by_person
from sync.push.operator import resolve_push
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.reconcile.derive import reconcile_once
from sync.stock.facts import item_facts
from sync.stock.rules import Wait, readiness
from sync.values.exception_kinds import APPLY
from tests.worlds.stock_world import MAIN, PART, StockWorld, stock_world


def work(world: StockWorld) -> None:
    """Derive, push and verify until nothing is due; patches aside."""
    for _ in range(12):
        reconcile_once(world.ctx)
        push_once(world.ctx)
        verify_once(world.ctx)
        world.clock.advance(seconds=2)


def edit(world: StockWorld, quantity: str | None) -> None:
    """Let a person correct the last movement in MPservices, or delete it."""
    movements = world.sandbox.mpservices.all_movements
    if quantity is None:
        movements.pop()
        return
    last = movements[-1]
    lines = [replace(last.lines[0], quantity=Decimal(quantity))]
    movements[-1] = replace(last, lines=type(last.lines)(lines))


@pytest.mark.parametrize(("first", "second", "kind"), [(50, 5, "receipt"), (-50, 5, "issuance")])
def test_a_correction_that_is_applied_is_one_event_with_the_corrected_quantity(
    store: Store, first: int, second: int, kind: str
) -> None:
    with stock_world(store) as world:
        world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off"})
        world.moves(first)
        world.poll()
        work(world)
        edit(world, str(second))
        world.clock.advance(minutes=6)
        world.poll()
        work(world)
        assert world.stocks()[0] == 100 + first  # nothing changes without a person
        [(told, _)] = world.exceptions()
        assert told == "movement_changed"

        resolve_by_person(world.ctx, kind=told, why="it was 5", by="ann", choice=Choice(APPLY))
        work(world)
        for _ in range(4):
            world.clock.advance(hours=1, minutes=1)
            world.poll()
            work(world)

        wanted = second if first > 0 else -second
        assert world.stocks()[0] == 100 + wanted
        assert world.exceptions() == []
        assert world.net(kind, "mpw") - (100 if kind == "receipt" else 0) == wanted
        assert world.net(kind, "mpservices") == wanted
        with store.read() as conn:
            [event] = [row for row in view(conn, "v_events", order="kind") if row["mpservices_quantity"] is not None]
            story = event_story(conn, event["api_key"])
        assert (event["mpw_quantity"], event["voided"]) == (wanted, 0)
        assert [push["operation"] for push in story["pushes"]] == [f"post_{kind}", f"delete_{kind}", f"post_{kind}"]
        assert story["pushes"][2]["api_key"] == f"{event['api_key']}_c2"
        posts = [name for name in world.writes() if "patch" not in name]
        assert len(posts) == 3


def test_what_people_delete_in_mpw_of_a_correction_is_obeyed_and_told(store: Store) -> None:
    with stock_world(store) as world:
        world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off"})
        world.moves(50)
        world.poll()
        work(world)
        edit(world, "5")
        world.clock.advance(minutes=6)
        world.poll()
        resolve_by_person(world.ctx, kind="movement_changed", why="it was 5", by="ann", choice=Choice(APPLY))
        work(world)
        world.clock.advance(hours=1, minutes=1)
        world.poll()
        with store.read() as conn:
            [push] = [row for row in view(conn, "v_outbox") if row["api_key"].endswith("_c2")]
        world.sandbox.mpw.person_deletes_receipt(int(push["remote_id"]))
        for _ in range(4):
            world.clock.advance(hours=1, minutes=1)
            world.poll()
            work(world)

        assert [kind for kind, _ in world.exceptions()] == ["deleted_in_mpw"]
        assert world.stocks()[0] == 100


def test_a_deletion_that_is_applied_takes_back_what_was_posted(store: Store) -> None:
    with stock_world(store) as world:
        world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off"})
        world.moves(7)
        world.clock.advance(minutes=1)
        world.moves(50)
        world.poll()
        work(world)
        edit(world, None)
        world.clock.advance(minutes=6)
        world.poll()
        work(world)
        assert world.stocks()[0] == 157
        assert [kind for kind, _ in world.exceptions()] == ["movement_deleted"]

        resolve_by_person(world.ctx, kind="movement_deleted", why="by mistake", by="ann", choice=Choice(APPLY))
        work(world)
        for _ in range(4):
            world.clock.advance(hours=1, minutes=1)
            world.poll()
            work(world)

        assert (world.stocks()[0], world.exceptions()) == (107, [])
        assert world.net("receipt", "mpservices") == 7


def test_a_correction_is_posted_once_a_person_says_that_what_it_corrects_is_out_of_mpw(store: Store) -> None:
    with stock_world(store) as world:
        world.policy(routes={**world.ctx.policy.routes, "stock_cost": "off"})
        world.moves(50)
        world.poll()
        work(world)
        mpw = world.sandbox.mpw
        issued = mpw.person_issues(PART, MAIN, 120)  # 20 of them out of the receipt of 50
        edit(world, "5")
        world.clock.advance(minutes=6)
        world.poll()
        resolve_by_person(world.ctx, kind="movement_changed", why="it was 5", by="ann", choice=Choice(APPLY))
        work(world)
        [refused] = world.rows("delete_receipt")
        assert (refused.state, len(world.rows("post_receipt"))) == ("dead", 1)
        for issuance in issued:
            mpw.person_deletes_issuance(issuance)
        mpw.person_deletes_receipt(mpw.receipt_by_key[refused.api_key].id)

        resolve_push(world.ctx, refused.id, done=True, why="I deleted it by hand", by="ann")

        with store.read() as conn:
            item = item_facts(conn, [PART], policy=world.ctx.policy)[PART]
        assert isinstance(readiness(item), Wait)  # a patch now would take the corrected movement from MPservices
        work(world)
        [_, corrected] = world.rows("post_receipt")
        assert (corrected.api_key, corrected.state) == (f"{refused.api_key}_c2", "done")
        assert world.stocks()[0] == 105

"""Two systems have one event and not alike: it is seen, told with both sides, and ended by a person or by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import settlements
from sync.errors import ConfigError
from sync.inbox.take_in import inbox_once
from sync.jobs.reports import event_story, needs_a_person, todo, view
from sync.jobs.resolve import Choice, resolve_by_person
from sync.ledger.books import Books
from sync.ledger.rules import new_entry
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.reconcile.derive import reconcile_once
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.item_rows import import_items
from sync.values.exception_kinds import APPLY, AVAILABLE, KEEP
from tests.reconcile.test_corrections_applied import edit
from tests.worlds.stock_world import MAIN, PART, StockWorld, stock_world

OTHER = "P-2"


@pytest.fixture
def world(store: Store) -> Iterator[StockWorld]:
    with stock_world(store) as made:
        made.policy(routes={**made.ctx.policy.routes, "stock_cost": "off"})
        made.sandbox.mpw.add_part(OTHER, MAIN, quantity=0, unit_cost=0)
        yield made


def work(world: StockWorld) -> None:
    """Derive, push and verify until nothing is due."""
    for _ in range(12):
        reconcile_once(world.ctx)
        push_once(world.ctx)
        verify_once(world.ctx)
        world.clock.advance(seconds=2)


def go_on(world: StockWorld, times: int = 3) -> None:
    """Poll and work for hours."""
    for _ in range(times):
        world.clock.advance(hours=1, minutes=1)
        world.poll()
        work(world)


def received(world: StockWorld, quantity: int = 4, cost: int = 10) -> int:
    """Let a movement in, post it, read it back; return MPW's id of the receipt."""
    world.moves(quantity, cost=cost)
    world.poll()
    work(world)
    go_on(world, 1)
    assert world.exceptions() == []
    return int(str(posted(world)["remote_id"]))


def posted(world: StockWorld) -> dict[str, Any]:
    with world.store.read() as conn:
        return [row for row in view(conn, "v_outbox") if row["operation"].startswith("post_")][-1]


def event(world: StockWorld) -> dict[str, Any]:
    """Return the one event that began in MPservices or the ERP."""
    with world.store.read() as conn:
        rows = view(conn, "v_events", order="kind, api_key")
    [one] = [row for row in rows if row["mpservices_quantity"] is not None or row["erp_quantity"] is not None]
    return one


def told(world: StockWorld) -> list[str]:
    """Return what the open exceptions say."""
    with world.store.read() as conn:
        return [row.detail for row in open_exceptions(conn)]


def answer(world: StockWorld, option: str) -> None:
    resolve_by_person(world.ctx, kind="books_differ", why="I looked", by="ann", choice=Choice(option))


# --- the four situations ------------------------------------------------------------------


def test_a_receipt_of_ours_that_a_person_edits_is_told_with_both_sides(world: StockWorld) -> None:
    receipt = received(world)
    assert (event(world)["matched"], event(world)["difference"]) == (1, None)

    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7, unit_cost=12)
    go_on(world)

    one = event(world)
    differs = "quantity: MPservices 4, MPW 7; unit cost: MPservices 10, MPW 12"
    assert (one["matched"], one["settled"], one["difference"]) == (0, 0, differs)
    assert world.exceptions() == [("books_differ", f"receipt {one['api_key']}")]
    assert told(world) == [f"MPservices and MPW do not say the same of receipt {one['api_key']}: {differs}"]
    with world.store.read() as conn:
        [row] = [row for row in todo(conn) if row["kind"] == "books_differ"]
        assert (row["level"], row["subject_type"], row["amount"]) == ("person", "event", 84)
        assert [choice["command"].split()[4] for choice in row["choices"]] == [APPLY, KEEP]
        assert any("books_differ" in reason for reason in needs_a_person(conn))
        assert event_story(conn, one["api_key"])["events"][0]["difference"] == differs


def test_five_there_and_fifty_in_mpw_without_a_push_of_this_database(world: StockWorld) -> None:
    world.policy(routes={**world.ctx.policy.routes, "receipts": "hold"})
    world.moves(5)
    world.poll()
    reconcile_once(world.ctx)
    key = event(world)["api_key"]
    world.execute("delete from outbox")
    row = new_entry(
        "mpw",
        "receipt",
        key,
        "9",
        item=PART,
        warehouse=MAIN,
        quantity=Decimal(50),
        unit_cost=Decimal(10),
        occurred_on=world.ctx.policy.day(world.clock.now()),
    )
    with world.store.write() as conn:
        Books(conn, now=world.clock.now()).append([row])
    work(world)

    assert event(world)["difference"] == "quantity: MPservices 5, MPW 50"
    assert world.exceptions() == [("books_differ", f"receipt {key}")]


def test_six_of_ten_issued_are_no_match(world: StockWorld) -> None:
    mpw = world.sandbox.mpw
    for quantity in (6, 4):
        mpw.person_receives(OTHER, MAIN, quantity, "10", mpw.today())
    world.sandbox.mpservices.add_product(OTHER, stock=10, cost="10")
    world.moves(-10, part=OTHER)
    world.poll()
    work(world)
    go_on(world, 1)
    assert (event(world)["mpw_quantity"], event(world)["matched"]) == (-10, 1)
    assert world.exceptions() == []

    [_, second] = [one.id for one in mpw.issuance_by_id.values() if one.receipt.part.part_number == OTHER]
    mpw.person_deletes_issuance(second)
    go_on(world)

    one = event(world)
    assert (one["matched"], one["difference"]) == (0, "quantity: MPservices 10, MPW 6")
    assert ("books_differ", f"issuance {one['api_key']}") in world.exceptions()


def test_a_row_whose_id_names_another_part_now(world: StockWorld) -> None:
    receipt = world.sandbox.mpw.receipt_by_id[received(world)]
    mpw = world.sandbox.mpw

    mpw.move_receipt(receipt, mpw.parts[MAIN, OTHER], mpw.today())
    go_on(world)

    one = event(world)
    assert (one["matched"], one["difference"]) == (0, f"part: MPservices {PART}, MPW {OTHER}")
    assert world.exceptions() == [("books_differ", f"receipt {one['api_key']}")]


# --- how it ends --------------------------------------------------------------------------


def test_apply_has_mpw_say_what_the_other_system_says_under_a_key_of_its_own(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7, unit_cost=12)
    go_on(world)

    answer(world, APPLY)
    go_on(world, 4)

    one = event(world)
    assert (one["matched"], one["difference"], one["mpw_quantity"]) == (1, None, 4)
    assert world.exceptions() == []
    assert world.stocks()[0] == 104
    assert posted(world)["api_key"] == f"{one['api_key']}_c2"
    writes = world.writes()
    go_on(world)
    assert world.writes() == writes


def test_apply_posts_a_document_of_the_erp_again(world: StockWorld) -> None:
    fields = {"part_number": PART, "warehouse_name": MAIN, "quantity_received": 4, "unit_cost": 10}
    fields["created_on"] = world.sandbox.mpw.today().isoformat()
    with world.store.write() as conn:
        values = {"t": "receipt", "k": "GR-1", "p": json.dumps(fields)}
        conn.execute(text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)"), values)
    inbox_once(world.ctx)
    work(world)
    go_on(world, 1)
    assert event(world)["matched"] == 1
    world.sandbox.mpw.person_edits_receipt(int(str(posted(world)["remote_id"])), quantity=7)
    go_on(world)
    assert event(world)["difference"] == "quantity: the ERP 4, MPW 7"

    answer(world, APPLY)
    go_on(world, 4)

    assert (event(world)["matched"], event(world)["mpw_quantity"], world.exceptions()) == (1, 4, [])
    assert (posted(world)["api_key"], world.stocks()[0]) == ("GR-1_c2", 104)


def test_keep_leaves_both_and_asks_again_only_when_something_new_happens(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7)
    go_on(world)
    writes = world.writes()

    answer(world, KEEP)
    go_on(world)
    world.policy(create_parts=True)  # the rules changed: all is looked at again
    go_on(world)

    assert (world.exceptions(), world.writes()) == ([], writes)
    assert (event(world)["matched"], event(world)["difference"]) == (0, "quantity: MPservices 4, MPW 7")

    world.sandbox.mpw.person_edits_receipt(receipt, quantity=8)
    go_on(world)
    assert [kind for kind, _ in world.exceptions()] == ["books_differ"]
    assert "MPW 8" in told(world)[0]


def test_it_ends_by_itself_where_mpw_is_corrected_by_hand(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7)
    go_on(world)
    assert world.exceptions() != []

    world.sandbox.mpw.person_edits_receipt(receipt, quantity=4)
    go_on(world)

    assert (world.exceptions(), event(world)["matched"], event(world)["difference"]) == ([], 1, None)


def test_what_a_person_settled_is_not_asked_about_any_more(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7)
    go_on(world)
    key = event(world)["api_key"]

    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now())
        values = {"kind": "receipt", "api_key": key, "why": "seen", "made_by": "ann", "made_at": books.now}
        conn.execute(insert(settlements).values(**values))
        books.look_again([("receipt", key)], reason="a person settled it")
    go_on(world)

    assert (world.exceptions(), event(world)["settled"], event(world)["matched"]) == ([], 1, 0)


@pytest.mark.parametrize(("route", "said"), [("receipts", "route receipts is off"), ("voids", "route voids is off")])
def test_apply_deletes_nothing_that_could_not_be_posted_again(world: StockWorld, route: str, said: str) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7)
    go_on(world)
    world.policy(routes={**world.ctx.policy.routes, route: "off"})
    writes = world.writes()

    with pytest.raises(ConfigError, match=said):
        answer(world, APPLY)
    go_on(world)

    assert world.writes() == writes
    assert [kind for kind, _ in world.exceptions()] == ["books_differ"]


def test_a_person_has_to_say_which_side_is_right(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_edits_receipt(receipt, quantity=7)
    go_on(world)

    with pytest.raises(ConfigError, match="told what to do"):
        resolve_by_person(world.ctx, kind="books_differ", why="x", by="ann")


# --- what is healthy ----------------------------------------------------------------------


def test_a_receipt_by_a_factor_and_one_that_mpw_rounds_agree(world: StockWorld) -> None:
    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now())
        import_items(books, [ItemMapping("BOX", OTHER, (MAIN,), Decimal(12))])
    world.sandbox.mpservices.add_product("BOX", stock=0, cost="10")
    world.moves(2, cost=10, part="BOX")
    world.poll()
    work(world)
    go_on(world, 1)
    assert (event(world)["mpw_quantity"], event(world)["matched"]) == (24, 1)

    receipt = int(str(posted(world)["remote_id"]))
    world.sandbox.mpw.person_edits_receipt(receipt, unit_cost="0.83")  # as MPW shows 0.833333 with two decimals
    go_on(world)

    assert (world.exceptions(), event(world)["matched"], event(world)["difference"]) == ([], 1, None)


def test_a_correction_under_way_asks_no_second_question(world: StockWorld) -> None:
    received(world, 50)
    edit(world, "5")
    go_on(world)
    assert [kind for kind, _ in world.exceptions()] == ["movement_changed"]
    assert event(world)["difference"] == "quantity: MPservices 5, MPW 50"

    resolve_by_person(world.ctx, kind="movement_changed", why="it was 5", by="ann", choice=Choice(APPLY))
    go_on(world, 4)

    assert (world.exceptions(), event(world)["matched"]) == ([], 1)


def test_what_a_person_deletes_in_mpw_is_told_once(world: StockWorld) -> None:
    receipt = received(world)
    world.sandbox.mpw.person_deletes_receipt(receipt)
    go_on(world)

    assert [kind for kind, _ in world.exceptions()] == ["deleted_in_mpw"]
    assert (event(world)["matched"], event(world)["difference"]) == (0, "quantity: MPservices 4, MPW none")


def test_a_part_that_arrived_is_no_match_and_who_chose_it_is_not_asked_again(world: StockWorld) -> None:
    mpw = world.sandbox.mpw
    mpw.person_receives(OTHER, MAIN, 6, "10", mpw.today())
    world.sandbox.mpservices.add_product(OTHER, stock=10, cost="10")
    world.moves(-10, part=OTHER)
    world.poll()
    work(world)
    go_on(world)
    [told] = [subject for kind, subject in world.exceptions() if kind == "not_enough_stock"]
    choose(world, told, AVAILABLE)
    go_on(world)

    assert (event(world)["matched"], event(world)["difference"]) == (0, "quantity: MPservices 10, MPW 6")
    assert "books_differ" not in [kind for kind, _ in world.exceptions()]


def choose(world: StockWorld, push: str, option: str) -> None:
    resolve_by_person(
        world.ctx, kind="not_enough_stock", subject=push, why="that is all", by="ann", choice=Choice(option)
    )

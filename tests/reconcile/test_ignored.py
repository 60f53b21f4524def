"""An item that MPW is never to have: never pushed, never patched, and nobody is asked about it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import item_states
from sync.jobs.resolve import Choice, resolve_by_person
from sync.jobs.settle import settle_event
from sync.ledger.books import Books
from sync.ledger.item_states import dirty_items, mark_dirty, mark_for_audit
from sync.outbox.machine import PATCH_STOCK, NewPush
from sync.outbox.rows import add_push
from sync.reconcile.item_map import ItemMapping, read_map
from sync.reconcile.item_rows import load_map
from sync.reconcile.rows import products_refused
from sync.values.exception_kinds import KEEP
from sync.values.subjects import Subject
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import MAIN, World, keys, make_world

IGNORED = ItemMapping("X", "", (), ignored=True)
MAPPED = ItemMapping("X", "P-1", (MAIN,))


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock, warehouse=None)


def open_about(world: World, kind: str, subject: Subject, **facts: object) -> bool:
    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now())
        return books.open_exception(kind, about=subject, detail="d", hint="h", facts=facts)


def view(world: World, name: str, column: str) -> list[object]:
    with world.store.read() as conn:
        return list(conn.exec_driver_sql(f"select {column} from {name}").scalars())


def test_what_waits_for_an_item_ends_by_itself_once_the_map_ignores_it(world: World) -> None:
    world.move("Inbound", ("X", "5", "2"))
    world.reconcile()
    before = world.told()
    world.map(IGNORED)

    world.reconcile()

    assert before == [("unmapped_item", "X")]
    assert (world.told(), world.waiting(), world.pushes()) == ([], [], [])
    assert world.resolutions() == [("unmapped_item", "ignored: the item map says so")]


def test_nobody_is_asked_again_about_what_comes_later(world: World) -> None:
    world.map(IGNORED)
    for number in range(3):
        world.move("Inbound", ("X", "5", "2"), id_=f"m-{number}")
        world.reconcile()

    assert (world.told(), world.waiting(), world.pushes(), world.resolutions()) == ([], [], [], [])


def test_what_is_held_or_dead_of_it_is_taken_back_and_its_exceptions_end(world: World) -> None:
    world.map(MAPPED)
    world.move("Inbound", ("X", "5", "2"))
    world.move("Inbound", ("X", "6", "2"), id_="m-2")
    world.reconcile()
    dead = world.pushes()[1]
    world.set_push(dead.id, state="dead", tries=1, attempts=1, finalized_at=world.clock.now())
    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now())
        add_push(books, NewPush("stock_cost", PATCH_STOCK, None, "s-1", "mps:X", "X", "{}", "r", "held", 5, {}))
    open_about(world, "push_dead", Subject.push(dead.id))
    open_about(world, "negative_stock", Subject.stock_of("X"), external_id="X")
    open_about(world, "movement_changed", Subject.row("m-1"), external_ids=["X"])
    open_about(world, "movement_changed", Subject.row("m-9"), external_ids=["X", "Y"])
    open_about(world, "stock_drift", Subject.item("X"))
    open_about(world, "fractional_issuance", Subject.event("mps-m2-1", "issuance"))
    open_about(world, "quarantined_row", Subject.row("r"), external_id="X")

    world.map(IGNORED)
    world.reconcile()

    states = {row.api_key: row.state for row in world.pushes()}
    assert states == {"mps-m1-1": "superseded", "mps-m2-1": "discarded", "s-1": "superseded"}
    assert world.told() == [("movement_changed", "m-9"), ("quarantined_row", "r")]


def test_no_exception_opens_about_it_but_for_what_could_not_be_read(world: World) -> None:
    world.map(IGNORED)
    world.move("Outbound", ("X", "1.5", "2"))

    assert not open_about(world, "stock_drift", Subject.stock_of("X"))
    assert not open_about(world, "movement_deleted", Subject.row("m"), external_ids=["X"])
    assert not open_about(world, "deleted_in_mpw", Subject.event("mps-m1-1", "issuance"))
    assert open_about(world, "movement_deleted", Subject.row("m"), external_ids=["X", "Y"])
    assert open_about(world, "quarantined_row", Subject.row("r"), external_id="X")
    assert open_about(world, "stock_drift", Subject.stock_of("Y"))


def test_it_is_neither_compared_nor_audited_nor_created(world: World) -> None:
    world.map(IGNORED)
    now = world.clock.now()
    with world.store.write() as conn:
        books = Books(conn, now=now)
        mark_dirty(books, ["X", "Y"], managed=True)
        compared = dirty_items(conn, now=now, after="", limit=10)
        conn.execute(item_states.update().values(dirty_at=None))
        mark_for_audit(books, before=now, limit=10)
        audited = list(
            conn.execute(select(item_states.c.external_id).where(item_states.c.dirty_at.is_not(None))).scalars()
        )

    assert (compared, audited) == (["Y"], ["Y"])
    with world.store.read() as conn:
        assert products_refused(conn, now=now) == {}


def test_the_views_say_ignored(world: World) -> None:
    world.map(IGNORED, ItemMapping("Y", "P-1", (MAIN,)))
    world.move("Inbound", ("X", "5", "2"), ("Y", "1", "1"))
    world.reconcile()

    assert sorted(zip(view(world, "v_events", "api_key"), view(world, "v_events", "ignored"), strict=True)) == [
        ("mps-m1-1", 1),
        ("mps-m1-2", 0),
    ]
    stock = dict(zip(view(world, "v_stock", "external_id"), view(world, "v_stock", "ignored"), strict=True))
    assert stock == {"X": 1, "Y": 0}
    assert "ignored: the item map says so" in view(world, "v_stock", "blocked_reason")
    assert "" not in view(world, "v_stock", "item")


def test_what_happened_meanwhile_is_pushed_once_the_map_names_a_part(world: World) -> None:
    world.map(IGNORED)
    world.move("Inbound", ("X", "5", "2"))
    world.reconcile()
    world.map(MAPPED)

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "mps-m1-1", "ready")]


def test_what_the_erp_sets_of_it_is_taken_in_and_nothing_is_sent(world: World) -> None:
    world.map(IGNORED)
    world.erp("stock_cost", "SC-1", {"external_id": "X", "new_stock": 4, "new_cost": 1})

    world.reconcile()
    world.reconcile()

    assert world.pushes() == []
    assert world.rows() == [("accepted", "nothing was sent: ignored: the item map says so")]
    assert world.told() == []


def test_a_map_says_yes_and_needs_no_part_then(world: World) -> None:
    read = read_map(
        [
            (2, {"external_id": "X", "ignore": "Yes"}),
            (3, {"external_id": "Y", "part_number": "P", "ignore": "no"}),
            (4, {"external_id": "Z", "ignore": "no"}),
            (5, {"external_id": "Q", "ignore": "perhaps"}),
            (6, {"external_id": "W", "part_number": "P-2", "warehouses": "B", "factor": "2", "ignore": "1"}),
            (7, {"external_id": "V", "warehouses": "B", "ignore": "yes"}),
        ],
        default_warehouse=MAIN,
    )

    assert read.mappings == [
        IGNORED,
        ItemMapping("Y", "P", (MAIN,)),
        ItemMapping("W", "P-2", ("B",), Decimal(2), ignored=True),
    ]
    assert read.open == ["Z"]
    assert [line for line, _ in read.errors] == [5, 7]
    assert [one.as_row()["ignore"] for one in read.mappings] == ["yes", "", "yes"]
    world.map(*read.mappings)
    with world.store.read() as conn:
        assert sorted(load_map(conn).values(), key=lambda one: one.external_id) == sorted(
            read.mappings, key=lambda one: one.external_id
        )


def test_a_refused_product_ends_once_the_map_is_right_without_it(world: World) -> None:
    world.map(MAPPED)
    with world.store.write() as conn:
        books = Books(conn, now=world.clock.now())
        add_push(books, NewPush("stock_cost", PATCH_STOCK, None, "s-1", "mps:X", "X", "{}", "r", "held", 5, {}))
    world.set_push(world.push().id, state="dead", tries=1, attempts=1, finalized_at=world.clock.now())
    open_about(world, "unknown_product", Subject.push(world.push().id))
    open_about(world, "unknown_part", Subject.stock_of("X"), external_id="X")
    before = world.told()

    world.map(ItemMapping("X-2", "P-1", (MAIN,)))
    world.reconcile()

    assert before == [("unknown_product", "1"), ("unknown_part", "mps:X")]
    assert world.told() == []
    assert keys(world.pushes()) == [("patch_stock", "s-1", "discarded")]
    with world.store.read() as conn:
        assert dirty_items(conn, now=world.clock.now(), after="", limit=10) == ["X-2"]


def test_what_is_kept_before_it_is_keyed_in_by_hand_is_never_booked_twice(world: World) -> None:
    """The hint's order: the part that is created to key something in is what the event waits for."""
    world.rules(warehouse=MAIN)
    world.move("Inbound", ("P-9", "5", "2"))
    world.reconcile()
    with world.store.read() as conn:
        (open_,) = open_exceptions(conn)
    assert open_.hint.index("--keep") < open_.hint.index("key into MPW by hand")

    resolve_by_person(world.ctx, ids=[open_.id], why="not from here", by="ann", choice=Choice(KEEP))
    world.mpw.adds("P-9", MAIN, 5, 2)
    world.clock.advance(days=2)
    world.reconcile()
    world.reconcile()

    assert (world.told(), world.waiting(), world.pushes()) == ([], [], [])


def test_a_fraction_s_hint_followed_literally_books_once(world: World) -> None:
    world.rules(warehouse=MAIN)
    world.move("Outbound", ("P-1", "1.5", "1"))
    world.reconcile()
    with world.store.read() as conn:
        (open_,) = open_exceptions(conn)
    first, then = open_.hint.index("mpsync events settle mps-m1-1 --kind issuance"), open_.hint.index("key it into MPW")
    assert first < then

    settle_event(world.ctx, "mps-m1-1", kind="issuance", why="keyed in", by="ann")
    world.rules(fractional_issuances=True)
    world.reconcile()

    assert (world.told(), world.waiting(), world.pushes()) == ([], [], [])

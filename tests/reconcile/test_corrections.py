"""What people correct or delete in MPservices after we read it: it stands, and a person decides what MPW shall say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from sync.database.engine import Store
from sync.database.exceptions import blocking
from sync.database.schema import outbox
from sync.errors import ConfigError
from sync.jobs.resolve import Choice, resolve_by_person
from sync.ledger.books import Books
from sync.ledger.coverage import MOVEMENTS
from sync.ledger.item_states import beliefs, save_item_state
from sync.outbox.machine import Delivered, Transition
from sync.outbox.pushed import events_of_keys
from sync.poll.feed.window import poll_movements_once
from sync.push.operations.registry import operations
from sync.push.settle import settle
from sync.values.exception_kinds import APPLY, KEEP
from tests.clocks import FakeClock
from tests.worlds.poll_world import NOON, PollWorld, line, movement, poll_world
from tests.worlds.reconcile_world import World, fields, keys, make_world

KEY = "mps-m1-1"
OLD = datetime(2024, 2, 1, 8, tzinfo=UTC)


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


@pytest.fixture
def feed(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def known(store: Store, item: str) -> None:
    """Let MPservices' stock of an item be known."""
    with store.write() as conn:
        base = {"base_quantity": Decimal(100), "base_at": OLD, "base_place": 0, "base_verified": True}
        save_item_state(conn, item, {"managed": True, **base})


def believed(store: Store, item: str) -> Decimal | None:
    with store.read() as conn:
        return beliefs(conn, [item])[item].quantity


def blocked(store: Store, *items: str) -> dict[str, str]:
    with store.read() as conn:
        return {item: by.kind for item, by in blocking(conn, items).items()}


def decide(world: World | PollWorld, option: str | None, kind: str | None = None) -> int:
    choice = Choice(option) if option else None
    return resolve_by_person(world.ctx, kind=kind or world_kind(world), why="asked", by="ann", choice=choice)


def world_kind(world: World | PollWorld) -> str:
    return world.told()[0][0] if isinstance(world, World) else world.exceptions()[0].kind


def posted(world: World, *lines: tuple[str, str, str], type_: str = "Inbound") -> None:
    """People moved something, and MPW has it."""
    world.move(type_, *lines)
    world.reconcile()
    for push in world.pushes():
        world.done(push.id)
    for item in ("P-1", "P-2"):
        known(world.store, item)


def finish(world: World, operation: str, api_key: str) -> None:
    """A pusher has sent a row; what follows from it is written as ever."""
    [push] = [one for one in world.pushes() if (one.operation, one.api_key) == (operation, api_key)]
    with world.store.write() as conn:
        values = {"state": "sending", "tries": 1, "attempts": 1, "fence": 1, "lease_owner": "x"}
        until = world.clock.now() + timedelta(minutes=1)
        conn.execute(update(outbox).where(outbox.c.id == push.id).values(**values, lease_until=until))
    [push] = [one for one in world.pushes() if one.id == push.id]
    to = Transition(
        state="done", outcome="done", cause=Delivered("answered 200"), evidence="answered 200", due_at=world.clock.now()
    )
    now, policy = world.clock.now(), world.ctx.policy
    with world.store.write() as conn:
        assert settle(Books(conn, now=now, policy=policy), operations()[operation], push, to, ends_attempt=False)


# --- corrected before anything was sent ---------------------------------------------------


@pytest.mark.parametrize("route", ["push", "hold"])
def test_a_correction_before_anything_was_sent_supersedes_the_push_and_needs_no_person(
    world: World, route: str
) -> None:
    world.routes(receipts=route)
    world.move("Inbound", ("P-1", "50", "2"))
    world.reconcile()
    known(world.store, "P-1")

    world.move("Inbound", ("P-1", "5", "2"))

    assert [push.state for push in world.pushes()] == ["superseded"]  # at once: no pusher sends it in between
    world.reconcile()
    state = {"push": "ready", "hold": "held"}[route]
    taken_back, posted_now = world.pushes()
    assert keys([taken_back, posted_now]) == [("post_receipt", KEY, "superseded"), ("post_receipt", f"{KEY}_c2", state)]
    assert fields(posted_now)["quantity_received"] == 5
    assert world.reconcile().added == 0
    assert (world.told(), blocked(world.store, "P-1")) == ([], {})
    assert believed(world.store, "P-1") is None


def test_a_line_removed_before_anything_was_sent_is_never_posted(world: World) -> None:
    world.move("Inbound", ("P-1", "50", "2"), ("P-2", "1", "1"))
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    world.reconcile()

    world.move("Inbound", ("P-2", "1", "1"))
    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", KEY, "superseded"), ("post_receipt", "mps-m1-2", "ready")]
    assert world.told() == []


def test_a_correction_of_what_is_older_than_the_go_live_cut_needs_a_person_and_is_not_ours_to_apply(
    world: World,
) -> None:
    world.move("Inbound", ("P-1", "50", "2"), at=OLD)
    world.reconcile()
    known(world.store, "P-1")

    world.move("Inbound", ("P-1", "5", "2"), at=OLD)
    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [("movement_changed", "m-1")])
    assert blocked(world.store, "P-1") == {"P-1": "movement_changed"}
    with pytest.raises(ConfigError, match="SYNC_PUSH_FROM") as raised:
        decide(world, APPLY)
    assert "--keep" in str(raised.value.hint)
    assert world.told() == [("movement_changed", "m-1")]
    assert decide(world, KEEP) == 1
    world.reconcile()
    assert (world.pushes(), world.told(), blocked(world.store, "P-1")) == ([], [], {})


# --- corrected after it was posted --------------------------------------------------------


def test_a_correction_of_what_was_posted_blocks_its_item_and_touches_nothing_in_mpw(world: World) -> None:
    posted(world, ("P-1", "50", "2"))

    world.move("Inbound", ("P-1", "5", "2"))
    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", KEY, "done")]
    assert world.told() == [("movement_changed", "m-1")]
    assert blocked(world.store, "P-1", "P-2") == {"P-1": "movement_changed"}
    assert (believed(world.store, "P-1"), believed(world.store, "P-2")) == (None, Decimal(100))


def test_applied_it_is_deleted_in_mpw_and_posted_as_corrected_under_its_own_key(world: World) -> None:
    posted(world, ("P-1", "50", "2"))
    world.move("Inbound", ("P-1", "5", "2"))
    world.reconcile()

    assert decide(world, APPLY) == 1
    world.reconcile()
    before = keys(world.pushes())
    finish(world, "delete_receipt", KEY)
    world.reconcile()

    assert before == [("post_receipt", KEY, "done"), ("delete_receipt", KEY, "ready")]  # nothing is posted before
    assert keys(world.pushes())[1:] == [("delete_receipt", KEY, "done"), ("post_receipt", f"{KEY}_c2", "ready")]
    again = fields(world.pushes()[2])
    assert (again["api_key"], again["quantity_received"]) == (f"{KEY}_c2", 5)
    assert (world.told(), blocked(world.store, "P-1")) == ([], {})
    world.done(world.pushes()[2].id)
    world.clock.advance(hours=1)
    world.reconcile()
    assert len(world.pushes()) == 3
    with world.store.read() as conn:
        assert events_of_keys(conn, "post_receipt", {f"{KEY}_c2"}) == {f"{KEY}_c2": KEY}


@pytest.mark.parametrize("end", ["dead", "discarded"])
def test_while_the_delete_is_refused_nothing_is_posted(world: World, end: str) -> None:
    posted(world, ("P-1", "50", "2"))
    world.move("Inbound", ("P-1", "5", "2"))
    decide(world, APPLY)
    world.reconcile()
    delete = world.pushes()[1]
    world.set_push(delete.id, state=end, tries=1, attempts=1, finalized_at=world.clock.now())

    for _ in range(3):
        world.clock.advance(hours=1)
        world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", KEY, "done"), ("delete_receipt", KEY, end)]


def test_kept_both_stay_as_they_are_for_good(world: World) -> None:
    posted(world, ("P-1", "50", "2"))
    world.move("Outbound", ("P-1", "5", "2"))
    world.reconcile()
    known(world.store, "P-1")

    assert decide(world, KEEP) == 1
    for _ in range(2):
        world.clock.advance(hours=1)
        world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", KEY, "done")]
    assert (world.told(), blocked(world.store, "P-1"), believed(world.store, "P-1")) == ([], {}, None)


def test_a_second_correction_while_the_first_is_applied_asks_again_and_takes_the_next_key(world: World) -> None:
    posted(world, ("P-1", "50", "2"))
    world.move("Inbound", ("P-1", "5", "2"))
    decide(world, APPLY)
    world.reconcile()
    world.move("Inbound", ("P-1", "6", "2"))  # the delete is not done yet
    finish(world, "delete_receipt", KEY)
    world.reconcile()
    assert len(world.pushes()) == 2
    assert blocked(world.store, "P-1") == {"P-1": "movement_changed"}

    decide(world, APPLY)
    world.reconcile()
    assert [fields(push).get("quantity_received") for push in world.pushes()] == [50, None, 6]
    assert world.pushes()[2].api_key == f"{KEY}_c2"  # that key was never sent
    world.done(world.pushes()[2].id)
    world.move("Inbound", ("P-1", "7", "2"))
    world.reconcile()
    decide(world, APPLY)
    world.reconcile()
    finish(world, "delete_receipt", f"{KEY}_c2")
    world.reconcile()

    assert keys(world.pushes())[2:] == [
        ("post_receipt", f"{KEY}_c2", "done"),
        ("delete_receipt", f"{KEY}_c2", "done"),
        ("post_receipt", f"{KEY}_c3", "ready"),
    ]
    assert fields(world.pushes()[4])["quantity_received"] == 7


@pytest.mark.parametrize(
    ("type_", "before", "after", "reposted"),
    [
        ("Inbound", ("P-1", "5", "2"), ("P-1", "5", "3"), True),
        ("Outbound", ("P-1", "5", "2"), ("P-1", "5", "3"), False),  # what an issuance costs is MPW's to say
        ("Outbound", ("P-1", "5", "2"), ("P-1", "4", "2"), True),
    ],
)
def test_what_differs_in_mpw_is_posted_again_and_nothing_else(
    world: World, type_: str, before: Any, after: Any, reposted: bool
) -> None:
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    posted(world, before, type_=type_)
    operation = "receipt" if type_ == "Inbound" else "issuance"

    world.move(type_, after)
    world.reconcile()
    assert set(blocked(world.store, before[0], after[0])) == {before[0], after[0]}
    decide(world, APPLY)
    world.reconcile()
    if reposted:
        finish(world, f"delete_{operation}", KEY)
        world.reconcile()

    again = [(f"delete_{operation}", KEY, "done"), (f"post_{operation}", f"{KEY}_c2", "ready")]
    assert keys(world.pushes())[1:] == (again if reposted else [])
    assert world.told() == []


def test_an_inbound_that_became_an_outbound_waits_for_a_person_and_is_then_both_deleted_and_issued(
    world: World,
) -> None:
    posted(world, ("P-1", "5", "2"))

    world.move("Outbound", ("P-1", "5", "2"))
    world.reconcile()
    waiting = keys(world.pushes())
    decide(world, APPLY)
    world.reconcile()

    assert waiting == [("post_receipt", KEY, "done")]
    assert sorted(keys(world.pushes())[1:]) == [("delete_receipt", KEY, "ready"), ("post_issuance", KEY, "ready")]


def test_a_line_removed_after_it_was_posted_is_deleted_in_mpw_only_when_a_person_says_so(world: World) -> None:
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    posted(world, ("P-1", "5", "2"), ("P-2", "1", "1"))

    world.move("Inbound", ("P-2", "1", "1"))
    world.reconcile()
    waiting = keys(world.pushes())
    decide(world, APPLY)
    world.reconcile()

    assert [state for _, _, state in waiting] == ["done", "done"]
    assert keys(world.pushes())[2:] == [("delete_receipt", KEY, "ready")]


@pytest.mark.parametrize("option", [APPLY, KEEP])
def test_a_line_added_to_what_was_posted_waits_for_a_person(world: World, option: str) -> None:
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    posted(world, ("P-1", "5", "2"))

    world.move("Inbound", ("P-1", "5", "2"), ("P-2", "1", "1"))
    world.reconcile()

    assert len(world.pushes()) == 1
    assert blocked(world.store, "P-1", "P-2") == {"P-2": "movement_changed"}
    assert decide(world, option) == 1
    world.reconcile()
    assert blocked(world.store, "P-2") == {}
    added = [("post_receipt", "mps-m1-2", "ready")]
    assert keys(world.pushes())[1:] == (added if option == APPLY else [])


def test_a_line_added_before_anything_was_sent_is_posted_without_a_person(world: World) -> None:
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    world.move("Inbound", ("P-1", "5", "2"))
    world.reconcile()

    world.move("Inbound", ("P-1", "5", "2"), ("P-2", "1", "1"))
    world.reconcile()

    assert [(key, state) for _, key, state in keys(world.pushes())] == [(KEY, "ready"), ("mps-m1-2", "ready")]
    assert world.told() == []


def test_a_line_that_names_another_item_now_is_taken_back_and_posted_for_that_one_when_a_person_says_so(
    world: World,
) -> None:
    world.mpw.adds("P-2", "Warehouse #1", 3, 1)
    posted(world, ("P-1", "5", "2"))

    world.move("Inbound", ("P-2", "5", "2"))
    world.reconcile()

    assert len(world.pushes()) == 1
    assert blocked(world.store, "P-1", "P-2") == dict.fromkeys(("P-1", "P-2"), "movement_changed")
    decide(world, APPLY)
    world.reconcile()
    again = [("delete_receipt", KEY, "ready"), ("post_receipt", "mps-m1-2", "ready")]
    assert sorted(keys(world.pushes())[1:]) == again


# --- deleted, unknown, unreadable ---------------------------------------------------------


def _read(feed: PollWorld, *movements: object) -> None:
    feed.clock.advance(minutes=5)
    feed.vendors.feed = list(movements)
    poll_movements_once(feed.ctx)


OLDER = movement("m-0", line("other"), created_at=NOON - timedelta(hours=9))
YOUNG = movement("m-1", line("a", quantity=3), created_at=NOON - timedelta(hours=2))


def test_a_young_movement_that_is_gone_while_older_ones_are_shown_was_deleted(feed: PollWorld) -> None:
    _read(feed, YOUNG, OLDER)
    known(feed.store, "a")
    known(feed.store, "other")

    _read(feed, OLDER)
    _read(feed, OLDER)

    assert [(row.kind, row.subject) for row in feed.exceptions()] == [("movement_deleted", "m-1")]
    assert blocked(feed.store, "a", "other") == {"a": "movement_deleted"}
    assert believed(feed.store, "a") is None
    assert len(feed.entries()) == 2


def test_a_young_movement_that_is_gone_with_all_older_ones_means_a_short_window_and_blocks_its_item(
    feed: PollWorld,
) -> None:
    newer = movement("m-2", line("b"), created_at=NOON - timedelta(hours=1))
    _read(feed, newer, YOUNG)
    known(feed.store, "a")

    _read(feed, newer)

    assert [(row.kind, row.subject) for row in feed.exceptions()] == [("short_window", MOVEMENTS)]
    assert blocked(feed.store, "a", "b") == {"a": "short_window"}
    assert believed(feed.store, "a") is None

    _read(feed, newer, YOUNG)

    assert (feed.exceptions(), blocked(feed.store, "a")) == ([], {})


def test_the_short_windows_hint_ends_it(feed: PollWorld) -> None:
    newer = movement("m-2", line("b"), created_at=NOON - timedelta(hours=1))
    _read(feed, newer, YOUNG)
    _read(feed, newer)

    feed.set_policy(window=timedelta(minutes=90))
    assert decide(feed, KEEP) == 1
    _read(feed, newer)

    assert (feed.exceptions(), blocked(feed.store, "a")) == ([], {})


def test_what_a_person_settled_of_a_short_window_stands_while_the_same_movements_stay_away(feed: PollWorld) -> None:
    newest = movement("m-3", line("c"), created_at=NOON - timedelta(minutes=30))
    newer = movement("m-2", line("b"), created_at=NOON - timedelta(hours=1))
    _read(feed, newest, newer, YOUNG)
    _read(feed, newest, newer)

    assert decide(feed, KEEP) == 1
    for _ in range(3):
        _read(feed, newest, newer)
    settled = feed.exceptions(), blocked(feed.store, "a")

    _read(feed, newest)  # another one vanishes
    another = blocked(feed.store, "a", "b")
    assert decide(feed, KEEP) == 1
    _read(feed, newest)

    assert settled == ([], {})
    assert another == {"b": "short_window"}
    assert (feed.exceptions(), blocked(feed.store, "a", "b")) == ([], {})


def test_a_settled_movement_that_came_back_and_vanishes_again_is_asked_about_again(feed: PollWorld) -> None:
    newer = movement("m-2", line("b"), created_at=NOON - timedelta(hours=1))
    _read(feed, newer, YOUNG)
    _read(feed, newer)
    decide(feed, KEEP)
    _read(feed, newer, YOUNG)
    assert feed.exceptions() == []

    _read(feed, newer)

    assert blocked(feed.store, "a") == {"a": "short_window"}


def test_what_a_person_settled_as_a_short_window_is_not_asked_about_as_deleted(feed: PollWorld) -> None:
    newer = movement("m-2", line("b"), created_at=NOON - timedelta(hours=1))
    _read(feed, newer, YOUNG)
    _read(feed, newer)
    decide(feed, KEEP)

    _read(feed, newer, OLDER)

    assert (feed.exceptions(), blocked(feed.store, "a")) == ([], {})


def test_a_deleted_movement_that_comes_back_resolves_itself(feed: PollWorld) -> None:
    _read(feed, YOUNG, OLDER)
    _read(feed, OLDER)

    _read(feed, YOUNG, OLDER)

    assert (feed.exceptions(), blocked(feed.store, "a")) == ([], {})
    assert feed.rows("select count(*) from unpushed") == [(0,)]


@pytest.mark.parametrize("option", [APPLY, KEEP])
def test_what_a_person_decided_of_a_deleted_movement_stands_while_it_stays_away(feed: PollWorld, option: str) -> None:
    _read(feed, YOUNG, OLDER)
    feed.add_push("post_issuance", KEY, state="done", kind="issuance", item="a")
    _read(feed, OLDER)

    assert decide(feed, option) == 1
    for _ in range(3):
        _read(feed, OLDER)

    assert (feed.exceptions(), blocked(feed.store, "a")) == ([], {})
    live = sum(row.quantity for row in feed.entries() if row.item == "a")
    assert live == (0 if option == APPLY else -3)


def test_a_deletion_is_taken_back_in_mpw_when_a_person_says_so(world: World) -> None:
    posted(world, ("P-1", "50", "2"))
    from sync.reconcile.corrections import note_deleted

    with world.store.write() as conn:
        note_deleted(Books(conn, now=world.clock.now()), "m-1")
    world.reconcile()
    before = keys(world.pushes())
    decide(world, APPLY)
    world.reconcile()

    assert before == [("post_receipt", KEY, "done")]
    assert keys(world.pushes())[1:] == [("delete_receipt", KEY, "ready")]


@pytest.mark.parametrize(
    "odd",
    [
        movement("m-9", line("a"), line("b"), type="Adjustment"),
        movement("m-9", line("a"), line("b", quantity="lots")),
        movement("m-9", line("a", cost=None), line("b"), type="Inbound"),
    ],
)
def test_a_movement_that_cannot_be_filed_blocks_every_item_that_it_names(feed: PollWorld, odd: dict[str, Any]) -> None:
    _read(feed, movement("m-1", line("c")))
    for item in ("a", "b", "c"):
        known(feed.store, item)

    _read(feed, odd, movement("m-1", line("c")))

    assert blocked(feed.store, "a", "b", "c") == {"a": "quarantined_row", "b": "quarantined_row"}
    assert [believed(feed.store, item) is None for item in ("a", "b", "c")] == [True, True, False]

    decide(feed, None, "quarantined_row")
    _read(feed, odd, movement("m-1", line("c")))

    assert blocked(feed.store, "a", "b") == {}  # a person has settled it, and it is what it was


def test_a_quarantined_movement_that_changes_after_a_person_settled_it_blocks_again(feed: PollWorld) -> None:
    _read(feed, movement("m-9", line("a"), type="Adjustment"))
    decide(feed, None, "quarantined_row")

    _read(feed, movement("m-9", line("a", quantity=9), type="Adjustment"))

    assert blocked(feed.store, "a") == {"a": "quarantined_row"}


def test_a_type_that_is_not_known_is_told_once_a_movement_and_settling_it_settles_its_row(feed: PollWorld) -> None:
    first, second = (movement(name, line(item), type="Merma") for name, item in (("m-8", "a"), ("m-9", "b")))
    _read(feed, first)
    _read(feed, first)
    told = sorted(row.kind for row in feed.exceptions())

    assert decide(feed, None, "unknown_value") == 1
    for _ in range(3):
        _read(feed, first)
    settled = feed.exceptions(), blocked(feed.store, "a")

    _read(feed, second, first)  # a new one of that type
    again = sorted(row.kind for row in feed.exceptions()), blocked(feed.store, "a", "b")
    decide(feed, None, "quarantined_row")
    decide(feed, None, "unknown_value")
    _read(feed, second, first)

    assert told == ["quarantined_row", "unknown_value"]
    assert settled == ([], {})
    assert again == (["quarantined_row", "unknown_value"], {"b": "quarantined_row"})
    assert (feed.exceptions(), blocked(feed.store, "a", "b")) == ([], {})


def test_settling_a_type_leaves_other_rows_that_cannot_be_read(feed: PollWorld) -> None:
    _read(feed, movement("m-8", line("a"), type="Merma"), movement("m-9", line("b", quantity="lots")))

    decide(feed, None, "unknown_value")

    assert blocked(feed.store, "a", "b") == {"b": "quarantined_row"}


def test_an_outbound_without_a_cost_is_filed_and_one_inbound_is_not(feed: PollWorld) -> None:
    _read(feed, movement("m-1", line("a", cost=None)), movement("m-2", line("b", cost=""), type="Inbound"))

    assert [(row.item, row.quantity, row.unit_cost) for row in feed.entries()] == [("a", -2, 0)]
    assert [row.kind for row in feed.exceptions()] == ["quarantined_row"]
    assert blocked(feed.store, "a", "b") == {"b": "quarantined_row"}
    with feed.store.read() as conn:
        assert beliefs(conn, ["a"])["a"].last_cost is None

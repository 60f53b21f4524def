"""Deriving pushes: what MPservices and the ERP have and MPW has not, once, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, text, update

from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import movement_lines
from sync.ledger.books import Books
from sync.outbox.rows import Which, discard, find_pushes, release
from sync.reconcile.derive import reconcile_once
from sync.reconcile.item_map import ItemMapping
from tests.clocks import START, FakeClock
from tests.standin.server import Reply
from tests.worlds.reconcile_world import ISSUANCE, LOOK, MAIN, RECEIPT, World, fields, keys, make_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def test_an_inbound_movement_becomes_a_receipt_with_exact_fields(world: World) -> None:
    world.move("Inbound", ("P-1", "2.5", "25"), id_="612f8bdb-b42e")

    counts = world.reconcile()

    push = world.push()
    assert counts.added == 1
    assert (push.route, push.operation, push.kind, push.state) == ("receipts", "post_receipt", "receipt", "ready")
    assert (push.entity_key, push.item, push.rank) == ("item:P-1", "P-1", 0)
    assert push.payload == (
        '{"part_number":"P-1","quantity_received":2.5,"unit_cost":25,"created_on":"2024-03-15",'
        '"warehouse_name":"Warehouse #1","api_key":"mps-612f8bdbb42e-1"}'
    )
    assert world.mpw.writes() == []


def test_an_outbound_movement_becomes_an_issuance_with_its_key_in_the_description(world: World) -> None:
    world.move("Outbound", ("P-1", "2", "25"))

    world.reconcile()

    push = world.push()
    assert push.payload == (
        '{"part_number":"P-1","quantity":2,"created_on":"2024-03-15","warehouse_name":"Warehouse #1",'
        '"description":"Folio-198 [mps-m1-1]","api_key":"mps-m1-1"}'
    )
    assert (push.operation, push.rank) == ("post_issuance", 1)


def test_without_the_marker_the_description_is_the_reference_alone(world: World) -> None:
    world.rules(description_marker=False)
    world.move("Outbound", ("P-1", "2", "25"))

    world.reconcile()

    assert fields(world.push())["description"] == "Folio-198"


def test_a_push_that_was_never_sent_follows_the_marker_s_setting(world: World) -> None:
    world.move("Outbound", ("P-1", "2", "25"))
    world.reconcile()

    world.rules(description_marker=False)
    world.reconcile()
    without = fields(world.push())["description"]
    world.rules(description_marker=True)
    world.reconcile()

    assert without == "Folio-198"
    assert fields(world.push())["description"] == "Folio-198 [mps-m1-1]"


def test_a_description_is_cut_so_that_its_marker_survives_where_mpw_keeps_little(world: World) -> None:
    world.erp("issuance", "erp-1", ISSUANCE | {"description": "Filter for the loader in the north yard"})
    world.reconcile()
    world.learn("description_max", "30")

    world.reconcile()

    assert fields(world.push())["description"] == "Filter for the lo [erp-1]"


def test_a_second_pass_derives_nothing_and_leaves_no_run(world: World) -> None:
    world.move("Inbound", ("P-1", "2", "25"))
    world.reconcile()

    again = world.reconcile()

    assert again.seen == again.added == again.changed == 0
    assert len(world.pushes()) == 1


def test_each_line_of_a_movement_is_an_event_of_its_own(world: World) -> None:
    world.mpw.adds("P-2", MAIN)
    world.move("Inbound", ("P-1", "2", "25"), ("P-2", "1", "3"), ("P-1", "4", "25"))

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", f"mps-m1-{n}", "ready") for n in (1, 2, 3)]


def test_the_day_of_a_pushed_receipt_is_that_of_the_organisation(world: World) -> None:
    world.rules(timezone=ZoneInfo("America/Chicago"))
    world.move("Inbound", ("P-1", "1", "1"), at=datetime(2024, 3, 15, 3, 0, tzinfo=UTC))

    world.reconcile()

    assert fields(world.push())["created_on"] == "2024-03-14"


def test_the_map_names_part_first_warehouse_and_factor(world: World) -> None:
    world.map(ItemMapping("box", "P-9", ("WH2", MAIN), Decimal(12)))
    world.mpw.adds("P-9", "WH2")
    world.move("Inbound", ("box", "2", "30"))

    world.reconcile()

    push = fields(world.push())
    assert (push["part_number"], push["warehouse_name"]) == ("P-9", "WH2")
    assert (push["quantity_received"], push["unit_cost"]) == (24, Decimal("2.5"))


def test_an_unmapped_item_waits_behind_one_exception_and_goes_when_the_map_names_it(world: World) -> None:
    world.rules(warehouse=None)
    world.move("Inbound", ("X", "1", "1"), id_="a")
    world.move("Inbound", ("X", "2", "1"), id_="b")

    world.reconcile()
    before = (world.pushes(), world.told(), list(world.mpw.asked(LOOK)))
    world.map(ItemMapping("X", "P-1", (MAIN,)))
    world.reconcile()

    assert before == ([], [("unmapped_item", "X")], [])
    assert [row.api_key for row in world.pushes()] == ["mps-a-1", "mps-b-1"]
    assert (world.told(), world.waiting()) == ([], [])


def test_a_part_that_the_map_gives_to_another_item_is_no_default(world: World) -> None:
    world.map(ItemMapping("E-1", "P-1", (MAIN,)))
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()

    assert world.pushes() == []
    assert world.told() == [("unmapped_item", "P-1")]


def test_a_receipt_for_a_part_that_mpw_does_not_have_is_not_pushed(world: World) -> None:
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()

    assert world.pushes() == []
    assert world.told() == [("unknown_part", f"P-1 in {MAIN}")]
    assert world.mpw.writes() == []


def test_a_part_that_appears_lets_its_receipt_go_and_settles_the_exception(world: World) -> None:
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    world.mpw.adds("P-1", MAIN)

    too_early = world.reconcile()
    world.clock.advance(minutes=16)
    world.reconcile()

    assert too_early.added == 0
    assert keys(world.pushes()) == [("post_receipt", "mps-m1-1", "ready")]
    assert world.told() == []
    assert world.resolutions()[0][1] is not None


def test_a_part_that_stays_away_is_asked_for_less_and_less_often(world: World) -> None:
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"))

    for _ in range(24 * 4):
        world.reconcile()
        world.clock.advance(minutes=15)

    assert 4 <= len(world.mpw.asked(LOOK)) <= 12
    assert len(world.told()) == 1


def test_a_pass_ends_though_every_wait_is_set_to_nothing(world: World) -> None:
    world.rules(poll_recent=timedelta(0), retry_base=timedelta(0))
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()
    world.reconcile()

    assert len(world.mpw.asked(LOOK)) == 1
    assert world.told() == [("unknown_part", f"P-1 in {MAIN}")]


def test_the_flag_lets_a_receipt_create_its_part_but_never_an_issuance(world: World) -> None:
    world.rules(create_parts=True)
    world.mpw.parts.clear()
    world.move("Inbound", ("P-1", "1", "1"), id_="in")
    world.move("Outbound", ("P-1", "1", "1"), id_="out")

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "mps-in-1", "ready")]
    assert world.told() == [("unknown_part", f"P-1 in {MAIN}")]


def test_a_known_part_is_asked_for_once_a_day(world: World) -> None:
    for n in range(5):
        world.move("Inbound", ("P-1", "1", "1"), id_=f"m{n}")
    world.reconcile()
    world.move("Inbound", ("P-1", "1", "1"), id_="later")
    world.reconcile()
    asked_on_the_first_day = len(world.mpw.asked(LOOK))
    world.clock.advance(days=1, minutes=1)
    world.move("Inbound", ("P-1", "1", "1"), id_="next")
    world.reconcile()

    assert asked_on_the_first_day == 1
    assert len(world.mpw.asked(LOOK)) == 2
    assert len(world.pushes()) == 7


@pytest.mark.parametrize(
    "broken",
    [
        Reply(503, b""),
        Reply(200, b"<html>login</html>"),
        Reply(200, b'[{"id": 1,'),
    ],
)
def test_a_read_that_fails_says_nothing_about_the_part(world: World, broken: Reply) -> None:
    world.mpw.goes_wrong(LOOK, effect="never", answer=broken, times=99)
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()
    before = (world.pushes(), world.told())
    world.mpw.faults.clear()
    world.clock.advance(minutes=6)
    world.reconcile()

    assert before == ([], [])
    assert len(world.pushes()) == 1


def test_an_outage_is_noticed_after_a_few_reads_not_after_one_for_each_part(world: World) -> None:
    world.mpw.goes_wrong(LOOK, effect="never", answer=Reply(503, b""), times=99)
    for n in range(20):
        world.move("Inbound", (f"P-{n}", "1", "1"), id_=f"m{n}")

    world.reconcile()

    assert len(world.mpw.asked(LOOK)) == 3
    assert len(world.waiting()) == 20


def test_refused_credentials_pause_mpw_and_the_events_wait(world: World) -> None:
    world.mpw.goes_wrong("POST authentication", effect="never", answer=Reply(401, {}), times=99)
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()
    world.clock.advance(minutes=6)
    world.reconcile()

    assert world.ctx.paused("mpw") is not None
    assert (len(world.mpw.asked("POST authentication")), world.mpw.asked(LOOK)) == (1, [])
    assert world.waiting() == [("receipt", "mps-m1-1")]


def test_a_refusal_to_show_a_warehouse_is_an_unknown_part(world: World) -> None:
    refusal = Reply(422, {"message": "no such warehouse"})
    world.mpw.goes_wrong(LOOK, effect="never", answer=refusal, times=99)
    world.move("Inbound", ("P-1", "1", "1"))

    world.reconcile()

    assert world.told() == [("unknown_part", f"P-1 in {MAIN}")]
    assert world.pushes() == []


# --- what must not be pushed --------------------------------------------------------------


def test_what_mpw_has_under_the_key_is_matched(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.mpw_entry("receipt", "erp-1")

    world.reconcile()

    assert world.pushes() == []


def test_an_issuances_key_in_mpw_does_not_match_a_receipt(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.mpw_entry("issuance", "erp-1")

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "erp-1", "ready")]


def test_what_a_person_deleted_in_mpw_is_not_posted_again(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    entry = world.mpw_entry("receipt", "erp-1")
    with world.store.write() as conn:
        Books(conn, now=world.clock.now()).reverse([entry])

    world.reconcile()

    assert world.pushes() == []


@pytest.mark.parametrize("state", ["discarded", "dead", "done"])
def test_a_push_of_any_state_is_never_derived_again(world: World, state: str) -> None:
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    values = {"state": state, "finalized_at": START, "evidence": "seen"}
    world.set_push(world.push().id, **values)
    world.map(ItemMapping("other", "P-7", (MAIN,)))  # everything is looked at again

    counts = world.reconcile()

    assert counts.seen > 0
    assert world.push().state == state


def test_events_before_the_cut_are_recorded_and_never_pushed(world: World) -> None:
    world.rules(push_from=START - timedelta(hours=1))
    world.move("Inbound", ("P-1", "1", "1"), id_="old", at=START - timedelta(hours=1, seconds=1))
    world.move("Inbound", ("P-1", "1", "1"), id_="new", at=START - timedelta(hours=1))
    world.erp("receipt", "erp-old", RECEIPT | {"created_on": "2024-03-14"})
    world.erp("receipt", "erp-today", RECEIPT)

    world.reconcile()

    assert sorted(row.api_key for row in world.pushes()) == ["erp-today", "mps-new-1"]
    assert world.told() == []


def test_an_undecided_line_and_an_echo_are_not_pushed(world: World) -> None:
    for role in ("undecided", "echo"):
        world.move("Inbound", ("P-1", "1", "1"), id_=role)
    with world.store.write() as conn:
        conn.execute(update(movement_lines).values(role=movement_lines.c.movement_id))

    world.reconcile()

    assert world.pushes() == []


def test_an_imported_movement_waits_until_the_feed_shows_it(world: World) -> None:
    world.move("Inbound", ("P-1", "1", "1"), source="import", push=False)
    world.reconcile()
    before = world.pushes()

    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()

    assert before == []
    assert keys(world.pushes()) == [("post_receipt", "mps-m1-1", "ready")]


def test_a_correction_of_an_imported_movement_is_no_more_pushed_than_the_movement_was(world: World) -> None:
    world.move("Inbound", ("P-1", "3", "1"), source="import", push=False)
    world.move("Outbound", ("P-1", "3", "1"), source="import", push=False)
    world.reconcile()
    before = world.pushes()

    world.move("Outbound", ("P-1", "3", "1"))
    world.reconcile()

    assert before == []
    assert keys(world.pushes()) == [("post_issuance", "mps-m1-1", "ready")]


def test_a_line_without_quantity_moves_nothing(world: World) -> None:
    world.move("Inbound", ("P-1", "0", "1"))

    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [])


# --- routes -------------------------------------------------------------------------------


def test_hold_shows_a_push_and_off_derives_none(world: World) -> None:
    world.routes(receipts="hold", issuances="off")
    world.move("Inbound", ("P-1", "1", "1"), id_="in")
    world.move("Outbound", ("P-1", "1", "1"), id_="out")

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "mps-in-1", "held")]
    assert world.waiting() == []


def test_a_route_that_is_switched_on_derives_what_it_missed(world: World) -> None:
    world.routes(issuances="off")
    world.move("Outbound", ("P-1", "1", "1"))
    world.reconcile()
    world.routes(issuances="push")

    world.reconcile()

    assert keys(world.pushes()) == [("post_issuance", "mps-m1-1", "ready")]


def test_what_is_held_stays_held_when_its_route_is_set_to_push(world: World) -> None:
    world.routes(receipts="hold")
    world.move("Inbound", ("P-1", "1", "1"), id_="a")
    world.reconcile()
    world.routes(receipts="push")
    world.move("Inbound", ("P-1", "1", "1"), id_="b")

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "mps-a-1", "held"), ("post_receipt", "mps-b-1", "ready")]


def test_setting_a_route_to_hold_stops_what_has_not_been_sent(world: World) -> None:
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    world.routes(receipts="hold")

    world.reconcile()

    assert world.push().state == "held"


def test_what_an_operator_released_on_a_held_route_stays_released(world: World) -> None:
    world.routes(receipts="hold")
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    with world.store.write() as conn:
        release(Books(conn, now=world.clock.now()), Which())

    world.reconcile()

    assert world.push().state == "ready"


# --- origins that change ------------------------------------------------------------------


def test_a_changed_movement_changes_a_push_that_was_never_sent(world: World) -> None:
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    world.move("Inbound", ("P-1", "3", "1"))

    counts = world.reconcile()

    taken_back, wanted = world.pushes()
    assert counts.added == 1
    assert (taken_back.state, wanted.state) == ("superseded", "ready")
    assert fields(wanted)["quantity_received"] == 3


def test_a_push_that_was_taken_back_stays_so_however_often_its_movement_changes(world: World) -> None:
    for quantity in ("1", "3", "5", "3"):
        world.move("Inbound", ("P-1", quantity, "1"))
        world.reconcile()
    world.reconcile()

    assert keys(world.pushes()) == [
        ("post_receipt", "mps-m1-1", "superseded"),
        ("post_receipt", "mps-m1-1_c2", "superseded"),
        ("post_receipt", "mps-m1-1_c3", "superseded"),
        ("post_receipt", "mps-m1-1_c4", "ready"),
    ]
    assert fields(world.pushes()[-1])["quantity_received"] == 3


def test_a_changed_movement_leaves_alone_a_push_that_was_tried(world: World) -> None:
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    world.set_push(world.push().id, tries=1, fence=1)
    world.move("Inbound", ("P-1", "3", "1"))

    world.reconcile()

    assert fields(world.push())["quantity_received"] == 1


def test_a_line_that_disappears_takes_back_its_push_and_gets_it_again_when_it_returns(world: World) -> None:
    world.mpw.adds("P-2", MAIN)
    both = (("P-1", "1", "1"), ("P-2", "1", "1"))
    world.move("Inbound", *both)
    world.reconcile()
    world.move("Inbound", both[0])
    world.reconcile()
    gone = keys(world.pushes())
    world.move("Inbound", *both)
    world.reconcile()

    assert gone == [("post_receipt", "mps-m1-1", "ready"), ("post_receipt", "mps-m1-2", "superseded")]
    live = [row for row in world.pushes() if row.state == "ready"]
    assert sorted(str(row.item) for row in live) == ["P-1", "P-2"]


def test_an_item_taken_off_the_map_takes_its_unsent_push_with_it(world: World) -> None:
    world.rules(warehouse=None)
    world.map(ItemMapping("P-1", "P-1", (MAIN,)))
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()

    world.map()
    world.reconcile()
    without = (world.push().state, world.told())
    world.map(ItemMapping("P-1", "P-1", (MAIN,)))
    world.reconcile()

    assert without == ("superseded", [("unmapped_item", "P-1")])
    assert keys(world.pushes()) == [
        ("post_receipt", "mps-m1-1", "superseded"),
        ("post_receipt", "mps-m1-1_c2", "ready"),
    ]
    assert world.told() == []


# --- fractions ----------------------------------------------------------------------------


def test_a_fractional_issuance_waits_for_the_flag_and_is_never_rounded(world: World) -> None:
    world.move("Outbound", ("P-1", "1.5", "1"))
    world.reconcile()
    before = (world.pushes(), world.told())

    world.rules(fractional_issuances=True)
    world.reconcile()

    assert before == ([], [("fractional_issuance", "issuance mps-m1-1")])
    assert fields(world.push())["quantity"] == Decimal("1.5")
    assert world.told() == []


def test_a_fraction_waits_once_mpw_has_refused_one_whatever_the_setting(world: World) -> None:
    world.rules(fractional_issuances=True)
    world.learn("fractions_taken", "no")
    world.move("Outbound", ("P-1", "1.5", "1"))

    world.reconcile()
    before = (world.pushes(), world.told())
    world.set_learned("fractions_taken", "yes")
    world.reconcile()

    assert before == ([], [("fractional_issuance", "issuance mps-m1-1")])
    assert fields(world.push())["quantity"] == Decimal("1.5")
    assert world.told() == []


def test_that_mpw_takes_fractions_sends_none_where_the_setting_says_no(world: World) -> None:
    world.learn("fractions_taken", "yes")
    world.move("Outbound", ("P-1", "1.5", "1"))

    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [("fractional_issuance", "issuance mps-m1-1")])


def test_a_factor_that_makes_it_whole_is_no_fraction(world: World) -> None:
    world.map(ItemMapping("X", "P-1", (MAIN,), Decimal("0.5")))
    world.move("Outbound", ("X", "4", "1"))

    world.reconcile()

    assert fields(world.push())["quantity"] == 2


def test_twelve_pieces_are_one_box_though_its_factor_can_only_be_written_rounded(world: World) -> None:
    world.map(ItemMapping("X", "P-1", (MAIN,), Decimal("0.083333")))
    world.move("Inbound", ("X", "12", "2.5"))
    world.move("Outbound", ("X", "12", "2.5"), id_="m-2")
    world.move("Outbound", ("X", "11", "2.5"), id_="m-3")

    world.reconcile()

    receipt, issuance = world.pushes()
    assert (fields(receipt)["quantity_received"], fields(receipt)["unit_cost"]) == (1, 30)
    assert fields(issuance)["quantity"] == 1
    assert world.told() == [("fractional_issuance", "issuance mps-m3-1")]


def test_a_factor_that_makes_a_cost_impossible_stops_no_other_event(world: World) -> None:
    world.map(ItemMapping("X", "P-1", (MAIN,), Decimal("0.000001")))
    world.move("Inbound", ("X", "1", "99999999"), ("P-2", "1", "1"))
    world.move("Inbound", ("Y", "1", "1"), id_="m-2")
    world.mpw.adds("Y", MAIN)

    world.reconcile()

    assert ("odd_quantity", "receipt mps-m1-1") in world.told()
    assert keys(world.pushes()) == [("post_receipt", "mps-m2-1", "ready")]


# --- voids --------------------------------------------------------------------------------


def test_a_void_of_the_erp_deletes_what_was_posted_for_it(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.done(world.push().id)
    world.mpw_entry("receipt", "erp-1")
    world.erp("void", "erp-1", {"kind": "receipt"})

    world.reconcile()
    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "erp-1", "done"), ("delete_receipt", "erp-1", "ready")]
    assert (world.pushes()[1].entity_key, world.pushes()[1].payload) == ("item:P-1", '{"api_key":"erp-1"}')


def test_a_void_of_something_never_sent_takes_it_back_and_deletes_nothing(world: World) -> None:
    world.erp("issuance", "erp-1", ISSUANCE)
    world.reconcile()
    world.erp("void", "erp-1", {"kind": "issuance"})

    world.reconcile()
    world.reconcile()

    assert keys(world.pushes()) == [("post_issuance", "erp-1", "superseded")]


def test_a_void_of_what_a_person_deleted_already_deletes_nothing(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.done(world.push().id)
    entry = world.mpw_entry("receipt", "erp-1")
    with world.store.write() as conn:
        Books(conn, now=world.clock.now()).reverse([entry])
    world.erp("void", "erp-1", {"kind": "receipt"})

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "erp-1", "done")]


def test_a_void_names_a_key_that_only_mpw_knows(world: World) -> None:
    world.mpw_entry("receipt", "theirs-1")
    world.erp("void", "theirs-1", {"kind": "receipt"})

    world.reconcile()

    assert keys(world.pushes()) == [("delete_receipt", "theirs-1", "ready")]


def test_a_void_of_an_event_before_the_cut_finds_nothing_to_delete(world: World) -> None:
    world.erp("receipt", "erp-old", RECEIPT | {"created_on": "2024-02-01"})
    world.reconcile()
    world.erp("void", "erp-old", {"kind": "receipt"})

    world.reconcile()

    assert world.pushes() == []


def test_with_the_route_off_nothing_is_deleted_until_it_is_on(world: World) -> None:
    world.routes(voids="off")
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.done(world.push().id)
    world.erp("void", "erp-1", {"kind": "receipt"})
    world.reconcile()
    before = len(world.pushes())

    world.routes(voids="hold")
    world.reconcile()

    assert before == 1
    assert keys(world.pushes())[1] == ("delete_receipt", "erp-1", "held")


def test_a_void_of_a_row_that_only_mpw_has_waits_for_its_route(world: World) -> None:
    world.routes(voids="off")
    world.mpw_entry("receipt", "foreign-1")
    world.erp("void", "foreign-1", {"kind": "receipt"})
    world.reconcile()
    before = world.pushes()

    world.routes(voids="push")
    world.reconcile()

    assert before == []
    assert keys(world.pushes()) == [("delete_receipt", "foreign-1", "ready")]
    assert world.waiting() == []


# --- cost ---------------------------------------------------------------------------------


def test_the_price_of_a_pass_follows_the_change_and_not_the_history(world: World) -> None:
    def statements() -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(world.store.engine, "before_cursor_execute", note)
        world.reconcile()
        event.remove(world.store.engine, "before_cursor_execute", note)
        return count

    world.move("Inbound", ("P-1", "1", "1"), id_="first")
    world.reconcile()
    world.move("Inbound", ("P-1", "1", "1"), id_="second")
    with_little = statements()
    for n in range(300):
        world.mpw_entry("receipt", f"mpw-r-{n}")
        if n % 10 == 0:
            world.move("Inbound", ("P-1", "1", "1"), id_=f"h{n}")
    world.reconcile()
    world.move("Inbound", ("P-1", "1", "1"), id_="third")

    assert statements() == with_little


def test_rows_that_people_keyed_into_mpw_are_passed_over(world: World) -> None:
    world.mpw_entry("receipt", "mpw-r-1")
    world.mpw_entry("issuance", "mpw-i-1", quantity="-1")

    counts = reconcile_once(world.ctx)

    assert counts.seen == 0
    with world.store.read() as conn:
        assert find_pushes(conn, Which()) == []


def test_a_discarded_row_is_the_operators_word(world: World) -> None:
    world.routes(receipts="hold")
    world.move("Inbound", ("P-1", "1", "1"))
    world.reconcile()
    with world.store.write() as conn:
        discard(Books(conn, now=world.clock.now()), Which(), by="ann")
    world.routes(receipts="push")

    world.reconcile()

    assert world.push().state == "discarded"


def test_an_mpw_row_that_appears_under_a_held_key_takes_the_push_back(world: World) -> None:
    world.routes(receipts="hold")
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    world.mpw_entry("receipt", "erp-1")

    world.reconcile()

    assert keys(world.pushes()) == [("post_receipt", "erp-1", "superseded")]


def test_the_erps_own_fields_travel_with_its_receipt(world: World) -> None:
    extras = {"vendor_name": "Bosch", "vendor_number": 17, "invoice_number": "R-1", "inventory_api_key": "45"}
    world.erp("receipt", "erp-1", RECEIPT | extras | {"tax_rate_one": "7.5"})

    world.reconcile()

    assert world.push().payload == (
        '{"part_number":"P-1","quantity_received":5,"unit_cost":9.99,"created_on":"2024-03-15",'
        '"warehouse_name":"Warehouse #1","vendor_name":"Bosch","vendor_number":"17","tax_rate_one":7.5,'
        '"invoice_number":"R-1","inventory_api_key":"45","api_key":"erp-1"}'
    )


def test_the_erps_issuance_keeps_its_description_and_gets_our_marker(world: World) -> None:
    world.erp(
        "issuance",
        "erp-1",
        ISSUANCE | {"description": "pump", "work_order_sequential_id": "12", "task_name": "repair3"},
    )

    world.reconcile()

    push = fields(world.push())
    assert (push["description"], push["work_order_sequential_id"], push["task_name"]) == ("pump [erp-1]", 12, "repair3")
    assert "equipment_unit_number" not in push


def test_events_of_a_day_are_dated_by_that_day(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"created_on": "2024-03-10"})

    world.reconcile()

    assert fields(world.push())["created_on"] == date(2024, 3, 10).isoformat()


@pytest.mark.parametrize("other", [{"quantity": "6"}, {"unit_cost": "3"}, {"item": "P-2"}])
@pytest.mark.parametrize("mode", ["hold", "push"])
def test_a_document_whose_key_mpw_has_for_something_else_is_a_persons_and_not_matched(
    world: World, other: dict[str, str], mode: str
) -> None:
    world.routes(receipts=mode)
    world.mpw_entry("receipt", "erp-1", **other)
    world.erp("receipt", "erp-1", RECEIPT)

    world.reconcile()
    world.reconcile()

    push = world.push()
    assert (push.state, push.tries) == ("dead", 0)
    with world.store.read() as conn:
        assert [(row.kind, row.subject) for row in open_exceptions(conn)] == [("key_taken", str(push.id))]
        assert conn.execute(text("select matched from v_events")).scalar_one() == 0
    assert world.mpw.writes() == []


def test_what_appears_under_a_held_documents_key_and_is_something_else_is_a_persons(world: World) -> None:
    world.routes(receipts="hold")
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    assert world.push().state == "held"

    world.mpw_entry("receipt", "erp-1", quantity="6")
    world.reconcile()

    assert world.push().state == "dead"


def test_a_document_older_than_the_cut_is_not_compared(world: World) -> None:
    world.rules(push_from=datetime(2024, 3, 20, tzinfo=UTC))
    world.mpw_entry("receipt", "erp-1", quantity="6")
    world.erp("receipt", "erp-1", RECEIPT)

    world.reconcile()

    assert world.pushes() == []

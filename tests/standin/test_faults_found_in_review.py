"""Section 6: faults that a review of the code found, as far as they show from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.standin.mpservices import FEED
from tests.standin.mpw import ISSUANCE
from tests.standin.server import Reply
from tests.standin.world import MAIN, PART, World


def test_a_pushs_end_closes_no_exception_about_an_order_of_the_same_number(world: World) -> None:
    numbers = range(1, 12)
    for number in numbers:
        world.mpw.orders_some(number)
        world.erp("po_approval", f"AP-{number}", purchase_order_number=str(number), approved_by="Ann", expected_total=1)
    world.rests()
    told = [row["subject"] for row in world.view("v_exceptions", kind="order_changed", resolved_at=None)]
    for n in range(12):
        world.erp_receipt(f"GR-{n}", 1)
    world.rests()
    ids = {str(row["id"]) for row in world.view("v_outbox", state="done")}

    assert len(told) == len(numbers)
    assert ids & {str(number) for number in numbers}
    after = [row["subject"] for row in world.view("v_exceptions", kind="order_changed", resolved_at=None)]
    assert after == told
    assert {row["approval"] for row in world.view("v_purchase_orders")} == {"exception"}
    assert {row["subject_type"] for row in world.view("v_exceptions", kind="order_changed")} == {"order"}


def test_one_day_with_more_orders_than_a_page_hides_no_other_day(world: World) -> None:
    world.mpw.habits.page_honoured, world.mpw.habits.page_size = False, 3
    yesterday = (world.mpw.today - timedelta(days=1)).isoformat()
    for n in range(8):
        world.mpw.orders_some(1000 + n)
    world.mpw.orders_some(2000, created_on=yesterday)
    world.cycle(3)

    stored = {int(row["number"]) for row in world.view("v_purchase_orders")}
    assert 2000 in stored
    assert len(stored) >= 4, "what was read is kept"
    assert len(stored) == 9 or world.told()


def test_orders_of_a_full_day_are_told_apart_by_status_and_by_their_other_dates(world: World) -> None:
    world.mpw.habits.page_honoured, world.mpw.habits.page_size = False, 3
    for n in range(8):
        required = (world.mpw.today + timedelta(days=n // 2)).isoformat()
        world.mpw.orders_some(1000 + n, status="Ordered" if n % 2 else "requisition", required_on=required)
    world.cycle(3)

    assert len(world.view("v_purchase_orders")) == 8


def test_an_order_beyond_the_first_page_can_be_approved(world: World) -> None:
    world.mpw.habits.page_size = 3
    for n in range(8):
        world.mpw.orders_some(1000 + n)
    world.erp("po_approval", "AP-1", purchase_order_number="1007", approved_by="Ann")
    world.cycle(3)

    assert world.mpw.orders[-1]["status"] == "Ordered"
    assert world.states(operation="approve") == ["done"]


def test_an_unreadable_order_beside_it_does_not_keep_an_approval_from_being_settled(world: World) -> None:
    world.mpw.orders_some(1000)
    world.mpw.orders_some(1001, total_cost="a lot")
    world.erp("po_approval", "AP-1", purchase_order_number="1000", approved_by="Ann")
    world.cycle(3)

    assert world.states(operation="approve") == ["done"]
    assert world.told()


def test_a_refused_second_daemon_lifts_no_pause(world: World) -> None:
    if not world.database_url.startswith("sqlite"):
        pytest.skip("several may run on PostgreSQL")
    world.restart(MPW_PASSWORD="wrong")
    world.cycle()
    assert "credentials" in world.told()
    logins = len(world.mpw.asked("POST authentication"))
    with world.app().leading():
        code, said = world.mpsync("run")
    world.cycle(2)

    assert code == 75, said
    assert "credentials" in world.told()
    assert len(world.mpw.asked("POST authentication")) == logins


def test_a_doubt_is_settled_by_naming_the_movement_in_an_option(world: World) -> None:
    _, said = world.mpsync("exceptions", "resolve", "--help")

    for option in ("--echo", "--none", "--apply", "--keep"):
        assert option in said


def test_a_quantity_that_cannot_be_read_in_the_answer_to_an_issuance_that_took_effect_doubles_nothing(
    world: World,
) -> None:
    def garble() -> None:
        fault.answer = Reply(200, world.mpw._issuance(world.mpw.issuances[-1]) | {"quantity": "two"})

    fault = world.mpw.goes_wrong(ISSUANCE, after=garble)
    world.mps.moves(PART, -2)
    world.cycle(6)

    assert world.stocks() == (98, 98)
    assert len(world.mpw.issuances) == 1
    assert world.states(operation="post_issuance") == ["done"]


def test_one_401_of_mpservices_is_said_and_tried_again_within_minutes(world: World) -> None:
    world.mps.goes_wrong(FEED, effect="never", answer=Reply(401, {"message": "Invalid token"}))
    world.cycle()
    told = world.told()
    world.mps.moves(PART, -2)
    world.cycle(5)

    assert told == ["credentials"]
    assert world.stocks() == (98, 98)
    assert world.told() == []


def test_a_401_that_stays_is_tried_every_quarter_of_an_hour_and_no_more(world: World) -> None:
    world.mps.goes_wrong(FEED, effect="never", answer=Reply(401, {"message": "Invalid token"}), times=1000)
    before = len(world.mps.requests)
    world.cycle(24)

    assert 6 <= len(world.mps.requests) - before <= 10
    assert "credentials" in world.told()
    assert world.status()


def test_doctor_finds_that_the_schemas_version_is_missing(world: World) -> None:
    with world.app().store.write() as conn:
        conn.execute(text("delete from alembic_version"))
    world.restart()

    code, said = world.mpsync("doctor")

    assert code != 0, said


def test_db_check_finds_a_dropped_view(world: World) -> None:
    assert world.mpsync("db", "check")[0] == 0
    with world.app().store.write() as conn:
        conn.execute(text("drop view v_gaps"))
    world.restart()

    code, said = world.mpsync("db", "check")

    assert code != 0
    assert "v_gaps" in said


def test_the_approval_of_an_order_is_settled_with_two_warehouses_full_of_orders(world: World) -> None:
    world.mpw.habits.page_size = 2
    for n in range(6):
        world.mpw.orders_some(1000 + n, warehouse_name=MAIN)
    for n in range(6):
        world.erp("po_approval", f"AP-{n}", purchase_order_number=str(1000 + n), approved_by="Ann")
    world.cycle(4)

    assert {order["status"] for order in world.mpw.orders} == {"Ordered"}
    assert set(world.states(operation="approve")) == {"done"}

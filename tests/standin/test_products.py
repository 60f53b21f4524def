"""A product is made once, whether the vendor refuses a second one with its external id or makes it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.standin.mpservices import CREATE
from tests.standin.world import MAIN, World

NEW = "P-2"


@pytest.fixture(params=[True, False], ids=["twins refused", "twins made"])
def vendor(world: World, request: pytest.FixtureRequest) -> World:
    world.mps.habits.twins_refused = request.param
    world.mpw.adds("P-2", MAIN, 7, 3)
    return world


def ordered(world: World, external_id: str = NEW, key: str = "prod-1", **more: Any) -> None:
    fields = {"bar_code": "1", "product_name": "Pump", "product_unit": "Pieces", "external_id": external_id}
    world.erp("product", key, **fields | more)


def created(world: World) -> int:
    return len(world.mps.asked(CREATE))


@pytest.mark.parametrize("effect", ["now", 60.0, 600.0])
def test_one_whose_answer_is_lost_is_not_made_a_second_time(vendor: World, effect: Any) -> None:
    vendor.mps.goes_wrong(CREATE, effect=effect, answer="lost")
    ordered(vendor)

    vendor.rests()

    assert vendor.states(operation="create_product") == ["done"]
    assert (created(vendor), vendor.mps.twins) == (1, [])
    assert vendor.stocks(NEW) == (7, 7)
    assert vendor.ever_told() == []


def test_one_whose_request_is_lost_is_made_once_it_is_known_not_to_be_there(vendor: World) -> None:
    vendor.mps.goes_wrong(CREATE, effect="never", answer="lost")
    ordered(vendor)

    vendor.cycle(3)
    before = created(vendor)
    vendor.rests()

    assert before == 1
    assert vendor.states(operation="create_product") == ["done"]
    assert (created(vendor), vendor.mps.twins) == (2, [])
    assert vendor.stocks(NEW) == (7, 7)
    assert vendor.told() == []


def test_a_kill_in_the_midst_of_it_makes_no_second_one(vendor: World) -> None:
    ordered(vendor)

    vendor.cycle_killed(vendor.mps, CREATE, effect=True)
    vendor.rests()

    assert vendor.states(operation="create_product") == ["done"]
    assert (created(vendor), vendor.mps.twins) == (1, [])
    assert vendor.stocks(NEW) == (7, 7)


def test_one_that_movements_show_is_not_made_again(vendor: World) -> None:
    vendor.mps.add(NEW, 7, 3)
    vendor.mps.moves(NEW, 2)
    vendor.rests()
    ordered(vendor)

    vendor.rests()

    assert vendor.states(operation="create_product") == ["done"]
    assert (created(vendor), vendor.mps.twins) == (0, [])


def test_two_documents_make_one_product(vendor: World) -> None:
    ordered(vendor)
    vendor.rests()
    ordered(vendor, key="prod-2")

    vendor.rests()

    assert vendor.states(operation="create_product") == ["done", "done"]
    assert (created(vendor), vendor.mps.twins) == (1, [])


def test_one_that_people_deleted_is_made_again_on_the_erps_word(vendor: World) -> None:
    ordered(vendor)
    vendor.rests()
    vendor.mps.deleted.add(NEW)
    vendor.mpw.receives(NEW, 1, 3, MAIN)
    vendor.rests()
    told = vendor.told()

    ordered(vendor, key="prod-2")
    vendor.rests()

    assert told == ["unknown_product"]
    assert created(vendor) == 2
    assert vendor.stocks(NEW) == (8, 8)
    assert vendor.told() == []


@pytest.mark.parametrize("there", [True, False])
def test_where_no_patch_tells_a_person_is_asked_and_the_hint_ends_it(vendor: World, there: bool) -> None:
    vendor.mps.goes_wrong(CREATE, effect="now" if there else "never", answer="lost")
    ordered(vendor, "NOT-IN-MPW")

    vendor.cycle(24)
    asked, sent = vendor.told(), created(vendor)
    vendor.follows("push_undecidable", "--done" if there else "--not-done")
    vendor.rests()

    assert (asked, sent) == (["push_undecidable"], 1)
    assert vendor.states(operation="create_product") == ["done"]
    assert (list(vendor.mps.products).count("NOT-IN-MPW"), vendor.mps.twins) == (1, [])
    assert vendor.told() == []


def test_a_2xx_to_the_patch_of_what_may_not_be_there_proves_nothing(vendor: World) -> None:
    vendor.mps.habits.unknown_refused = vendor.mps.habits.echo_of_nothing = False
    vendor.mps.goes_wrong(CREATE, effect="never", answer="lost")
    ordered(vendor)

    vendor.cycle(30)
    asked = vendor.told()
    vendor.follows("push_undecidable", "--not-done")
    vendor.cycle(3)

    assert "push_undecidable" in asked
    assert (created(vendor), NEW in vendor.mps.products) == (2, True)


def test_a_patch_of_the_erps_own_waits_for_its_product(vendor: World) -> None:
    lone = "P-8"  # MPW has no such part: its stock is the ERP's to set
    ordered(vendor, lone)
    vendor.erp("stock_cost", "sc-1", external_id=lone, new_stock=4, new_cost=2)
    vendor.mps.goes_wrong(CREATE, effect="never", answer="lost")

    vendor.cycle()
    first = vendor.patches(lone)
    vendor.cycle(12, minutes=5)

    assert first == 0
    assert created(vendor) == 2
    assert vendor.told() == ["unknown_product"], "the patch is what told that there was no product yet"
    vendor.follows("unknown_product", "outbox retry")
    vendor.cycle(3)
    assert "unknown_product" not in vendor.told()
    assert vendor.mps.stock(lone) == 4

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from sync.database.engine import Store
from sync.database.schema import documents
from sync.jobs.resolve import resolve_by_person
from sync.poll.spans.equipment import poll_equipment_once
from sync.poll.spans.orders import poll_orders_once
from sync.poll.spans.work_orders import poll_work_orders_once
from tests.clocks import FakeClock
from tests.worlds.poll_world import NOON, TODAY, PollWorld, order, poll_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> Iterator[PollWorld]:
    with poll_world(store, clock) as made:
        yield made


def _work_order(number: int, **fields: object) -> dict[str, object]:
    row = {"sequential_id": number, "prefix_title": f"WO-{number}", "status": "Open", "parts_cost": 1.5}
    return row | {"total_cost": 2, "completed_at": None, "tasks": []} | fields


def test_an_order_lands_with_its_terms(world: PollWorld) -> None:
    world.vendors.orders = [order(1000)]

    counts = poll_orders_once(world.ctx)

    assert (counts.seen, counts.added) == (1, 1)
    (row,) = world.rows("select number, status, vendor_name, total_cost, lines, final from purchase_orders")
    assert row[:5] == ("1000", "requisition", "Bosch", 35000000, 1)
    assert not row[5]


def test_an_equal_order_is_not_written_and_a_changed_one_is(world: PollWorld) -> None:
    world.vendors.orders = [order(1000), order(1001)]
    poll_orders_once(world.ctx)
    first = world.rows("select changed_at from purchase_orders order by number")
    world.vendors.orders = [order(1000), order(1001, total_cost=36.0)]
    world.clock.advance(minutes=1)

    counts = poll_orders_once(world.ctx)

    assert (counts.added, counts.changed, counts.unchanged) == (0, 1, 1)
    second = world.rows("select changed_at from purchase_orders order by number")
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_note_does_not_count_as_a_change_of_terms(world: PollWorld) -> None:
    world.vendors.orders = [order(1000)]
    poll_orders_once(world.ctx)
    before = world.rows("select changed_at, terms_digest from purchase_orders")
    world.vendors.orders = [order(1000, notes="call first")]
    world.clock.advance(minutes=1)

    counts = poll_orders_once(world.ctx)

    assert counts.changed == 1
    assert world.rows("select changed_at, terms_digest from purchase_orders") == before


def test_an_open_order_is_read_again_until_it_is_final(world: PollWorld) -> None:
    old = TODAY - timedelta(days=200)
    world.set_policy(start_date=old)
    world.vendors.orders = [order(1000, old, status="Ordered")]
    poll_orders_once(world.ctx)
    world.vendors.orders = [order(1000, old, status="Received")]
    world.vendors.requests.clear()

    poll_orders_once(world.ctx)
    asked_while_open = [request for request in world.vendors.requests if old.isoformat() in request]
    world.vendors.requests.clear()
    poll_orders_once(world.ctx)

    assert len(asked_while_open) == 1
    assert not [request for request in world.vendors.requests if old.isoformat() in request]
    assert world.rows("select status from purchase_orders") == [("Received",)]


def test_a_status_nobody_has_described_keeps_the_order_open_and_is_reported(world: PollWorld) -> None:
    world.vendors.orders = [order(1000, status="Galactic")]

    poll_orders_once(world.ctx)

    assert [(row.kind, row.subject) for row in world.exceptions()] == [
        ("unknown_value", "mpw.purchase_orders status Galactic")
    ]
    assert not world.rows("select final from purchase_orders")[0][0]


@pytest.mark.parametrize("page_parameter", [True, False])
def test_more_orders_than_a_page_holds_all_land(world: PollWorld, page_parameter: bool) -> None:
    world.vendors.page_size, world.vendors.page_parameter = 10, page_parameter
    world.vendors.orders = [order(1000 + n, TODAY - timedelta(days=n % 40)) for n in range(95)]

    counts = poll_orders_once(world.ctx)

    assert counts.added == 95
    assert world.rows("select count(*) from coverage where error is not null") == [(0,)]


def test_of_a_single_day_that_does_not_fit_what_was_read_is_kept_and_the_rest_is_named(world: PollWorld) -> None:
    world.vendors.page_size, world.vendors.page_parameter = 10, False
    world.vendors.orders = [order(1000 + n) for n in range(11)]

    poll_orders_once(world.ctx)

    (error,) = world.rows("select distinct error from coverage where error is not null")
    assert "10 of 11 rows could be read" in error[0]
    assert world.rows("select count(*) from purchase_orders") == [(10,)]
    assert world.rows("select kind from exceptions") == [("rows_not_shown",)]
    assert world.rows("select outcome from runs") == [("failed",)]


def test_what_a_person_has_resolved_stays_so_while_the_same_rows_are_not_shown(world: PollWorld) -> None:
    world.vendors.page_size, world.vendors.page_parameter = 10, False
    world.vendors.orders = [order(1000 + n) for n in range(11)]
    poll_orders_once(world.ctx)
    resolve_by_person(world.ctx, kind="rows_not_shown", why="we know", by="ann")

    for _ in range(14):
        world.clock.advance(minutes=10)
        poll_orders_once(world.ctx)
    same = [row.kind for row in world.exceptions()]
    world.vendors.orders.append(order(1011))
    poll_orders_once(world.ctx)

    assert same == []
    assert [row.kind for row in world.exceptions()] == ["rows_not_shown"]


def test_a_day_that_is_not_whole_is_not_searched_in_each_round(world: PollWorld) -> None:
    world.vendors.page_size, world.vendors.page_parameter = 10, False
    world.vendors.orders = [order(1000 + n) for n in range(11)]
    calls = []
    for minutes in (0, 5, 5, 60):
        world.clock.advance(minutes=minutes)
        before = len(world.vendors.requests)
        poll_orders_once(world.ctx)
        calls.append(len(world.vendors.requests) - before)

    first, second, third, after_an_hour = calls
    assert second == third < 20 < first
    assert after_an_hour > 20
    assert world.rows("select count(*) from coverage where error like '%10 of 11%'") == [(1,)]


def test_pages_that_do_not_add_up_are_read_by_halves(world: PollWorld) -> None:
    world.vendors.page_size = 10
    world.vendors.orders = [order(1000 + n, TODAY - timedelta(days=n % 3)) for n in range(12)]
    real = world.vendors._page

    def losing(name: str, rows: list[dict[str, object]], by: str, params: dict[str, str]) -> dict[str, object]:
        answer = real(name, rows, by, params)
        if params.get("page") == "2":
            answer[name] = []
        return answer

    world.vendors._page = losing  # type: ignore[method-assign]

    counts = poll_orders_once(world.ctx)

    assert counts.added == 12


def test_a_bad_order_is_quarantined_and_the_others_land(world: PollWorld) -> None:
    world.vendors.orders = [order(1000), order(1001, total_cost="a lot")]
    poll_orders_once(world.ctx)
    quarantined = world.rows("select count(*) from quarantine where resolved_at is null")
    landed = world.rows("select number from purchase_orders")
    world.vendors.orders = [order(1000), order(1001)]

    poll_orders_once(world.ctx)

    assert (quarantined, landed) == ([(1,)], [("1000",)])
    assert world.exceptions() == []
    assert world.rows("select count(*) from quarantine where resolved_at is null") == [(0,)]


def test_work_orders_are_merged_over_all_four_dates(world: PollWorld) -> None:
    day = TODAY.isoformat()
    world.vendors.work_orders = [
        _work_order(1, scheduled_on=day, due_on=day),
        _work_order(2, due_on=day),
        _work_order(3, start_on=day),
        _work_order(4, completed_on=day, completed_at=f"{day}T10:00:00Z", status="Completed"),
    ]

    counts = poll_work_orders_once(world.ctx)

    assert counts.added == 4
    assert world.rows("select number from work_orders where system = 'mpw' order by number") == [
        ("1",),
        ("2",),
        ("3",),
        ("4",),
    ]
    assert poll_work_orders_once(world.ctx).unchanged == 4


def test_the_work_orders_of_mpservices_are_read_only_where_their_path_is_set(world: PollWorld) -> None:
    folio = {"id": "w-1", "folio": 198, "title": "Preventive", "open": True, "closed": False}
    world.vendors.answers["work"] = (200, str({**folio, "createdAt": NOON.isoformat()}).replace("'", '"').encode())
    world.vendors.answers["work"] = (200, world.vendors.answers["work"][1].replace(b"True", b"true"))
    world.vendors.answers["work"] = (200, world.vendors.answers["work"][1].replace(b"False", b"false"))

    off = poll_work_orders_once(world.ctx)
    asked = world.vendors.asked("work")
    world.set_policy(work_orders_path="/work")
    on = poll_work_orders_once(world.ctx)

    assert (off.added, asked) == (0, [])
    assert on.added == 1
    assert world.rows("select system, number, title, status from work_orders") == [
        ("mpservices", "198", "Preventive", "open")
    ]


def test_equipment_is_kept_as_documents(world: PollWorld) -> None:
    world.vendors.equipment = [{"id": 282774, "last_recorded_on": "2019-12-10", "name": "STX-333", "status": "Active"}]

    counts = poll_equipment_once(world.ctx)

    assert counts.added == 1
    assert poll_equipment_once(world.ctx).unchanged == 1
    assert world.document("282774").type == "equipment"
    assert world.vendors.asked("gps_meter_updates")[0] == "gps_meter_updates?gps_provider=Geotab"


def test_equipment_read_before_its_provider_was_kept_gets_it(world: PollWorld) -> None:
    world.vendors.equipment = [{"id": 282774, "last_recorded_on": "2019-12-10", "name": "STX-333", "status": "Active"}]
    poll_equipment_once(world.ctx)
    provider = world.document("282774").provider
    with world.store.write() as conn:
        conn.execute(update(documents).values(provider=None))

    assert poll_equipment_once(world.ctx).changed == 1

    assert provider == world.document("282774").provider
    assert provider in world.ctx.policy.gps_providers


def test_equipment_is_off_without_a_provider(world: PollWorld) -> None:
    world.set_policy(gps_providers=())

    assert poll_equipment_once(world.ctx).seen == 0
    assert world.vendors.requests == []


def test_coverage_says_nothing_of_days_after_tomorrow(world: PollWorld) -> None:
    poll_work_orders_once(world.ctx)

    (last,) = world.rows("select max(day) from coverage")
    assert date.fromisoformat(str(last[0])) == TODAY + timedelta(days=1)

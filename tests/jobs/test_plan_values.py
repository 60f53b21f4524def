"""What a plan says its pushes are worth: before, after, the change of value, and the sums by route."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from sync.database import schema
from sync.database.engine import Store
from sync.jobs.plan import Planned
from sync.jobs.plan_values import change_most, is_first_release, sums, worths
from sync.jobs.reports import worth_saying
from sync.values.policy import Policy
from tests.views.story import add, entry, push

POLICY = Policy(push_from=datetime(2024, 3, 15, tzinfo=UTC))


def patch(item: str, stock: str, cost: str, *, state: str = "held") -> Planned:
    payload = json.dumps({"external_id": item, "new_stock": stock, "new_cost": cost})
    return Planned(state, True, "stock_cost", "patch_stock", None, f"s-{item}", item, "why", payload)


def receipt(quantity: str, cost: str, created_on: str = "2024-03-14") -> Planned:
    payload = json.dumps({"quantity_received": quantity, "unit_cost": cost, "created_on": created_on})
    return Planned("ready", True, "receipts", "post_receipt", "receipt", "GR-1", "P-1", "why", payload)


def issuance(quantity: str) -> Planned:
    payload = json.dumps({"quantity": quantity})
    return Planned("held", True, "issuances", "post_issuance", "issuance", "GI-1", "P-1", "why", payload)


@pytest.fixture
def known(store: Store) -> Store:
    with store.write() as conn:
        add(conn, schema.items, {"external_id": "E-1", "part_number": "P-1", "factor": Decimal(1)})
        theirs = {"mps_quantity": Decimal(5), "mps_unit_cost": Decimal(3)}
        add(conn, schema.item_states, {"external_id": "E-1", "mpw_cost": Decimal("2.5"), **theirs})
    return store


def test_a_stock_patch_shows_before_after_and_the_change_of_value(known: Store) -> None:
    with known.read() as conn:
        (one,) = worths(conn, [patch("E-1", "50", "2.5")], POLICY)

    assert (one.stock_before, one.stock_after, one.cost_before, one.cost_after) == (5, 50, 3, Decimal("2.5"))
    assert one.value == 110


def test_what_mpservices_has_of_an_item_that_never_moved_is_not_known(known: Store) -> None:
    with known.read() as conn:
        (one,) = worths(conn, [patch("E-2", "50", "2.5")], POLICY)

    assert (one.stock_before, one.value) == (None, None)


def test_each_route_has_its_sum_and_says_how_many_it_lacks(known: Store) -> None:
    planned = [
        receipt("4", "10"),
        receipt("1", "2.5"),
        issuance("2"),
        patch("E-1", "50", "2.5"),
        patch("E-2", "1", "1"),
        Planned("waiting", True, "stock_cost", None, None, "", "E-3", "waits"),
    ]
    with known.read() as conn:
        found = sums(planned, worths(conn, planned, POLICY))

    assert [(one.route, one.pushes, one.value, one.unknown) for one in found] == [
        ("issuances", 1, Decimal(-5), 0),
        ("receipts", 2, Decimal("42.5"), 0),
        ("stock_cost", 2, Decimal(110), 1),
    ]


def test_the_items_that_change_most_are_named_unknown_ones_first(known: Store) -> None:
    with known.write() as conn:
        for number in range(2, 9):
            states = {"external_id": f"E-{number}", "mps_quantity": Decimal(1), "mps_unit_cost": Decimal(1)}
            add(conn, schema.item_states, states)
    planned = [patch(f"E-{number}", str(number), "1") for number in range(2, 9)] + [patch("NEW", "1", "1")]
    with known.read() as conn:
        found = change_most(planned, worths(conn, planned, POLICY))

    assert [item for item, _ in found] == ["NEW", "E-8", "E-7", "E-6", "E-5"]


def test_a_late_document_shows_which_date_goes_where(known: Store) -> None:
    closed = Policy(lock_date=date(2024, 2, 29))
    planned = [receipt("1", "1", "2024-02-20"), receipt("1", "1", "2024-03-01")]
    with known.read() as conn:
        late, in_time = worths(conn, planned, closed)

    assert late.dates == (
        "late: MPW gets its own date 2024-02-20, in the month that SYNC_LOCK_DATE closes; the ledger posts it on"
        " 2024-03-01"
    )
    assert in_time.dates is None


def test_the_first_release_is_told_from_later_ones(store: Store) -> None:
    row = {"operation": "patch_stock", "route": "stock_cost", "kind": None}
    with store.write() as conn:
        add(conn, schema.outbox, push("s-1", state="held", **row))
    with store.read() as conn:
        assert is_first_release(conn)
    with store.write() as conn:
        add(conn, schema.outbox, push("s-2", tries=1, entity_key="mps:x", **row))
    with store.read() as conn:
        assert not is_first_release(conn)


def test_held_pushes_of_a_route_that_pushes_are_said_to_be_overtaken(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.outbox, push("K-1", state="held"), push("K-2", state="held"))

    with store.read() as conn:
        assert worth_saying(conn, Policy(routes={"receipts": "hold"})) == []
        (told,) = worth_saying(conn, Policy(routes={"receipts": "push"}))
    assert "2 that were held before stay held" in told
    assert "mpsync outbox release --route receipts" in told


def test_events_of_before_the_go_live_that_mpw_lacks_are_counted(store: Store) -> None:
    seen = datetime(2024, 3, 14, 8, tzinfo=UTC)
    mpservices = {"item": "E-1", "occurred_at": seen}
    later = {**mpservices, "occurred_at": datetime(2024, 3, 15, 8, tzinfo=UTC)}
    gone = entry("erp", "receipt", "gone", "4")
    with store.write() as conn:
        add(
            conn,
            schema.ledger_entries,
            entry("mpservices", "receipt", "lost", "4", **mpservices),
            entry("erp", "issuance", "lost-too", "-4"),
            entry("mpservices", "receipt", "there", "4", **mpservices),
            entry("mpw", "receipt", "there", "4"),
            entry("mpservices", "receipt", "later", "4", **later),
            gone,
            {**gone, "quantity": -gone["quantity"], "entry_type": "reversal", "reverses_id": 6},
            entry("mpservices", "adjustment", "echo", "4", **mpservices),
            entry("erp", "receipt", "settled", "4"),
        )
        add(conn, schema.unpushed, {"kind": "receipt", "api_key": "settled", "why": "keyed in"})

    with store.read() as conn:
        (told,) = worth_saying(conn, POLICY)
    assert told.startswith("Recorded, not pushed: 2 events of 2024-03-14 to 2024-03-14, from before the go-live")

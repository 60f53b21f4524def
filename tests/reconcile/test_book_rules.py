"""When two systems say the same of an event, and when a person is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sync.reconcile.book_rules import AGREE, Told, difference, finding
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.rules import Event, Leave, MpwRow, Origin, Park, PushRow

DAY = date(2024, 3, 15)
DONE = Leave("given to the outbox already")


def a_row(quantity: str = "5", cost: str = "10", item: str = "P-1", **changes: Any) -> MpwRow:
    made = MpwRow("7", item, "Main", Decimal(quantity), Decimal(cost), DAY, live=True)
    return replace(made, **changes)


def a_push(state: str = "done", **changes: Any) -> PushRow:
    payload = json.dumps({"part_number": "P-1", "warehouse_name": "Main"})
    made = PushRow(1, "post_receipt", state, 1, 1, 1, payload, "item:P-1", "P-1", "k")
    return replace(made, **changes)


def an_event(*rows: MpwRow, kind: str = "receipt", quantity: str = "5", cost: str = "10", **changes: Any) -> Event:
    sign = 1 if kind == "receipt" else -1
    origin = Origin("mpservices", 3, "EXT", None, sign * Decimal(quantity), Decimal(cost), DAY)
    values: dict[str, Any] = {
        "kind": kind,
        "api_key": "k",
        "origin": origin,
        "had_origin": True,
        "mpw_ever": bool(rows),
        "mpw_live": any(row.live for row in rows),
        "mpw_rows": rows,
        "role": "event",
        "pushes": (a_push(operation=f"post_{kind}"),),
    }
    return Event(**(values | changes))


def by(factor: str = "1", part: str = "P-1", *warehouses: str) -> dict[str, ItemMapping]:
    return {"EXT": ItemMapping("EXT", part, warehouses or ("Main",), Decimal(factor))}


@pytest.mark.parametrize(
    ("quantity", "cost", "factor", "shown", "shown_cost"),
    [
        ("5", "10", "1", "5", "10"),
        ("2", "120", "12", "24", "10"),
        ("1", "10", "12", "12", "0.83"),  # MPW keeps two decimals
        ("1", "10", "12", "12", "0.833333"),
        ("1.2345", "10", "1", "1.23", "10"),
        ("1.2345", "10", "1", "1.24", "10"),
        ("12", "10", "0.083333", "1", "120"),  # a twelfth, rounded to what fits
        ("12", "10", "0.083333", "0.999996", "120.00048"),
        ("12000", "10", "0.083333", "1000", "120"),
    ],
)
def test_what_was_rounded_or_converted_agrees(
    quantity: str, cost: str, factor: str, shown: str, shown_cost: str
) -> None:
    event = an_event(a_row(shown, shown_cost), quantity=quantity, cost=cost)

    assert difference(event, by(factor)) is None


@pytest.mark.parametrize(
    ("event", "mappings", "told"),
    [
        (
            an_event(a_row("7", "12"), quantity="4"),
            by(),
            "quantity: MPservices 4, MPW 7; unit cost: MPservices 10, MPW 12",
        ),
        (an_event(a_row("50")), by(), "quantity: MPservices 5, MPW 50"),
        (an_event(a_row("6", "99"), kind="issuance", quantity="10"), by(), "quantity: MPservices 10, MPW 6"),
        (an_event(a_row(item="91843")), by(), "part: MPservices EXT (part P-1), MPW 91843"),
        (an_event(a_row(warehouse="WH9")), by(), "warehouse: MPservices Main, MPW WH9"),
        (
            an_event(a_row("5", "10"), quantity="5", cost="120", pushes=()),
            by("12"),
            "quantity: MPservices 5 (in MPW's unit 60, by the factor 12), MPW 5",
        ),
        (an_event(a_row(), a_row(remote_id="8")), by(), "quantity: MPservices 5, MPW 10"),
        (an_event(a_row("4.98")), by(), "quantity: MPservices 5, MPW 4.98"),
        (an_event(a_row("5", "9.98")), by(), "unit cost: MPservices 10, MPW 9.98"),
        (an_event(a_row(live=False)), by(), "quantity: MPservices 5, MPW none"),
        (an_event(a_row(), origin=None), by(), "quantity: void where it began, MPW 5"),
    ],
)
def test_what_differs_is_said_with_both_sides(event: Event, mappings: dict[str, ItemMapping], told: str) -> None:
    assert difference(event, mappings) == told


@pytest.mark.parametrize(
    "event",
    [
        an_event(a_row("4"), a_row("3", remote_id="8"), a_row("3", remote_id="9"), kind="issuance", quantity="10"),
        an_event(a_row("3.33"), a_row("6.66", remote_id="8"), kind="issuance", quantity="10"),  # each row is cut
        an_event(a_row("5", "99"), kind="issuance"),  # its cost is MPW's own
        an_event(a_row("7", live=False), a_row(remote_id="8")),  # deleted, and posted again as corrected
        an_event(),
        an_event(a_row("9"), kind="transfer"),
        an_event(a_row("9"), kind="adjustment"),
        an_event(a_row("9"), role="echo"),
        an_event(a_row("9"), origin=None, had_origin=False),
        an_event(a_row(item="p-1 ", warehouse="main")),
        an_event(a_row(warehouse=None)),
        an_event(a_row(), origin=None, pushes=(a_push(), a_push(operation="delete_receipt"))),  # not missed yet
    ],
)
def test_what_is_alike_or_no_matter_of_two_systems_does_not_differ(event: Event) -> None:
    assert difference(event, by()) is None


def test_a_second_mapped_warehouse_is_as_good_as_the_first() -> None:
    assert difference(an_event(a_row(warehouse="WH2")), by("1", "P-1", "Main", "WH2")) is None


def test_a_map_that_was_changed_since_makes_no_old_posting_wrong() -> None:
    facts = json.dumps({"external_id": "EXT", "factor": "1"})
    event = an_event(a_row(), pushes=(a_push(facts=facts),))

    assert difference(event, by("12", "OTHER")) is None
    assert difference(replace(event, mpw_rows=(a_row("6"),)), by("12", "OTHER")) is not None


def test_an_item_without_a_part_is_not_compared() -> None:
    assert difference(an_event(a_row("9")), {}) is None


@pytest.mark.parametrize("state", ["held", "ready", "sending", "unknown", "dead", "done, its last part not seen yet"])
def test_nobody_is_asked_while_a_push_may_still_bring_the_books_together(state: str) -> None:
    push = a_push(state.split(",")[0], operation="post_issuance", unseen=state.endswith("not seen yet"))
    event = an_event(a_row("6"), kind="issuance", quantity="10", pushes=(push,))

    found = finding(event, decision=DONE, mappings=by(), told=Told())

    assert (found.waits, found.ask) == (True, False)


@pytest.mark.parametrize(
    ("changes", "told", "ask"),
    [
        ({}, Told(), True),
        ({"pushes": ()}, Told(), True),  # a database that was lost has posted it
        ({}, Told(settled=True), False),
        ({"unpushed": True}, Told(), False),
        ({}, Told(restated=True), True),  # its quantity differs, not its cost alone
        ({"pushes": (a_push("discarded", tries=0, attempts=0),)}, Told(), False),  # another's row under its key
        ({"origin": Origin("erp", 3, "P-1", "Main", Decimal(5), Decimal(10), DAY), "pushes": ()}, Told(), False),
        ({"origin": Origin("erp", 3, "P-1", "Main", Decimal(5), Decimal(10), DAY)}, Told(), True),
        ({"origin": None}, Told(), False),
    ],
)
def test_a_person_is_asked_where_nobody_is_yet(changes: dict[str, Any], told: Told, ask: bool) -> None:
    event = replace(an_event(a_row("50")), **changes)

    found = finding(event, decision=DONE, mappings=by(), told=told)

    assert (found.ask, found.waits) == (ask, False)
    assert found.difference is not None
    assert found.ask or found.why


def test_a_cost_that_was_restated_is_asked_about_with_the_others() -> None:
    event = an_event(a_row("5", "50"))

    assert finding(event, decision=DONE, mappings=by(), told=Told()).ask
    assert not finding(event, decision=DONE, mappings=by(), told=Told(restated=True)).ask


def test_what_was_told_as_deleted_is_not_told_again() -> None:
    gone = an_event(a_row(live=False))

    assert finding(gone, decision=DONE, mappings=by(), told=Told()).ask
    assert not finding(gone, decision=DONE, mappings=by(), told=Told(deleted=True)).ask


def test_it_waits_while_something_is_to_be_done_for_it() -> None:
    found = finding(an_event(a_row("50")), decision=Park("a delete", None), mappings=by(), told=Told())

    assert (found.waits, found.ask) == (True, False)


@pytest.mark.parametrize(("standing", "cost", "ask"), [("5", "10", False), ("7", "10", True), ("5", "12", True)])
def test_what_a_delete_took_back_and_no_poll_has_missed_yet_does_not_count(standing: str, cost: str, ask: bool) -> None:
    posted = json.dumps({"part_number": "P-1", "warehouse_name": "Main", "quantity_received": 50})
    pushes = (
        a_push(payload=posted, id=1),
        a_push(operation="delete_receipt", id=2, payload="{}"),
        a_push(api_key="k_c2", id=3),
    )
    event = an_event(a_row("50", "99"), a_row(standing, cost, remote_id="8"), pushes=pushes, corrections=("k_c2",))

    found = finding(event, decision=DONE, mappings=by(), told=Told())

    assert (found.waits, found.ask, found.difference is not None) == (False, ask, ask)


def test_books_that_agree_ask_nobody() -> None:
    assert finding(an_event(a_row()), decision=DONE, mappings=by(), told=Told()) == AGREE

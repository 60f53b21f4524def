"""What the views show, alike on both databases."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Row

from sync.database import schema
from sync.database.engine import Store
from tests.views.story import NOON, TODAY, YESTERDAY, add, done, entry, push, reversal, tell


def _rows(store: Store, query: str) -> list[Row[Any]]:
    with store.read() as conn:
        return list(conn.execute(text(query)))


def _event(store: Store, api_key: str, kind: str = "receipt") -> Row[Any]:
    (row,) = _rows(store, f"select * from v_events where api_key = '{api_key}' and kind = '{kind}'")
    return row


def _ledger(store: Store, *entries: dict[str, Any]) -> None:
    with store.write() as conn:
        add(conn, schema.ledger_entries, *entries)


def test_the_ledger_shows_decimals_and_keeps_the_exact_integers(store: Store) -> None:
    _ledger(store, entry("mpw", "issuance", "k", "-0.000001", unit_cost=Decimal("9.99")))

    (row,) = _rows(store, "select * from v_ledger")

    assert row.id == row.seq == 1
    assert Decimal(str(row.quantity)) == Decimal("-0.000001")
    assert Decimal(str(row.unit_cost)) == Decimal("9.99")
    assert (row.quantity_micros, row.unit_cost_micros) == (-1, 9990000)
    assert str(row.occurred_on) == "2024-03-14"


def test_an_instant_is_utc_text_on_sqlite_and_an_instant_on_postgresql(store: Store) -> None:
    _ledger(store, entry("mpw", "receipt", "k", "1"))

    (row,) = _rows(store, "select recorded_at from v_ledger")

    assert row.recorded_at == ("2024-03-15T12:00:00.000000Z" if store.is_sqlite else NOON)


def test_an_event_shows_each_systems_quantity_and_null_where_it_is_not_known(store: Store) -> None:
    _ledger(store, entry("mpservices", "receipt", "k", "4", item="EXT"), entry("mpw", "receipt", "k", "4"))

    event = _event(store, "k")

    assert (event.mpw_quantity, event.mpservices_quantity, event.erp_quantity) == (4, 4, None)
    assert (event.item, str(event.occurred_on)) == ("P-1", "2024-03-14")
    assert (event.amount, event.amount_micros) == (10, 10_000_000)
    assert (event.matched, event.voided) == (1, 0)


@pytest.mark.parametrize("system", ["mpservices", "erp"])
@pytest.mark.parametrize("kind", ["receipt", "issuance", "transfer"])
def test_an_event_that_mpw_never_had_is_unmatched(store: Store, system: str, kind: str) -> None:
    _ledger(store, entry(system, kind, "k", "4", item="EXT"))

    event = _event(store, "k", kind)

    assert (event.matched, event.voided, event.item) == (0, 0, "EXT")


def test_an_event_of_mpw_alone_is_matched(store: Store) -> None:
    _ledger(store, entry("mpw", "receipt", "k", "4"))

    assert _event(store, "k").matched == 1


def test_a_receipt_does_not_match_an_issuance_of_the_same_key(store: Store) -> None:
    _ledger(store, entry("mpw", "receipt", "k", "4"), entry("erp", "issuance", "k", "-4"))

    assert _event(store, "k", "receipt").matched == 1
    assert _event(store, "k", "issuance").matched == 0


def test_what_a_person_deleted_in_mpw_stays_matched(store: Store) -> None:
    theirs = entry("mpservices", "receipt", "k", "4")
    ours = entry("mpw", "receipt", "k", "4")
    _ledger(store, theirs, ours, reversal(ours, 2))

    event = _event(store, "k")

    assert (event.matched, event.voided) == (1, 0)
    assert (event.mpw_quantity, event.mpservices_quantity) == (0, 4)


def test_an_event_without_a_live_original_is_voided(store: Store) -> None:
    ours = entry("mpw", "receipt", "k", "4")
    _ledger(store, ours, reversal(ours, 1))

    event = _event(store, "k")

    assert (event.voided, event.mpw_quantity, event.amount) == (1, 0, 0)


def test_an_event_of_quantity_zero_is_not_voided(store: Store) -> None:
    _ledger(store, entry("mpw", "receipt", "k", "0"))

    assert _event(store, "k").voided == 0


def test_an_edited_event_shows_what_it_is_now(store: Store) -> None:
    before = entry("mpw", "receipt", "k", "4")
    after = entry("mpw", "receipt", "k", "5", item="P-2", occurred_on=TODAY, posted_on=TODAY)
    _ledger(store, before, reversal(before, 1), after)

    event = _event(store, "k")

    assert (event.mpw_quantity, event.item, event.amount) == (5, "P-2", Decimal("12.5"))
    assert date.fromisoformat(str(event.occurred_on)) == TODAY
    assert (event.voided, event.last_seq) == (0, 3)


def test_issuances_split_over_receipts_are_one_event(store: Store) -> None:
    _ledger(store, entry("mpw", "issuance", "k", "-4"), entry("mpw", "issuance", "k", "-6", remote_id="2"))

    assert _event(store, "k", "issuance").mpw_quantity == -10


def test_an_adjustment_waits_for_nothing(store: Store) -> None:
    _ledger(store, entry("mpservices", "adjustment", "k", "4"))

    assert _event(store, "k", "adjustment").matched == 1


def test_a_transfer_is_matched_once_its_push_is_done(store: Store) -> None:
    _ledger(store, entry("erp", "transfer", "sent", "4"), entry("erp", "transfer", "waits", "4"))
    transfer = {"route": "transfers", "operation": "post_transfer", "kind": "transfer"}
    with store.write() as conn:
        add(conn, schema.outbox, done("sent", **transfer), push("waits", **transfer))

    assert _event(store, "sent", "transfer").matched == 1
    assert _event(store, "waits", "transfer").matched == 0


def test_a_look_up_by_key_searches_the_index(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.ledger_entries, *(entry("mpw", "receipt", f"k-{n}", "1") for n in range(300)))
        conn.exec_driver_sql("analyze")
    query = "select * from v_events where api_key = 'k-7' and kind = 'receipt'"

    plan = "\n".join(
        str(row) for row in _rows(store, ("explain query plan " if store.is_sqlite else "explain ") + query)
    )

    assert "ix_ledger_entries_event" in plan
    assert "SCAN ledger_entries" not in plan
    assert "Seq Scan on ledger_entries" not in plan
    assert "ix_outbox_state_due" not in plan


def test_stock_is_compared_in_mpws_unit(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    rows = {row.external_id: row for row in _rows(store, "select * from v_stock")}

    assert (rows["EXT-1"].item, rows["EXT-1"].factor, rows["EXT-1"].difference) == ("P-1", 12, 0)
    assert (rows["EXT-2"].item, rows["EXT-2"].factor, rows["EXT-2"].difference) == ("EXT-2", 1, 3)
    assert (rows["EXT-1"].managed, rows["EXT-1"].verified, rows["EXT-2"].managed) == (1, 1, 0)
    assert rows["EXT-2"].blocked_reason == "a push died"


def test_equal_stocks_differ_by_nothing_however_odd_the_factor(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.items, {"external_id": "E", "part_number": "P", "factor": Decimal("0.1")})
        numbers = {"mpw_quantity": Decimal("0.3"), "mps_quantity": Decimal(3)}
        add(conn, schema.item_states, {"external_id": "E", **numbers})

    assert _rows(store, "select item from v_stock where difference <> 0") == []


def test_a_mapped_item_that_nobody_moved_is_in_stock_with_nothing_known(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.items, {"external_id": "E", "part_number": "P", "factor": Decimal(1)})

    (row,) = _rows(store, "select * from v_stock")

    assert (row.item, row.external_id, row.mpw_quantity, row.difference, row.managed) == ("P", "E", None, None, 0)


def test_an_order_was_last_read_when_its_day_was(store: Store) -> None:
    day = {"source": "mpw.purchase_orders", "day": YESTERDAY, "complete": True}
    with store.write() as conn:
        tell(conn)
    (before,) = _rows(store, "select last_read_at from v_purchase_orders")

    with store.write() as conn:
        add(conn, schema.coverage, day | {"last_read_at": NOON})

    (after,) = _rows(store, "select last_read_at from v_purchase_orders")
    earlier = NOON - timedelta(days=2)
    assert before[0] == ("2024-03-13T12:00:00.000000Z" if store.is_sqlite else earlier)
    assert after[0] == ("2024-03-15T12:00:00.000000Z" if store.is_sqlite else NOON)


def test_a_flag_is_one_or_zero(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    complete = _rows(store, "select complete from v_coverage order by day")
    ambiguous = _rows(store, "select ambiguous from v_outbox where state = 'unknown'")

    assert [(type(row[0]), row[0]) for row in complete] == [(int, 1), (int, 0)]
    assert [(type(row[0]), row[0]) for row in ambiguous] == [(int, 1)]


# --- what was read and stands in no table of its own --------------------------------------


def test_a_receipt_stands_as_mpw_has_it_now(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    (row,) = _rows(store, "select * from v_receipts")

    assert (row.id, row.api_key, row.part_number, row.name, row.warehouse) == (
        "1",
        "mps-abc-1",
        "P-1",
        "Fuel filter",
        "Main",
    )
    assert (row.quantity, row.unit_cost, row.amount, row.remaining) == (4, Decimal("2.5"), 10, 4)
    assert (row.vendor_name, row.vendor_number, row.invoice_number) == ("Bosch", None, "I-9")
    assert (row.purchase_order_number, row.description, str(row.created_on)) == ("1000", "by truck", "2024-03-14")


def test_a_receipt_that_was_deleted_in_mpw_does_not_stand(store: Store) -> None:
    with store.write() as conn:
        tell(conn)
        conn.execute(text("update documents set entry_id = null, voided_at = first_seen_at where remote_id = '1'"))

    assert _rows(store, "select * from v_receipts") == []


def test_an_issuance_stands_as_mpw_has_it_now(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    (row,) = _rows(store, "select * from v_issuances")

    assert (row.id, row.api_key, row.quantity, row.amount, row.overdraft) == ("7", "mpw-i-7", 2, 5, 0)
    assert (row.name, row.description) == ("Fuel filter", "for pump 3")


def test_the_lines_of_an_order_are_shown(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    first, second = _rows(store, "select * from v_purchase_order_lines order by line_id")

    assert (first.number, first.line_id, first.part_number, first.unit) == ("1000", "51212", "P-1", "Each")
    assert (first.quantity, first.quantity_received, first.extended_cost) == (5, 2, 35)
    assert (second.quantity_received, Decimal(str(second.unit_cost)).normalize()) == (None, Decimal("3.2998"))


def test_the_tasks_of_a_work_order_are_shown(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    (row,) = _rows(store, "select * from v_work_order_tasks")

    assert tuple(row) == ("55", "425994", "repair3", "Repair", None)


def test_equipment_is_shown_with_the_provider_that_reported_it(store: Store) -> None:
    with store.write() as conn:
        tell(conn)

    (row,) = _rows(store, "select * from v_equipment")

    assert (row.id, row.name, row.status, row.category) == ("282774", "STX-333", "Active", "General")
    assert (row.assignee_name, row.assignee_number, row.provider) == ("Ann", "330", "geotab")
    assert str(row.last_recorded_on) == "2024-03-14"


ODD = (
    "{}",
    "[]",
    '{"items": 5, "tasks": null}',
    '{"items": {"id": 1}, "tasks": "x"}',
    '{"items": [7, null, "x", [], {"quantity": "ten", "unit_cost": {}}], "tasks": [7, "x"]}',
    '{"vendor_name": "a\\u0000b", "overdraft": "maybe", "last_recorded_on": "soon", "items": [{"name": "\\u0000"}]}',
    '{"pruned_on": "2024-03-14"}',
)


@pytest.mark.parametrize("raw", ODD)
@pytest.mark.parametrize(
    "view", ["v_receipts", "v_issuances", "v_equipment", "v_purchase_order_lines", "v_work_order_tasks"]
)
def test_whatever_a_vendor_sent_no_view_fails(view: str, raw: str, store: Store) -> None:
    with store.write() as conn:
        tell(conn)
        for table in ("documents", "purchase_orders", "work_orders"):
            conn.execute(text(f"update {table} set raw = :raw"), {"raw": raw})

    _rows(store, f"select * from {view}")


def test_what_waits_behind_an_unknown_push_says_so_and_the_items_stock_too(store: Store) -> None:
    behind = [push(f"K-{number}", entity_key="item:P-1") for number in range(21)]
    with store.write() as conn:
        add(conn, schema.items, {"external_id": "EXT-1", "part_number": "P-1", "factor": Decimal(1)})
        add(conn, schema.outbox, push("LOST", state="unknown", entity_key="item:P-1"), *behind)

    lost, *others = _rows(store, "select api_key, waits_for from v_outbox order by id")
    (stock,) = _rows(store, "select blocked_reason from v_stock")

    assert lost.waits_for == "what proves whether it took effect"
    assert {row.waits_for for row in others} == {"push 1 (post_receipt LOST), which is unknown"}
    assert stock.blocked_reason == "push 1 (post_receipt LOST) is unknown, and 21 wait behind it"


def test_a_push_says_what_it_waits_for(store: Store) -> None:
    with store.write() as conn:
        add(
            conn,
            schema.outbox,
            push("held", state="held"),
            push("first", entity_key="item:P-1", rank=0),
            push("second", entity_key="item:P-1", rank=1),
            push("hungry", entity_key="item:P-2", stock_awaited_since=NOON),
            push("again", entity_key="item:P-3", last_error="HTTP 503"),
            done("done"),
        )

    found = {row.api_key: row.waits_for for row in _rows(store, "select api_key, waits_for from v_outbox")}

    assert found == {
        "held": "a release",
        "first": "its turn",
        "second": "push 2 (post_receipt first), which goes first",
        "hungry": "stock in MPW",
        "again": "its next try",
        "done": None,
    }


def test_a_cost_that_mpws_inventory_does_not_show_is_the_ledgers(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.item_states, {"external_id": "E", "mpw_quantity": Decimal(3), "mpw_cost": Decimal("2.5")})

    (row,) = _rows(store, "select mpw_unit_cost from v_stock")

    assert row.mpw_unit_cost == Decimal("2.5")

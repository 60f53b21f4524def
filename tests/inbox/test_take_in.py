"""The ERP's door: every row is answered in its own row."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import insert, select, text, update

from sync.database.engine import Store
from sync.database.schema import documents, inbox, ledger_entries
from sync.jobs.reports import view
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import ISSUANCE, MAIN, RECEIPT, World, make_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


def entries(world: World) -> list[tuple[str, str, str, str, Decimal, Decimal]]:
    with world.store.read() as conn:
        rows = conn.execute(select(ledger_entries).order_by(ledger_entries.c.id))
        return [(r.system, r.kind, r.entry_type, r.warehouse, r.quantity, r.amount) for r in rows]


def test_a_receipt_is_accepted_and_in_the_ledger_with_its_exact_amount(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)

    world.reconcile()

    assert world.rows() == [("accepted", None)]
    assert entries(world) == [("erp", "receipt", "original", MAIN, Decimal(5), Decimal("49.95"))]


def test_an_issuance_takes_out_and_costs_nothing_of_our_guessing(world: World) -> None:
    world.erp("issuance", "erp-1", ISSUANCE)

    world.reconcile()

    assert entries(world) == [("erp", "issuance", "original", MAIN, Decimal(-2), Decimal(0))]


def test_a_transfer_is_one_event_of_two_entries(world: World) -> None:
    fields = {"part_number": "P-1", "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": "2.0"}
    world.erp("transfer", "erp-1", fields)

    world.reconcile()

    assert [(row[1], row[3], row[4]) for row in entries(world)] == [
        ("transfer", MAIN, Decimal(-2)),
        ("transfer", "WH2", Decimal(2)),
    ]
    assert world.push().payload == (
        '{"part_number":"P-1","warehouse_name":"Warehouse #1","destination_warehouse_name":"WH2","quantity":2}'
    )
    assert (world.push().operation, world.push().kind, world.push().entity_key) == (
        "post_transfer",
        "transfer",
        "item:P-1",
    )


def test_a_fraction_of_a_transfer_waits_like_one_of_an_issuance(world: World) -> None:
    fields = {"part_number": "P-1", "warehouse_name": MAIN, "destination_warehouse_name": "WH2", "quantity": 1.5}
    world.erp("transfer", "erp-1", fields)

    world.reconcile()

    assert (world.pushes(), world.told()) == ([], [("fractional_issuance", "transfer erp-1")])


def test_a_refused_row_names_everything_that_is_wrong(world: World) -> None:
    world.erp("receipt", "erp 1", {"part_number": "P-1", "quantity_received": 0, "unit_cost": "x"})

    world.reconcile()

    ((state, error),) = world.rows()
    assert state == "rejected"
    assert error is not None
    for wrong in ("api_key", "quantity_received", "unit_cost", "warehouse_name", "created_on"):
        assert wrong in error
    assert (entries(world), world.pushes(), world.told()) == ([], [], [("inbox_rejected", "receipt erp 1")])


@pytest.mark.parametrize(
    ("document_type", "api_key", "payload", "why"),
    [
        ("receipt", "k_s1", RECEIPT, "_s and a number"),
        ("issuance", "k_c2", ISSUANCE, "_c and a number"),
        ("receipt", "mpw-r-1", RECEIPT, "mpw-r-"),
        ("issuance", "mps-abc-1", ISSUANCE, "mps-"),
        ("receipt", "mpsync-stock-1", RECEIPT, "mpsync-"),
        ("po_approval", "mpsync-po-1000", {"purchase_order_number": 1000, "approved_by": "a"}, "mpsync-"),
        ("receipt", None, RECEIPT, "api_key is missing"),
        ("receipt", "a/b", RECEIPT, "api_key may hold"),
        ("receipt", "k", "[1]", "no JSON object"),
        ("receipt", "k", "{", "no JSON"),
        ("receipt", "k", None, "payload is empty"),
        ("invoice", "k", RECEIPT, "document_type"),
        (None, "k", RECEIPT, "document_type"),
        ("receipt", "k", RECEIPT | {"api_key": "other"}, "the row's is"),
        ("receipt", "k", {name: value for name, value in RECEIPT.items() if name != "created_on"}, "created_on is req"),
        ("receipt", "k", RECEIPT | {"created_on": "15.03.2024"}, "created_on"),
        ("receipt", "k", RECEIPT | {"quantity_received": -1}, "above 0"),
        ("receipt", "k", RECEIPT | {"unit_cost": "1e13", "quantity_received": "1e6"}, "too large"),
        ("receipt", "k", RECEIPT | {"part_number": "a\u0000b"}, "control characters"),
        ("issuance", "k", ISSUANCE | {"task_name": "t"}, "belong together"),
        (
            "issuance",
            "k",
            ISSUANCE | {"equipment_unit_number": "1", "work_order_sequential_id": 1, "task_name": "t"},
            "would not issue to the work order",
        ),
        ("stock_cost", "k", {"external_id": "E", "new_stock": -1, "new_cost": 1}, "new_stock"),
        ("void", "k", {"kind": "transfer"}, "receipt or issuance"),
        ("void", "mpw-r-1", {"kind": "receipt"}, "only be deleted there"),
        (
            "transfer",
            "k",
            {"part_number": "P", "warehouse_name": "A", "destination_warehouse_name": "A", "quantity": 1},
            "same",
        ),
    ],
)
def test_what_is_wrong_is_rejected_with_the_reason(
    world: World, document_type: str | None, api_key: str | None, payload: object, why: str
) -> None:
    world.erp(document_type, api_key, payload)  # type: ignore[arg-type]

    world.reconcile()

    ((state, error),) = world.rows()
    assert (state, why in (error or "")) == ("rejected", True), error
    assert world.pushes() == []


def test_the_same_document_again_is_accepted_and_does_nothing(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("receipt", "erp-1", {**RECEIPT, "quantity_received": "5.0"})
    world.reconcile()
    world.erp("receipt", "erp-1", dict(reversed(RECEIPT.items())))

    world.reconcile()

    assert world.rows() == [("accepted", None)] * 3
    assert len(entries(world)) == 1
    assert len(world.pushes()) == 1


def test_another_content_under_the_key_is_refused_and_told(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("receipt", "erp-1", RECEIPT | {"quantity_received": 6})

    world.reconcile()

    assert [state for state, _ in world.rows()] == ["accepted", "rejected"]
    assert world.told() == [("inbox_conflict", "receipt erp-1")]
    assert len(entries(world)) == 1


def test_receipts_and_issuances_are_separate_name_spaces(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("issuance", "erp-1", ISSUANCE)

    world.reconcile()

    assert world.rows() == [("accepted", None)] * 2
    assert {row.operation for row in world.pushes()} == {"post_receipt", "post_issuance"}


def test_what_was_refused_may_come_again_corrected(world: World) -> None:
    world.erp("receipt", "erp-1", {})
    world.reconcile()
    world.erp("receipt", "erp-1", RECEIPT)

    world.reconcile()

    assert [state for state, _ in world.rows()] == ["rejected", "accepted"]


def test_a_void_reverses_the_erps_own_entry_and_closes_the_key(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("void", "erp-1", {"kind": "receipt"})
    world.reconcile()
    world.erp("receipt", "erp-1", RECEIPT)
    world.erp("receipt", "erp-2", RECEIPT)

    world.reconcile()

    assert [state for state, _ in world.rows()] == ["accepted"] * 4
    assert [(row[2], row[4]) for row in entries(world)] == [
        ("original", Decimal(5)),
        ("reversal", Decimal(-5)),
        ("original", Decimal(5)),
    ]
    assert [row.api_key for row in world.pushes() if row.state == "ready"] == ["erp-2"]


def test_a_void_of_a_key_that_never_existed_is_refused_with_the_keys_that_are_near(world: World) -> None:
    world.erp("receipt", "ERP-2024-117", RECEIPT)
    world.erp("void", "erp-2024-117", {"kind": "receipt"})
    world.erp("void", "ERP-2024-117", {"kind": "issuance"})
    world.reconcile()

    assert [state for state, _ in world.rows()] == ["accepted", "rejected", "rejected"]
    reasons = [error or "" for _, error in world.rows()]
    assert "unknown key: no system knows a receipt erp-2024-117 (is ERP-2024-117 meant?)" in reasons[1]
    assert "unknown key: no system knows an issuance ERP-2024-117, so" in reasons[2]
    assert [row.operation for row in world.pushes()] == ["post_receipt"]

    world.erp("void", "ERP-2024-117", {"kind": "receipt"})
    world.reconcile()

    assert world.rows()[3] == ("accepted", None)


def test_a_void_that_came_before_its_receipt_is_sent_again(world: World) -> None:
    world.erp("void", "erp-1", {"kind": "receipt"})
    world.reconcile()
    world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()
    assert world.told() == [("inbox_rejected", "void erp-1")]

    world.erp("void", "erp-1", {"kind": "receipt"})
    world.reconcile()

    assert world.told() == []
    assert [row.state for row in world.pushes()] == ["superseded"]


def test_a_void_of_what_mpw_alone_has_is_accepted(world: World) -> None:
    world.mpw_entry("receipt", "erp-1")
    world.erp("void", "erp-1", {"kind": "receipt"})

    world.reconcile()

    assert world.rows() == [("accepted", None)]
    assert [row.operation for row in world.pushes()] == ["delete_receipt"]


def test_a_state_of_null_counts_as_received(world: World) -> None:
    with world.store.write() as conn:
        values = {"document_type": "receipt", "api_key": "erp-1", "payload": json.dumps(RECEIPT), "state": None}
        conn.execute(insert(inbox).values(received_at=None, **values))

    world.reconcile()

    assert world.rows() == [("accepted", None)]
    with world.store.read() as conn:
        row = conn.execute(select(inbox)).one()
    assert row.received_at is not None
    assert row.decided_at == world.clock.now()


def test_what_sqlite_takes_for_text_and_time_stops_no_row_behind_it(sqlite_store: Store, clock: FakeClock) -> None:
    world = make_world(sqlite_store, clock)
    good = json.dumps(RECEIPT)
    latin = json.dumps(RECEIPT | {"invoice_number": "Müller"}, ensure_ascii=False).encode("latin-1")
    statement = "insert into inbox (document_type, api_key, payload, received_at) values (:type, :key, "
    with world.store.write() as conn:
        conn.execute(
            text(statement + "cast(:payload as blob), '15/03/2024')"),
            {"type": "receipt", "key": "erp-1", "payload": good.encode()},
        )
        conn.execute(
            text(statement + "cast(:payload as text), '2024-03-15 09:30:00')"),
            {"type": "receipt", "key": "erp-2", "payload": latin},
        )
    world.erp("receipt", "erp-3", RECEIPT)

    world.reconcile()

    (first, _), (second, reason), (third, _) = world.rows()
    assert (first, second, third) == ("accepted", "rejected", "accepted")
    assert reason is not None
    assert "no JSON" in reason
    with world.store.read() as conn:
        rows = view(conn, "v_inbox")
    assert rows[0]["payload"] == good
    assert rows[0]["received_at"] == clock.now()
    assert rows[1]["received_at"].isoformat() == "2024-03-15T09:30:00+00:00"
    assert "M\\xfcller" in rows[1]["payload"]


def test_a_decided_row_is_not_decided_again(world: World) -> None:
    row_id = world.erp("receipt", "erp-1", RECEIPT)
    with world.store.write() as conn:
        conn.execute(update(inbox).where(inbox.c.id == row_id).values(state="rejected", error="by hand"))

    counts = world.reconcile()

    assert world.rows() == [("rejected", "by hand")]
    assert counts.seen == 0


def test_fields_that_no_call_takes_are_kept_and_named(world: World) -> None:
    world.erp("receipt", "erp-1", RECEIPT | {"buyer": "Ann"})

    world.reconcile()

    ((state, error),) = world.rows()
    assert state == "accepted"
    assert "buyer" in (error or "")
    assert "Ann" not in world.push().payload
    with world.store.read() as conn:
        assert "Ann" in conn.execute(select(documents.c.raw)).scalar_one()


def test_an_envelope_and_capital_letters_are_understood(world: World) -> None:
    fields = {name.title(): value for name, value in RECEIPT.items()}
    world.erp(" Receipt ", None, {"receipt": fields | {"Api_Key": "erp-1"}})

    world.reconcile()

    assert world.rows() == [("accepted", None)]
    assert world.push().api_key == "erp-1"


def test_hundreds_of_documents_are_taken_in_whole(world: World) -> None:
    with world.store.write() as conn:
        rows = [{"document_type": "receipt", "api_key": f"k{n}", "payload": json.dumps(RECEIPT)} for n in range(1203)]
        conn.execute(insert(inbox), rows)

    world.reconcile()

    assert {state for state, _ in world.rows()} == {"accepted"}
    assert len(entries(world)) == 1203
    assert len(world.pushes()) == 1203

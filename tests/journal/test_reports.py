"""What a controller closes a month with."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from sync.database.schema import inventories, purchase_orders, work_orders
from sync.journal import corrections, report_rows, reports
from sync.journal.batches import export_journal
from tests.journal.books import Books
from tests.journal.test_derive import push_done, transfer

TODAY = date(2024, 6, 30)


def order(books: Books, number: str, *lines: tuple[str, str, str]) -> None:
    """Let MPW show an order with lines of (part, quantity, price)."""
    items = [
        {"id": n, "part_number": p, "quantity": float(q), "unit_cost": float(c)} for n, (p, q, c) in enumerate(lines)
    ]
    values: dict[str, Any] = {
        "number": number,
        "status": "ordered",
        "created_on": date(2024, 1, 1),
        "lines": len(lines),
    }
    now = books.clock.now()
    times = {"first_read_at": now, "last_read_at": now, "changed_at": now, "final": False}
    texts = {"terms_digest": "t", "digest": "d", "raw": json.dumps({"sequential_id": number, "items": items})}
    with books.store.write() as conn:
        conn.execute(insert(purchase_orders).values(**values, **times, **texts))


def receipt(books: Books, n: int, quantity: str, cost: str, po: int | None, day: date, item: str = "P-1") -> None:
    raw = {"vendor_name": "Bosch", "purchase_order_number": po}
    books.receive(f"mpw-r-{n}", quantity, cost, remote_id=str(n), item=item, raw=raw, occurred_on=day)


def test_grni_ties_to_the_account_and_says_how_old_and_what_is_odd(books: Books) -> None:
    order(books, "1", ("P-1", "5", "2"))
    receipt(books, 1, "5", "2", 1, date(2024, 6, 20))
    receipt(books, 2, "1", "2", 1, date(2024, 5, 1), item="P-2")
    receipt(books, 3, "1", "3", 77, date(2024, 4, 15))
    receipt(books, 4, "1", "4", None, date(2024, 2, 1))
    books.book()

    with books.store.read() as conn:
        found = reports.grni(conn, today=TODAY)

    assert [(line["age"], line["flag"], line["amount"]) for line in found.lines] == [
        ("over 90", "no order", Decimal(4)),
        ("61 to 90", "order not known", Decimal(3)),
        ("31 to 60", "part not on the order", Decimal(2)),
        ("to 30 days", None, Decimal(10)),
    ]
    assert f"{-found.total:.2f}" == books.balances()["2150"]
    assert sum(found.by_age.values()) == found.total


def test_more_than_was_ordered_is_flagged(books: Books) -> None:
    order(books, "1", ("P-1", "5", "2"))
    receipt(books, 1, "6", "2", 1, date(2024, 6, 20))
    books.book()

    with books.store.read() as conn:
        [line] = reports.grni(conn, today=TODAY).lines

    assert line["flag"] == "more than ordered"


def test_a_price_that_is_not_the_orders_is_a_variance(books: Books) -> None:
    order(books, "1", ("P-1", "9", "2"), ("P-2", "1", "5"), ("P-2", "1", "6"), ("P-3", "1", "7"))
    receipt(books, 1, "3", "2.5", 1, date(2024, 6, 20))
    receipt(books, 2, "1", "5", 1, date(2024, 6, 20), item="P-2")
    receipt(books, 3, "1", "7", 1, date(2024, 6, 20), item="P-3")
    books.book()

    with books.store.read() as conn:
        rows = reports.variances(conn)

    assert [(row["item"], row["variance"], row["note"]) for row in rows] == [
        ("P-1", Decimal("1.5"), None),
        ("P-2", None, "the order has 2 prices"),
    ]


def test_costs_stand_beside_the_work_orders_own(books: Books) -> None:
    values = {"system": "mpw", "number": "17", "title": "Brakes", "status": "Open", "parts_cost": Decimal(9)}
    raw = json.dumps({"sequential_id": 17, "equipment_name": "LDR-4"})
    with books.store.write() as conn:
        conn.execute(insert(work_orders).values(**values, digest="d", raw=raw, last_read_at=books.clock.now()))
    books.issue("mpw-i-1", "2", "5", raw={"description": "wo:17"})
    books.issue("mpw-i-2", "1", "3")
    books.book()

    with books.store.read() as conn:
        rows = report_rows.issue_costs(conn)

    assert [(row["work_order"], row["equipment"], row["amount"], row["mpw_parts_cost"]) for row in rows] == [
        ("17", "LDR-4", Decimal(10), Decimal(9)),
        (None, None, Decimal(3), None),
    ]


def test_the_tie_out_says_where_the_value_of_stock_is(books: Books, tmp_path: Path) -> None:
    receipt(books, 1, "3", "0.333333", None, date(2024, 3, 1))
    books.append("erp", "receipt", "ERP-1", "4", "10")
    books.receive("ERP-1", "7", "12")
    books.book()
    export_journal(books.context(), tmp_path / "a.csv", format_="csv", by="test")
    receipt(books, 2, "1", "5", None, date(2024, 3, 1), item="P-2")
    receipt(books, 3, "1", "2", None, date(2024, 3, 1), item="P-3")
    books.book()
    corrections.set_held(books.context(), [4], held=True, why="asked", by="controller")
    with books.store.write() as conn:
        for part, quantity in (("P-1", "10"), ("P-2", "2")):
            values = {"warehouse": "Main", "part_number": part, "found": True, "quantity": Decimal(quantity)}
            conn.execute(insert(inventories).values(**values, read_at=books.clock.now()))

    with books.store.read() as conn:
        found = reports.tie_out(conn).as_dict()

    assert found["wrong"] == []
    assert found["difference"] == 0
    assert found["inventory_accounts"] == Decimal("92.00")
    assert found["booked_by_the_erp"] == Decimal("84.00")
    assert (found["in_batches"], found["waiting"], found["held"]) == (Decimal("1.00"), Decimal("5.00"), Decimal("2.00"))
    assert [(row["item"], row["mpw_quantity"]) for row in found["quantities_that_differ"]] == [("P-2", Decimal(2))]
    [differs] = found["differs_from_erp"]
    assert (differs["api_key"], differs["amount"], differs["erp_amount"]) == ("ERP-1", Decimal(84), Decimal(40))


def test_the_months_statement_leads_from_its_opening_to_its_closing(books: Books) -> None:
    receipt(books, 1, "4", "2.5", None, date(2024, 2, 10))
    receipt(books, 2, "2", "2.5", None, date(2024, 3, 5))
    books.issue("mpw-i-1", "1", "2.5", occurred_on=date(2024, 3, 6))
    transfer(books, "T-1", "1")
    books.book()
    push_done(books, "T-1")
    books.book()
    said: dict[str, Any] = {"use": "variance", "why": "counted", "by": "controller"}
    corrections.adjust(
        books.context(),
        [(2, {"item": "P-1", "warehouse": "Main", "quantity": "-1", "value": "-2.50"})],
        on=date(2024, 3, 31),
        **said,
    )
    receipt(books, 3, "1", "9", None, date(2024, 4, 1))
    books.book()

    with books.store.read() as conn:
        rows = reports.statement(conn, date(2024, 3, 1))

    names = ("warehouse", "account", "opening", "received", "issued", "transferred", "adjusted", "closing")
    assert [tuple(str(row[name]).removesuffix("0000") for name in names) for row in rows] == [
        ("Main", "1410", "10.00", "5.00", "-2.50", "-2.50", "-2.50", "7.50"),
        ("WH2", "1420", "0", "0", "0", "2.50", "0", "2.50"),
    ]


@pytest.mark.parametrize("name", ["grni", "tieout", "costs", "variance"])
def test_each_report_is_a_command_and_a_file(
    sqlite_books: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    from sync.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    order(sqlite_books, "1", ("P-1", "1", "2"))
    receipt(sqlite_books, 1, "5", "2.1", 1, date(2024, 3, 1))
    sqlite_books.issue("mpw-i-1", "1", "2.1")
    sqlite_books.book()

    assert main(["journal", name, "--csv", "out.csv"]) == 0

    assert len((tmp_path / "out.csv").read_text().splitlines()) > 1

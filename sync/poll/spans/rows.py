"""Purchase orders and work orders as the vendors show them now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks, upsert
from sync.database.schema import purchase_orders, work_orders
from sync.ledger.books import Books
from sync.reconcile.approval_terms import stands


def order(conn: Connection, number: str) -> Row[Any] | None:
    """Return a purchase order, or None where it is not known."""
    return conn.execute(select(purchase_orders).where(purchase_orders.c.number == number)).first()


def ordered_read_at(conn: Connection, number: str) -> datetime | None:
    """Return when the reading began that last saw an order become ordered, whatever it is by now; None: none did."""
    query = select(purchase_orders.c.ordered_at).where(purchase_orders.c.number == number)
    return conn.execute(query).scalar_one_or_none()


def save_orders(books: Books, rows: Sequence[dict[str, Any]], *, began_at: datetime) -> tuple[int, int]:
    """Store purchase orders; return how many are new and how many differ from before. Equal ones are not written.

    `began_at` is when the reading that shows them began.

    A row has number, status, created_on, vendor_name, warehouse_name, total_cost, lines, terms_digest,
    digest, raw and final. `changed_at` moves only when the status or the terms do.
    """
    known: dict[str, Row[Any]] = {}
    for chunk in chunks(row["number"] for row in rows):
        query = select(
            purchase_orders.c.number,
            purchase_orders.c.digest,
            purchase_orders.c.terms_digest,
            purchase_orders.c.status,
            purchase_orders.c.changed_at,
            purchase_orders.c.ordered_at,
        )
        known.update({row.number: row for row in books.conn.execute(query.where(purchase_orders.c.number.in_(chunk)))})
    new = [row for row in rows if row["number"] not in known]
    changed = [row for row in rows if row["number"] in known and known[row["number"]].digest != row["digest"]]
    if new:
        made = {"first_read_at": books.now, "last_read_at": books.now, "changed_at": books.now}
        books.conn.execute(
            insert(purchase_orders), [{**row, **made, "ordered_at": _ordered_at(row, None, began_at)} for row in new]
        )
    if changed:
        _update(
            books.conn,
            [
                {
                    **row,
                    **_times(row, known[row["number"]], books.now),
                    "ordered_at": _ordered_at(row, known[row["number"]], began_at),
                }
                for row in changed
            ],
        )
    return len(new), len(changed)


def _ordered_at(row: dict[str, Any], before: Row[Any] | None, began_at: datetime) -> datetime | None:
    """Return since when an order is ordered as far as we saw; one that is not any more keeps when it last was."""
    was = before.ordered_at if before is not None else None
    if stands(row["status"]) != "ordered":
        return was
    same = before is not None and stands(before.status) == "ordered"
    return was if same and was is not None else began_at


def _times(row: dict[str, Any], before: Row[Any], now: datetime) -> dict[str, datetime]:
    same = (row["terms_digest"], row["status"]) == (before.terms_digest, before.status)
    return {"last_read_at": now, "changed_at": before.changed_at if same else now}


def _update(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "number"]
    statement = (
        update(purchase_orders)
        .where(purchase_orders.c.number == bindparam("b_number"))
        .values({name: bindparam(f"b_{name}", type_=purchase_orders.c[name].type) for name in columns})
    )
    conn.execute(statement, [{f"b_{name}": value for name, value in row.items()} for row in rows])


def open_order_days(conn: Connection) -> list[date]:
    """Return the creation days of the orders that are not final: they can be read by these only."""
    query = select(purchase_orders.c.created_on).where(~purchase_orders.c.final).distinct()
    return sorted(conn.execute(query).scalars())


def save_work_orders(conn: Connection, rows: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Store work orders; return how many are new and how many differ from before. Equal ones are not written."""
    known: dict[str, str] = {}
    for system in {row["system"] for row in rows}:
        for chunk in chunks(row["number"] for row in rows if row["system"] == system):
            query = select(work_orders.c.number, work_orders.c.digest).where(
                work_orders.c.system == system, work_orders.c.number.in_(chunk)
            )
            known.update((f"{system} {number}", digest) for number, digest in conn.execute(query))
    differing = [row for row in rows if known.get(f"{row['system']} {row['number']}") != row["digest"]]
    if differing:
        columns = [name for name in differing[0] if name not in ("system", "number")]
        upsert(conn, work_orders, differing, key=("system", "number"), update=columns)
    new = sum(1 for row in differing if f"{row['system']} {row['number']}" not in known)
    return new, len(differing) - new

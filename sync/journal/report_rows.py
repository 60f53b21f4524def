"""What is shown of the journal, read from the public views: the same rows that a controller's SQL sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, select, text

from sync.database.chunks import chunks
from sync.database.schema import purchase_orders
from sync.journal.account_rows import load_rules
from sync.values.money import from_micros

Record = dict[str, Any]
_DAYS = ("occurred_on", "posted_on", "booked_on", "erp_booked_on", "received_on", "billed_on")


def ask(conn: Connection, sql: str, values: Mapping[str, Any] | None = None) -> list[Record]:
    """Return rows by column name, of the same types on both databases: `…_micros` become exact decimals.

    A column whose exact number is there too (`amount` beside `amount_micros`) gives way to it.
    """
    return [_alike(row._asdict()) for row in conn.execute(text(sql), dict(values or {}))]


def _alike(row: Mapping[str, Any]) -> Record:
    found: Record = {}
    for name, value in row.items():
        if name.endswith("_micros"):
            found[name.removesuffix("_micros")] = None if value is None else from_micros(value)
        elif name in _DAYS and isinstance(value, str):
            found[name] = date.fromisoformat(value)
        elif f"{name}_micros" not in row:
            found[name] = value
    return found


LINES = """
select entry_id, line, posted_on, kind, api_key, account, amount_micros, item, warehouse, cost_center, booked_by,
    origin, document, seq
from v_journal
"""


def lines_of_key(conn: Connection, api_key: str) -> list[Record]:
    """Return an event's lines."""
    return ask(conn, LINES + " where api_key = :key order by entry_id, line", {"key": api_key})


def lines_of_document(conn: Connection, number: str) -> list[Record]:
    """Return the lines that a document is made of, entry by entry."""
    sql = (
        "select j.entry_id, j.line, j.posted_on, j.kind, j.api_key, j.account, j.amount_micros, j.item, j.warehouse,"
        " j.cost_center, j.booked_by, j.origin, j.document, j.seq from journal_documents as d"
        " join journal_batch_entries as b on b.document_id = d.id join v_journal as j on j.entry_id = b.entry_id"
        " where d.number = :number order by j.entry_id, j.line"
    )
    return ask(conn, sql, {"number": number})


def document(conn: Connection, number: str) -> Record | None:
    """Return a document by its number, None where there is none."""
    return next(iter(ask(conn, "select * from v_journal_documents where number = :number", {"number": number})), None)


@dataclass(frozen=True, slots=True)
class Totals:
    """What the journal holds in all: accounts, and entries by who books them, each with example keys."""

    accounts: list[Record]
    by_whom: dict[str, int]
    erp_keys: list[str]


def totals(conn: Connection) -> Totals:
    """Return debit, credit and balance of each account with its name, and how many entries are whose."""
    found = ask(
        conn,
        "select account, sum(case when amount_micros > 0 then amount_micros else 0 end) as debit_micros,"
        " -sum(case when amount_micros < 0 then amount_micros else 0 end) as credit_micros,"
        " sum(amount_micros) as balance_micros from v_journal group by account order by account",
    )
    names = names_of_accounts(conn)
    counted = conn.execute(text("select booked_by, count(*) from journal_entries group by booked_by")).all()
    keys = conn.execute(
        text("select distinct api_key from journal_entries where booked_by = 'erp' order by api_key limit 5")
    ).scalars()
    return Totals(
        [{"account": row["account"], "name": names.get(row["account"], ""), **row} for row in found],
        {by: int(n) for by, n in counted},
        list(keys),
    )


def names_of_accounts(conn: Connection) -> dict[str, str]:
    """Return what the rules call each account; the first rule that names it has the word."""
    named: dict[str, str] = {}
    for rule in load_rules(conn)[1]:
        if rule.name:
            named.setdefault(rule.account, rule.name)
    return named


def held(conn: Connection) -> list[Record]:
    """Return what is held, oldest first."""
    return ask(conn, "select * from v_journal_held order by seq")


def unposted(conn: Connection) -> list[Record]:
    """Return what is in no account, with its reason."""
    return ask(conn, "select * from v_journal_unposted order by seq")


# --- what a controller closes a month with ------------------------------------------------


def grni(conn: Connection) -> list[Record]:
    """Return what was received and is not invoiced, oldest first."""
    return ask(conn, "select * from v_grni order by received_on, purchase_order, vendor, item, warehouse")


def issue_costs(conn: Connection) -> list[Record]:
    """Return what issues cost, by equipment and work order, what has neither last."""
    return ask(
        conn,
        "select * from v_issue_costs order by case when equipment is null and work_order is null then 1 else 0 end,"
        " work_order, equipment, account",
    )


def stock_value(conn: Connection, *, before: date, since: date | None = None) -> list[Record]:
    """Return movements of the value of stock by warehouse, account and movement, from `since` to before a day."""
    values: dict[str, Any] = {"before": _bound(conn, before)}
    if since is not None:
        values["since"] = _bound(conn, since)
    sql = (
        "select warehouse, account, movement, cast(sum(amount_micros) as bigint) as amount_micros from v_stock_value"
        " where posted_on < :before {since} group by warehouse, account, movement order by warehouse, account, movement"
    )
    return ask(conn, sql.format(since="and posted_on >= :since" if since is not None else ""), values)


def _bound(conn: Connection, day: date) -> Any:
    return day.isoformat() if conn.dialect.name == "sqlite" else day


def stock_by_whom(conn: Connection) -> dict[str, int]:
    """Return what the accounts of stock hold by who booked it, in millionths."""
    sql = "select booked_by, sum(amount_micros) from v_stock_value group by booked_by"
    return {by: int(amount) for by, amount in conn.execute(text(sql))}


def stock_given(conn: Connection) -> int:
    """Return what of the accounts of stock the ERP was given, in millionths."""
    sql = (
        "select coalesce(sum(e.amount + case when e.counter_warehouse is null then 0 else e.counter_amount end), 0)"
        " from journal_batch_entries as b join journal_entries as e on e.id = b.entry_id where not exists ("
        " select 1 from journal_positions as p where p.item = e.item and p.warehouse = coalesce(e.warehouse, '')"
        " and p.account = 'expense')"
    )
    return int(conn.execute(text(sql)).scalar_one())


def stock_kept_out(conn: Connection) -> int:
    """Return what of the accounts of stock a person keeps out of batches, in millionths."""
    sql = (
        "select coalesce(sum(e.amount + case when e.counter_warehouse is null then 0 else e.counter_amount end), 0)"
        " from journal_entries as e join journal_holds as h on h.entry_id = e.id and h.id = ("
        " select max(id) from journal_holds as l where l.entry_id = e.id) where h.held"
        " and not exists (select 1 from journal_batch_entries as b where b.entry_id = e.id)"
    )
    return int(conn.execute(text(sql)).scalar_one())


def quantities_off(conn: Connection) -> tuple[int, list[Record]]:
    """Return of how many positions MPW's stock was read, and those that MPW shows otherwise."""
    read = int(
        conn.execute(
            text(
                "select count(*) from journal_positions as p join inventories as i on i.part_number = p.item"
                " and i.warehouse = p.warehouse where i.found"
            )
        ).scalar_one()
    )
    rows = ask(
        conn,
        "select p.item, p.warehouse, p.quantity as quantity_micros, i.quantity as mpw_quantity_micros,"
        " p.booked as booked_micros from journal_positions as p join inventories as i on i.part_number = p.item"
        " and i.warehouse = p.warehouse where i.found and i.quantity <> p.quantity order by p.item, p.warehouse",
    )
    return read, rows


def value_without_quantity(conn: Connection) -> list[Record]:
    """Return positions that hold value though nothing is left of them."""
    return ask(
        conn,
        "select item, warehouse, account, booked as booked_micros, value as value_micros from journal_positions"
        " where quantity = 0 and booked <> 0 order by item, warehouse",
    )


def differs_from_erp(conn: Connection) -> list[Record]:
    """Return events that the ERP booked itself and of which MPW says otherwise: the ERP does not know that.

    Of an issuance the ERP's document has no cost, so only quantities are compared.
    """
    return ask(
        conn,
        "select j.kind, j.api_key, j.quantity as quantity_micros, l.quantity as erp_quantity_micros,"
        " j.amount as amount_micros, l.amount as erp_amount_micros from ("
        " select kind, api_key, sum(quantity) as quantity, -sum(counter_amount) as amount from journal_entries"
        " where booked_by = 'erp' and kind <> 'transfer' group by kind, api_key) as j"
        " join (select kind, api_key, sum(quantity) as quantity, sum(amount) as amount from ledger_entries"
        " where system = 'erp' group by kind, api_key) as l on l.kind = j.kind and l.api_key = j.api_key"
        " where j.quantity <> l.quantity or (j.kind = 'receipt' and abs(j.amount - l.amount) >= 10000)"
        " order by j.kind, j.api_key",
    )


def orders_raw(conn: Connection, numbers: list[str]) -> dict[str, str]:
    """Return orders as MPW shows them, by number."""
    found: dict[str, str] = {}
    for chunk in chunks(numbers):
        query = select(purchase_orders.c.number, purchase_orders.c.raw).where(purchase_orders.c.number.in_(chunk))
        found |= {number: raw for number, raw in conn.execute(query)}  # noqa: C416
    return found


def stock_accounts(conn: Connection) -> list[str]:
    """Return the accounts that hold stock."""
    sql = "select distinct account from journal_positions where account <> 'expense' order by account"
    return list(conn.execute(text(sql)).scalars())

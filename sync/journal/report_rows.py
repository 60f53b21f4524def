"""What is shown of the journal, read from the public views: the same rows that a controller's SQL sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

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

"""What the commands show, read from the public views: the same rows that an operator's SQL sees."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row
from sqlalchemy.exc import OperationalError

from sync.database.types import instant_text
from sync.inbox.rules import COMMAND_TYPES, LEDGER_TYPES, VOID
from sync.ledger.rules import ADJUSTMENT
from sync.values.money import fixed
from sync.values.policy import OPEN_STATES, Policy

Record = dict[str, Any]

INSTANTS = frozenset({"gap_from", "gap_to", "oldest", "since"})
DAYS = frozenset({"day", "first_day", "last_day"})

TRIED_BY_ITSELF = frozenset({"source_failed", "unasked"})
"""What `status` tells although nothing is to be decided: each row is a reason of its own."""

TRIED_AGAIN = "(it is tried again by itself; if it lasts: mpsync doctor)"


def rows(conn: Connection, sql: str, **values: Any) -> list[Record]:
    """Run a statement of ours and return its rows by column name, of the same types on both databases."""
    try:
        found = conn.execute(text(sql), values).all()
    except OperationalError as error:
        if conn.dialect.name != "sqlite" or "decode to UTF-8" not in str(error.orig):
            raise
        found = _in_any_encoding(conn, sql, values)
    return [{name: _alike(name, value) for name, value in row._mapping.items()} for row in found]


def _in_any_encoding(conn: Connection, sql: str, values: Record) -> Sequence[Row[Any]]:
    """Run a statement over text that is no UTF-8: SQLite keeps what the ERP gave it until the inbox is looked at."""
    raw: Any = conn.connection.dbapi_connection
    before = raw.text_factory
    raw.text_factory = _readable
    try:
        return conn.execute(text(sql), values).all()
    finally:
        raw.text_factory = before


def _readable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _alike(name: str, value: Any) -> Any:
    """SQLite's views give text for instants and days, and floats for decimals; PostgreSQL's give the real thing.

    What is no instant though it should be one (SQLite takes anything from an ERP) stays as it is.
    """
    if isinstance(value, bytes):
        return _readable(value)
    if isinstance(value, float):
        return fixed(format(value, ".6f"))
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            if name.endswith("_at") or name in INSTANTS:
                return datetime.fromisoformat(value)
            if name.endswith("_on") or name in DAYS:
                return date.fromisoformat(value)
    return value


def view(
    conn: Connection,
    name: str,
    *,
    where: Mapping[str, Any] | None = None,
    order: str = "id",
    limit: int | None = None,
) -> list[Record]:
    """Return a view's rows where each named column equals its value (None: is null; a list: any of it).

    `name`, the columns and `order` come from the program, never from input; values are bound.
    """
    conditions, values = _conditions(where or {})
    sql = f"select * from {name}{conditions} order by {order}"  # noqa: S608 - names are the program's own
    if limit is not None:
        sql += " limit :limit_"
        values["limit_"] = limit
    return rows(conn, sql, **values)


def _conditions(where: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    values: dict[str, Any] = {}
    for position, (column, value) in enumerate(where.items()):
        if value is None:
            parts.append(f"{column} is null")
        elif isinstance(value, (list, tuple)):
            names = [f"v{position}_{n}" for n in range(len(value))]
            parts.append(f"{column} in ({', '.join(':' + name for name in names)})" if names else "1 = 0")
            values.update(zip(names, value, strict=True))
        else:
            parts.append(f"{column} = :v{position}")
            values[f"v{position}"] = value
    return (" where " + " and ".join(parts) if parts else ""), values


def coverage_summary(conn: Connection) -> list[Record]:
    """Return each source's days: first, last, how many complete, last read, how many readings fail.

    A source without days (MPservices' work orders) is there too, with none. What fails is a day that could not be
    read, or the last reading of a whole feed.
    """
    found = rows(
        conn,
        "select source, min(day) as first_day, max(day) as last_day, sum(complete) as complete, count(*) as days,"
        " sum(rows) as rows, max(last_read_at) as last_read_at,"
        " sum(case when error is not null then 1 else 0 end) as failing"
        " from v_coverage group by source",
    )
    by_source = {row["source"]: row for row in found}
    empty = {
        "first_day": None,
        "last_day": None,
        "complete": 0,
        "days": 0,
        "rows": 0,
        "last_read_at": None,
        "failing": 0,
    }
    for feed in rows(conn, "select source, last_read_at, error from feeds"):
        row = by_source.setdefault(feed["source"], {"source": feed["source"], **empty})
        row["last_read_at"] = max(filter(None, (row["last_read_at"], feed["last_read_at"])), default=None)
        row["failing"] += int(feed["error"] is not None and row["failing"] == 0)
    return [by_source[source] for source in sorted(by_source)]


def outbox_summary(conn: Connection) -> list[Record]:
    """Return how many pushes of each route are in each state, and the oldest."""
    return rows(
        conn,
        "select route, state, count(*) as pushes, min(created_at) as oldest from v_outbox"
        " group by route, state order by route, state",
    )


def last_runs(conn: Connection) -> list[Record]:
    """Return the last run of each flow."""
    return rows(
        conn,
        "select r.* from v_runs r join (select flow, max(id) as id from v_runs group by flow) l on l.id = r.id"
        " order by r.flow",
    )


def event_story(conn: Connection, api_key: str) -> Record:
    """Return everything known under a key: events, entries, documents, pushes, attempts, exceptions, inbox."""
    again = rows(conn, "select pushed_key from corrections where api_key = :key order by n", key=api_key)
    pushes = view(conn, "v_outbox", where={"api_key": [api_key, *(row["pushed_key"] for row in again)]})
    return {
        "api_key": api_key,
        "events": view(conn, "v_events", where={"api_key": api_key}, order="kind"),
        "entries": view(conn, "v_ledger", where={"api_key": api_key}, order="seq"),
        "documents": rows(
            conn,
            "select system, type, remote_id, day, first_seen_at, last_seen_at, missing_since, voided_at, raw"
            " from documents where api_key = :key or id in (select d.id from documents d join movement_lines m"
            " on d.remote_id = m.movement_id and d.type = 'movement' where m.api_key = :key) order by id",
            key=api_key,
        ),
        "pushes": pushes,
        "attempts": view(
            conn, "v_attempts", where={"outbox_id": [push["id"] for push in pushes]}, order="outbox_id, n"
        ),
        "parts": rows(
            conn,
            "select p.api_key, p.quantity / 1000000.0 as quantity, p.state, p.remote_id from issuance_parts p"
            " join outbox o on o.id = p.outbox_id where o.api_key = :key order by p.n",
            key=api_key,
        ),
        "parked": rows(conn, "select kind, reason, due_at from parked where api_key = :key", key=api_key),
        "exceptions": _exceptions_of(conn, api_key, pushes),
        "inbox": view(conn, "v_inbox", where={"api_key": api_key}),
        "settlements": rows(
            conn, "select kind, made_at, made_by, why, mpw_id from settlements where api_key = :key", key=api_key
        ),
    }


def _exceptions_of(conn: Connection, api_key: str, pushes: Sequence[Record]) -> list[Record]:
    """Return what is or was open about a key, about its pushes, and about the movement that it is a line of."""
    named = {api_key, *(f"{kind} {api_key}" for kind in (*LEDGER_TYPES, ADJUSTMENT, *COMMAND_TYPES, VOID))}
    moved = rows(conn, "select movement_id from movement_lines where api_key = :key", key=api_key)
    about = {
        "push": sorted(str(push["id"]) for push in pushes),
        "event": sorted(named),
        "row": sorted(named | {row["movement_id"] for row in moved}),
    }
    found = [
        row
        for type_, subjects in about.items()
        for row in view(conn, "v_exceptions", where={"subject_type": type_, "subject": subjects})
    ]
    return sorted(found, key=lambda row: int(row["id"]))


def label(name: str, push: Record) -> str:
    """Return a column's name for people: what is over has no error any more, only a note of what was said last."""
    return "note" if name == "last_error" and push["state"] not in OPEN_STATES else name.replace("_", " ")


def todo(conn: Connection) -> list[Record]:
    """Return everything that needs a person, what must be decided now first; `choices` as a list."""
    found = rows(conn, "select * from v_todo order by level, since, id")
    return [{**to_type(row), "choices": json.loads(row["choices"])} for row in found]


def to_type(row: Record) -> Record:
    """Return what needs a person with a hint that can be typed as it stands: the exception's own number for `ID`."""
    number = str(row["id"]).rpartition(":")[2]
    hint = row["hint"]
    return {**row, "hint": hint and hint.replace("exceptions resolve ID", f"exceptions resolve {number}")}


def needs_a_person(conn: Connection) -> list[str]:
    """Return why `status` ends with 1, a line a kind: what must be decided now, sources and questions that fail."""
    return reasons_of(todo(conn))


def reasons_of(found: Sequence[Record]) -> list[str]:
    """Return a line for each kind of what must be decided now, and for each source or question that fails."""
    by_kind: dict[str, list[Record]] = {}
    for row in found:
        if row["kind"] in TRIED_BY_ITSELF:
            by_kind[row["id"]] = [row]
        elif row["level"] == "person":
            by_kind.setdefault(row["kind"], []).append(row)
    return [_told(alike) for alike in by_kind.values()]


def _told(found: Sequence[Record]) -> str:
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    next_step = TRIED_AGAIN if first["kind"] in TRIED_BY_ITSELF else f"({first['kind']}: mpsync todo)"
    return f"{first['what']}{more} {next_step}"


def worth_saying(conn: Connection, policy: Policy) -> list[str]:
    """Return what `plan` and `once` say beside their lists: held pushes that are overtaken, and what is never sent."""
    return [*_said_of_overtaken(conn, policy), *_before_go_live(conn, policy)]


def overtaken(conn: Connection, policy: Policy) -> list[Record]:
    """Return the routes that push and still hold pushes, with their number: new ones go before those."""
    held = rows(conn, "select route, count(*) as n from v_outbox where state = 'held' group by route order by route")
    return [row for row in held if policy.route(row["route"]) == "push"]


def _said_of_overtaken(conn: Connection, policy: Policy) -> list[str]:
    return [
        f"Route {row['route']} is set to push: new pushes go at once, and {row['n']} that were held before stay held"
        f" until you release them. So that they go first: `mpsync outbox release --route {row['route']}`."
        for row in overtaken(conn, policy)
    ]


_NEVER_SENT = """
select count(*) as n, min(l.occurred_on) as first_on, max(l.occurred_on) as last_on from ledger_entries l
where l.system <> 'mpw' and l.entry_type = 'original' and l.kind <> 'adjustment'
    and (l.occurred_at < :instant or (l.occurred_at is null and l.occurred_on < :day))
    and not exists (select 1 from ledger_entries r where r.reverses_id = l.id)
    and not exists (select 1 from ledger_entries m
        where m.api_key = l.api_key and m.kind = l.kind and m.system = 'mpw')
    and not exists (select 1 from outbox o where o.api_key = l.api_key and o.kind = l.kind)
    and not exists (select 1 from unpushed u where u.api_key = l.api_key and u.kind = l.kind)
    and not exists (select 1 from items i where l.system = 'mpservices' and i.external_id = l.item and i.ignored)
"""


def _before_go_live(conn: Connection, policy: Policy) -> list[str]:
    """Say how many events from before the go-live MPW has not: people were to key those in by hand."""
    query = _NEVER_SENT
    if conn.dialect.name == "postgresql":
        query = query.replace(":day", "cast(:day as date)").replace(":instant", "cast(:instant as timestamptz)")
    day, instant = policy.day(policy.push_from).isoformat(), instant_text(policy.push_from)
    row = rows(conn, query, day=day, instant=instant)[0]
    if not row["n"]:
        return []
    count = "1 event" if row["n"] == 1 else f"{row['n']} events"
    return [
        f"Recorded, not pushed: {count} of {row['first_on']} to {row['last_on']}, from before the go-live"
        f" ({policy.push_from:%Y-%m-%d %H:%M} UTC), and MPW has none of them. The first stock patch sets MPservices to"
        " MPW's count, so key into MPW what is missing first: `What is unmatched?` in docs/sql.md lists them."
    ]


def stock_by_item(conn: Connection) -> dict[str, Record]:
    """Return v_stock's rows by external id."""
    return {row["external_id"]: row for row in view(conn, "v_stock", order="external_id")}


def costs_by_part(conn: Connection) -> dict[str, Any]:
    """Return what one of each part costs in MPW, where that is known."""
    found = rows(conn, "select item, max(mpw_unit_cost) as cost from v_stock where mpw_unit_cost > 0 group by item")
    return {row["item"]: row["cost"] for row in found}


def totals_by_order(conn: Connection) -> dict[str, Any]:
    """Return each open order's total."""
    found = rows(conn, "select number, total_cost from v_purchase_orders where approval is null or approval <> 'done'")
    return {row["number"]: row["total_cost"] for row in found}


def warehouses_not_shown(conn: Connection, default: str | None) -> list[str]:
    """Return a sentence for each warehouse of the settings or the item map that MPW has never shown.

    Empty as long as MPW has shown none at all.
    """
    shown = {
        row["name"]
        for row in rows(
            conn,
            "select distinct warehouse as name from documents where system = 'mpw' and warehouse is not null"
            " union select warehouse_name from purchase_orders where warehouse_name is not null"
            " union select warehouse from inventories where found",
        )
    }
    if not shown:
        return []
    mapped = rows(
        conn,
        "select warehouse as name, count(*) as n, min(external_id) as item from item_warehouses w"
        " where not exists (select 1 from items i where i.external_id = w.external_id and i.ignored) group by warehouse"
        " order by warehouse",
    )
    named = {default: "MPW_WAREHOUSE"} if default else {}
    for row in mapped:
        more = f" and {row['n'] - 1} more" if row["n"] > 1 else ""
        named.setdefault(row["name"], f"the item map ({row['item']}{more})")
    return [_not_shown(name, where, shown) for name, where in named.items() if name not in shown]


def _not_shown(name: str, where: str, shown: set[str]) -> str:
    near = difflib.get_close_matches(name, shown, n=1, cutoff=0.6)
    has = f"did you mean {near[0]!r}?" if near else f"it has shown {', '.join(map(repr, sorted(shown)[:5]))}"
    return f"{where} names the warehouse {name!r}, which MPW has never shown: {has}"

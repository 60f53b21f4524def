"""What the commands show, read from the public views: the same rows that an operator's SQL sees."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row
from sqlalchemy.exc import OperationalError

from sync.inbox.rules import COMMAND_TYPES, LEDGER_TYPES, VOID
from sync.ledger.rules import ADJUSTMENT
from sync.values.money import fixed

Record = dict[str, Any]

INSTANTS = frozenset({"gap_from", "gap_to", "oldest", "since"})
DAYS = frozenset({"day", "first_day", "last_day"})

UNASKED = "MPW could not be asked"
"""How the reason begins of an event that waits for an answer of MPW's (`sync/reconcile/rules.py`)."""

READ_REFUSED = "waiting: MPW refuses the read"
"""The same, of a push that a read must come before (`sync/push/calls.py`)."""

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


def needs_a_person(conn: Connection) -> list[str]:
    """Return what needs a person, a line each: sources and questions that fail, dead and unknown pushes, exceptions."""
    lines: list[str] = []
    paused = {row["system"] for row in rows(conn, "select system from pauses")}
    for row in rows(
        conn,
        "select source, count(*) as days, max(error) as error from v_coverage where error is not null group by source",
    ):
        next_step = "" if row["source"].partition(".")[0] in paused else f" {TRIED_AGAIN}"
        days = "1 day" if row["days"] == 1 else f"{row['days']} days"
        lines.append(f"{row['source']}: {days} could not be read: {row['error']}{next_step}")
    for row in rows(conn, "select source, error from feeds where error is not null order by source"):
        next_step = "" if row["source"].partition(".")[0] in paused else f" {TRIED_AGAIN}"
        lines.append(f"{row['source']}: the last read failed: {row['error']}{next_step}")
    for row in rows(conn, "select system, reason from pauses order by system"):
        again = "asked again every 15 minutes; " if row["system"] == "mpservices" else ""
        lines.append(f"{row['system']} is paused: {row['reason']} ({again}mpsync exceptions list)")
    for row in rows(
        conn,
        "select state, count(*) as pushes from v_outbox where state in ('dead', 'unknown')"
        " group by state order by state",
    ):
        lines.append(f"outbox: {row['pushes']} {row['state']} (mpsync outbox list --state {row['state']})")
    if "mpw" not in paused:
        lines += _unasked(conn)
    for row in rows(
        conn,
        "select kind, count(*) as n, min(subject) as subject from v_exceptions where resolved_at is null"
        " group by kind order by kind",
    ):
        more = f" and {row['n'] - 1} more" if row["n"] > 1 else ""
        lines.append(f"exception {row['kind']}: {row['subject']}{more} (mpsync exceptions list)")
    return lines


def _unasked(conn: Connection) -> list[str]:
    """Return what waits since MPW gives no answer, or none as documented, to a question that must come before it.

    No exception is opened of it, as of no read that fails; it waits as long as MPW answers so.
    """
    found = rows(
        conn,
        "select 'events' as what, count(*) as n, min(reason) as reason from parked where reason like :unasked"
        " union all select 'pushes', count(*), min(last_error) from outbox"
        " where state = 'ready' and last_error like :refused",
        unasked=f"{UNASKED}%",
        refused=f"{READ_REFUSED}%",
    )
    return [f"{row['n']} {row['what']} wait: {row['reason']} {TRIED_AGAIN}" for row in found if row["n"]]

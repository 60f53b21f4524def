"""A database for looking at the status page: months of coverage, with everything that can be wrong a little wrong."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert

from sync.database import schema
from sync.database.facts import FIRST_RUN_AT, HEARTBEAT_AT
from sync.jobs.reports import Record
from sync.ledger.books import Books
from sync.ledger.coverage import DAY_SOURCES, MOVEMENTS, PURCHASE_ORDERS, WORK_ORDERS
from sync.values.subjects import Subject
from tests.views.story import done, push, tell

NASTY = "<script>alert('x')</script>"


def paint(conn: Connection, now: datetime, *, trouble: bool = True) -> None:
    """Write it: with `trouble` as after a bad night, without as on any good day."""
    dice = random.Random(7)
    if trouble:
        tell(conn)
        for table in (schema.coverage, schema.feeds):
            conn.execute(delete(table))
    Books(conn, now=now).note_fact(HEARTBEAT_AT, (now - timedelta(seconds=3)).isoformat())
    Books(conn, now=now).note_fact(FIRST_RUN_AT, (now - timedelta(days=170)).isoformat())
    for source in (*DAY_SOURCES, PURCHASE_ORDERS, WORK_ORDERS, MOVEMENTS):
        _cover(conn, source, now, dice, trouble=trouble)
    for flow, ago in (("poll.mpw.receipts", 40), ("poll.mpw.issuances", 38), ("poll.mpservices.movements", 90)):
        at = now - timedelta(seconds=ago)
        values = {
            "flow": flow,
            "started_at": at,
            "ended_at": at,
            "outcome": "ok",
            "seen": dice.randrange(40),
            "added": 3,
        }
        conn.execute(insert(schema.runs).values(**values))
    for n in range(40):
        conn.execute(insert(schema.outbox).values(**done(f"mps-{n:04d}-1", finalized_at=now - timedelta(hours=n))))
    if trouble:
        _trouble(conn, now)


def _cover(conn: Connection, source: str, now: datetime, dice: random.Random, *, trouble: bool) -> None:
    read = now - timedelta(minutes=2 if source != MOVEMENTS or not trouble else 7 * 60)
    first = {"first_read_at": now - timedelta(days=60), "last_read_at": read}
    failing = (
        {"error": "mpservices could not be reached", "failing_since": read} if trouble and source == MOVEMENTS else {}
    )
    conn.execute(insert(schema.feeds).values(source=source, **first, **failing))
    today = now.date()
    for back in range(50 if source == MOVEMENTS else 160):
        day = today - timedelta(days=back)
        if trouble and source == MOVEMENTS and back in (20, 21):
            continue
        weekend = day.weekday() >= 5
        row: Record = {
            "source": source,
            "day": day,
            "complete": back > 0,
            "rows": 0 if weekend and dice.random() < 0.7 else int(dice.paretovariate(1.1) * 4) % 60,
            "last_read_at": read,
        }
        if trouble and source == "mpw.receipts" and back in (33, 3):
            row |= {"error": "mpw answered 503: Service Unavailable", "error_at": now, "complete": back == 33}
        if trouble and source == "mpw.issuances" and back == 12:
            row["complete"] = False
        conn.execute(insert(schema.coverage).values(**row))


def _trouble(conn: Connection, now: datetime) -> None:
    long_ago = now - timedelta(hours=30)
    extra: list[dict[str, Any]] = [
        push(
            "mps-9f31-1",
            state="dead",
            last_error="Part number was not found",
            finalized_at=long_ago,
            created_at=long_ago,
        ),
        push(
            "mps-77aa-2",
            state="unknown",
            last_error="mpw gave no answer: timed out",
            ambiguous=True,
            tries=1,
            attempts=1,
        ),
        push("erp-4720", state="held", created_at=now - timedelta(minutes=12)),
    ]
    ids = {}
    for row in extra:
        key = conn.execute(insert(schema.outbox).values(**row)).inserted_primary_key
        assert key is not None
        ids[row["api_key"]] = key[0]
    hint = "see `mpsync outbox show ID`; then retry, resolve or discard it"
    Books(conn, now=now - timedelta(hours=29)).open_exception(
        "push_dead",
        about=Subject.push(ids["mps-9f31-1"]),
        detail="post_receipt mps-9f31-1 of P-1: Part number was not found",
        hint=hint,
    )
    Books(conn, now=now - timedelta(minutes=50)).open_exception(
        "unmapped_item",
        about=Subject.item("EXT-77"),
        detail=f"no part of MPW is known for EXT-77 {NASTY}",
        hint="mpsync items import FILE, or set MPW_WAREHOUSE",
    )
    Books(conn, now=now - timedelta(days=3)).open_exception(
        "quarantined_row",
        about=Subject.row("mpw.receipts 2024-03-11"),
        detail="a row could not be read: quantity_received is not a number",
        hint="look at it in v_quarantine and correct it at the vendor",
    )


NOW = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)

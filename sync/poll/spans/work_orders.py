"""Work orders of both vendors: kept for people and reports, nothing is derived from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.wire import WorkOrder as ServiceOrder
from sync.clients.mpservices.wire import read_work_orders as read_service_orders
from sync.clients.mpw.client import MpwClient, WorkOrderDate
from sync.clients.mpw.wire import Page, WorkOrder, read_work_orders
from sync.clients.rows import Parsed
from sync.database.engine import lock_appends
from sync.database.runs import Counts, newest_run
from sync.ledger.books import Books
from sync.ledger.coverage import (
    MPSERVICES_WORK_ORDERS,
    WORK_ORDERS,
    complete_days,
    feed,
    is_feed_outdated,
    note_feed_read,
)
from sync.ledger.quarantine import quarantine_rows, release_remote_ids
from sync.poll.spans.pages import Narrow, Pager, Read, Splits
from sync.poll.spans.paging import Paging
from sync.poll.spans.ranges import RangeSource, Span, read_ranges
from sync.poll.spans.rows import save_work_orders
from sync.values.dates import days_between, grouped
from sync.values.systems import MPSERVICES, MPW
from sync.work.context import Context
from sync.work.observed import Outcome, observe

DATES: tuple[WorkOrderDate, ...] = ("start_on", "scheduled_on", "due_on", "completed_on")
"""An order may lack any of its four dates, so each is asked for (edge case M37)."""

BACK_DAYS = 14
AHEAD_DAYS = 14
"""How far around today a poll looks: orders are planned ahead and closed late."""

SPAN_DAYS_MAX = 31


def poll_work_orders_once(ctx: Context) -> Counts:
    """Read both vendors' work orders; MPservices' only where its undocumented path is set."""
    counts = Counts()
    client = ctx.mpw_client()
    if client is not None:
        done = observe(
            ctx,
            "poll.mpw.work_orders",
            source=WORK_ORDERS,
            system=MPW,
            work=lambda run_id: read_ranges(ctx, work_order_source(client, ctx), due_spans(ctx), run_id).outcome(),
        )
        counts.add(done.counts)
    services = ctx.mpservices_client()
    if services is not None and ctx.policy.work_orders_path:
        done = observe(
            ctx,
            "poll.mpservices.work_orders",
            source=MPSERVICES_WORK_ORDERS,
            system=MPSERVICES,
            work=lambda run_id: _poll_services(ctx, services, run_id),
        )
        counts.add(done.counts)
    return counts


def work_order_source(client: MpwClient, ctx: Context | None = None) -> RangeSource[WorkOrder]:
    """Return how MPW's work orders are read, by all four dates merged, and stored. One per pass."""
    paging = None if ctx is None else Paging(ctx, "work orders")
    pagers = [Pager(_fetch_by(client, by), lambda row: row.number, paging, _splits_by(client, by)) for by in DATES]

    def read(first: date, last: date) -> Read[WorkOrder]:
        found: dict[str, WorkOrder] = {}
        merged: Read[WorkOrder] = Read()
        unreadable: set[str] = set()
        for pager in pagers:
            parsed = pager.read(first, last)
            found.update((row.number, row) for row in parsed.rows)
            merged.bad.extend(row for row in parsed.bad if row.raw not in unreadable)
            unreadable.update(row.raw for row in parsed.bad)
            merged.left.extend(parsed.left)
        merged.rows.extend(found.values())
        return merged

    return RangeSource(
        WORK_ORDERS,
        read=read,
        save=lambda books, rows, _began_at: save_work_orders(books.conn, [_values(row, books.now) for row in rows]),
        identity=lambda row: row.number,
        day_of=lambda row: row.scheduled_on or row.due_on or row.completed_on,
    )


def _fetch_by(
    client: MpwClient, by: WorkOrderDate
) -> Callable[[date, date, int], tuple[Parsed[WorkOrder], Page | None]]:
    return lambda first, last, page: read_work_orders(client.work_orders(by, first, last, page=page).body)


def _splits_by(client: MpwClient, by: WorkOrderDate) -> Splits[WorkOrder]:
    """Return how a day that does not fit a page is read in parts: by status, and by the other three dates."""

    def part(day: date, narrow: Narrow) -> tuple[Parsed[WorkOrder], Page | None]:
        if narrow.alone and narrow.other is not None:
            name, first, last = narrow.other
            return read_work_orders(
                client.work_orders(cast(WorkOrderDate, name), first, last, status=narrow.status).body
            )
        return read_work_orders(client.work_orders(by, day, day, status=narrow.status, also=narrow.other).body)

    def belongs(row: WorkOrder, day: date) -> bool:
        shown = {
            "start_on": row.start_at,
            "scheduled_on": row.scheduled_on,
            "due_on": row.due_on,
            "completed_on": row.completed_on,
        }[by]
        return str(shown or "")[:10] == day.isoformat()

    others = tuple(other for other in DATES if other != by)
    return Splits(part, belongs, lambda row: row.status, statuses=("Open", "Closed", "Completed"), dates=others)


def _values(row: WorkOrder, now: datetime) -> dict[str, Any]:
    return {
        "system": MPW,
        "number": row.number,
        "title": row.title,
        "status": row.status,
        "scheduled_on": row.scheduled_on,
        "completed_on": row.completed_on,
        "parts_cost": row.parts_cost,
        "total_cost": row.total_cost,
        "digest": row.digest,
        "raw": row.raw,
        "last_read_at": now,
    }


def due_spans(ctx: Context) -> list[Span]:
    """Return the spans that a poll reads now: around today, and what is incomplete since the start date."""
    today = ctx.policy.day(ctx.clock.now())
    recent = today - timedelta(days=BACK_DAYS)
    with ctx.read() as conn:
        complete = complete_days(conn, WORK_ORDERS, ctx.policy.start_date, today)
    missing = (day for day in days_between(ctx.policy.start_date, recent) if day not in complete)
    days = {*days_between(recent, today + timedelta(days=AHEAD_DAYS)), *missing}
    return grouped(days, apart_max=1, length_max=SPAN_DAYS_MAX)[::-1]


def _poll_services(ctx: Context, client: MpservicesClient, run_id: int) -> Outcome:
    """Read MPservices' two-day window; orders that left it stay as they were last seen (edge case S15)."""
    began_at = ctx.clock.now()
    parsed = read_service_orders(client.work_orders().body)
    with ctx.leader_writes() as books:
        lock_appends(books.conn)
        if is_feed_outdated(feed(books.conn, MPSERVICES_WORK_ORDERS), run_id):
            return Outcome(dropped=True)
        read_no = max(run_id, newest_run(books.conn))
        note_feed_read(books.conn, MPSERVICES_WORK_ORDERS, run_id=run_id, began_at=began_at, read_no=read_no)
        added, changed = take_service_orders(books, parsed.rows)
        new_bad = quarantine_rows(books, MPSERVICES_WORK_ORDERS, None, parsed.bad)
        read_well = [row.id for row in parsed.rows]
        release_remote_ids(books, MPSERVICES_WORK_ORDERS, read_well, bad=parsed.bad)
    seen = len(parsed.rows) + len(parsed.bad)
    unchanged = len(parsed.rows) - added - changed
    return Outcome(Counts(seen=seen, added=added, changed=changed, unchanged=unchanged, quarantined=new_bad))


def take_service_orders(books: Books, rows: Sequence[ServiceOrder]) -> tuple[int, int]:
    """Store MPservices' work orders under their folio, which movements refer to ("Folio-198"), else their id."""
    values = {
        row.folio or row.id: {
            "system": MPSERVICES,
            "number": row.folio or row.id,
            "title": row.title,
            "status": _status(row),
            "scheduled_on": books.policy.day(row.schedule_date) if row.schedule_date is not None else None,
            "completed_on": None,
            "parts_cost": None,
            "total_cost": None,
            "digest": row.digest,
            "raw": row.raw,
            "last_read_at": books.now,
        }
        for row in reversed(rows)
    }
    return save_work_orders(books.conn, list(values.values()))


def _status(row: ServiceOrder) -> str | None:
    if row.closed:
        return "closed"
    return "open" if row.open else None

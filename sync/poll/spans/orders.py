"""Purchase orders: read by created_on, the open ones again and again until they are final."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast

from sync.clients.mpw.client import MpwClient, OrderDate
from sync.clients.mpw.wire import Page, PurchaseOrder, read_purchase_orders
from sync.clients.rows import Parsed
from sync.database.runs import Counts
from sync.ledger.books import Books
from sync.ledger.coverage import PURCHASE_ORDERS, complete_days, days_by_last_read
from sync.poll.spans.pages import Narrow, Pager, Splits
from sync.poll.spans.paging import Paging
from sync.poll.spans.ranges import RangeSource, Span, read_ranges
from sync.poll.spans.rows import open_order_days, save_orders
from sync.reconcile.order_rules import is_final, is_known_status, terms_digest
from sync.values.dates import DEEP_DAYS, days_between, grouped
from sync.values.subjects import Subject
from sync.values.systems import MPW
from sync.work.context import Context
from sync.work.observed import Outcome, observe

OPEN_DAYS_MAX = 300
"""Creation days of old open orders that one pass reads again: the longest unread first, the rest next time."""

SPAN_DAYS_MAX = 31
APART_DAYS_MAX = 7
"""Days so close together are read as one span: one request with a few orders too many beats two."""


def poll_orders_once(ctx: Context) -> Counts:
    """Read the last 45 days, what is incomplete since the start date, and every order that is still open."""
    client = ctx.mpw_client()
    if client is None:
        return Counts()
    return observe(
        ctx,
        "poll.mpw.purchase_orders",
        source=PURCHASE_ORDERS,
        system=MPW,
        work=lambda run_id: _poll(ctx, client, run_id),
    ).counts


def order_source(client: MpwClient, ctx: Context | None = None) -> RangeSource[PurchaseOrder]:
    """Return how purchase orders are read and stored. One per pass; with `ctx` what it learns of pages is kept."""
    return RangeSource(
        PURCHASE_ORDERS,
        read=order_pager(client, ctx).read,
        save=take_orders,
        identity=lambda row: row.number,
        day_of=lambda row: row.created_on,
    )


STATUSES = (
    "requisition",
    "Ordered",
    "Received",
    "Partially Received",
    "Approved",
    "Pending",
    "On Hold",
    "Draft",
    "Rejected",
    "Cancelled",
    "Completed",
    "Closed",
)
"""Spellings that are tried where a day does not fit a page ("Must be an exact match", Purchase Orders - GET); the
document shows the first two."""


def order_pager(client: MpwClient, ctx: Context | None = None) -> Pager[PurchaseOrder]:
    """Return what reads purchase orders by the days they were created on: the one pager of polls and approvals.

    With `ctx` what it learns of pages is kept.
    """

    def fetch(first: date, last: date, page: int) -> tuple[Parsed[PurchaseOrder], Page | None]:
        return read_purchase_orders(client.purchase_orders("created_on", first, last, page=page).body)

    def part(day: date, narrow: Narrow) -> tuple[Parsed[PurchaseOrder], Page | None]:
        if narrow.alone and narrow.other is not None:
            name, first, last = narrow.other
            return read_purchase_orders(
                client.purchase_orders(cast(OrderDate, name), first, last, status=narrow.status).body
            )
        answer = client.purchase_orders("created_on", day, day, status=narrow.status, also=narrow.other)
        return read_purchase_orders(answer.body)

    splits = Splits(
        part,
        belongs=lambda row, day: row.created_on == day,
        status_of=lambda row: row.status,
        statuses=STATUSES,
        dates=("required_on", "completed_on"),
    )
    paging = None if ctx is None else Paging(ctx, "purchase orders")
    return Pager(fetch, lambda row: row.number, paging, splits)


def take_orders(books: Books, orders: Sequence[PurchaseOrder], began_at: datetime) -> tuple[int, int]:
    """Store orders; return how many are new and how many changed. A status we do not know keeps an order open."""
    for status in sorted({order.status for order in orders if not is_known_status(order.status)}):
        example = next(order.number for order in orders if order.status == status)
        books.open_exception(
            "unknown_value",
            about=Subject.source(PURCHASE_ORDERS, f"status {status[:80]}"),
            detail=f"purchase order {example} has the status {status[:80]!r}, which the program does not know",
            hint="such orders are taken for open and read again on every poll; tell the maintainers what it means",
        )
    return save_orders(books, [order_values(order) for order in orders], began_at=began_at)


def order_values(order: PurchaseOrder) -> dict[str, Any]:
    """Return an order as the table has it."""
    return {
        "number": order.number,
        "status": order.status,
        "created_on": order.created_on,
        "vendor_name": order.vendor_name,
        "warehouse_name": order.warehouse_name,
        "total_cost": order.total_cost,
        "lines": len(order.items),
        "terms_digest": order_terms(order),
        "digest": order.digest,
        "raw": order.raw,
        "final": is_final(order.status),
    }


def order_terms(order: PurchaseOrder) -> str:
    """Return the digest of what an approval of this order approves."""
    return terms_digest(order.total_cost, ((line.part_number, line.quantity, line.unit_cost) for line in order.items))


def _poll(ctx: Context, client: MpwClient, run_id: int) -> Outcome:
    return read_ranges(ctx, order_source(client, ctx), due_spans(ctx), run_id).outcome()


def due_spans(ctx: Context) -> list[Span]:
    """Return the spans that a poll reads now, newest first."""
    today = ctx.policy.day(ctx.clock.now())
    recent = today - timedelta(days=DEEP_DAYS)
    with ctx.read() as conn:
        complete = complete_days(conn, PURCHASE_ORDERS, ctx.policy.start_date, today)
        still_open = [day for day in open_order_days(conn) if day < recent]
        oldest_first = days_by_last_read(conn, PURCHASE_ORDERS, still_open)[:OPEN_DAYS_MAX]
    missing = (day for day in days_between(ctx.policy.start_date, recent) if day not in complete)
    days = {*days_between(recent, today + timedelta(days=1)), *missing, *oldest_first}
    return grouped(days, apart_max=APART_DAYS_MAX, length_max=SPAN_DAYS_MAX)[::-1]

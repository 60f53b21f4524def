"""Reading purchase orders by their numbers: MPW has no such read, so by the days they were created on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import PurchaseOrder, read_purchase_orders
from sync.domain.approval_terms import Terms
from sync.domain.orders import terms_digest
from sync.errors import MalformedResponseError

PAGES_MAX = 200
SEARCH_DAYS = 366
SEARCH_STEP_DAYS = 61
"""An order whose day nobody told us is looked for this far back, two months a call."""


def orders_between(client: MpwClient, first: date, last: date) -> dict[str, PurchaseOrder]:
    """Return the orders created in a span of days, by number.

    No page parameter is documented: where the second page repeats the first, the span is halved.
    Raises MalformedResponseError where a single day does not fit one page, or a row cannot be read.
    """
    found, pages = _page(client, first, last, 1)
    for page in range(2, min(pages, PAGES_MAX) + 1):
        more, _ = _page(client, first, last, page)
        if not more.keys() - found.keys():
            return _halved(client, first, last)
        found |= more
    return found


def _page(client: MpwClient, first: date, last: date, page: int) -> tuple[dict[str, PurchaseOrder], int]:
    parsed, pagination = read_purchase_orders(client.purchase_orders("created_on", first, last, page=page).body)
    return {order.number: order for order in parsed.rows}, pagination.page_count if pagination else 1


def _halved(client: MpwClient, first: date, last: date) -> dict[str, PurchaseOrder]:
    if first >= last:
        raise MalformedResponseError(f"the orders of {first} do not fit one page, and MPW knows no pages")
    middle = first + (last - first) // 2
    return orders_between(client, first, middle) | orders_between(client, middle + timedelta(days=1), last)


def orders_of_days(client: MpwClient, days: Collection[date]) -> dict[str, PurchaseOrder]:
    """Return the orders created on these days, by number: one read for each day, not for each order."""
    found: dict[str, PurchaseOrder] = {}
    for day in sorted(set(days)):
        found |= orders_between(client, day, day)
    return found


def search(client: MpwClient, numbers: Sequence[str], *, today: date) -> dict[str, PurchaseOrder]:
    """Look for orders whose day we do not know, the latest days first; return those that were found."""
    wanted, found = set(numbers), dict[str, PurchaseOrder]()
    last = today + timedelta(days=1)
    while wanted - found.keys() and last > today - timedelta(days=SEARCH_DAYS):
        first = last - timedelta(days=SEARCH_STEP_DAYS - 1)
        orders = orders_between(client, first, last)
        found |= {number: orders[number] for number in wanted & orders.keys()}
        last = first - timedelta(days=1)
    return found


def terms(order: PurchaseOrder) -> Terms:
    """Return what an approval of this order would approve."""
    lines = [(line.part_number, line.quantity, line.unit_cost) for line in order.items]
    return Terms(order.total_cost, terms_digest(order.total_cost, lines))

"""Reading purchase orders by their numbers: MPW has no such read, so by the days they were created on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import PurchaseOrder
from sync.poll.spans.orders import order_pager
from sync.poll.spans.pages import Pager
from sync.reconcile.approval_terms import Terms
from sync.reconcile.order_rules import terms_digest

SEARCH_DAYS = 366
SEARCH_STEP_DAYS = 61
"""An order whose day nobody told us is looked for this far back, two months a call."""


@dataclass(slots=True)
class OrdersRead:
    """The orders of some days by number, those that cannot be read, and what else may hide one.

    `left`: days that MPW does not show whole. `ended`: the program ends, and some days were not read any more.
    """

    orders: dict[str, PurchaseOrder] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ended: bool = False

    def add(self, other: OrdersRead) -> None:
        """Add what was read of other days."""
        self.orders |= other.orders
        self.unreadable |= other.unreadable
        self.hidden += other.hidden
        self.left += other.left
        self.ended = self.ended or other.ended

    def why_unsure(self, number: str) -> str | None:
        """Return why it cannot be said that MPW has no such order, though it is not among those read; None: it can."""
        if number in self.unreadable:
            return f"MPW shows order {number}, and it cannot be read: {self.unreadable[number]}"
        if self.ended:
            return f"order {number} was not read: the program ends"
        return f"order {number} may be among what could not be read: {self.hidden[0]}" if self.hidden else None


def orders_between(client: MpwClient, first: date, last: date) -> OrdersRead:
    """Return the orders created in a span of days."""
    return _read(order_pager(client), first, last)


def orders_of_days(client: MpwClient, days: Collection[date], *, stopping: Callable[[], bool]) -> OrdersRead:
    """Return the orders created on these days: one read for each day, not for each order.

    `stopping` is asked before each read, which also shows that the work does not hang; True ends the reading.
    """
    pager, found = order_pager(client), OrdersRead()
    for day in sorted(set(days)):
        if stopping():
            found.ended = True
            break
        found.add(_read(pager, day, day))
    return found


def search(client: MpwClient, numbers: Sequence[str], *, today: date, stopping: Callable[[], bool]) -> OrdersRead:
    """Look for orders whose day we do not know, the latest days first; return those that were found.

    `stopping` is asked before each read, as by `orders_of_days`.
    """
    wanted, found, pager = set(numbers), OrdersRead(), order_pager(client)
    last = today + timedelta(days=1)
    while wanted - found.orders.keys() - found.unreadable.keys() and last > today - timedelta(days=SEARCH_DAYS):
        if stopping():
            found.ended = True
            break
        first = last - timedelta(days=SEARCH_STEP_DAYS - 1)
        read = _read(pager, first, last)
        read.orders = {number: read.orders[number] for number in wanted & read.orders.keys()}
        found.add(read)
        last = first - timedelta(days=1)
    return found


def _read(pager: Pager[PurchaseOrder], first: date, last: date) -> OrdersRead:
    """Read a span; a row that cannot be read, and a day that is not shown whole, may hide an order."""
    read = pager.read(first, last)
    return OrdersRead(
        {order.number: order for order in read.rows},
        {bad.remote_id: bad.reason for bad in read.bad if bad.remote_id is not None},
        [
            *(f"an order without a number ({bad.reason})" for bad in read.bad if bad.remote_id is None),
            *map(str, read.left),
        ],
        [str(one) for one in read.left],
    )


def terms(order: PurchaseOrder) -> Terms:
    """Return what an approval of this order would approve."""
    lines = [(line.part_number, line.quantity, line.unit_cost) for line in order.items]
    return Terms(order.total_cost, terms_digest(order.total_cost, lines))

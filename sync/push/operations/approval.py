"""POST /purchase_orders/approve: carries no amount and has no undo, so the order is read just before and just after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from sync.clients.mpw.approval import ApprovalResult
from sync.clients.mpw.client import APPROVALS_MAX
from sync.errors import RejectedError, RemoteError
from sync.ledger.books import Books
from sync.outbox.asking import open_about
from sync.outbox.machine import (
    APPROVE,
    Absent,
    BatchRefused,
    Delivered,
    Later,
    Outcome,
    Refused,
    Transition,
    Unclear,
    Verdict,
    absence_counts_at,
)
from sync.outbox.rows import DENIED_TRIES, Push, attempts_of
from sync.poll.spans.rows import ordered_read_at
from sync.push.operations.approval_read import OrdersRead, orders_of_days, search, terms
from sync.push.operations.base import AlreadyDone, GiveUp, Go, NotNow, Operation, Preparation
from sync.push.operations.posted_rows import mpw
from sync.reconcile.approval_terms import Terms, changes, stands
from sync.reconcile.rows import note_approval
from sync.values.money import plain
from sync.values.systems import MPW
from sync.work.context import Context

UNREADABLE_WAIT = timedelta(minutes=15)
"""How soon an order is looked for again that MPW shows and that cannot be read, or that may be among those it hides."""

UNSHOWN_WAIT = timedelta(hours=1)
"""How soon where MPW does not show the order's day whole: each look takes many calls."""

_UNREAD = "the program ended before the order was read"

_CHANGED_HINT = "look at the order in MPW; if it is right as it is, approve it there, or send a new po_approval"


class Approve(Operation):
    """Requisitions set to "Ordered", up to 50 in a call (Purchase Orders - POST)."""

    name = APPROVE
    system = MPW
    batch = APPROVALS_MAX
    one_by_one = True

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Read the orders again: only one that is still a requisition, on the terms that were approved, goes."""
        decided: dict[int, Preparation] = {}
        with ctx.read() as conn:
            for row in rows:
                shown = self.shown(conn, row) if row.tries else None
                if shown is not None:
                    decided[row.id] = AlreadyDone(shown.evidence, shown.remote_ids)
        read = _read(ctx, [row for row in rows if row.id not in decided])
        now = ctx.clock.now()
        return {row.id: decided.get(row.id) or _decide(row, read, now=now) for row in rows}

    def claimed(self, books: Books, row: Push) -> None:
        """Show the order as sent."""
        note_approval(books.conn, _number(row), "sent")

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Approve them in one call, then read each."""
        client = mpw(ctx)
        numbers = [_number(row) for row in rows]
        try:
            result, answer = client.approve(numbers)
        except RejectedError as error:
            return self._refused(ctx, rows, error)
        told: dict[str, object] = {"status": answer.status, "answered_at": answer.answered_at}
        try:
            read = _read(ctx, rows)
        except RemoteError as error:
            why = f"answered, but the orders could not be read afterwards: {error.message}"
            return {row.id: Unclear(why, status=answer.status, answered_at=answer.answered_at) for row in rows}
        return {row.id: _settled(row, result, read, told) for row in rows}

    def _refused(self, ctx: Context, rows: Sequence[Push], error: RejectedError) -> dict[int, Outcome]:
        """A refusal of the whole call: each order goes again alone, unless it is a single one's."""
        if len(rows) > 1:
            again = BatchRefused(error.message, status=error.status, answered_at=error.answered_at)
            return {row.id: again for row in rows}
        (row,) = rows
        told: dict[str, object] = {"status": error.status, "answered_at": error.answered_at}
        try:
            read = _read(ctx, rows)
        except RemoteError as failed:
            why = f"refused ({error.message}), and the order could not be read afterwards: {failed.message}"
            return {row.id: Unclear(why, **told)}  # type: ignore[arg-type]
        order = read.orders.get(_number(row))
        if order is None and read.ended:
            return {row.id: Unclear(f"refused ({error.message}), and {_UNREAD}", **told)}  # type: ignore[arg-type]
        if order is not None and stands(order.status) == "ordered":
            evidence = f"refused ({error.message}), and yet read in MPW as {order.status} just after"
            return {row.id: Delivered(evidence, (_number(row),), data=terms(order), **told)}  # type: ignore[arg-type]
        return {row.id: Refused(error.message, **told)}  # type: ignore[arg-type]

    def shown(self, conn: Connection, row: Push) -> Delivered | None:
        """Ask whether a poll has read the order as ordered since the first try, whatever it is by now."""
        number, tries = _number(row), attempts_of(conn, row.id)
        denied = int(str(row.facts.get(DENIED_TRIES, 0)))
        counted = [one for one in tries if one.n > denied]
        seen = ordered_read_at(conn, number)
        if seen is None or not counted or seen <= counted[0].started_at:
            return None
        return Delivered(f"a poll has read it in MPW as ordered, {seen:%Y-%m-%d %H:%M}Z", (number,))

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Read the order."""
        return self.verify_rows(ctx, [row])[row.id]

    def verify_rows(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Verdict]:
        """Read the orders, one call for each day they were created on."""
        read = _read(ctx, rows)
        return {row.id: _verdict(ctx, row, read) for row in rows}

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Show what became of the approval; an order that was approved on other terms is a person's business."""
        if to.state == "done":
            note_approval(books.conn, _number(row), "done")
            read = getattr(to.cause, "data", None)
            changed = _changed_since(books.conn, row, read) if isinstance(read, Terms) else None
            if changed is not None:
                open_about(books, row, "order_changed", f"it was approved, and {changed}", hint=_CHANGED_HINT)
        elif to.state == "dead":
            note_approval(books.conn, _number(row), "exception")
        elif to.state == "discarded":
            note_approval(books.conn, _number(row), None)
        elif to.state == "ready":
            note_approval(books.conn, _number(row), "wanted")
        elif to.state == "unknown":
            note_approval(books.conn, _number(row), "sent")


def _number(row: Push) -> str:
    return row.entity_key.removeprefix("po:")


def _read(ctx: Context, rows: Sequence[Push]) -> OrdersRead:
    """Return the rows' orders by number; one that is not on the day we know is searched for like one without a day."""
    client = mpw(ctx)
    days = {_number(row): _day(row) for row in rows}
    read = orders_of_days(client, [day for day in days.values() if day is not None], stopping=ctx.stopping)
    lost = [
        number
        for number, day in days.items()
        if number not in read.orders and (day is None or read.why_unsure(number) is None)
    ]
    if lost and not read.ended:
        read.add(search(client, lost, today=ctx.policy.day(ctx.clock.now()), stopping=ctx.stopping))
    return read


def _day(row: Push) -> date | None:
    value = row.facts.get("created_on")
    return date.fromisoformat(value) if isinstance(value, str) and value else None


def _decide(row: Push, read: OrdersRead, *, now: datetime) -> Preparation:
    order = read.orders.get(_number(row))
    if order is None and (why := read.why_unsure(_number(row))) is not None:
        if read.ended or _number(row) in read.unreadable or not read.left:
            return NotNow(now if read.ended else now + UNREADABLE_WAIT, why)
        by_hand = f"approve order {_number(row)} in MPW by hand, or reject it, then `mpsync outbox discard {row.id}`"
        if row.tries:  # what was tried cannot be discarded while it waits: it ends, and a person may take it up again
            return GiveUp(why, "order_unknown", f"{by_hand}; once it can be read, `mpsync outbox retry {row.id}`")
        hint = f"{by_hand}; or ask MPW's support how to read further pages: it is sent once the order can be read"
        return NotNow(now + UNSHOWN_WAIT, why, ("order_unknown", hint))
    if order is None:
        hint = (
            "check the number in MPW, and that the account may see its warehouse; "
            f"then `mpsync outbox retry {row.id}`, or discard it"
        )
        return GiveUp(f"MPW shows no order {_number(row)} of the last year", "order_unknown", hint)
    standing = stands(order.status)
    if standing == "ordered":
        return AlreadyDone(f"read in MPW as {order.status}, before anything was sent")
    if standing != "open":
        return GiveUp(f"the order is {order.status}, not a requisition", "order_changed", _CHANGED_HINT)
    shown = terms(order)
    changed = changes(row.facts, shown)
    if changed is not None:
        return GiveUp(changed, "order_changed", _CHANGED_HINT)
    return Go({"status": order.status, "total": plain(shown.total), "terms_digest": shown.digest})


def _settled(row: Push, result: ApprovalResult, read: OrdersRead, told: dict[str, object]) -> Outcome:
    """Judge one order by what it is now; the answer's own word only explains it."""
    number = _number(row)
    order = read.orders.get(number)
    standing = stands(order.status) if order is not None else "unknown"
    common: dict[str, object] = dict(told)
    if order is not None and standing == "ordered":
        evidence = f"read in MPW as {order.status} just after"
        return Delivered(evidence, (number,), data=terms(order), **common)  # type: ignore[arg-type]
    said = result.errors.get(number)
    if said is not None and number not in result.approved and standing in ("open", "withdrawn"):
        return Refused(said, **common)  # type: ignore[arg-type]
    shown = "MPW does not show the order" if order is None else f"the order is {order.status}"
    if order is None and read.ended:
        shown = _UNREAD
    if number in result.approved:
        heard = f"the answer names it as approved, but {shown}"
    elif said is not None:
        heard = f"the answer says of it: {said}; {shown}"
    else:
        heard = f"the answer does not name it, and {shown}"
    return Unclear(heard, **common)  # type: ignore[arg-type]


def _verdict(ctx: Context, row: Push, read: OrdersRead) -> Verdict:
    order = read.orders.get(_number(row))
    if order is not None and stands(order.status) == "ordered":
        return Delivered(f"read in MPW as {order.status}", (_number(row),), data=terms(order))
    now = ctx.clock.now()
    if order is None and read.ended:
        return Later(now, _UNREAD)
    sure_at = absence_counts_at(row.last_sent_at or row.created_at, ctx.policy.late_arrival)
    if order is None or now < sure_at:
        shown = "not there" if order is None else f"still {order.status}"
        return Later(max(sure_at, now + ctx.policy.late_arrival), f"the order is {shown}")
    return Absent(f"the order is still {order.status}")


def _changed_since(conn: Connection, row: Push, read: Terms) -> str | None:
    """Compare with the facts, and with what was read just before the last try."""
    changed = changes(row.facts, read)
    if changed is not None:
        return changed
    tries = attempts_of(conn, row.id)
    return changes(_before(tries[-1].before), read) if tries and tries[-1].before else None


def _before(text: str) -> dict[str, object]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}

"""What time alone does to the outbox: leases run out, stock comes, unknown rows grow old."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from sync.outbox.asking import open_about
from sync.outbox.machine import TELL_AFTER, after_lease_ran_out
from sync.outbox.rows import Push
from sync.outbox.shortage_rows import end_telling, is_to_be_told, tell_of_shortage, told_in_vain, told_of
from sync.outbox.watch import is_told, leases_that_ran_out, make_due, stock_grew_for, unknown_since, waiting_for_stock
from sync.push.operations.registry import operations
from sync.push.settle import settle
from sync.work.context import Context

log = structlog.get_logger()


@dataclass(slots=True)
class SweepCounts:
    """What a sweep found: rescued from lost workers, woken by stock, told to people."""

    rescued: int = 0
    woken: int = 0
    told: int = 0


def sweep_once(ctx: Context) -> SweepCounts:
    """Make rows unknown whose worker is gone, wake those that waited for stock that came, and tell people of the old.

    Any process may do it, as often as it likes.
    """
    due = ctx.due()
    if not (due.lost or due.hungry or due.told_short or due.old):
        return SweepCounts()
    now = ctx.clock.now()
    with ctx.read() as conn:
        lost = leases_that_ran_out(conn, now=now, only_owner=ctx.owner if ctx.alone else None)
        fed = stock_grew_for(conn, now=now)
        told = told_of(conn)
        hungry = [push for push, _ in waiting_for_stock(conn, since=now) if push.id not in told]
        hungry = [push for push in hungry if is_to_be_told(push, now, ctx.policy.tell_shortage)]
        over = told_in_vain(conn, told)
        old = [push for push in unknown_since(conn, now - TELL_AFTER) if not is_told(conn, "push_unknown", push)]
    counts = SweepCounts(rescued=_rescue(ctx, lost))
    if fed:
        with ctx.anyone_writes() as books:
            counts.woken = make_due(books, fed)
    if over:
        with ctx.anyone_writes() as books:
            end_telling(books, over)
    if (old or hungry) and ctx.is_timely():
        counts.told = _tell(ctx, old, hungry)
    if counts.rescued or counts.told:
        log.warning("outbox.swept", rescued=counts.rescued, told=counts.told)
    return counts


def _rescue(ctx: Context, lost: list[Push]) -> int:
    """Never ready: the call of a worker that is gone may have left, up to the end of its lease or of its life."""
    known = operations()
    rescued = 0
    for row in lost:
        with ctx.anyone_writes() as books:
            rescued += settle(
                books,
                known[row.operation],
                row,
                after_lease_ran_out(now=books.now),
                ends_attempt=True,
                sent_at=min(row.lease_until or books.now, books.now),
            )
    return rescued


def _tell(ctx: Context, old: list[Push], waiting: list[Push]) -> int:
    told = 0
    with ctx.anyone_writes() as books:
        for push in old:
            detail = (
                f"nobody knows since {push.last_sent_at:%Y-%m-%d %H:%M}Z whether it took effect ({push.last_error})"
            )
            told += open_about(books, push, "push_unknown", detail)
        for push in waiting:
            told += tell_of_shortage(books, push)
    return told

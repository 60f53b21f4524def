"""Retention: what is old and no longer needed is forgotten, a little at a time, once a day, by the leader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sync.database.facts import fact, forget_heartbeats
from sync.database.tallies import add_up
from sync.jobs.retention import (
    PRUNED_AT,
    prune_changed_raw,
    prune_done_pushes,
    prune_new_raw,
    prune_runs,
    tidy,
)
from sync.ledger.books import Books
from sync.work.context import Context

log = structlog.get_logger()

EVERY = timedelta(days=1)
HOST_GONE_AFTER = timedelta(days=60)
"""A host's heartbeat is kept so long: once it is forgotten, its healthcheck answers from those of the others."""
BATCH = 2_000
"""Rows a transaction: a fraction of a second, so that no push waits for it."""


@dataclass(slots=True)
class PruneCounts:
    """What was forgotten: runs, payloads of done pushes (with their attempts), raw texts of documents."""

    runs: int = 0
    pushes: int = 0
    documents: int = 0


def prune_if_due_once(ctx: Context) -> PruneCounts | None:
    """Prune when the last time is a day ago, by whichever process; None when it is not due."""
    with ctx.read() as conn:
        known = fact(conn, PRUNED_AT)
    age = ctx.clock.now() - datetime.fromisoformat(known) if known is not None else EVERY
    if timedelta(0) <= age < EVERY or not ctx.is_timely():  # what is old is told by the clock
        return None
    return prune_once(ctx)


def prune_once(ctx: Context) -> PruneCounts:
    """Forget what the policy lets go, then give the space back. Stops between two batches when asked to."""
    counts = PruneCounts()
    now = ctx.clock.now()
    policy = ctx.policy
    if policy.keep_runs is not None:
        before = now - policy.keep_runs
        counts.runs = _runs(ctx, before)
    if policy.keep_done is not None:
        done_before = now - policy.keep_done
        counts.pushes = _in_batches(ctx, lambda books: prune_done_pushes(books, done_before, limit=BATCH))
    if policy.keep_raw is not None:
        counts.documents = _raw(ctx, now - policy.keep_raw)
    _tallies(ctx)
    with ctx.leader_writes() as books:
        books.note_fact(PRUNED_AT, books.now.isoformat())
        forget_heartbeats(books.conn, books.now - HOST_GONE_AFTER)
    tidy(ctx.store)
    if counts != PruneCounts():
        log.info("prune.done", runs=counts.runs, pushes=counts.pushes, documents=counts.documents)
    return counts


def _in_batches(ctx: Context, forget: Callable[[Books], int]) -> int:
    total = 0
    while not ctx.stopping():
        with ctx.leader_writes() as books:
            number = forget(books)
        total += number
        if number < BATCH:
            break
    return total


def _runs(ctx: Context, before: datetime) -> int:
    total, at = 0, 0
    while not ctx.stopping():
        with ctx.leader_writes() as books:
            number, last = prune_runs(books, before, after_id=at, limit=BATCH)
        total += number
        if last is None:
            break
        at = last
    return total


def _raw(ctx: Context, before: datetime) -> int:
    total, more = 0, True
    while more and not ctx.stopping():
        with ctx.leader_writes() as books:
            number, more = prune_new_raw(books, before, limit=BATCH)
        total += number
    if not more:
        with ctx.leader_writes() as books:
            total += prune_changed_raw(books, before)
    return total


def _tallies(ctx: Context) -> None:
    more = True
    while more and not ctx.stopping():
        with ctx.leader_writes() as books:
            more = add_up(books.conn)

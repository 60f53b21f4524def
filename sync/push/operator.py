"""What an operator's word does beside the row itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sync.outbox.machine import Transition
from sync.outbox.rows import OPERATOR, Push, Which, discard, find_pushes, push_by_id, resolve, retry
from sync.push.operations.registry import operations
from sync.work.context import Context

AT_ONCE = 200
"""Pushes changed in one transaction: a word about a hundred thousand keeps no writer waiting for long."""

_Change = Callable[[Connection, Push, datetime], int]


def resolve_push(ctx: Context, outbox_id: int, *, done: bool, why: str, by: str) -> bool:
    """Settle an unknown or dead push by a person's word, with all that its operation adds to it.

    False where it is in neither state (any more).
    """
    now = ctx.clock.now()
    with ctx.store.write() as conn:
        row = push_by_id(conn, outbox_id)
        if row is None or not resolve(conn, outbox_id, done=done, why=why, now=now, by=by):
            return False
        to = Transition("done" if done else "ready", "operator", None, evidence=f"{OPERATOR}{by}: {why}")
        operations()[row.operation].after(conn, row, to, policy=ctx.policy, now=now)
    return True


def discard_pushes(ctx: Context, which: Which, *, by: str, why: str = "", dry_run: bool = False) -> int:
    """Drop the pushes that are meant and that may be dropped (`discard`), with all that follows; return how many."""

    def change(conn: Connection, row: Push, now: datetime) -> int:
        return discard(conn, Which(ids=[row.id]), now=now, by=by, why=why)

    if dry_run:
        with ctx.store.read() as conn:
            return discard(conn, which, now=ctx.clock.now(), by=by, dry_run=True)
    return _each(ctx, which, ("held", "ready", "dead"), change)


def retry_pushes(ctx: Context, which: Which, *, by: str, dry_run: bool = False) -> int:
    """Set the pushes on their way again that are meant and that may be (`retry`); return how many."""

    def change(conn: Connection, row: Push, now: datetime) -> int:
        return retry(conn, Which(ids=[row.id]), now=now, by=by)

    if dry_run:
        with ctx.store.read() as conn:
            return retry(conn, which, now=ctx.clock.now(), by=by, dry_run=True)
    return _each(ctx, which, ("dead", "unknown"), change)


def _each(ctx: Context, which: Which, states: Sequence[str], change: _Change) -> int:
    """Change those in these states, a few in each transaction, and let each row's operation write what follows."""
    wanted = [replace(which, state=state) for state in states if which.state in (None, state)]
    with ctx.store.read() as conn:
        ids = sorted(row.id for one in wanted for row in find_pushes(conn, one))
    count = 0
    for at in range(0, len(ids), AT_ONCE):
        with ctx.store.write() as conn:
            for row in find_pushes(conn, Which(ids=ids[at : at + AT_ONCE])):
                count += _changed(conn, ctx, row, change)
    return count


def _changed(conn: Connection, ctx: Context, row: Push, change: _Change) -> int:
    now = ctx.clock.now()
    if change(conn, row, now) == 0:
        return 0
    after = push_by_id(conn, row.id)
    if after is not None and after.state != row.state:
        to = Transition(after.state, "operator", None, evidence=after.evidence)
        operations()[row.operation].after(conn, row, to, policy=ctx.policy, now=now)
    return 1

"""What an operator's word does beside the row itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sync.ledger.books import Books
from sync.outbox.machine import Transition
from sync.outbox.rows import OPERATOR, Push, Which, count_for, discard, find_pushes, push_by_id, resolve, retry
from sync.push.operations.registry import operations
from sync.work.context import Context

AT_ONCE = 200
"""Pushes changed in one transaction: a word about a hundred thousand keeps no writer waiting for long."""

_Change = Callable[[Books, Push], int]


def resolve_push(ctx: Context, outbox_id: int, *, done: bool, why: str, by: str) -> bool:
    """Settle an unknown or dead push by a person's word, with all that its operation adds to it.

    False where it is in neither state (any more).
    """
    with ctx.anyone_writes() as books:
        row = push_by_id(books.conn, outbox_id)
        if row is None or not resolve(books, outbox_id, done=done, why=why, by=by):
            return False
        to = Transition("done" if done else "ready", "operator", None, evidence=f"{OPERATOR}{by}: {why}")
        operations()[row.operation].after(books, row, to)
    return True


def discard_pushes(ctx: Context, which: Which, *, by: str, why: str = "", dry_run: bool = False) -> int:
    """Drop the pushes that are meant and that may be dropped (`discard`), with all that follows; return how many."""

    def change(books: Books, row: Push) -> int:
        return discard(books, Which(ids=[row.id]), by=by, why=why)

    if dry_run:
        with ctx.store.read() as conn:
            return count_for(conn, which, "discard")
    return _each(ctx, which, ("held", "ready", "dead"), change)


def retry_pushes(ctx: Context, which: Which, *, by: str, dry_run: bool = False) -> int:
    """Set the pushes on their way again that are meant and that may be (`retry`); return how many."""

    def change(books: Books, row: Push) -> int:
        return retry(books, Which(ids=[row.id]), by=by)

    if dry_run:
        with ctx.store.read() as conn:
            return count_for(conn, which, "retry")
    return _each(ctx, which, ("dead", "unknown"), change)


def _each(ctx: Context, which: Which, states: Sequence[str], change: _Change) -> int:
    """Change those in these states, a few in each transaction, and let each row's operation write what follows."""
    wanted = [replace(which, state=state) for state in states if which.state in (None, state)]
    with ctx.store.read() as conn:
        ids = sorted(row.id for one in wanted for row in find_pushes(conn, one))
    count = 0
    for at in range(0, len(ids), AT_ONCE):
        with ctx.anyone_writes() as books:
            for row in find_pushes(books.conn, Which(ids=ids[at : at + AT_ONCE])):
                count += _changed(books, row, change)
    return count


def discard_one(books: Books, row: Push, *, by: str, why: str) -> bool:
    """Drop a push as `discard_pushes` does, in a transaction that goes on; False where it may not be dropped."""
    return bool(_changed(books, row, lambda b, push: discard(b, Which(ids=[push.id]), by=by, why=why)))


def _changed(books: Books, row: Push, change: _Change) -> int:
    if change(books, row) == 0:
        return 0
    after = push_by_id(books.conn, row.id)
    if after is not None and after.state != row.state:
        to = Transition(after.state, "operator", None, evidence=after.evidence)
        operations()[row.operation].after(books, row, to)
    return 1

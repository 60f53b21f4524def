"""What an operator's word does beside the row itself."""

from __future__ import annotations

from sync.domain.outbox import Transition
from sync.flows.context import Context
from sync.flows.operations.registry import operations
from sync.store.outbox import push_by_id, resolve


def resolve_push(ctx: Context, outbox_id: int, *, done: bool, why: str, by: str) -> bool:
    """Settle an unknown or dead push by a person's word, with all that its operation adds to it.

    False where it is in neither state (any more).
    """
    now = ctx.clock.now()
    with ctx.store.write() as conn:
        row = push_by_id(conn, outbox_id)
        if row is None or not resolve(conn, outbox_id, done=done, why=why, now=now, by=by):
            return False
        to = Transition("done" if done else "ready", "operator", None, evidence=f"operator {by}: {why}")
        operations()[row.operation].after(conn, row, to, policy=ctx.policy, now=now)
    return True

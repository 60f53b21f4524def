"""What a round of work has to do: asked once, and again after every write of ours, so that nothing is missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sync.domain.outbox import TELL_AFTER
from sync.store.due import Asked, Due, what_is_due
from sync.store.seen import DELETES_WATCHED

if TYPE_CHECKING:
    from sync.flows.context import Context


KNOWN_SECONDS = 10.0
"""For so long at most an answer is kept: a round that sends nothing and writes nothing ends in less."""


class Agenda(threading.local):
    """What is due, as one thread knows it. Inside a `round` it is kept for as long as this process writes nothing.

    What another process writes meanwhile is for the next round. Outside a round it is asked every time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_round = False
        self._known: tuple[int, Due] | None = None
        self._asked_at = 0.0

    @contextmanager
    def round(self) -> Iterator[None]:
        """Keep the answer while nothing is written, until the block ends."""
        self._in_round, self._known = True, None
        try:
            yield
        finally:
            self._in_round, self._known = False, None

    def known(self, ctx: Context) -> Due | None:
        """Return what is due where that is known and nothing was written since, None where it had to be asked.

        A process that froze does not go by what it knew before.
        """
        if self._known is None or self._known[0] != ctx.store.writes:
            return None
        return self._known[1] if ctx.clock.monotonic() - self._asked_at < KNOWN_SECONDS else None

    def due(self, ctx: Context) -> Due:
        """Return what there is to do."""
        known = self.known(ctx)
        if known is not None:
            return known
        writes, asked_at = ctx.store.writes, ctx.clock.monotonic()  # a write that ends meanwhile makes the answer old
        with ctx.read() as conn:
            due = what_is_due(conn, _asked(ctx))
        if self._in_round:
            self._known, self._asked_at = (writes, due), asked_at
        return due


def _asked(ctx: Context) -> Asked:
    now, policy = ctx.clock.now(), ctx.policy
    return Asked(
        now=now,
        old=now - TELL_AFTER,
        audited_before=now - policy.audit_every,
        alone=ctx.owner if ctx.alone else None,
        approve_up_to=policy.approve_up_to if policy.route("approvals") != "off" else None,
        orders_since=policy.day(policy.push_from),
        unchanged_since=now - policy.approve_after,
        deleted_since=now - DELETES_WATCHED,
    )

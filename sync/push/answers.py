"""What calls to vendors come to: made, their answers judged by the rules, and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import structlog

from sync.errors import RemoteError
from sync.ledger.books import Books
from sync.outbox.claims import standing
from sync.outbox.machine import (
    BatchRefused,
    Conflict,
    Delivered,
    More,
    NotSent,
    Outcome,
    Refused,
    Retrying,
    Standing,
    Transition,
    Unclear,
    after_answer,
    outcome_of,
)
from sync.outbox.rows import Push
from sync.push.operations.base import Operation
from sync.push.settle import Settlement, settle_all
from sync.work.context import Context
from sync.work.cooldowns import rest

log = structlog.get_logger()


@dataclass(slots=True)
class PushCounts:
    """What became of the rows that a round took up. `sent`: given to a vendor."""

    sent: int = 0
    done: int = 0
    again: int = 0
    unknown: int = 0
    dead: int = 0
    withdrawn: int = 0
    postponed: int = 0

    @property
    def moved(self) -> int:
        """How many rows are not where they were: 0 means that another round would find nothing either."""
        return self.done + self.again + self.unknown + self.dead + self.withdrawn + self.postponed

    def add(self, other: PushCounts) -> None:
        """Add another's counts to these."""
        for name in (one.name for one in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note(self, state: str) -> None:
        """Count a row by its new state."""
        name = {"done": "done", "ready": "again", "unknown": "unknown", "dead": "dead"}.get(state, "withdrawn")
        setattr(self, name, getattr(self, name) + 1)


def send(ctx: Context, operation: Operation, rows: Sequence[Push]) -> tuple[RemoteError | None, dict[int, Outcome]]:
    try:
        outcomes = operation.send(ctx, rows)
    except RemoteError as error:
        shared = outcome_of(error)
        if isinstance(shared, Refused) and len(rows) > 1:
            shared = BatchRefused(shared.reason, status=shared.status, answered_at=shared.answered_at)
        return error, {row.id: shared for row in rows}
    nothing = Unclear("the answer says nothing of it")
    return None, {row.id: outcomes.get(row.id, nothing) for row in rows}


def record(
    ctx: Context, books: Books, operation: Operation, answered: Sequence[tuple[Push, Outcome]], counts: PushCounts
) -> None:
    """Record answers to calls of one operation.

    A system that could not be reached, that asked to wait, or that refuses even a new token is left alone until then.
    """
    settlements = [Settlement(row, _decided(ctx, books, row, outcome)) for row, outcome in answered]
    settled = settle_all(books, operation, settlements, ends_attempt=True)
    for one in settled:
        counts.note(one.to.state)
    rests = [one.to.due_at for one in settled if _rests(one.to, books.now) and one.to.due_at is not None]
    if rests:
        rest(books, operation.system, max(rests))
    for row, to in ((one.row, one.to) for one in settlements if one not in settled):
        # our lease ran out while we waited or stood still: somebody else settles it
        log.warning("push.dropped", outbox_id=row.id, api_key=row.api_key, fence=row.fence, outcome=to.outcome)


def _decided(ctx: Context, books: Books, row: Push, outcome: Outcome) -> Transition:
    """Ask the rules. What the row has been through is only looked up for outcomes that depend on it."""
    plain = isinstance(outcome, Delivered | Refused | Conflict | More)
    known = (
        Standing(row.ambiguous, 1, None, row.last_sent_at, row.created_at)
        if plain
        else standing(books.conn, row, outcome)
    )
    return after_answer(known, outcome, now=books.now, retrying=Retrying(books.policy.retry_base, ctx.random.random()))


def _rests(to: Transition, now: datetime) -> bool:
    outcome = to.cause
    return isinstance(outcome, NotSent) and to.due_at is not None and (not outcome.at_once or to.due_at > now)

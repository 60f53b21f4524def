"""What the pusher asks of an operation.

The sequence, for up to `batch` rows at once, no transaction open across a call:

1. `prepare`: reads at the vendor, decides per row whether to send now.
2. Claim (one transaction): the row is `sending` with a new fence and a lease, its attempt row is
   written, and `claimed` runs.
3. `send`: exactly one write call (reads may follow it).
4. Record (one transaction, fenced): the outcome moves the row, and `after` runs.
5. `settled`: what should follow at once, where the call took effect.

A row whose outcome is unclear is later settled by `verify`, and `after` runs in that transaction too.
Every step may be followed by a crash: what `prepare`, `claimed` and `after` write must bear repeating.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Connection

from sync.ledger.books import Books
from sync.outbox.machine import Conflict, Delivered, More, Outcome, Transition, Verdict
from sync.outbox.rows import Push
from sync.outbox.shortage import Shortage
from sync.stock.mpw_stock import StockRead
from sync.work.context import Context


@dataclass(frozen=True, slots=True)
class Go:
    """Send it now. `before` (JSON-able) is stored with the attempt, as is the key it carries if not the row's own."""

    before: Mapping[str, Any] | None = None
    sent_key: str | None = None


@dataclass(frozen=True, slots=True)
class NotNow:
    """Leave it ready until then: no attempt is made, none is counted.

    `tell`: a person should know; the kind and the hint of an exception, which ends with the push.
    """

    until: datetime
    reason: str
    tell: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TooLittle:
    """MPW has less than it asks for: nothing is posted, and it waits for stock. `reads`: what MPW said."""

    short: Shortage
    reason: str
    reads: tuple[StockRead, ...] = ()


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """The effect is there already: done, without sending. `remote_ids` and `data` as of a `Delivered`."""

    evidence: str
    remote_ids: tuple[str, ...] = ()
    data: Any = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It must not be sent: dead, with an exception of that kind whose hint says what a person can do."""

    reason: str
    kind: str
    hint: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """It is not wanted as it stands: superseded if never tried, else discarded. The origin is looked at again."""

    reason: str


Preparation = Go | NotNow | TooLittle | AlreadyDone | GiveUp | Withdraw


class Operation(ABC):
    """One kind of write at one vendor."""

    name: ClassVar[str]
    system: ClassVar[str]
    leader_only: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = (
        False  # sent right after its reads, none claimed ahead: it cannot be repeated, or undone
    )
    batch: ClassVar[int] = 1
    """How many rows one call may carry."""

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Decide per row id, with reads at the vendor if need be; a row left out goes.

        A RemoteError raised here leaves the rows ready, without an attempt, and due later.
        """
        return {}

    def claimed(self, books: Books, row: Push) -> None:
        """Write what must be durable before the call, in the transaction that claims the row."""
        return

    @abstractmethod
    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Make exactly one write call; return each row's outcome by id.

        A RemoteError raised applies to all rows (`sync.outbox.machine.outcome_of`), and so only the
        write itself may raise one: a failed read after it is an `Unclear` or whatever is known.
        """

    def settled(self, ctx: Context, rows: Sequence[Push]) -> None:
        """Do what should follow at once on calls that took effect or may have, no transaction open; raises nothing."""
        return

    def shown(self, conn: Connection, row: Push) -> Delivered | Conflict | More | None:
        """Return what our own tables prove of a row that was tried: what a poll saw counts, gone by now or not.

        Asked before the vendor is: a person who took back what a lost answer made is obeyed, and it is not made again.
        """
        return None

    @abstractmethod
    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Look for evidence of what became of an unknown row. Writes nothing; a RemoteError raised means: later."""

    def verify_rows(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Verdict]:
        """Verify up to `batch` rows; overridden where one read tells of several."""
        return {row.id: self.verify(ctx, row) for row in rows}

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Write what follows from the row's new state, in the transaction that records it.

        `row` is the row before, `to.state` its new state, and `to.cause` why: the Outcome, Verdict, or
        what `prepare` said (AlreadyDone, GiveUp, Withdraw).
        """
        return

    def after_all(self, books: Books, settled: Sequence[tuple[Push, Transition]]) -> None:
        """Write what follows for several rows of one transaction; overridden where that takes fewer statements."""
        for row, to in settled:
            self.after(books, row, to)


def prepares(operation: Operation) -> bool:
    """Tell whether an operation looks at anything before it sends."""
    return type(operation).prepare is not Operation.prepare


def settles(operation: Operation) -> bool:
    """Tell whether an operation does anything at once after a call that took effect, or may have."""
    return type(operation).settled is not Operation.settled

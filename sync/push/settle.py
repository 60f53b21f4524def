"""Writing down what became of a push: the row, its attempt, its exceptions, and what its operation adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sync.ledger.books import Books
from sync.outbox.asking import open_about
from sync.outbox.claims import end_attempts, move, move_all
from sync.outbox.machine import Transition, Undecidable
from sync.outbox.rows import Push, close_exceptions, exceptions_about
from sync.push.operations.base import Operation


@dataclass(frozen=True, slots=True)
class Settlement:
    """A row and what becomes of it."""

    row: Push
    to: Transition


def settle(
    books: Books,
    operation: Operation,
    row: Push,
    to: Transition,
    *,
    ends_attempt: bool,
    sent_at: datetime | None = None,
) -> bool:
    """Move a row and write all that follows, in one transaction; False, and nothing written, where it is not ours."""
    one = Settlement(row, to)
    return bool(settle_all(books, operation, [one], ends_attempt=ends_attempt, sent_at=sent_at))


def settle_all(
    books: Books,
    operation: Operation,
    settlements: Sequence[Settlement],
    *,
    ends_attempt: bool,
    sent_at: datetime | None = None,
) -> list[Settlement]:
    """Move rows of an operation, each under its own fence, and write all that follows; return those that were ours."""
    moved = _moved(books, settlements, sent_at=sent_at)
    if ends_attempt:
        end_attempts(books, [(one.row, one.to) for one in moved])
    told = exceptions_about(books.conn, [one.row.id for one in moved])
    for one in moved:
        _tell(books, one.row, one.to, told=one.row.id in told)
    operation.after_all(books, [(one.row, one.to) for one in moved])
    return moved


def _moved(books: Books, settlements: Sequence[Settlement], *, sent_at: datetime | None) -> list[Settlement]:
    if len(settlements) == 1:
        return [one for one in settlements if move(books, one.row, one.to, sent_at=sent_at)]
    ours = move_all(books, [(one.row, one.to) for one in settlements], sent_at=sent_at)
    return [one for one in settlements if one.row.id in ours]


def _tell(books: Books, row: Push, to: Transition, *, told: bool) -> None:
    """Open and close exceptions about a row; `told`: some are open."""
    if to.state == "dead":
        close_exceptions(books, row.id, resolution="it is dead now, and has its own exception")
        kind = getattr(to.cause, "kind", None) or "push_dead"
        open_about(books, row, kind, to.last_error or "", hint=getattr(to.cause, "hint", None))
    elif isinstance(to.cause, Undecidable):
        open_about(books, row, "push_undecidable", to.cause.detail, hint=to.cause.hint)
    elif told and (to.state in ("done", "superseded", "discarded") or row.state == "unknown" != to.state):
        close_exceptions(books, row.id, resolution=to.evidence or to.last_error or f"now {to.state}")

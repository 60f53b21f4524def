"""Writing down what became of a push: the row, its attempt, its exceptions, and what its operation adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sync.outbox.asking import open_about
from sync.outbox.claims import end_attempts, move, move_all
from sync.outbox.machine import Transition, Undecidable
from sync.outbox.rows import Push, close_exceptions, exceptions_about
from sync.push.operations.base import Operation
from sync.values.policy import Policy


@dataclass(frozen=True, slots=True)
class Settlement:
    """A row and what becomes of it."""

    row: Push
    to: Transition


def settle(
    conn: Connection,
    operation: Operation,
    row: Push,
    to: Transition,
    *,
    policy: Policy,
    now: datetime,
    ends_attempt: bool,
    sent_at: datetime | None = None,
) -> bool:
    """Move a row and write all that follows, in one transaction; False, and nothing written, where it is not ours."""
    one = Settlement(row, to)
    return bool(settle_all(conn, operation, [one], policy=policy, now=now, ends_attempt=ends_attempt, sent_at=sent_at))


def settle_all(
    conn: Connection,
    operation: Operation,
    settlements: Sequence[Settlement],
    *,
    policy: Policy,
    now: datetime,
    ends_attempt: bool,
    sent_at: datetime | None = None,
) -> list[Settlement]:
    """Move rows of an operation, each under its own fence, and write all that follows; return those that were ours."""
    moved = _moved(conn, settlements, now=now, sent_at=sent_at)
    if ends_attempt:
        end_attempts(conn, [(one.row, one.to) for one in moved], now=now)
    told = exceptions_about(conn, [one.row.id for one in moved])
    for one in moved:
        _tell(conn, one.row, one.to, told=one.row.id in told, now=now)
    operation.after_all(conn, [(one.row, one.to) for one in moved], policy=policy, now=now)
    return moved


def _moved(
    conn: Connection, settlements: Sequence[Settlement], *, now: datetime, sent_at: datetime | None
) -> list[Settlement]:
    if len(settlements) == 1:
        return [one for one in settlements if move(conn, one.row, one.to, now=now, sent_at=sent_at)]
    ours = move_all(conn, [(one.row, one.to) for one in settlements], now=now, sent_at=sent_at)
    return [one for one in settlements if one.row.id in ours]


def _tell(conn: Connection, row: Push, to: Transition, *, told: bool, now: datetime) -> None:
    """Open and close exceptions about a row; `told`: some are open."""
    if to.state == "dead":
        close_exceptions(conn, row.id, resolution="it is dead now, and has its own exception", now=now)
        kind = getattr(to.cause, "kind", None) or "push_dead"
        open_about(conn, row, kind, to.last_error or "", now=now, hint=getattr(to.cause, "hint", None))
    elif isinstance(to.cause, Undecidable):
        open_about(conn, row, "push_undecidable", to.cause.detail, now=now, hint=to.cause.hint)
    elif told and (to.state in ("done", "superseded", "discarded") or row.state == "unknown" != to.state):
        close_exceptions(conn, row.id, resolution=to.evidence or to.last_error or f"now {to.state}", now=now)

"""Leaving a system alone that asked for it (429, Retry-After) or that cannot be reached."""

from __future__ import annotations

from datetime import datetime

from sync.database.facts import fact
from sync.ledger.books import Books
from sync.work.context import Context


def resting_until(ctx: Context, system: str) -> datetime | None:
    """Return until when a system is to be left alone: it said 429, or could not be reached."""
    known = ctx.agenda.known(ctx)
    if known is not None:
        value = known.facts.get(_rest_fact(system))
    else:
        with ctx.read() as conn:
            value = fact(conn, _rest_fact(system))
    until = datetime.fromisoformat(value) if value else None
    return until if until is not None and until > ctx.clock.now() else None


def rest(books: Books, system: str, until: datetime) -> None:
    """Leave a system alone until then, or for longer where it asked for longer.

    No answer shortens that: those that come in meanwhile are to calls that were on their way already.
    """
    known = fact(books.conn, _rest_fact(system))
    if known is None or datetime.fromisoformat(known) < until:
        books.note_fact(_rest_fact(system), until.isoformat())


def _rest_fact(system: str) -> str:
    return f"rest_until.{system}"

"""The skews of the vendors' clocks, and the times that a clock that was ahead left behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from sync.database.facts import FIRST_RUN_AT, fact, set_fact_once
from sync.database.schema import facts, item_states, learned, outbox, parked, purchase_orders
from sync.learned.rows import learn
from sync.ledger.books import Books

CLOCK_SKEW = "clock_skew_seconds"
"""The learnt fact: how many seconds a vendor's clock is ahead of ours while ours is right; negative: behind."""


def known_skews(conn: Connection) -> dict[str, timedelta]:
    """Return how far each vendor's clock is known to be ahead."""
    rows = conn.execute(select(learned.c.system, learned.c.fact, learned.c.value).where(learned.c.fact == CLOCK_SKEW))
    return skews_among({(row.system, row.fact): row.value for row in rows})


def skews_by_word(conn: Connection) -> frozenset[str]:
    """Return the vendors of whose clock a person has said how far it is off."""
    query = select(learned.c.system).where(learned.c.fact == CLOCK_SKEW, learned.c.set_by.is_not(None))
    return frozenset(conn.execute(query).scalars())


def skews_among(known: Mapping[tuple[str, str], str]) -> dict[str, timedelta]:
    """Return the skews among learnt facts; what is not a number is left aside."""
    found: dict[str, timedelta] = {}
    for (system, name), value in known.items():
        try:
            if name == CLOCK_SKEW:
                found[system] = timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            continue
    return found


def learn_skew(books: Books, system: str, skew: timedelta) -> bool:
    """Write down a vendor's skew; True where it is news. What a person set stands."""
    seconds = round(skew.total_seconds())
    evidence = (
        f"the Date header of its answer said {books.now + skew:%Y-%m-%d %H:%M:%S}Z when our clock showed "
        f"{books.now:%Y-%m-%d %H:%M:%S}Z"
    )
    return learn(books.conn, system, CLOCK_SKEW, str(seconds), evidence=evidence, now=books.now)


def set_first_run_right(books: Books, behind: timedelta) -> tuple[datetime, datetime] | None:
    """Move the instant of the first run, where a wrong clock has just written it, to when it really was; once.

    Return it as it was and as it is, None where it stands: long ago, moved before, or written by a clock that was seen
    to be right then, whatever it shows since. The go-live cut rests on it: nothing would be pushed for as long as the
    clock was ahead, or what people have keyed in by hand would be pushed.
    """
    value = fact(books.conn, FIRST_RUN_AT)
    was = datetime.fromisoformat(value) if value is not None else None
    if was is None or not timedelta(0) <= books.now - was < FIRST_RUN_LASTS or fact(books.conn, _SET_RIGHT) is not None:
        return None
    books.note_fact(FIRST_RUN_AT, (was + behind).isoformat())
    books.note_fact(_SET_RIGHT, was.isoformat())
    return was, was + behind


def first_run_is_right(books: Books) -> None:
    """Let the instant of the first run stand: the first comparison of clocks after it found ours right."""
    if fact(books.conn, FIRST_RUN_AT) is not None:
        set_fact_once(books.conn, _SET_RIGHT, "it was right", now=books.now)


FIRST_RUN_LASTS = timedelta(hours=1)
"""So long after it was written, by the same clock, the instant of the first run is taken for that clock's word."""

_SET_RIGHT = "first_run_set_right"


def bring_forward(books: Books) -> None:
    """Make due at once all that waits: a clock that was ahead has put it off, by how much nobody knows.

    What waited for a good reason is looked at once too often, which costs a call; a requisition counts as unchanged
    from now on, since approving it cannot be undone.
    """
    waits = outbox.c.state.in_(("ready", "unknown")), outbox.c.due_at > books.now
    books.conn.execute(update(outbox).where(*waits).values(due_at=books.now))
    books.conn.execute(update(parked).where(parked.c.due_at > books.now).values(due_at=books.now))
    books.conn.execute(update(item_states).where(item_states.c.look_at > books.now).values(look_at=books.now))
    books.conn.execute(update(item_states).where(item_states.c.audited_at > books.now).values(audited_at=None))
    books.conn.execute(update(purchase_orders).where(~purchase_orders.c.final).values(changed_at=books.now))
    books.conn.execute(delete(facts).where(facts.c.name.like("rest_until.%")))

"""MPservices' movements, line by line: numbered at first sight, never renumbered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, not_, or_, select, tuple_, update
from sqlalchemy.engine import Row

from sync.database.chunks import chunks, upsert
from sync.database.schema import documents, ledger_entries, movement_lines, unpushed
from sync.ledger.books import Books
from sync.values.keys import movement_key

EVENT = "event"
ECHO = "echo"
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class EventKey:
    """What an event is recognised by: receipts and issuances are separate name spaces."""

    kind: str
    api_key: str


def lines_of(conn: Connection, movement_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Return the known lines of movements, by their number."""
    found: dict[str, list[Row[Any]]] = {}
    for chunk in chunks(movement_ids):
        query = select(movement_lines).where(movement_lines.c.movement_id.in_(chunk))
        for row in conn.execute(query.order_by(movement_lines.c.movement_id, movement_lines.c.n)):
            found.setdefault(row.movement_id, []).append(row)
    return found


def filed_lines(conn: Connection, *, after: tuple[str, int] | None, limit: int) -> list[Row[Any]]:
    """Return lines of people's movements in order of movement and number, with their entry's kind and raw text.

    Our own echoes are left out, and so are lines that were taken back. `after` is the movement and number of the last
    one that was returned before; the last movement's lines come whole, so that there may be a few more than `limit`.
    """
    lines = movement_lines.c
    query = (
        select(movement_lines, ledger_entries.c.kind, documents.c.raw)
        .join(ledger_entries, ledger_entries.c.id == lines.entry_id)
        .join(
            documents,
            and_(
                documents.c.system == "mpservices",
                documents.c.type == "movement",
                documents.c.remote_id == lines.movement_id,
            ),
        )
        .where(lines.role != ECHO)
        .order_by(lines.movement_id, lines.n)
    )
    more = () if after is None else (tuple_(lines.movement_id, lines.n) > tuple_(*after),)
    rows = list(conn.execute(query.where(*more).limit(limit)))
    if len(rows) == limit:
        last = rows[-1]
        rest = lines.movement_id == last.movement_id, lines.n > last.n
        rows += conn.execute(query.where(*rest))
    return rows


def insert_lines(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert lines; every row names the same columns."""
    if rows:
        conn.execute(insert(movement_lines), list(rows))


def update_line(conn: Connection, movement_id: str, n: int, **values: Any) -> None:
    """Set columns of one line."""
    where = movement_lines.c.movement_id == movement_id, movement_lines.c.n == n
    conn.execute(update(movement_lines).where(*where).values(**values))


def take_back(conn: Connection, line: Row[Any]) -> None:
    """Let a line be as if it had never been: it keeps its number and moves nothing; nothing of it is left to decide."""
    role = EVENT if line.role == UNDECIDED else line.role
    nothing = line.quantity - line.quantity
    update_line(conn, line.movement_id, line.n, entry_id=None, quantity=nothing, digest="", role=role)


def last_places(conn: Connection, instants: Iterable[datetime]) -> dict[datetime, int]:
    """Return the highest place taken among the lines of each instant."""
    found: dict[datetime, int] = {}
    for chunk in chunks(instants):
        query = select(movement_lines.c.created_at, func.max(movement_lines.c.place))
        query = query.where(movement_lines.c.created_at.in_(chunk)).group_by(movement_lines.c.created_at)
        found.update(conn.execute(query).all())
    return found


def line_key(conn: Connection, movement_id: str, n: int, *, about_to: Collection[str] = ()) -> str:
    """Return a new line's key; ids that differ only in their dashes do not share one.

    `about_to` are the keys of lines that are not written yet.
    """
    key = movement_key(movement_id, n)
    taken = select(movement_lines.c.movement_id).where(movement_lines.c.api_key == key)
    if key not in about_to and conn.execute(taken).first() is None:
        return key
    return movement_key(movement_id, n, hashed=True)


SECONDS_AT_ONCE = 200
"""Ranges of one question: SQLite ends at a depth of 1,000."""


def ids_by_second(conn: Connection, instants: Iterable[datetime]) -> dict[datetime, set[tuple[str, datetime]]]:
    """Return id and createdAt of the known movements of each second that these instants lie in, by the whole second."""
    found: dict[datetime, set[tuple[str, datetime]]] = {}
    at = movement_lines.c.created_at
    for chunk in chunks(sorted({instant.replace(microsecond=0) for instant in instants}), SECONDS_AT_ONCE):
        query = select(at, movement_lines.c.movement_id).distinct()
        within = [and_(at >= second, at < second + timedelta(seconds=1)) for second in chunk]
        for created_at, movement_id in conn.execute(query.where(or_(*within))):
            found.setdefault(created_at.replace(microsecond=0), set()).add((movement_id, created_at))
    return found


def recent_movements(conn: Connection, source: str, since: datetime) -> dict[str, datetime]:
    """Return the movements that a feed has shown and that were created after an instant, with their createdAt."""
    query = (
        select(movement_lines.c.movement_id, func.max(movement_lines.c.created_at))
        .join(
            documents,
            (documents.c.remote_id == movement_lines.c.movement_id)
            & (documents.c.system == "mpservices")
            & (documents.c.type == "movement"),
        )
        .where(movement_lines.c.created_at > since, documents.c.source == source)
        .group_by(movement_lines.c.movement_id)
    )
    return dict(conn.execute(query).all())


def young_movements(conn: Connection, source: str, since: datetime) -> dict[str, datetime]:
    """Return the movements that a feed has shown and that were created after an instant, with when that was."""
    query = (
        select(movement_lines.c.movement_id, func.max(movement_lines.c.created_at))
        .join(
            documents,
            (documents.c.remote_id == movement_lines.c.movement_id)
            & (documents.c.system == "mpservices")
            & (documents.c.type == "movement"),
        )
        .where(movement_lines.c.created_at > since, documents.c.source == source)
        .group_by(movement_lines.c.movement_id)
    )
    return dict(conn.execute(query).all())


KEPT_BY = "kept by "
"""How the reason begins where a person wants an event left as it is: that stands, whatever is read or imported."""


def hold_from_push(conn: Connection, events: Sequence[EventKey], *, why: str) -> None:
    """Keep imported events from being pushed until the feed shows them or an import says to push."""
    rows = [{"kind": event.kind, "api_key": event.api_key, "why": why} for event in events]
    upsert(conn, unpushed, rows, key=("kind", "api_key"), update=())


def let_push(books: Books, events: Sequence[EventKey], *, reason: str) -> int:
    """Let events that were held from pushing go, looked at again at once; return how many were.

    Those that a person wants left stay.
    """
    held: list[EventKey] = []
    for event in events:
        where = unpushed.c.kind == event.kind, unpushed.c.api_key == event.api_key
        if books.conn.execute(delete(unpushed).where(*where, not_(unpushed.c.why.startswith(KEPT_BY)))).rowcount:
            held.append(event)
    books.look_again([(event.kind, event.api_key) for event in held], reason=reason)
    return len(held)

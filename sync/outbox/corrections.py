"""What is posted again in MPW for a corrected movement: the n-th content of an event, under a key of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, not_, select, update

from sync.database.chunks import chunks, upsert
from sync.database.schema import corrections, ledger_entries, outbox, unpushed
from sync.ledger.books import Books
from sync.ledger.movement_lines import KEPT_BY
from sync.ledger.rules import ISSUANCE, RECEIPT
from sync.outbox.machine import POST_ISSUANCE, POST_RECEIPT
from sync.outbox.rows import supersede_unsent
from sync.values.keys import correction_key

KINDS = (RECEIPT, ISSUANCE)
Key = tuple[str, str]
"""Kind and api_key of an event."""


def add_correction(books: Books, kind: str, api_key: str) -> str:
    """Give an event the next key to be posted under, `KEY_c2` first, and return it."""
    n = len(keys_of_events(books.conn, [api_key]).get((kind, api_key), ())) + 2
    pushed = correction_key(api_key, n)
    values = {"kind": kind, "api_key": api_key, "n": n, "pushed_key": pushed, "created_at": books.now}
    books.conn.execute(insert(corrections).values(**values))
    return pushed


def keys_of_events(conn: Connection, api_keys: Iterable[str]) -> dict[Key, list[str]]:
    """Return the keys that corrections of these events are posted under, the oldest first."""
    found: dict[Key, list[str]] = defaultdict(list)
    for chunk in chunks(api_keys):
        query = select(corrections).where(corrections.c.api_key.in_(chunk)).order_by(corrections.c.n)
        for row in conn.execute(query):
            found[row.kind, row.api_key].append(row.pushed_key)
    return dict(found)


def events_of_corrections(conn: Connection, kind: str, pushed_keys: Iterable[str]) -> dict[str, str]:
    """Return the event's key for each of these keys that a correction is posted under."""
    found: dict[str, str] = {}
    for chunk in chunks(pushed_keys):
        query = select(corrections.c.pushed_key, corrections.c.api_key)
        query = query.where(corrections.c.pushed_key.in_(chunk), corrections.c.kind == kind)
        found.update((row.pushed_key, row.api_key) for row in conn.execute(query))
    return found


def let_correction_go(books: Books, kind: str, pushed_key: str) -> None:
    """Let reconcile look at once at a corrected event: what it had in MPW under this key has been taken back."""
    event = events_of_corrections(books.conn, kind, [pushed_key]).get(pushed_key, pushed_key)
    if (kind, event) in keys_of_events(books.conn, [event]):
        books.look_again([(kind, event)], reason="what it corrects is taken back")


def withdraw(books: Books, api_keys: Iterable[str], *, why: str) -> bool:
    """Take back what was derived for these events and never sent; tell whether anything of them may be in MPW.

    That is: MPW has shown it, or a push of it was ever sent, or a person or a vendor has had a word in it. In the
    transaction that takes in a correction, so that no pusher sends the old content after it.
    """
    names = sorted(set(api_keys))
    corrected = [key for keys in keys_of_events(books.conn, names).values() for key in keys]
    reached = False
    for chunk in chunks([*names, *corrected]):
        mine = outbox.c.api_key.in_(chunk), outbox.c.operation.in_((POST_RECEIPT, POST_ISSUANCE))
        supersede_unsent(books, select(outbox.c.id).where(*mine), why=why)
        others = select(outbox.c.id).where(*mine, (outbox.c.tries > 0) | (outbox.c.state != "superseded")).limit(1)
        shown = select(ledger_entries.c.id).where(
            ledger_entries.c.system == "mpw", ledger_entries.c.api_key.in_(chunk), ledger_entries.c.kind.in_(KINDS)
        )
        reached = reached or any(books.conn.execute(query).first() is not None for query in (others, shown.limit(1)))
    return reached


def is_held_from_push(conn: Connection, api_keys: Iterable[str]) -> bool:
    """Tell whether any event with one of these keys is recorded only: imported, or a person is asked about it."""
    held = select(unpushed.c.kind)
    return any(conn.execute(held.where(unpushed.c.api_key.in_(chunk))).first() for chunk in chunks(api_keys))


def hold(conn: Connection, api_keys: Iterable[str], *, why: str) -> None:
    """Keep all events with these keys as they are in MPW, until a person has decided.

    What a person wants left keeps that reason.
    """
    names = sorted(set(api_keys))
    for chunk in chunks(names):
        held = unpushed.c.api_key.in_(chunk), unpushed.c.kind.in_(KINDS)
        conn.execute(update(unpushed).where(*held, not_(unpushed.c.why.startswith(KEPT_BY))).values(why=why))
    rows = [{"kind": kind, "api_key": key, "why": why} for key in names for kind in KINDS]
    upsert(conn, unpushed, rows, key=("kind", "api_key"), update=())


def let_go(books: Books, api_keys: Iterable[str], *, why: str, even_kept: bool = False) -> None:
    """End that, and let reconcile look at the events at once; at what a person wanted left only by a person's word."""
    names = sorted(set(api_keys))
    for chunk in chunks(names):
        held = unpushed.c.api_key.in_(chunk), unpushed.c.kind.in_(KINDS)
        kept = () if even_kept else (not_(unpushed.c.why.startswith(KEPT_BY)),)
        books.conn.execute(delete(unpushed).where(*held, *kept))
    books.look_again([(kind, key) for key in names for kind in KINDS], reason=why)

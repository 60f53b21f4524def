"""Days whose rows were never seen, as a backfill's are: made ready while others are read, filed without a look at each.

Everything here is a short cut. A day that it cannot take, for whatever reason, is filed row by row like any
other (`filing`), with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from sync.clients.mpw.day_rows import DayRow
from sync.ledger.books import Books
from sync.ledger.documents import documents_by_remote_id, documents_of_days
from sync.outbox.pushed import events_of_keys, keys_of_pushed_rows, what_is_known
from sync.poll.days.prepared import NewRows, Pack, append_packs, pack
from sync.poll.days.sources import DaySource
from sync.values.keys import is_key, markers
from sync.values.money import times_micros
from sync.values.systems import MPW


@dataclass(frozen=True, slots=True)
class Ready:
    """A day's rows as they are stored if all are new and none is ours; `named` are the keys that could say it is."""

    day: date
    pack: Pack
    named: frozenset[str]


def ready(
    source: DaySource, day: date, rows: Sequence[DayRow], *, lock_date: date | None, sqlite: bool
) -> Ready | None:
    """Work a day's rows out ahead of the transaction; None where there are none, or one does not fit the ledger."""
    if not rows:
        return None
    ids, items, warehouses, created, quantities, costs, remaining, own, descriptions, raws, digests = zip(
        *rows, strict=True
    )
    try:
        amounts = list(map(times_micros, quantities, costs))
    except ValueError:
        return None
    keys = list(map(source.derived_key, ids))
    named = {key for text in set(descriptions) for key in markers(text)}
    for n, key in enumerate(own):
        if key is not None and is_key(key):
            keys[n] = key
            named.add(key)
    columns = NewRows(
        keys, ids, items, warehouses, quantities, costs, amounts, created, [day] * len(ids), raws, digests, remaining
    )
    return Ready(day, pack(columns, lock_date=lock_date, sqlite=sqlite), frozenset(named))


def look(
    conn: Connection, source: DaySource, days: Sequence[date], made: Sequence[Ready]
) -> tuple[list[Row[Any]], list[Ready]]:
    """Return the documents filed under these days, and those of the days made ready of which nothing is known.

    The days made ready are to share no row with each other, or with another one of these days. One statement asks
    whether anything is known of any of them: in a backfill nothing is.
    """
    if not made:
        return documents_of_days(conn, source.name, days), []
    ids = list(chain.from_iterable(one.pack.remote_ids for one in made))
    filed, near, pushed = what_is_known(conn, source.name, source.kind, days, ids)
    of_days = documents_of_days(conn, source.name, days) if filed else []
    filed_days = {row.day for row in of_days}
    known: set[str] = set()
    if near:
        known.update(documents_by_remote_id(conn, MPW, source.kind, ids))
    if pushed:
        known.update(keys_of_pushed_rows(conn, source.kind, ids))
    ours = events_of_keys(conn, source.post, {key for one in made for key in one.named})
    new = [
        one
        for one in made
        if one.day not in filed_days and known.isdisjoint(one.pack.remote_ids) and one.named.isdisjoint(ours)
    ]
    return of_days, new


def file_ready(books: Books, source: DaySource, days: Sequence[Ready]) -> None:
    """File days of which nothing is known, as `look` has told in this transaction."""
    append_packs(books, MPW, source.kind, source.name, [day.pack for day in days])

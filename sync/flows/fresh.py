"""Days whose rows were never seen, as a backfill's are: made ready while others are read, filed without a look at each.

Everything here is a short cut. A day that it cannot take, for whatever reason, is filed row by row like any
other (`day_rows`), with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain

from sqlalchemy import Connection

from sync.clients.mpw.day_rows import DayRow
from sync.domain.keys import is_key, markers
from sync.domain.money import times_micros
from sync.flows.context import MPW
from sync.flows.day_sources import DaySource
from sync.store.documents import documents_by_remote_id
from sync.store.packs import NewRows, Pack, append_packs, pack
from sync.store.pushed import events_of_keys, keys_of_pushed_rows


@dataclass(frozen=True, slots=True)
class Ready:
    """A day's rows as they are stored if all are new and none is ours; `named` are the keys that could say it is."""

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
    return Ready(pack(columns, lock_date=lock_date, sqlite=sqlite), frozenset(named))


def file_ready(
    conn: Connection, source: DaySource, days: Sequence[Ready], *, now: datetime, run_id: int | None
) -> list[Ready]:
    """File those of these days of which nothing is known, not one row; return them.

    The days are to share no row with each other, or with another one of this transaction.
    """
    ids = list(chain.from_iterable(day.pack.remote_ids for day in days))
    known = {*documents_by_remote_id(conn, MPW, source.kind, ids), *keys_of_pushed_rows(conn, source.kind, ids)}
    ours = events_of_keys(conn, source.post, {key for day in days for key in day.named})
    new = [day for day in days if known.isdisjoint(day.pack.remote_ids) and day.named.isdisjoint(ours)]
    append_packs(conn, MPW, source.kind, source.name, [day.pack for day in new], now=now, run_id=run_id)
    return new

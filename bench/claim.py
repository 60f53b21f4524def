"""Find and claim what may go, with 100,000 rows waiting on 1,000 keys, some of them blocked, against 1,000 rows.

    python -m bench.claim

Every tenth key has a row whose outcome is unknown, every seventh a head that backs off. A measurement finds 200 rows
and claims them in one transaction, as the pusher does; what it claimed is put back. "Nothing starves" is counted, not
timed: rounds are run until every key that is not blocked had its turn.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bench.databases import DATABASES, databases
from bench.frame import Row, Spent, Table, median_of
from sync.database.engine import Store
from sync.database.migrate import upgrade
from sync.ledger.books import Books
from sync.outbox.claims import claim
from sync.outbox.machine import POST_RECEIPT
from sync.outbox.queue import candidates

NOW = datetime(2024, 3, 15, 9, 0, tzinfo=UTC)
KEYS = 1000
FEW, MANY = 1_000, 100_000
LIMIT = 200
TIMES = 15

NUMBERS = {
    "sqlite": "(with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < :rows) select i from n)",
    "postgresql": "(select i from generate_series(0, :rows - 1) as i)",
}
INSTANT = {"sqlite": ":at", "postgresql": "cast(:at as timestamptz)"}

WAITING = """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, due_at, payload, created_at)
select 'receipts', 'post_receipt', 'receipt', 'k-' || i, 'item:' || (i % :keys), 'P-' || (i % :keys), 0, 'ready',
    {at}, '{{}}', {at}
from {numbers} as numbers
"""
BACKING_OFF = "update outbox set due_at = {later} where id <= :keys and id % 7 = 0"
UNKNOWN = """
insert into outbox (route, operation, kind, api_key, entity_key, item, rank, state, due_at, payload, created_at, tries)
select 'receipts', 'post_receipt', 'receipt', 'u-' || i, 'item:' || i, 'P-' || i, 0, 'unknown', {at}, '{{}}', {at}, 1
from {numbers} as numbers where i % 10 = 0
"""


def filled(url: str, rows: int) -> Store:
    """Return a store whose outbox holds so many ready rows on the keys."""
    upgrade(url)
    store = Store(url)
    kind = store.engine.dialect.name
    numbers, at = NUMBERS[kind], INSTANT[kind]
    early, later = _instant(NOW - timedelta(hours=1)), _instant(NOW + timedelta(hours=1))
    with store.write() as conn:
        values = {"rows": rows, "keys": KEYS, "at": early}
        conn.execute(text(WAITING.format(numbers=numbers, at=at)), values)
        conn.execute(text(BACKING_OFF.format(later=at)), {"keys": KEYS, "at": later})
        conn.execute(text(UNKNOWN.format(numbers=numbers, at=at)), {"rows": KEYS, "at": early})
    if kind == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("analyze outbox"))
    return store


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def one_round(store: Store, after: str = "") -> list[str]:
    """Find and claim up to LIMIT rows, and put them back; return their keys."""
    with store.read() as conn:
        found = [one.push for one in candidates(conn, [POST_RECEIPT], now=NOW, limit=LIMIT, after=after)]
    with store.engine.connect().execution_options(mpsync_write=True) as conn, conn.begin() as transaction:
        lease = NOW + timedelta(minutes=2)
        claimed = claim(Books(conn, now=NOW), found, {}, owner="bench", lease_until=lease, batch_id=None)
        transaction.rollback()
    assert len(claimed) == len(found)
    return [one.entity_key for one in found]


def turns_until_all(store: Store) -> int:
    """Return how many rounds it takes until every key that may go had its turn; fail if some never has."""
    blocked = {f"item:{n}" for n in range(KEYS) if n % 10 == 0} | {
        f"item:{n - 1}" for n in range(1, KEYS + 1) if n % 7 == 0
    }
    missing = {f"item:{n}" for n in range(KEYS)} - blocked
    after, rounds = "", 0
    while missing:
        rounds += 1
        assert rounds <= 2 * KEYS, f"{len(missing)} keys starve"
        found = one_round(store, after)
        missing -= set(found)
        after = found[-1] if len(found) == LIMIT else ""
    return rounds


def measured(store: Store) -> Spent:
    """Return the medians of some rounds."""
    one_round(store)
    return median_of(TIMES, lambda: one_round(store))


def main() -> None:
    """Measure both sizes on both databases."""
    table = Table("claim")
    for kind in DATABASES:
        with databases(kind) as make:
            few, many = filled(make(), FEW), filled(make(), MANY)
            small, large = measured(few), measured(many)
            rounds = turns_until_all(many)
            for store in (few, many):
                store.close()
        note = f"every key had its turn within {rounds} rounds"
        work = f"find and claim {LIMIT} of {MANY:,}, {kind}"
        table.add(Row(work, large.wall * 1e3, "ms", 1.3, 1.0, f"of {FEW:,}", small.wall * 1e3, "times", note))
    table.report()


if __name__ == "__main__":
    main()

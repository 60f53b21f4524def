"""The bare floor: fetch 8 days at once, parse, one upsert a day into one table. No ledger, no document, no coverage.

Nothing here survives a bad row, a moved row or a delete; it is what the machine needs to move the bytes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import httpx
import msgspec
import psycopg
from sqlalchemy import make_url

from bench.vendor import FIRST

CONCURRENCY = 8
DAYS_A_COMMIT = 20
COLUMNS = (
    "id",
    "part_number",
    "inventory_name",
    "created_on",
    "invoice_number",
    "quantity_received",
    "quantity_remaining",
    "unit_cost",
    "description",
    "vendor_name",
    "vendor_number",
    "api_key",
    "purchase_order_number",
    "purchase_order_prefix_number",
    "warehouse_name",
)
_TYPES = {"id": "bigint primary key", "purchase_order_number": "bigint"} | dict.fromkeys(
    ("quantity_received", "quantity_remaining", "unit_cost"), "double precision"
)
_TABLE = "receipts (" + ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS) + ")"
_UPDATE = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])


def bodies(url: str, days: int) -> Iterator[bytes]:
    """Fetch days, 8 at once and no more than 24 ahead, in their order."""
    wanted = [FIRST + timedelta(days=n) for n in range(days)]
    with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(CONCURRENCY) as pool:

        def fetch(day: date) -> bytes:
            return client.get(f"{url}/receipts", params={"date": day.isoformat()}).content

        for at in range(0, days, 24):
            yield from pool.map(fetch, wanted[at : at + 24])


def hash_all(url: str, days: int) -> int:
    """Fetch and hash the bodies alone, in the fetching threads; return how many bytes there were."""
    with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(CONCURRENCY) as pool:

        def fetch(n: int) -> int:
            day = FIRST + timedelta(days=n)
            body = client.get(f"{url}/receipts", params={"date": day.isoformat()}).content
            hashlib.sha256(body).hexdigest()
            return len(body)

        return sum(pool.map(fetch, range(days)))


def parsed(url: str, days: int) -> Iterator[list[tuple[object, ...]]]:
    """Yield the rows of each day."""
    decoder = msgspec.json.Decoder(list[dict[str, object]])
    for body in bodies(url, days):
        yield [tuple(map(row.get, COLUMNS)) for row in decoder.decode(body)]


def into_sqlite(url: str, path: str, days: int) -> None:
    """Load days into a SQLite file, with the durability that we use."""
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("pragma journal_mode=wal")
    conn.execute("pragma synchronous=full")
    conn.execute(f"create table {_TABLE}")
    marks = ", ".join("?" * len(COLUMNS))
    upsert = f"insert into receipts values ({marks}) on conflict (id) do update set {_UPDATE}"
    conn.execute("begin immediate")
    for n, rows in enumerate(parsed(url, days), 1):
        conn.executemany(upsert, rows)
        if n % DAYS_A_COMMIT == 0:
            conn.execute("commit")
            conn.execute("begin immediate")
    conn.execute("commit")
    conn.close()


def into_postgresql(url: str, database_url: str, days: int) -> None:
    """Load days into PostgreSQL: COPY into a temporary table, one upsert from it for each commit."""
    made = make_url(database_url)
    with psycopg.connect(host=str(made.query["host"]), user=made.username, dbname=made.database) as conn:
        conn.execute(f"create table {_TABLE}")
        conn.execute("create temp table arrived (like receipts) on commit delete rows")
        conn.commit()
        days_read = parsed(url, days)
        while rows := [row for _, day in zip(range(DAYS_A_COMMIT), days_read, strict=False) for row in day]:
            with conn.cursor() as cursor, cursor.copy("copy arrived from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
            conn.execute(f"insert into receipts select * from arrived on conflict (id) do update set {_UPDATE}")
            conn.commit()

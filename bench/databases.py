"""Databases to measure on: SQLite files, and a PostgreSQL of our own that syncs its disk as in production."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.databases import running_postgres, url_text

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count()


@contextmanager
def databases(kind: str) -> Iterator[Callable[[], str]]:
    """Yield a function that makes a new empty database of a kind and returns its URL; all end with the block.

    BENCH_TMPDIR says where SQLite's files go: on a real disk, or a sync costs nothing.
    """
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="mpsync-bench-", dir=os.environ.get("BENCH_TMPDIR")) as folder:
            yield lambda: f"sqlite:///{Path(folder) / f'bench{next(_numbers)}.db'}"
        return
    with running_postgres(durable=True) as server:
        engine = create_engine(server, isolation_level="AUTOCOMMIT")

        def make() -> str:
            name = f"mpsync_bench_{os.getpid()}_{next(_numbers)}"
            with engine.connect() as conn:
                conn.execute(text(f"create database {name} template template0"))
            return url_text(server.set(database=name))

        yield make
        engine.dispose()


def drop(url: str) -> None:
    """Remove a database made by `databases`, to give its room back before the end."""
    made = make_url(url)
    if made.get_backend_name() == "sqlite":
        for suffix in ("", "-wal", "-shm", ".lock"):
            Path(f"{made.database}{suffix}").unlink(missing_ok=True)
        return
    engine = create_engine(made.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"drop database if exists {made.database} with (force)"))
    engine.dispose()

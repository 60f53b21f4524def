"""What a power cut leaves of the program's database, looked at after every commit and at any point between."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from sync.clients.http import Http
from sync.database.engine import Store
from tests.durability.disk import Disk, NoAccessToSqliteError, library

CHECKPOINT_PAGES = 40
"""Far fewer than the program's 4,000: a short test must see the database file written too, not only its WAL."""

Files = dict[str, bytes]


@dataclass
class PowerCuts:
    """What was found. A `lost` commit had been acknowledged; `torn` is neither before nor after one."""

    commits: int = 0
    cuts: int = 0
    vendor_writes: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unannounced: list[str] = field(default_factory=list)
    """Writes that left for a vendor before their attempt row was durable."""


@dataclass
class Witness:
    """Looks at what is durable: after each commit, at each write to a vendor, and at a share of all disk operations."""

    disk: Disk
    database: Path
    scratch: Path
    chance: random.Random
    share: float
    found: PowerCuts = field(default_factory=PowerCuts)
    _scratch_lock: threading.Lock = field(default_factory=threading.Lock)
    _states: list[str] = field(default_factory=list)
    _cuts: list[tuple[int, Files]] = field(default_factory=list)

    def begin(self) -> None:
        """Take the state before the first commit, and look at every operation from here on."""
        self._states.append(_digest(self.database))
        self.disk.watchers.append(self._maybe_cut)

    def committed(self) -> None:
        """A commit was acknowledged: it must be durable now, to the last row."""
        with self.disk.still():
            self._states.append(_digest(self.database))
            files = self.disk.after_power_cut()
        self.found.commits += 1
        if self._reopened(files) != self._states[-1]:
            self.found.lost.append(f"commit {self.found.commits}")

    def leaves(self, method: str, endpoint: str, sent: str) -> None:
        """A write is about to leave: its attempt must be durable, and open."""
        self.found.vendor_writes += 1
        with self._laid_out(self.disk.after_power_cut()) as path, closing(sqlite3.connect(path)) as conn:
            rows = conn.execute(
                "select o.api_key, o.payload from outbox o join attempts a on a.outbox_id = o.id"
                " where o.state = 'sending' and a.ended_at is null"
            ).fetchall()
        if not any(_is_of(sent, key, payload) for key, payload in rows):
            self.found.unannounced.append(f"{method} {endpoint}: {rows}")

    def end(self) -> PowerCuts:
        """Judge the cuts between commits: each must leave the state before or the state after one, and a sound file."""
        self.disk.watchers.remove(self._maybe_cut)
        for commits, files in self._cuts:
            self.found.cuts += 1
            allowed = self._states[commits : commits + 2]
            if self._reopened(files) not in allowed:
                self.found.torn.append(f"a cut after commit {commits}")
        return self.found

    def _maybe_cut(self) -> None:
        if self.chance.random() < self.share:
            chance = self.chance if self.chance.random() < 0.7 else None
            self._cuts.append((len(self._states) - 1, self.disk.after_power_cut(chance)))

    def _reopened(self, files: Files) -> str:
        with self._laid_out(files) as path:
            return _digest(path)

    @contextmanager
    def _laid_out(self, files: Files) -> Iterator[Path]:
        """Lay files out as a machine would find them when its power is back: without the -shm, which is memory."""
        with self._scratch_lock:
            for name, content in files.items():
                (self.scratch / name).write_bytes(content)
            try:
                yield self.scratch / self.database.name
            finally:
                for left in self.scratch.iterdir():
                    left.unlink()


@contextmanager
def witnessed(
    database: Path, scratch: Path, *, seed: int, share: float, synchronous: str = "FULL"
) -> Iterator[Witness]:
    """Put the database on a followed disk, with a witness of every commit of any `Store` and of every vendor's write.

    `synchronous` other than FULL plants what the store must not do: SQLite's own default for WAL is not enough.
    """
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patch, Disk(database.parent) as disk:
        witness = Witness(disk, database, scratch, random.Random(seed), share)

        def configure(connection: Any, _record: Any) -> None:
            connection.execute(f"pragma wal_autocheckpoint={CHECKPOINT_PAGES}")
            if synchronous != "FULL":
                connection.execute(f"pragma synchronous={synchronous}")

        one_at_a_time = threading.Lock()
        real_write, real_send, real_init = Store.write, Http.send, Store.__init__

        def init(store: Store, *given: Any, **named: Any) -> None:
            real_init(store, *given, **named)
            event.listen(store.engine, "connect", configure)

        @contextmanager
        def write(store: Store) -> Iterator[Connection]:
            with one_at_a_time:
                with real_write(store) as conn:
                    yield conn
                witness.committed()

        def send(http: Http, method: str, path: Any, **named: Any) -> Any:
            if named["write"]:
                sent = f"{path} {named.get('params')} {(named.get('content') or b'').decode()}"
                witness.leaves(method, str(named["endpoint"]), sent)
            return real_send(http, method, path, **named)

        patch.setattr(Store, "__init__", init)
        patch.setattr(Store, "write", write)
        patch.setattr(Http, "send", send)
        yield witness


def require_a_disk() -> None:
    """Skip the test where this Python's SQLite cannot be given another disk."""
    try:
        library()
    except NoAccessToSqliteError as error:
        pytest.skip(f"this Python's SQLite cannot be given another disk: {error}")


def _is_of(sent: str, api_key: str, payload: str) -> bool:
    """Tell whether what is about to be sent is this push: by its key, or by the one thing that it is about."""
    fields = json.loads(payload)
    names = ("external_id", "purchase_order_number", "part_number")
    return api_key in sent or any(str(fields[name]) in sent for name in names if name in fields)


def _digest(path: Path) -> str:
    """Return what all rows of a database come to, or what is wrong with it."""
    with closing(sqlite3.connect(path)) as conn:
        try:
            [(sound,), *_] = conn.execute("pragma integrity_check").fetchall()
            tables = [
                name for (name,) in conn.execute("select name from sqlite_master where type = 'table' order by 1")
            ]
            rows = [(table, conn.execute(f'select * from "{table}" order by 1').fetchall()) for table in tables]
        except sqlite3.DatabaseError as error:
            return f"unreadable: {error}"
    return hashlib.sha256(repr(rows).encode()).hexdigest() if sound == "ok" else f"unsound: {sound}"

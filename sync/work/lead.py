"""Leadership: the right of one process to poll and reconcile.

The lease row decides. On SQLite an operating system lock on a file beside the database
decides first: it ends with its process, so the successor of a killed daemon need not wait.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from sync.clock import Clock
from sync.database.diagnosis import trouble_of
from sync.database.engine import Store, shown
from sync.database.leases import Lease, release_lease, take_lease
from sync.errors import LeaseHeldError, LeaseLostError

log = structlog.get_logger()

NAME = "leader"

LASTS = timedelta(seconds=20)
"""How long a lease stands without renewal: a dead leader on PostgreSQL is followed within it."""

TRUSTED = timedelta(seconds=14)
"""How long its holder relies on it, by its monotonic seconds from before it asked: shorter, so that it gives way first.

The lease itself runs by the database server's clock, on SQLite by the machine's. What a holder's clock shows does not
matter, and one that is set, or that was wrong when its holder died, neither prolongs a lease nor ends it."""

RENEW_SECONDS = 4.0
"""How often it is renewed: three renewals may fail before the trust ends."""


class Leadership:
    """One process's hold on the lease, renewed by whoever runs it."""

    def __init__(self, store: Store, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = store.clock_for(clock)
        self._owner = owner
        self._lease: Lease | None = None
        self._trusted_until = self._clock.monotonic()
        self._file: int | None = None

    def take(self) -> bool:
        """Become leader if nobody else is; True when we lead."""
        if not self._lock_file():
            return False
        asked = self._clock.monotonic()
        with self._store.write() as conn:
            now = self._store.time(conn, self._clock)
            lease = take_lease(conn, NAME, self._owner, now=now, lasts=LASTS, holder_is_gone=self._file is not None)
        self._lease, self._trusted_until = lease, asked + TRUSTED.total_seconds()
        return lease is not None

    def take_or_refuse(self) -> None:
        """Become leader, or raise LeaseHeldError (exit 75)."""
        try:
            took = self.take()
        except SQLAlchemyError:
            self.drop_file()
            raise
        if not took:
            self.drop_file()
            raise LeaseHeldError(
                f"another mpsync works on {shown(self._store.url)}",
                hint="stop it first (one daemon per SQLite file), or let it do this work; `mpsync status` shows it",
            )

    def renew(self) -> bool:
        """Prolong the lease; False when another has it by now."""
        return self.take()

    @property
    def held(self) -> bool:
        """Whether we lead, as far as we may trust it."""
        return self._lease is not None and self._clock.monotonic() < self._trusted_until

    def current(self) -> Lease:
        """Return the lease we hold; raises LeaseLostError where we hold none, or may not trust it any more."""
        if self._lease is None:
            raise LeaseLostError("this instance does not lead; this work is dropped")
        if not self.held:
            raise LeaseLostError(f"our {self._lease.name} lease ran out; this work is dropped")
        return self._lease

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease from a thread of its own while the block runs."""
        done = threading.Event()

        def renew() -> None:
            while not self._clock.sleep(RENEW_SECONDS, done):
                with suppress(SQLAlchemyError):  # the trust simply ends if the database stays away
                    self.renew()

        thread = threading.Thread(target=renew, name="mpsync-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def release(self) -> None:
        """Give leadership up; a database that refuses even that lets the lease run out by itself."""
        try:
            if self._lease is not None:
                with self._store.write() as conn:
                    release_lease(conn, self._lease, now=self._store.time(conn, self._clock))
        except SQLAlchemyError as error:
            log.warning("lease.left_to_run_out", error=trouble_of(error).line)
        finally:
            self._lease = None
            self.drop_file()

    def drop_file(self) -> None:
        """Let go of the file lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock_file(self) -> bool:
        if not self._store.is_sqlite or self._file is not None or not self._store.url.database:
            return True
        path = Path(f"{os.path.realpath(self._store.url.database)}.lock")  # one file, by whatever link it is named
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._file = handle
        return True

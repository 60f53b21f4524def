"""What a flow works with: the store, the clock, the rules, the vendors and the right to write."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.clock import Clock
from sync.domain.policy import Policy
from sync.domain.subjects import Subject
from sync.errors import AuthError, LeaseLostError
from sync.store.engine import Store
from sync.store.exceptions import open_exception, resolve_exceptions
from sync.store.leases import Lease, check_lease
from sync.store.pauses import pause_reason, pause_system, unpause_system
from sync.store.reconcile import look_at_everything_parked

MPW = "mpw"
MPSERVICES = "mpservices"

CREDENTIALS = "credentials"
PAUSE_SETTLES_SECONDS = 60.0
"""A refused login is not tried again before that, should another flow ask before the pause is written down."""


@dataclass(slots=True)
class Context:
    """One process's means. `lease` is asked before every write: None means this work needs no lead."""

    store: Store
    clock: Clock
    policy: Policy
    mpw: MpwClient | None = None
    mpservices: MpservicesClient | None = None
    lease: Callable[[], Lease] | None = None
    owner: str = "local"  # this process, in outbox leases
    alone: bool = False  # a file lock proves that no other process pushes: what another left behind is nobody's
    random: random.Random = field(default_factory=random.Random)
    stopping: Callable[[], bool] = lambda: False
    leads: Callable[[], bool] = lambda: True  # whether leader-only work may be done; a standby pushes the rest
    turns: dict[str, str] = field(default_factory=dict)  # by system: whose turn in the outbox was the last

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Look at the database."""
        with self.store.read() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write as leader: raises LeaseLostError, and writes nothing, when another leads by now."""
        with self.store.write() as conn:
            self.assert_lead(conn)
            yield conn

    def assert_lead(self, conn: Connection) -> None:
        """Check in this transaction that we still lead (a backfill or a pusher leads nothing: no check)."""
        if self.lease is None:
            return
        lease = self.lease()
        if lease.expires_at <= self.clock.now():
            raise LeaseLostError(f"our {lease.name} lease ran out; this work is dropped")
        check_lease(conn, lease)

    def client_for(self, system: str) -> MpwClient | MpservicesClient | None:
        """Return the system's client, or None where it is off or paused for wrong credentials."""
        return self.mpw_client() if system == MPW else self.mpservices_client()

    def mpw_client(self) -> MpwClient | None:
        """Return MPW's client, or None where MPW is off or paused."""
        if self.mpw is None or self.paused(MPW) is not None:
            return None
        self.mpw.forget_failure(older_than_seconds=PAUSE_SETTLES_SECONDS)  # a person lifted the pause
        return self.mpw

    def mpservices_client(self) -> MpservicesClient | None:
        """Return MPservices' client, or None where it is off or paused."""
        return self.mpservices if self.mpservices is not None and self.paused(MPSERVICES) is None else None

    def paused(self, system: str) -> str | None:
        """Return why a system is paused, or None."""
        client = self.mpw if system == MPW else self.mpservices
        if client is None:
            return None
        with self.store.read() as conn:
            return pause_reason(conn, system, fingerprint=client.fingerprint)

    def pause(self, system: str, error: AuthError) -> None:
        """Stop calling a system until its credentials change, and say so once."""
        client = self.mpw if system == MPW else self.mpservices
        assert client is not None
        with self.store.write() as conn:
            now = self.clock.now()
            pause_system(conn, system, fingerprint=client.fingerprint, reason=error.message, now=now)
            open_exception(
                conn,
                CREDENTIALS,
                Subject.source(system),
                detail=error.message,
                hint="correct the credentials in the settings and restart: nothing is sent until they change;"
                " if they are right and the refusal was a fault, `mpsync exceptions resolve` lets it try again",
                now=now,
            )

    def forget_old_pauses(self) -> None:
        """Lift pauses whose credentials have changed since; call at start."""
        for system, client in ((MPW, self.mpw), (MPSERVICES, self.mpservices)):
            if client is None:
                continue
            with self.store.write() as conn:
                if pause_reason(conn, system, fingerprint=client.fingerprint) is None and unpause_system(conn, system):
                    now = self.clock.now()
                    changed = "the credentials changed"
                    resolve_exceptions(conn, CREDENTIALS, Subject.source(system), resolution=changed, now=now)
                    look_at_everything_parked(conn, now=now)

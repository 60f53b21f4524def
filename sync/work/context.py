"""What a flow works with: the store, the clock, the rules, the vendors and the right to write."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import Connection

from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpw.client import MpwClient
from sync.clock import Clock, SharedClock
from sync.database.engine import Store
from sync.database.leases import Lease, check_lease
from sync.database.pauses import Pause, all_pauses, pause_reason, pause_system, unpause_system
from sync.errors import AuthError
from sync.ledger.books import Books
from sync.values.policy import Policy, cut_of_first_run
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES, MPW
from sync.work.agenda import Agenda, Due
from sync.work.clock_rules import Verdict, judge
from sync.work.clocks import Clocks

CREDENTIALS = "credentials"
TRY_AGAIN = {MPSERVICES: timedelta(minutes=15)}
"""When refused credentials are tried again. MPservices has a token and no account that could be locked, and one 401 may
be a fault of its own; MPW has a login, whose account too many wrong ones lock: only a person lets it try again."""

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
    filed_as: dict[str, str] = field(default_factory=dict)  # by setting: what this process has found all filed at
    clocks: Clocks = field(default_factory=Clocks)
    agenda: Agenda = field(default_factory=Agenda)
    host: str = field(default_factory=socket.gethostname)  # whose clock it is that may be wrong

    def __post_init__(self) -> None:
        """Go by the database server's clock where it has one."""
        self.clock = self.store.clock_for(self.clock)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Look at the database."""
        with self.store.read() as conn:
            yield conn

    @contextmanager
    def leader_writes(self, *, run_id: int | None = None) -> Iterator[Books]:
        """Write as leader: raises LeaseLostError, and writes nothing, when another leads by now.

        `run_id`: the run that the ledger's entries belong to.
        """
        with self.store.write() as conn:
            self.assert_lead(conn)
            yield Books(conn, now=self.clock.now(), policy=self.policy, run_id=run_id)

    @contextmanager
    def anyone_writes(self) -> Iterator[Books]:
        """Write whoever leads: what a person says, what became of our own calls, what a process notes of itself."""
        with self.store.write() as conn:
            yield Books(conn, now=self.clock.now(), policy=self.policy)

    def assert_lead(self, conn: Connection) -> None:
        """Check in this transaction that we still lead (a backfill or a pusher leads nothing: no check)."""
        if self.lease is None:
            return
        check_lease(conn, self.lease())

    def due(self) -> Due:
        """Return what there is to do: a pass that has nothing to do need not begin."""
        return self.agenda.due(self)

    def skews(self) -> Mapping[str, timedelta]:
        """Return how far each vendor's clock is known to be ahead of the right time."""
        if self.clocks.known is None:
            with self.store.read() as conn:
                self.clocks.load(conn)
        return self.clocks.known or {}

    def skew(self, system: str) -> timedelta:
        """Return how far a vendor's clock is known to be ahead of the right time; negative: behind."""
        return self.skews().get(system, timedelta(0))

    def vendor_ahead(self, system: str) -> timedelta:
        """Return how far a vendor's clock is ahead of ours: as it last told, else as it is known to be."""
        client = self.mpw if system == MPW else self.mpservices
        ahead = client.clock_ahead() if client is not None else None
        return self.skew(system) if ahead is None else ahead

    def clock_verdict(self) -> Verdict:
        """Return what the clocks tell at this moment, also where ours was set since a vendor last answered."""
        clients = {MPW: self.mpw, MPSERVICES: self.mpservices}
        ahead = {name: client.clock_ahead() for name, client in clients.items() if client is not None}
        asked = {name: one for name, one in ahead.items() if one is not None}
        vendors = [name for name, client in clients.items() if client is not None and client.tells_time]
        server = self.clock.ahead() if isinstance(self.clock, SharedClock) else None
        if not asked and server is None:
            return Verdict()
        skews = self.skews() if asked else {}
        return judge(asked, skews, vendors=vendors, server=server, words=self.clocks.words)

    def is_timely(self) -> bool:
        """Tell whether our clock is right enough for what rests on time; else reading goes on, and nothing more."""
        return not self.clock_verdict().halts

    def follow_clocks(self) -> None:
        """Let the rules allow for MPservices' clock, whose instants they compare with ours, and for a set first run.

        The go-live cut follows the instant of the first run, unless a setting says where it is.
        """
        moved = self.clocks.moved
        if moved is not None and self.policy.push_from in (moved[0], cut_of_first_run(moved[0])):
            self.policy = replace(self.policy, push_from=cut_of_first_run(moved[1]))
        skew = self.skew(MPSERVICES)
        if skew != self.policy.mpservices_ahead:
            self.policy = replace(self.policy, mpservices_ahead=skew)

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
        """Return why a system is paused, or None: it may be called, if only to see whether it still refuses."""
        client = self.mpw if system == MPW else self.mpservices
        if client is None:
            return None
        pause = self._pauses().get(system)
        if pause is None or pause.fingerprint != client.fingerprint:
            return None
        waits = system not in TRY_AGAIN or timedelta(0) <= self.clock.now() - pause.tried_at < TRY_AGAIN[system]
        return pause.reason if waits else None

    def _pauses(self) -> Mapping[str, Pause]:
        known = self.agenda.known(self)
        if known is not None:
            return known.pauses
        with self.store.read() as conn:
            return all_pauses(conn)

    def resume(self, system: str) -> None:
        """Lift the pause of a system that answered: its credentials are right after all."""
        client = self.mpw if system == MPW else self.mpservices
        if client is None:
            return
        with self.store.read() as conn:
            if pause_reason(conn, system, fingerprint=client.fingerprint) is None:
                return
        with self.anyone_writes() as books:
            unpause_system(books.conn, system)
            books.resolve_exceptions(
                CREDENTIALS, about=Subject.source(system), resolution="its credentials are taken again"
            )
            books.look_again_at_all()

    def pause(self, system: str, error: AuthError) -> None:
        """Stop calling a system until its credentials change, MPservices for a while only; say so once."""
        client = self.mpw if system == MPW else self.mpservices
        assert client is not None
        with self.anyone_writes() as books:
            pause_system(books.conn, system, fingerprint=client.fingerprint, reason=error.message, now=books.now)
            books.open_exception(
                CREDENTIALS,
                about=Subject.source(system),
                detail=error.message,
                hint="correct the credentials in the settings and restart: nothing is sent meanwhile; "
                + (
                    "MPservices is asked again every 15 minutes, and this resolves itself when it takes them"
                    if system in TRY_AGAIN
                    else "if they are right and the refusal was a fault, `mpsync exceptions resolve` lets it try again"
                ),
            )

    def forget_old_pauses(self) -> None:
        """Lift pauses whose credentials have changed since; call at start."""
        for system, client in ((MPW, self.mpw), (MPSERVICES, self.mpservices)):
            if client is None:
                continue
            with self.anyone_writes() as books:
                if pause_reason(books.conn, system, fingerprint=client.fingerprint) is None and unpause_system(
                    books.conn, system
                ):
                    changed = "the credentials changed"
                    books.resolve_exceptions(CREDENTIALS, about=Subject.source(system), resolution=changed)
                    books.look_again_at_all()

"""The one place where everything is built and connected."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from sync.clock import Clock, SystemClock
from sync.database.engine import Store
from sync.database.facts import FIRST_RUN_AT, fact, set_fact_once
from sync.settings import Settings
from sync.values.books import JournalTerms
from sync.values.policy import ROUTES, Policy, cut_of_first_run

if TYPE_CHECKING:
    import httpx

    from sync.clients.http import RequestSeen
    from sync.clients.mpservices.client import MpservicesClient
    from sync.clients.mpw.client import MpwClient
    from sync.work.context import Context
    from sync.work.lead import Leadership

REQUEST_SECONDS_MAX = 3600.0
"""How long a whole request may take where SYNC_REQUEST_TIMEOUT_SECONDS is 0."""

START_BEFORE_FIRST_RUN = timedelta(days=30)
"""How far back the ledger begins where SYNC_START_DATE is not set."""


@dataclass
class App:
    """A built program: settings, store, clock and both vendors' clients (None: off).

    What speaks to the vendors is loaded when it is first asked for: a command that only looks never is.
    `begun`: the first run was, or is not to be noted.
    Whoever is added to `request_observers` is told of every request to a vendor, and must not raise.
    """

    settings: Settings
    store: Store
    clock: Clock
    policy: Policy
    mpw_transport: httpx.BaseTransport | None = None
    mpservices_transport: httpx.BaseTransport | None = None
    request_observers: list[Callable[[RequestSeen], None]] = field(default_factory=list)
    begun: bool = True
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}")

    @cached_property
    def mpw(self) -> MpwClient | None:
        """MPW's client; None where it is off."""
        return mpw_of(self.settings, self.clock, self.mpw_transport, _telling(self.request_observers))

    @cached_property
    def mpservices(self) -> MpservicesClient | None:
        """MPservices' client; None where it is off."""
        observer = _telling(self.request_observers)
        return mpservices_of(self.settings, self.clock, self.mpservices_transport, observer)

    def context(self, leadership: Leadership | None = None, *, begins: bool = True) -> Context:
        """Return what flows work with; with `leadership`, every write asks whether we still lead.

        `begins` False: this is not the first run, even if there was none yet (a probe comes before the go-live).
        Who leads lifts the pauses of credentials that have changed. Nobody else does: what they were told may be other
        than what the one who works here was told.
        """
        from sync.jobs.due import an_agenda
        from sync.work.context import Context

        if leadership is not None and begins:
            self._begin()
        context = Context(
            store=self.store,
            clock=self.clock,
            policy=self.policy,
            mpw=self.mpw,
            mpservices=self.mpservices,
            lease=leadership.current if leadership is not None else None,
            owner=self.owner,
            alone=leadership is not None and self.store.is_sqlite,
            agenda=an_agenda(),
        )
        if leadership is not None:
            self._note_in_force(context)
        if leadership is not None and leadership.held:
            context.forget_old_pauses()
        return context

    def _note_in_force(self, context: Context) -> None:
        """Note the rules in force for `v_todo`."""
        from sync.ledger.in_force import PROOF_SECONDS, WINDOW_SECONDS, note_in_force

        values = {
            WINDOW_SECONDS: self.policy.window.total_seconds() if self.settings.mpservices_on else 0.0,
            PROOF_SECONDS: proof_seconds(self.policy),
        }
        with context.anyone_writes() as books:
            note_in_force(books, values)

    def _begin(self) -> None:
        """Fix the instant of the first run, where this is it: preparing the database or the item map is none."""
        if not self.begun:
            self.policy = policy_of(self.settings, first_run_at=_fix_first_run(self.store, self.clock))
            self.begun = True

    @contextmanager
    def leading(self) -> Iterator[Leadership]:
        """Lead while the block runs; raises LeaseHeldError (exit 75) where another instance does."""
        from sync.work.lead import Leadership

        leadership = Leadership(self.store, self.clock, self.owner)
        leadership.take_or_refuse()
        try:
            with leadership.kept():
                yield leadership
        finally:
            leadership.release()

    def close(self) -> None:
        """Close every connection."""
        for name in ("mpw", "mpservices"):
            client = self.__dict__.get(name)  # not built: nothing to close
            if client is not None:
                client.close()
        self.store.close()


@contextmanager
def open_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    reads_only: bool = False,
    mpw_transport: httpx.BaseTransport | None = None,
    mpservices_transport: httpx.BaseTransport | None = None,
) -> Iterator[App]:
    """Migrate the database (unless `reads_only`), build the program, and close it after the block.

    The first context of who leads (`once`, `run`) fixes the instant of the first run, which the defaults of
    SYNC_START_DATE and SYNC_PUSH_FROM are counted from. Until then they are counted from now.
    """
    from sync.database.migrate import upgrade

    clock = clock or SystemClock()
    if not reads_only:
        upgrade(settings.database_url)
    store = Store(settings.database_url)
    clock = store.clock_for(clock)
    first_run_at = _first_run_at(store)
    app = App(
        settings=settings,
        store=store,
        clock=clock,
        policy=policy_of(settings, first_run_at=first_run_at or clock.now()),
        mpw_transport=mpw_transport,
        mpservices_transport=mpservices_transport,
        begun=first_run_at is not None,
    )
    try:
        yield app
    finally:
        app.close()


def proof_seconds(policy: Policy) -> float:
    """Return how long after a call its proof normally takes at the most.

    A call may land as late as SYNC_LATE_ARRIVAL_SECONDS, is then shown by the next poll, and a follow-up patch that
    asks whose a movement is takes one more.
    """
    polls = 2 * max(policy.poll_movements, policy.poll_recent)
    return (policy.late_arrival + polls + policy.request_timeout).total_seconds()


def policy_of(settings: Settings, *, first_run_at: datetime) -> Policy:
    """Return the rules that the settings make, with the defaults that hang on the first run filled in."""
    today: date = first_run_at.astimezone(settings.mpw_timezone).date()
    return Policy(
        timezone=settings.mpw_timezone,
        warehouse=settings.mpw_warehouse,
        gps_providers=settings.mpw_gps_providers,
        create_parts=settings.mpw_create_parts,
        fractional_issuances=settings.mpw_fractional_issuances,
        description_marker=settings.mpw_description_marker,
        cost_is=settings.mpservices_cost_is,
        cost_mark=settings.mpservices_cost_mark,
        window=timedelta(hours=settings.mpservices_window_hours),
        start_date=settings.sync_start_date or today - START_BEFORE_FIRST_RUN,
        push_from=settings.sync_push_from or cut_of_first_run(first_run_at),
        lock_date=settings.sync_lock_date,
        routes={name: getattr(settings, f"sync_route_{name}") for name in ROUTES},
        approve_up_to=settings.sync_approve_up_to,
        approve_after=timedelta(minutes=settings.sync_approve_after_minutes),
        tell_shortage=timedelta(minutes=settings.sync_tell_shortage_minutes),
        void_after=timedelta(minutes=settings.sync_void_after_minutes),
        void_max_ratio=settings.sync_void_max_ratio,
        poll_recent=timedelta(seconds=settings.sync_poll_recent_seconds),
        poll_week=timedelta(seconds=settings.sync_poll_week_seconds),
        poll_deep=timedelta(seconds=settings.sync_poll_deep_seconds),
        poll_movements=timedelta(seconds=settings.sync_poll_movements_seconds),
        poll_orders=timedelta(seconds=settings.sync_poll_orders_seconds),
        request_timeout=timedelta(seconds=_request_timeout_seconds(settings)),
        retry_base=timedelta(seconds=settings.sync_retry_base_seconds),
        late_arrival=timedelta(seconds=settings.sync_late_arrival_seconds),
        cost_jump_ratio=settings.sync_cost_jump_ratio,
        audit_every=timedelta(seconds=settings.sync_audit_seconds),
        concurrency=settings.mpw_concurrency or 16,
        push_concurrency=settings.mpw_concurrency or 16,
        work_orders_path=settings.mpservices_work_orders_path,
        create_product_path=settings.mpservices_create_product_path,
        keep_runs=_days(settings.sync_keep_runs_days),
        keep_done=_days(settings.sync_keep_done_days),
        keep_raw=_days(settings.sync_keep_raw_days),
        journal=journal_terms_of(settings),
    )


def journal_terms_of(settings: Settings) -> JournalTerms:
    """Return how the settings want the journal kept."""
    return JournalTerms(
        starts_on=settings.sync_journal_from,
        currency=settings.sync_currency,
        decimals=settings.sync_journal_decimals,
        erp_books=frozenset(settings.sync_journal_erp_books),
        holds_late=settings.sync_journal_late == "hold",
        deliver_at=settings.sync_journal_at,
        folder=settings.sync_journal_dir,
        format=settings.sync_journal_format,
        mode=settings.sync_journal_mode,
        options=settings.sync_journal_options,
    )


def _days(number: int) -> timedelta | None:
    return timedelta(days=number) if number else None


def _request_timeout_seconds(settings: Settings) -> float:
    """0 means no limit that anybody would notice; a request still ends some day."""
    return settings.sync_request_timeout_seconds or REQUEST_SECONDS_MAX


def _first_run_at(store: Store) -> datetime | None:
    """Return when the first run was; None: there was none yet."""
    with store.read() as conn:
        known = fact(conn, FIRST_RUN_AT)
    return datetime.fromisoformat(known) if known else None


def _fix_first_run(store: Store, clock: Clock) -> datetime:
    now = clock.now()
    with store.write() as conn:
        return datetime.fromisoformat(set_fact_once(conn, FIRST_RUN_AT, now.isoformat(), now=now))


def _telling(observers: list[Callable[[RequestSeen], None]]) -> Callable[[RequestSeen], None]:
    """Return one observer that tells all of a list, which may grow later."""

    def tell(seen: RequestSeen) -> None:
        for observer in observers:
            observer(seen)

    return tell


def mpw_of(
    settings: Settings,
    clock: Clock,
    transport: httpx.BaseTransport | None = None,
    observer: Callable[[RequestSeen], None] | None = None,
) -> MpwClient | None:
    """Return MPW's client as the settings make it, or None where it is off."""
    if not settings.mpw_on:
        return None
    from sync.clients.mpw.client import MpwClient

    assert settings.mpw_email is not None
    assert settings.mpw_password is not None
    return MpwClient(
        settings.mpw_base_url,
        settings.mpw_email,
        settings.mpw_password.get_secret_value(),
        clock=clock,
        timeout_seconds=_request_timeout_seconds(settings),
        max_requests_per_second=settings.mpw_max_requests_per_second,
        concurrency=settings.mpw_concurrency,
        transport=transport,
        observer=observer,
        allow_plain_http=settings.sync_allow_plain_http,
    )


def mpservices_of(
    settings: Settings,
    clock: Clock,
    transport: httpx.BaseTransport | None = None,
    observer: Callable[[RequestSeen], None] | None = None,
) -> MpservicesClient | None:
    """Return MPservices's client as the settings make it, or None where it is off."""
    if not settings.mpservices_on:
        return None
    from sync.clients.mpservices.client import MpservicesClient

    assert settings.mpservices_token is not None
    return MpservicesClient(
        settings.mpservices_base_url,
        settings.mpservices_token.get_secret_value(),
        clock=clock,
        timeout_seconds=_request_timeout_seconds(settings),
        max_requests_per_second=settings.mpservices_max_requests_per_second,
        work_orders_path=settings.mpservices_work_orders_path,
        create_product_path=settings.mpservices_create_product_path,
        transport=transport,
        observer=observer,
        allow_plain_http=settings.sync_allow_plain_http,
    )

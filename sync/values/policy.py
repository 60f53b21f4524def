"""What the settings decide, as plain values: flows and rules know these, never the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sync.values.books import JournalTerms

ROUTES = ("receipts", "issuances", "stock_cost", "approvals", "products", "voids", "transfers", "inventories")
OPEN_STATES = ("held", "ready", "sending", "unknown", "dead")
"""The states of pushes that are not over."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All that the rules of what is pushed may read, and nothing else.

    `decide` and its like take `Rules`, so what is not a field here cannot be read there (mypy sees to it), and what is
    one is in `fingerprint`: a change of it lets everything since the go-live be looked at again.
    """

    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    warehouse: str | None = None
    create_parts: bool = False
    fractional_issuances: bool = False
    description_marker: bool = True
    push_from: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    routes: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(ROUTES, "hold"))
    approve_up_to: Decimal | None = None
    approve_after: timedelta = timedelta(minutes=30)
    poll_recent: timedelta = timedelta(seconds=300)
    retry_base: timedelta = timedelta(seconds=15)
    create_product_path: str = ""
    description_max: int | None = None  # learnt; None: MPW keeps descriptions of any length, as far as we know
    fractions_refused: bool = False  # learnt, or a person's word
    start_date: date = date(2000, 1, 1)  # the ledger's first day
    mpservices_ahead: timedelta = timedelta(0)  # how far its clock is ahead, as learnt

    @property
    def push_from_there(self) -> datetime:
        """The go-live cut by MPservices' clock, which its movements' createdAt is of."""
        return self.push_from + self.mpservices_ahead

    def route(self, name: str) -> str:
        """Return `off`, `hold` or `push` for a route."""
        return self.routes.get(name, "hold")

    def day(self, instant: datetime) -> date:
        """Return the calendar day of an instant where the organisation is (edge case S18)."""
        return instant.astimezone(self.timezone).date()

    def fingerprint(self) -> dict[str, object]:
        """Return every field as JSON can hold it, by name."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(Rules)}


def cut_of_first_run(began: datetime) -> datetime:
    """Return the go-live cut where no setting says one: the second in which the first run began.

    A vendor's stamps may be cut to the second: what happens right after that run began is not before it. A cut that a
    person sets is taken as it is: after a restore (docs/upgrade.md) nothing before it may be pushed again.
    """
    return began.replace(microsecond=0)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in sorted(value.items())}
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@dataclass(frozen=True, slots=True)
class Policy(Rules):
    """The rules in force for this process, and what else the settings decide."""

    gps_providers: tuple[str, ...] = ()
    cost_is: str = "unit"  # unit, total: what a movement's cost is of
    cost_mark: bool = True
    window: timedelta = timedelta(hours=48)
    lock_date: date | None = None
    tell_shortage: timedelta = timedelta(minutes=60)
    void_after: timedelta = timedelta(minutes=60)
    void_max_ratio: Decimal = Decimal("0.5")
    poll_week: timedelta = timedelta(seconds=3600)
    poll_deep: timedelta = timedelta(seconds=86400)
    poll_movements: timedelta = timedelta(seconds=300)
    poll_orders: timedelta = timedelta(seconds=900)
    request_timeout: timedelta = timedelta(seconds=30)
    late_arrival: timedelta = timedelta(seconds=900)
    cost_jump_ratio: Decimal = Decimal(3)
    audit_every: timedelta = timedelta(seconds=3600)
    concurrency: int = 4
    push_concurrency: int = 1
    work_orders_path: str = ""
    keep_runs: timedelta | None = timedelta(days=90)  # None: for ever
    keep_done: timedelta | None = timedelta(days=400)
    keep_raw: timedelta | None = timedelta(days=400)
    journal: JournalTerms = field(default_factory=JournalTerms)

    def routes_off(self) -> frozenset[str]:
        """Return the routes on which nothing is sent, not even what was derived before they were switched off."""
        return frozenset(name for name, mode in self.routes.items() if mode == "off")

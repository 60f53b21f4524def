"""The numbers behind /metrics, asked of the tables: one short query each, none that reads every push or document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sqlalchemy import Connection, and_, func, select, text

from sync.app import App
from sync.database.engine import Store
from sync.database.facts import FIRST_RUN_AT, fact
from sync.database.schema import GOOD, OPEN, attempts, feeds, leases, outbox, runs
from sync.database.tallies import ATTEMPTS, PUSHES, ROWS, RUNS, tallied
from sync.jobs.reports import rows
from sync.ledger.coverage import DAY_SOURCES, complete_days
from sync.values.policy import Policy
from sync.web.sources import sources_of
from sync.work.lead import NAME as LEADER

FINISHED_STATES = ("done", "superseded", "discarded")
SEEN = ("added", "changed", "voided", "unchanged", "quarantined")
"""What becomes of a row that a run sees."""


def leads(conn: Connection, owner: str, now: datetime) -> bool:
    """Tell whether this process leads."""
    row = conn.execute(select(leases).where(leases.c.name == LEADER)).first()
    return row is not None and row.owner == owner and row.expires_at > now


def run_counts(conn: Connection) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Return runs that have ended by (flow, outcome) and rows by (flow, outcome), those of pruned runs included."""
    ran: Counter[tuple[str, str]] = Counter(_labels(tallied(conn, RUNS)))
    seen: Counter[tuple[str, str]] = Counter({(flow, name): 0 for flow, _ in ran for name in SEEN})
    seen.update(_labels(tallied(conn, ROWS)))
    return ran, seen


def _labels(counts: Mapping[str, int]) -> dict[tuple[str, str], int]:
    split = {label: label.rpartition("|") for label in counts}
    return {(flow, outcome): counts[label] for label, (flow, _, outcome) in split.items()}


def last_successes(conn: Connection, flows: Iterable[str]) -> dict[str, datetime]:
    """Return when each of these flows last ended well."""
    found: dict[str, datetime] = {}
    for flow in flows:
        last = select(runs.c.ended_at).where(runs.c.flow == flow, text(GOOD)).order_by(runs.c.id.desc()).limit(1)
        ended = conn.execute(last).scalar_one_or_none()
        if ended is not None:
            found[flow] = ended
    return found


def lags(conn: Connection, app: App, now: datetime) -> dict[str, tuple[float, bool]]:
    """Return for each source how many seconds ago it was last read well, and whether it fails since.

    One that was never read counts from the first run, so that an alert on it comes in time too.
    """
    first = fact(conn, FIRST_RUN_AT)
    since = datetime.fromisoformat(first) if first else now
    known = {row.source: row for row in conn.execute(select(feeds))}
    found: dict[str, tuple[float, bool]] = {}
    for source in sources_of(app):
        row = known.get(source)
        read = row.last_read_at if row is not None and row.last_read_at is not None else since
        found[source] = (abs((now - read).total_seconds()), row is not None and row.error is not None)
    return found


def coverage_ages(conn: Connection, policy: Policy, now: datetime) -> dict[str, tuple[float, int]]:
    """Return for each daily list how old its unbroken coverage is, in seconds, and how many past days are incomplete.

    Unbroken: every day from the start date on was read after it had ended. Up to a day and a little is as good as it
    gets, since today is never complete.
    """
    today = policy.day(now)
    wanted = max((today - policy.start_date).days, 0)
    found: dict[str, tuple[float, int]] = {}
    for source in DAY_SOURCES:
        complete = complete_days(conn, source, policy.start_date, today - timedelta(days=1)) if wanted else set()
        first_open = _first_open(policy.start_date, today, complete)
        found[source] = (max((now - _midnight(first_open, policy)).total_seconds(), 0.0), wanted - len(complete))
    return found


def open_pushes(conn: Connection) -> dict[tuple[str, str], tuple[int, datetime]]:
    """Return for each (route, state) that a push may still leave how many there are and when the oldest was made."""
    made = func.min(outbox.c.created_at, type_=outbox.c.created_at.type)
    query = (
        select(outbox.c.route, outbox.c.state, func.count(), made)
        .where(text(OPEN))
        .group_by(outbox.c.route, outbox.c.state)
    )
    return {(route, state): (number, oldest) for route, state, number, oldest in conn.execute(query)}


def finished_pushes(conn: Connection) -> dict[str, int]:
    """Return how many pushes there are in each final state."""
    found = tallied(conn, PUSHES)
    return {state: found.get(state, 0) for state in FINISHED_STATES}


def attempt_counts(conn: Connection) -> dict[str, int]:
    """Return attempts by outcome, those of pruned pushes included; "open" are those under way."""
    under_way = (
        select(func.count())
        .select_from(outbox.join(attempts, and_(attempts.c.outbox_id == outbox.c.id, attempts.c.n == outbox.c.tries)))
        .where(text(f"outbox.{OPEN}"), outbox.c.state == "sending", attempts.c.outcome.is_(None))
    )
    found = {outcome: number for outcome, number in tallied(conn, ATTEMPTS).items() if number}
    number = conn.execute(under_way).scalar_one()
    return {**found, "open": number} if number else found


def counted(conn: Connection, column: str, query: str) -> dict[str, int]:
    """Return a query's numbers, its column `n`, by another column."""
    return {row[column]: row["n"] for row in rows(conn, query)}


def number(conn: Connection, query: str) -> int:
    """Return a query's one number."""
    return int(conn.execute(text(query)).scalar_one())


def sizes(conn: Connection, store: Store) -> Mapping[str, int]:
    """Return how many bytes the database takes, by part."""
    if not store.is_sqlite:
        return {"database": number(conn, "select pg_database_size(current_database())")}
    paths = {"database": Path(str(store.url.database)), "wal": Path(f"{store.url.database}-wal")}
    return {part: path.stat().st_size if path.exists() else 0 for part, path in paths.items()}


def _first_open(first: date, today: date, complete: set[date]) -> date:
    day = first
    while day < today and day in complete:
        day += timedelta(days=1)
    return day


def _midnight(day: date, policy: Policy) -> datetime:
    return datetime.combine(day, time(), tzinfo=policy.timezone).astimezone(UTC)

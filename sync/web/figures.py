"""The numbers behind /metrics, asked of the tables: one short query each, none that reads every push or document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from sync.app import App
from sync.database.engine import Store
from sync.database.facts import FIRST_RUN_AT, fact
from sync.database.schema import attempts, feeds, leases, outbox, runs
from sync.jobs.reports import rows
from sync.jobs.retention import COUNTED, PRUNED_ATTEMPTS, PRUNED_RUNS, pruned_counts
from sync.ledger.coverage import DAY_SOURCES, complete_days
from sync.values.policy import OPEN_STATES, Policy
from sync.web.sources import sources_of
from sync.work.lead import NAME as LEADER

FINISHED_STATES = ("done", "superseded", "discarded")


def leads(conn: Connection, owner: str, now: datetime) -> bool:
    """Tell whether this process leads."""
    row = conn.execute(select(leases).where(leases.c.name == LEADER)).first()
    return row is not None and row.owner == owner and row.expires_at > now


def run_counts(conn: Connection) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Return runs by (flow, outcome) and rows by (flow, outcome), those of pruned runs included."""
    ran: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for key, number in pruned_counts(conn, PRUNED_RUNS).items():
        flow, *rest = key.split("|")
        if len(rest) == 1:
            ran[flow, rest[0]] += number
        elif rest[1] != "seen":
            seen[flow, rest[1]] += number
    sums = [func.sum(runs.c[name]).label(name) for name in COUNTED]
    query = select(runs.c.flow, runs.c.outcome, func.count().label("runs"), *sums).group_by(runs.c.flow, runs.c.outcome)
    for row in conn.execute(query):
        if row.outcome is not None:  # what still runs is none yet, and a counter never falls
            ran[row.flow, row.outcome] += row.runs
        for name in COUNTED[1:]:
            seen[row.flow, name] += int(row._mapping[name])
    return ran, seen


def last_successes(conn: Connection) -> dict[str, datetime]:
    """Return when each flow last ended well."""
    query = select(runs.c.flow, func.max(runs.c.ended_at, type_=runs.c.ended_at.type))
    found: dict[str, datetime] = dict(conn.execute(query.where(runs.c.outcome == "ok").group_by(runs.c.flow)).all())
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
        .where(outbox.c.state.in_(OPEN_STATES))
        .group_by(outbox.c.route, outbox.c.state)
    )
    return {(route, state): (number, oldest) for route, state, number, oldest in conn.execute(query)}


def finished_pushes(conn: Connection) -> dict[str, int]:
    """Return how many pushes there are in each final state; answered from an index alone."""
    query = select(outbox.c.state, func.count()).where(outbox.c.state.in_(FINISHED_STATES)).group_by(outbox.c.state)
    found: dict[str, int] = {state: number for state, number in conn.execute(query)}  # noqa: C416
    return {state: found.get(state, 0) for state in FINISHED_STATES}


def attempt_counts(conn: Connection) -> Counter[str]:
    """Return attempts by outcome, those of pruned pushes included."""
    found: Counter[str] = Counter()
    for key, number in pruned_counts(conn, PRUNED_ATTEMPTS).items():
        found[key.rpartition("|")[2]] += number
    for outcome, number in conn.execute(select(attempts.c.outcome, func.count()).group_by(attempts.c.outcome)):
        found[outcome or "open"] += number
    return found


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

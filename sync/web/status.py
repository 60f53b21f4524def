"""The page at /: how things stand, for the controller and for the operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from sync.app import App
from sync.database.facts import heartbeat_age
from sync.jobs.reports import Record, last_runs, reasons_of, rows, todo, view
from sync.ledger.coverage import DAY_SOURCES, MOVEMENTS
from sync.values.money import plain
from sync.web import figures
from sync.web.heat import Calendar, first_day, heat_map, legend
from sync.web.html import Html, ago, element, shown, table
from sync.web.page import facts, key_link, page, section
from sync.web.sources import sources_of

SHOWN_MAX = 50
"""Rows of a list on the page; what is beyond is counted, and shown by the command that is named."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the page shows, read in one look at the database."""

    now: datetime
    today: date
    heartbeat_age: float | None
    leads: bool
    reasons: Sequence[str]
    todo: Sequence[Record]
    outbox: Mapping[tuple[str, str], tuple[int, datetime]]
    finished: Mapping[str, int]
    waiting: Sequence[Record]
    lags: Mapping[str, tuple[float, bool]]
    coverage: Mapping[str, Mapping[date, Record]]
    movements_since: datetime | None
    gaps: Sequence[Record]
    differences: Sequence[Record]
    difference_count: int
    runs: Sequence[Record]


def status_page(app: App) -> bytes:
    """Return the page; raises SQLAlchemyError where the database is away."""
    with app.store.read() as conn:
        status = read_status(conn, app)
    content = [
        _state(status),
        section("Needs a person", _todo(status)),
        section("Outbox", _outbox(status, app.policy.routes)),
        section("Coverage", _coverage(status, app)),
        section("Gaps", _gaps(status)),
        section("Stock differences", _differences(status)),
        section("Last runs", _runs(status)),
        _footer(status, app),
    ]
    return page("mpsync: needs a person" if _reasons(status) else "mpsync: all is well", content, refresh=True)


def read_status(conn: Connection, app: App) -> Status:
    """Look at the tables once."""
    now = app.clock.now()
    today = app.policy.day(now)
    found = todo(conn)
    feed = rows(conn, "select first_read_at from feeds where source = :source", source=MOVEMENTS)
    different = "from v_stock where difference <> 0 or blocked_reason is not null"
    return Status(
        now=now,
        today=today,
        heartbeat_age=heartbeat_age(conn, now),
        leads=figures.leads(conn, app.owner, now),
        reasons=reasons_of(found),
        todo=found,
        outbox=figures.open_pushes(conn),
        finished=figures.finished_pushes(conn),
        waiting=view(conn, "v_outbox", where={"state": ["unknown", "dead"]}, order="id", limit=SHOWN_MAX),
        lags=figures.lags(conn, app, now),
        coverage=_days(conn, today),
        movements_since=feed[0]["first_read_at"] if feed else None,
        gaps=view(conn, "v_gaps", where={"closed_at": None}, limit=SHOWN_MAX),
        differences=rows(
            conn,
            "select item, external_id, mpw_quantity, mpservices_quantity, difference, mpw_read_at, last_patched_at,"
            f" blocked_reason {different} order by item limit {SHOWN_MAX}",
        ),
        difference_count=figures.number(conn, f"select count(*) {different}"),
        runs=last_runs(conn),
    )


def _days(conn: Connection, today: date) -> dict[str, dict[date, Record]]:
    found: dict[str, dict[date, Record]] = {}
    query = "select source, day, complete, rows, error from v_coverage where day >= :first and day <= :last"
    first, last = first_day(today).isoformat(), (today + timedelta(days=7)).isoformat()
    if conn.dialect.name == "postgresql":
        query = query.replace(":first", "cast(:first as date)").replace(":last", "cast(:last as date)")
    for row in rows(conn, query, first=first, last=last):
        found.setdefault(row["source"], {})[row["day"]] = row
    return found


def _reasons(status: Status) -> list[str]:
    never = status.heartbeat_age is None
    return [*(["no daemon has ever worked here: start `mpsync run`"] if never else []), *status.reasons]


def _state(status: Status) -> Html:
    age = status.heartbeat_age
    reasons = _reasons(status)
    word = f"{len(reasons)} thing{'s' if len(reasons) > 1 else ''} to look at" if reasons else "All is well"
    beat = "never" if age is None else f"{ago(age)} ago"
    return element(
        "div",
        element("strong", word),
        element("p", "As of ", shown(status.now), f" · daemon's heartbeat: {beat}", class_="soft"),
        element("ul", [element("li", reason) for reason in reasons]) if reasons else None,
        class_="state bad" if reasons else "state",
        role="status",
    )


def _todo(status: Status) -> list[Html]:
    """What must be decided now one by one; what waits by kind, with its number and amount."""
    now = [row for row in status.todo if row["level"] == "person"]
    found = [_to_decide(row, status.now) for row in now[:SHOWN_MAX]]
    if len(now) > SHOWN_MAX:
        found.append(element("p", f"and {len(now) - SHOWN_MAX} more: mpsync todo", class_="soft"))
    if not found:
        found.append(element("p", "Nothing.", class_="none"))
    waiting = [row for row in status.todo if row["level"] != "person"]
    if waiting:
        kinds = dict.fromkeys(row["kind"] for row in waiting)
        lines = [_together(kind, [row for row in waiting if row["kind"] == kind]) for kind in kinds]
        found.append(element("h3", "Waiting"))
        found.append(table(["kind", "number", "amount", "such as", "what it means"], lines, empty=""))
    return found


def _to_decide(row: Record, now: datetime) -> Html:
    since = "" if row["since"] is None else f" · for {ago((now - row['since']).total_seconds())}"
    amount = "" if row["amount"] is None else f" · amount {plain(row['amount'])}"
    return element(
        "article",
        element("h3", f"{row['kind']}: {row['subject']}"),
        element("p", row["what"]),
        element("p", row["meaning"], class_="soft"),
        element("p", element("strong", "Do: "), row["hint"], class_="do") if row["hint"] else None,
        element("ul", [element("li", f"{one['name']}: {one['command']}") for one in row["choices"]]),
        element(
            "p",
            f"{row['id']}{since}{amount}",
            [" · event ", key_link(row["api_key"])] if row["api_key"] else None,
            class_="soft",
        ),
    )


def _together(kind: str, alike: Sequence[Record]) -> list[object]:
    amounts = [row["amount"] for row in alike if row["amount"] is not None]
    total = sum(amounts, Decimal(0)) if amounts else None
    return [kind, len(alike), total, alike[0]["what"], alike[0]["meaning"]]


def _outbox(status: Status, routes: Mapping[str, str]) -> list[Html]:
    lines = [
        [route, routes.get(route), _state_word(state), number, f"{ago((status.now - made).total_seconds())}"]
        for (route, state), (number, made) in sorted(status.outbox.items())
    ]
    finished = " · ".join(f"{number} {state}" for state, number in status.finished.items())
    held = [
        [row["id"], row["operation"], key_link(row["api_key"]), _state_word(row["state"]), row["last_error"]]
        for row in status.waiting
    ]
    return [
        table(["route", "set to", "state", "pushes", "oldest"], lines, empty="Nothing waits to be pushed."),
        element("p", f"Finished: {finished}", class_="soft"),
        *(
            [element("h3", "Dead and unknown"), table(["id", "operation", "event", "state", "error"], held, empty="")]
            if held
            else []
        ),
    ]


def _state_word(state: str) -> object:
    tone = {"dead": "bad-text", "unknown": "warn-text"}.get(state)
    return element("span", state, class_=tone) if tone else state


def _coverage(status: Status, app: App) -> list[Html]:
    sources = list(sources_of(app))
    sources += [source for source in sorted(status.coverage) if source not in sources]
    if not sources:
        return [element("p", "Both vendors are off: no credentials are set.", class_="none")]
    calendars = [
        element(
            "div",
            heat_map(Calendar(source, status.coverage.get(source, {}), status.today, _from(source, status, app))),
            _lag(source, status),
        )
        for source in sources
    ]
    return [element("div", calendars, class_="sources"), legend()]


def _from(source: str, status: Status, app: App) -> date | None:
    """Return from when on every day of a source must be there."""
    if source in DAY_SOURCES:
        return app.policy.start_date
    if source == MOVEMENTS and status.movements_since is not None:
        return app.policy.day(status.movements_since) + timedelta(days=1)
    return None


def _lag(source: str, status: Status) -> Html | None:
    if source not in status.lags:
        return element("p", "no longer read: its system is off", class_="soft")
    lag, fails = status.lags[source]
    return element("p", f"last read well {ago(lag)} ago", class_="bad-text" if fails else "soft")


def _gaps(status: Status) -> Html:
    lines = [[row["id"], row["source"], row["gap_from"], row["gap_to"], row["opened_at"]] for row in status.gaps]
    return table(["id", "source", "from", "to", "found"], lines, empty="None open.")


def _differences(status: Status) -> list[Html]:
    names = [
        "item",
        "external_id",
        "mpw_quantity",
        "mpservices_quantity",
        "difference",
        "last_patched_at",
        "blocked_reason",
    ]
    titles = ["item", "in MPservices", "MPW has", "MPservices has", "difference", "last patched", "why not patched"]
    found = [table(titles, [[row[name] for name in names] for row in status.differences], empty="None known.")]
    if (more := status.difference_count - len(status.differences)) > 0:
        found.append(element("p", f"and {more} more, in v_stock", class_="soft"))
    return found


def _runs(status: Status) -> Html:
    names = ["flow", "ended_at", "outcome", "seen", "added", "changed", "voided", "quarantined", "error"]
    titles = ["flow", "ended", "outcome", "seen", "added", "changed", "voided", "bad rows", "error"]
    lines = [[_outcome(row) if name == "outcome" else row[name] for name in names] for row in status.runs]
    return table(titles, lines, empty="None yet.")


def _outcome(row: Record) -> object:
    return element("span", "failed", class_="bad-text") if row["outcome"] == "failed" else row["outcome"] or "running"


def _footer(status: Status, app: App) -> Html:
    return element(
        "footer",
        facts(
            [
                ("this process", f"{app.owner}, {'leading' if status.leads else 'standing by'}"),
                ("pushes events since", shown(app.policy.push_from)),
                ("the organisation's zone", app.policy.timezone.key),
                (
                    "for machines",
                    [
                        element("a", "/metrics", href="/metrics"),
                        " ",
                        element("a", "/healthz", href="/healthz"),
                        " ",
                        element("a", "/readyz", href="/readyz"),
                    ],
                ),
            ]
        ),
    )

"""`mpsync status`: how things stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, attention, emit, json_option
from sync.cli.start import env_file


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show coverage, gaps, last runs, pushes by state, what needs a person, and the lag of each source.

    Exit code 1 when something needs a person; each such thing is named on stderr.
    """
    from sync.database.facts import HEARTBEAT_AT, fact
    from sync.jobs import reports

    with looked_at() as app, app.store.read() as conn:
        now = app.clock.now()
        coverage = reports.coverage_summary(conn)
        heartbeat = fact(conn, HEARTBEAT_AT)
        for row in coverage:
            read = row["last_read_at"]
            row["lag_seconds"] = None if read is None else int((now - read).total_seconds())
        data = {
            "as_of": now,
            "heartbeat_at": None if heartbeat is None else datetime.fromisoformat(heartbeat).astimezone(UTC),
            "push_from": app.policy.push_from,
            "routes": dict(app.policy.routes),
            "coverage": coverage,
            "gaps": reports.view(conn, "v_gaps", where={"closed_at": None}),
            "runs": reports.last_runs(conn),
            "outbox": reports.outbox_summary(conn),
            "exceptions": reports.view(conn, "v_exceptions", where={"resolved_at": None}, limit=100),
            "env_file": env_file(),
        }
        found = reports.todo(conn)
        reasons = reports.reasons_of(found)
    waiting = [row for row in found if row["level"] == "waiting" and row["kind"] not in reports.TRIED_BY_ITSELF]
    emit(
        {**data, "needs_a_person": reasons, "waiting": len(waiting)},
        as_json,
        lambda out: _render(out, data, found, well=not reasons),
    )
    attention(reasons)


def _render(out: Output, data: dict[str, Any], found: list[dict[str, Any]], *, well: bool) -> None:
    out.facts(
        {
            "as of": data["as_of"],
            "settings from": data["env_file"] or "the environment: there is no .env here",
            "daemon's heartbeat": data["heartbeat_at"] or "never",
            "pushes events since": data["push_from"],
        }
    )
    out.heading("Sources")
    fails = any(row["failing"] for row in data["coverage"])
    out.table(
        ["source", "first day", "last day", "complete", "rows", "read ago", *(["fails"] if fails else [])],
        [
            [
                row["source"],
                row["first_day"],
                row["last_day"],
                f"{row['complete']}/{row['days']}" if row["days"] else None,
                row["rows"],
                _ago(row["lag_seconds"]),
                *([row["failing"]] if fails else []),
            ]
            for row in data["coverage"]
        ],
        empty="nothing was read yet",
    )
    out.heading("Outbox")
    out.table(
        ["route", "setting", "state", "pushes", "oldest"],
        [
            [row["route"], data["routes"].get(row["route"]), row["state"], row["pushes"], row["oldest"]]
            for row in data["outbox"]
        ],
        empty="empty",
    )
    if data["gaps"]:
        out.heading("Gaps")
        out.table(
            ["id", "source", "from", "to"],
            [[row["id"], row["source"], row["gap_from"], row["gap_to"]] for row in data["gaps"]],
        )
    if found:
        out.heading("To do (mpsync todo says what each means and what can be done)")
        kinds = dict.fromkeys((row["level"], row["kind"]) for row in found)
        out.table(
            ["level", "kind", "number", "such as"],
            [
                [level, kind, len(alike), alike[0]["what"]]
                for level, kind in kinds
                if (alike := [row for row in found if (row["level"], row["kind"]) == (level, kind)])
            ],
        )
    out.heading("Last runs")
    out.table(
        ["flow", "ended ago", "outcome", "seen", "added", "changed", "voided"],
        [
            [
                row["flow"],
                _ago(int((data["as_of"] - row["ended_at"]).total_seconds()) if row["ended_at"] else None),
                *(row[name] for name in ("outcome", "seen", "added", "changed", "voided")),
            ]
            for row in data["runs"]
        ],
        empty="none yet",
    )
    if well:
        waiting = len(found)
        out.line()
        out.line(f"nothing needs a person now; {waiting} wait (mpsync todo)" if waiting else "nothing needs a person")


def _ago(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    if seconds < -120:
        return "in the future: a clock was ahead"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"

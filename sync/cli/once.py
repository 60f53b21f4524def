"""`mpsync once`: one cycle now."""

from __future__ import annotations

from typing import Any

import click

from sync.cli.opened import opened
from sync.cli.output import Output, attention, emit, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Run one cycle now.

    Reads what is incomplete or overdue and what `run` polls often, takes in the inbox, then
    reconciles, pushes and verifies again and again until nothing is due, and once a day forgets
    what the SYNC_KEEP_… settings let go. Exit code 1 when something needs a person, 75 when a
    daemon is running on this database.
    """
    from sync.database.facts import expect_no_daemon
    from sync.jobs.cycle import cycle_once
    from sync.jobs.prune import prune_if_due_once
    from sync.jobs.reports import needs_a_person, outbox_summary, worth_saying

    with opened(to_work=True) as app:
        with app.leading() as leadership:
            context = app.context(leadership)
            with app.store.write() as conn:
                expect_no_daemon(conn)
            report = cycle_once(context)
            prune_if_due_once(context)
        with app.store.read() as conn:
            pushes = outbox_summary(conn)
            reasons = needs_a_person(conn)
            notes = worth_saying(conn, app.policy)
    data = {
        "polled": report.polled.as_dict(),
        "inbox": report.inbox.as_dict(),
        "derived": report.derived,
        "pushed": report.pushed,
        "verified": report.verified,
        "outbox": pushes,
        "needs_a_person": reasons,
        "notes": notes,
        "routes": dict(app.policy.routes),
    }
    emit(data, as_json, lambda out: _render(out, data))
    attention(reasons)


def _render(out: Output, data: dict[str, Any]) -> None:
    polled = data["polled"]
    out.facts(
        {
            "read": ", ".join(f"{count} {name}" for name, count in polled.items() if count) or "nothing new",
            "derived": f"{data['derived']} pushes",
            "sent": data["pushed"],
            "verified": data["verified"],
        }
    )
    out.heading("Outbox")
    out.table(
        ["route", "state", "pushes", "oldest"],
        [[row["route"], row["state"], row["pushes"], row["oldest"]] for row in data["outbox"]],
        empty="empty",
    )
    held = {row["route"]: row["pushes"] for row in data["outbox"] if row["state"] == "held"}
    if held:
        out.line()
        out.prose("Held until you say so (`mpsync plan` says why each push is wanted). To let a route's go:")
        for route, pushes in sorted(held.items()):
            setting = f"SYNC_ROUTE_{route.upper()}=push, then" if data["routes"].get(route) != "push" else ""
            out.line(f"  {route} ({pushes}): {setting}")
            out.line(f"    mpsync outbox release --route {route}")
    for note in data["notes"]:
        out.line()
        out.prose(note)

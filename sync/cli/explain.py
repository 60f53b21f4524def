"""`mpsync explain API_KEY`: the whole story of one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, attention, emit, json_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sync.work.context import Context


@click.command()
@click.argument("api_key")
@json_option
def command(api_key: str, as_json: bool) -> None:
    """Tell the whole story of one event: entries, documents, pushes, attempts, exceptions.

    API_KEY is the event's key, as `mpsync outbox list` and the views show it.
    """
    from sync.cli.journal import with_sides
    from sync.jobs.reports import event_story
    from sync.journal.report_rows import lines_of_key

    with looked_at() as app, app.store.read() as conn:
        story = event_story(conn, api_key) | {"journal": with_sides(lines_of_key(conn, api_key))}
        _say_why_not(conn, app.context(), story)
    emit(story, as_json, lambda out: _render(out, story))
    if not any(value for name, value in story.items() if name != "api_key"):
        attention([f"nothing is known of {api_key}; keys are exact: look with `mpsync outbox list` or in v_events"])


def _say_why_not(conn: Connection, ctx: Context, story: dict[str, Any]) -> None:
    """Give each event `not_pushed`: why MPW lacks it and nothing is under way for it; None where that is not so."""
    from sync.reconcile.derive import decide_all, load_known
    from sync.reconcile.rules import Leave

    idle = not story["pushes"] and not story["parked"]
    keys = [(event["kind"], event["api_key"]) for event in story["events"] if idle and not event["matched"]]
    decisions = decide_all(ctx, load_known(conn, ctx, keys)) if keys else {}
    for event in story["events"]:
        decision = decisions.get((event["kind"], event["api_key"]))
        event["not_pushed"] = decision.why if isinstance(decision, Leave) else None


def _render(out: Output, story: dict[str, Any]) -> None:
    from sync.jobs.reports import label

    for event in story["events"]:
        out.heading(f"{event['kind']} {event['api_key']}")
        out.facts(
            {
                "item": event["item"],
                "date": event["occurred_on"],
                "MPW": event["mpw_quantity"],
                "MPservices": event["mpservices_quantity"],
                "ERP": event["erp_quantity"],
                "amount": event["amount"],
                "matched": bool(event["matched"]),
                "voided": bool(event["voided"]),
            }
            | ({"differs": event["difference"]} if event["difference"] else {})
            | ({"ignored": "the item map says that MPW is never to have its item"} if event["ignored"] else {})
            | ({"settled": "by hand, as a person said"} if event["settled"] else {})
            | ({"not pushed": event["not_pushed"]} if event["not_pushed"] else {})
        )
    for entry in story["entries"]:
        if entry["posted_on"] != entry["occurred_on"] and entry["entry_type"] == "original":
            out.prose(
                f"late: {entry['system']} dates it {entry['occurred_on']}, in a closed month (SYNC_LOCK_DATE); the"
                f" ledger posts it on {entry['posted_on']}. A push carries the document's own date, so MPW books it on"
                " that day."
            )
    _section(out, "Ledger", story["entries"], ["seq", "system", "entry_type", "quantity", "unit_cost", "posted_on"])
    journal = ["entry_id", "posted_on", "account", "debit", "credit", "booked_by", "document"]
    _section(out, "Journal", story["journal"], journal)
    _section(out, "Documents", story["documents"], ["system", "type", "remote_id", "day", "voided_at"])
    _section(out, "Inbox", story["inbox"], ["id", "document_type", "state", "error", "received_at"])
    _section(out, "Settled by hand", story["settlements"], ["kind", "made_at", "made_by", "why", "mpw_id"])
    _section(out, "Waiting", story["parked"], ["kind", "reason", "due_at"])
    for push in story["pushes"]:
        out.heading(f"Push {push['id']}: {push['operation']}, {push['state']}")
        names = ("reason", "waits_for", "last_error", "remote_id", "due_at", "created_at", "finalized_at", "payload")
        out.facts({label(name, push): push[name] for name in names if push[name] is not None})
        tries = [row for row in story["attempts"] if row["outbox_id"] == push["id"]]
        tries = [{**row, "note": row["error"]} for row in tries]
        _section(out, "Attempts", tries, ["n", "started_at", "http_status", "outcome", "note"])
    _section(out, "Split into", story["parts"], ["api_key", "quantity", "state", "remote_id"])
    _section(out, "Exceptions", story["exceptions"], ["id", "kind", "detail", "hint", "resolved_at", "resolution"])


def _section(out: Output, title: str, rows: list[dict[str, Any]], columns: list[str]) -> None:
    if rows:
        out.heading(title)
        out.table([name.replace("_", " ") for name in columns], [[row[name] for name in columns] for row in rows])

"""The page at /event?key=…: one event's whole story, as `mpsync explain` tells it."""

from __future__ import annotations

from collections.abc import Sequence

from sync.app import App
from sync.jobs.reports import Record, event_story, label
from sync.web.html import Html, element, shown, table
from sync.web.page import facts, page, section


def event_page(app: App, api_key: str) -> tuple[bytes, bool]:
    """Return the page, and whether anything is known of the key; raises SQLAlchemyError where the database is away."""
    with app.store.read() as conn:
        story = event_story(conn, api_key)
    known = any(value for name, value in story.items() if name != "api_key")
    content = _story(story) if known else [_unknown(api_key)]
    return page(f"mpsync: {api_key}", content, refresh=False, key=api_key), known


def _unknown(api_key: str) -> Html:
    return section(
        "Unknown", element("p", f"Nothing is known of {api_key}. Keys are exact; v_events and v_outbox show them.")
    )


def _story(story: Record) -> list[Html]:
    found = [_event(event) for event in story["events"]]
    for title, name, columns in (
        (
            "Ledger",
            "entries",
            [
                "seq",
                "system",
                "entry_type",
                "item",
                "warehouse",
                "quantity",
                "unit_cost",
                "amount",
                "occurred_on",
                "posted_on",
                "recorded_at",
            ],
        ),
        ("Inbox", "inbox", ["id", "document_type", "state", "error", "received_at", "decided_at"]),
        ("Waiting", "parked", ["kind", "reason", "due_at"]),
    ):
        if story[name]:
            found.append(section(title, _rows(story[name], columns)))
    found += [_push(push, story["attempts"]) for push in story["pushes"]]
    for title, name, columns in (
        ("Split into", "parts", ["api_key", "quantity", "state", "remote_id"]),
        ("Exceptions", "exceptions", ["id", "kind", "detail", "hint", "opened_at", "resolved_at", "resolution"]),
    ):
        if story[name]:
            found.append(section(title, _rows(story[name], columns)))
    if story["documents"]:
        found.append(section("Documents", [_document(row) for row in story["documents"]]))
    return found


def _event(event: Record) -> Html:
    state = "voided" if event["voided"] else "matched" if event["matched"] else "not matched"
    if event["settled"] and not event["matched"]:
        state = "settled by hand"
    return section(
        f"{event['kind']} {event['api_key']}",
        facts(
            [
                ("item", event["item"]),
                ("date", shown(event["occurred_on"])),
                ("in MPW", shown(event["mpw_quantity"])),
                ("in MPservices", shown(event["mpservices_quantity"])),
                ("in the ERP", shown(event["erp_quantity"])),
                ("amount", shown(event["amount"])),
                ("state", element("span", state, class_="good-text" if state == "matched" else "warn-text")),
                *([("differs", event["difference"])] if event["difference"] else []),
            ]
        ),
    )


def _push(push: Record, attempts: Sequence[Record]) -> Html:
    names = ("reason", "waits_for", "last_error", "evidence", "remote_id", "due_at", "created_at", "finalized_at")
    tries = [{**row, "note": row["error"]} for row in attempts if row["outbox_id"] == push["id"]]
    return section(
        f"Push {push['id']}: {push['operation']}, {push['state']}",
        facts([(label(name, push), shown(push[name])) for name in names if push[name] is not None]),
        element("pre", push["payload"]),
        _rows(tries, ["n", "started_at", "ended_at", "http_status", "outcome", "note"]) if tries else None,
    )


def _document(row: Record) -> Html:
    voided = f", voided {row['voided_at']:%Y-%m-%d %H:%M}Z" if row["voided_at"] else ""
    return element(
        "details",
        element("summary", f"{row['system']} {row['type']} {row['remote_id']}{voided}"),
        element("pre", row["raw"]),
    )


def _rows(rows: Sequence[Record], columns: Sequence[str]) -> Html:
    titles = [name.removesuffix("_at").replace("_", " ") for name in columns]
    return table(titles, [[row[name] for name in columns] for row in rows], empty="")

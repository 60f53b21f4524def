"""`mpsync demo`: everything at work, against the sandbox, in under a minute."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sync.cli.output import Output

if TYPE_CHECKING:
    from sync.app import App
    from sync.jobs.cycle import CycleReport
    from sync.jobs.reports import Record
    from sync.sandbox.server import Sandbox

DATABASE = Path("mpsync-demo.db")
DAYS = 30
LOOK = (
    ("what every event came to", "select * from v_events where mpservices_quantity is not null"),
    ("what was pushed, and why", "select id, operation, api_key, state, reason from v_outbox"),
    ("stock side by side", "select item, mpw_quantity, mpservices_quantity, difference from v_stock"),
    ("the journal", "select entry_id, account, debit, credit, api_key, booked_by from v_journal limit 20"),
    ("the ledger", "select seq, system, kind, api_key, quantity, amount from v_ledger limit 20"),
)


@click.command()
def command() -> None:
    """Show it all at work: no account, no network, no server.

    Starts both vendors' services on a free local port, makes mpsync-demo.db (SQLite) in the
    current folder, anew each time, backfills 30 days and runs full cycles with every route set
    to push.
    """
    from sync.app import open_app
    from sync.clock import SystemClock
    from sync.log import configure_logging
    from sync.sandbox.server import Sandbox
    from sync.settings import load_settings

    out = Output()
    _remove_old_database()
    out.line("mpsync demo: Maintenance Pro Web and MPservices played by the sandbox on this machine.")
    with Sandbox(seed=1, days=DAYS) as sandbox:
        from_then = SystemClock().now() - timedelta(days=3)
        settings = load_settings(
            sandbox.settings()
            | {f"SYNC_ROUTE_{route}": "push" for route in _routes()}
            | {"DATABASE_URL": f"sqlite:///{DATABASE}", "SYNC_PUSH_FROM": from_then.isoformat()}
            | {"SYNC_JOURNAL_FROM": (from_then - timedelta(days=DAYS)).date().isoformat()},
            dotenv=None,
        )
        configure_logging("warning", "auto", settings.secrets())
        with open_app(settings) as app:
            _play(out, app, sandbox)
    _say_where_to_look(out)


def _routes() -> list[str]:
    from sync.values.policy import ROUTES

    return [route.upper() for route in ROUTES]


def _remove_old_database() -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{DATABASE}{suffix}").unlink(missing_ok=True)


def _play(out: Output, app: App, sandbox: Sandbox) -> None:
    from sync.jobs.cycle import cycle_once
    from sync.poll.backfill import backfill_once

    today = app.policy.day(app.clock.now())
    out.heading(f"1. Backfill of {DAYS} days")
    filled = backfill_once(app.context(), today - timedelta(days=DAYS - 1), today, sources=None, again=False)
    _show_pulled(out, app)
    if filled.failed:
        raise click.ClickException(f"days that could not be read: {filled.failed}")

    with app.leading() as leadership:
        context = app.context(leadership)
        out.heading("2. First cycle: the ERP has sent documents, MPservices has moved parts")
        _erp_sends_documents(app)
        _show_cycle(out, cycle_once(context))
        out.heading("3. Second cycle: people went on working in both systems")
        _people_work(sandbox)
        _show_cycle(out, cycle_once(context))
        out.heading("4. Third cycle: nothing has happened, so nothing is written")
        _show_cycle(out, cycle_once(context))
        out.heading("5. The journal: the same month in accounts")
        _keep_books(app)
        cycle_once(context)
        _show_journal(out, app)
    _show_pushed(out, app)


def _keep_books(app: App) -> None:
    """Put the sample's rules of accounts in force, as `mpsync accounts import` does."""
    from sync.journal.account_rows import save_rules
    from sync.journal.accounts import numbered, read_rules, sample

    with app.context().anyone_writes() as books:
        save_rules(books, read_rules(numbered(sample())).rules, by="demo")


def _show_journal(out: Output, app: App) -> None:
    from sync.cli.journal import accounts_table, accounts_told
    from sync.journal import report_rows
    from sync.journal.check import check_journal

    with app.store.read() as conn:
        found, checked = report_rows.totals(conn), check_journal(conn)
    accounts_table(out, accounts_told(found))
    if checked.wrong:
        raise click.ClickException(f"the journal is not what the ledger says: {checked.wrong}")


def _erp_sends_documents(app: App) -> None:
    """Insert into the inbox as the ERP does: document_type, api_key, payload."""
    from sqlalchemy import text

    from sync.jobs.reports import view

    today = app.policy.day(app.clock.now()).isoformat()
    with app.store.read() as conn:
        requisitions = [row for row in view(conn, "v_purchase_orders", order="number") if _is_requisition(row)]
    documents: list[tuple[str, str, dict[str, object]]] = [
        (
            "receipt",
            "ERP-GR-1001",
            {
                "part_number": "FLT-100",
                "warehouse_name": "Warehouse #1",
                "quantity_received": "6",
                "unit_cost": "27.9500",
                "created_on": today,
                "vendor_name": "Bosch",
            },
        ),
        (
            "issuance",
            "ERP-GI-2001",
            {"part_number": "BRK-220", "warehouse_name": "Warehouse #1", "quantity": 2, "created_on": today},
        ),
        (
            "transfer",
            "ERP-TR-3001",
            {
                "part_number": "51503",
                "warehouse_name": "Warehouse #1",
                "destination_warehouse_name": "WH2",
                "quantity": 1,
            },
        ),
    ]
    documents += [
        (
            "po_approval",
            f"ERP-PO-{row['number']}",
            {"purchase_order_number": row["number"], "approved_by": "controller"},
        )
        for row in requisitions
    ]
    with app.store.write() as conn:
        conn.execute(
            text("insert into inbox (document_type, api_key, payload) values (:type, :key, :payload)"),
            [{"type": kind, "key": key, "payload": json.dumps(payload)} for kind, key, payload in documents],
        )


def _is_requisition(row: Record) -> bool:
    return str(row["status"]).casefold() == "requisition"


def _people_work(sandbox: Sandbox) -> None:
    sandbox.mpservices.person_moves("Outbound", "1112", 3, "1.99", reference="Folio-201")
    sandbox.mpservices.person_moves("Inbound", "BRG-6204", 12, "4.31")
    sandbox.mpw.person_receives("99999", "Warehouse #1", 20, "10.2", sandbox.mpw.today())


def _show_pulled(out: Output, app: App) -> None:
    from sync.jobs.reports import coverage_summary

    with app.store.read() as conn:
        found = coverage_summary(conn)
    out.table(
        ["source", "first day", "last day", "complete", "of", "rows"],
        [
            [row["source"], row["first_day"], row["last_day"], row["complete"], row["days"], row["rows"]]
            for row in found
        ],
    )


def _show_cycle(out: Output, report: CycleReport) -> None:
    polled = report.polled
    out.line(
        f"read {polled.seen} rows ({polled.added} new, {polled.changed} changed),"
        f" took in {report.inbox.seen} documents, derived {report.derived} pushes,"
        f" made {report.pushed} calls, verified {report.verified}"
    )


def _show_pushed(out: Output, app: App) -> None:
    from sync.jobs.reports import needs_a_person, rows

    with app.store.read() as conn:
        pushes = rows(
            conn,
            "select operation, state, count(*) as pushes, min(api_key) as example from v_outbox"
            " group by operation, state order by operation, state",
        )
        reasons = needs_a_person(conn)
    out.heading("What was pushed")
    out.table(
        ["operation", "state", "pushes", "for example"],
        [[row["operation"], row["state"], row["pushes"], row["example"]] for row in pushes],
    )
    for reason in reasons:
        out.line(f"needs a person: {reason}")


def _say_where_to_look(out: Output) -> None:
    out.heading(f"Look at it with SQL: sqlite3 {DATABASE} (or any SQLite browser)")
    for what, query in LOOK:
        out.line(f"-- {what}")
        out.line(f"{query};")
    out.line()
    out.line(f"Or with mpsync itself: DATABASE_URL=sqlite:///{DATABASE} mpsync status")
    out.line("One event's whole story: … mpsync explain ERP-GR-1001. The books: … mpsync journal tieout, and")
    out.line("… mpsync export journal november.csv --format csv. Next: README.md, docs/accounting.md.")

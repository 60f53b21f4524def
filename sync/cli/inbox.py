"""`mpsync inbox`: the ERP's documents."""

from __future__ import annotations

import click

from sync.cli.opened import looked_at
from sync.cli.output import emit, json_option


@click.group()
def command() -> None:
    """List the ERP's documents and what became of them."""


@command.command("list")
@click.option("--state", type=click.Choice(["received", "accepted", "rejected"]), help="Only these.")
@click.option("--type", "document_type", help="Only this document_type.")
@click.option("--limit", default=100, show_default=True, help="Show at most this many, newest first.")
@json_option
def list_(state: str | None, document_type: str | None, limit: int, as_json: bool) -> None:
    """List documents, newest first."""
    from sync.jobs.reports import view

    where = {"state": state, "document_type": document_type}
    with looked_at() as app, app.store.read() as conn:
        rows = view(
            conn, "v_inbox", where={k: v for k, v in where.items() if v is not None}, order="id desc", limit=limit
        )
    columns = ["id", "document_type", "api_key", "state", "error", "received_at"]
    emit(
        {"inbox": rows},
        as_json,
        lambda out: out.table(
            [name.replace("_", " ") for name in columns],
            [[row[name] for name in columns] for row in rows],
            empty="no documents",
        ),
    )

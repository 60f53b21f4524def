"""`mpsync inbox`: the ERP's documents."""

from __future__ import annotations

import click

from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, attention, emit, json_option


@click.group()
def command() -> None:
    """Show the ERP's documents and what became of them, and set aside what is not wanted."""


@command.command("list")
@click.option("--state", type=click.Choice(["received", "accepted", "rejected", "set_aside"]), help="Only these.")
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


@command.command()
@click.argument("row_id", metavar="ID", type=int)
@json_option
def show(row_id: int, as_json: bool) -> None:
    """Show one document: what came, what became of it, and what is open about it."""
    from sync.errors import ConfigError
    from sync.inbox.refusal_rows import subject_about
    from sync.jobs.reports import view

    with looked_at() as app, app.store.read() as conn:
        rows = view(conn, "v_inbox", where={"id": row_id})
        if not rows:
            raise ConfigError(f"the inbox has no document {row_id}", hint="`mpsync inbox list` shows their ids")
        row = rows[0]
        subject = subject_about(row["document_type"], row["api_key"], row["payload"])
        told = view(conn, "v_exceptions", where={"resolved_at": None, "subject": subject.name})

    def render(out: Output) -> None:
        out.facts(row)
        for one in told:
            out.heading(f"{one['id']}  {one['kind']}: {one['subject']}")
            out.facts({"what": one["detail"], "do": one["hint"]})

    emit({"document": row, "exceptions": told}, as_json, render)


@command.command("set-aside")
@click.argument("ids", nargs=-1, type=int, required=True)
@click.option("--why", required=True, help="Why it is not wanted: kept with the exception.")
@json_option
def set_aside(ids: tuple[int, ...], why: str, as_json: bool) -> None:
    """Set rejected documents aside, with all of the same type and key: nobody waits for them any more.

    The same document again stays set aside; another content under the key is decided as ever.
    """
    from sync.inbox.refusal_rows import rejected_rows, subject_about
    from sync.inbox.refusal_rows import set_aside as set_rows_aside

    with opened() as app, app.context().anyone_writes() as books:
        rows = rejected_rows(books.conn, ids)
        rejected = [row for row in rows.values() if row.state == "rejected"]
        subjects = {subject_about(row.document_type, row.api_key, row.payload) for row in rejected}
        count = set_rows_aside(books, subjects, [row.id for row in rejected], why=why, by=person())
    emit({"set_aside": count}, as_json, lambda out: out.line(f"{count} set aside"))
    attention(
        f"document {one} is {rows[one].state}, not rejected" if one in rows else f"the inbox has no document {one}"
        for one in ids
        if one not in rows or rows[one].state != "rejected"
    )

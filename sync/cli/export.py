"""`mpsync export`: the ledger as a file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from sync.cli.opened import looked_at
from sync.cli.output import emit, json_option


@click.group()
def command() -> None:
    """Write the ledger to a file."""


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="First day (occurred_on), inclusive.",
)
@click.option(
    "--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Last day (occurred_on), inclusive."
)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this seq.")
@json_option
def ledger(file: Path, first: datetime | None, last: datetime | None, after: int, as_json: bool) -> None:
    """Write ledger entries to FILE (.csv or .jsonl) and print the last seq.

    Give that seq to --after next time: what was exported before does not come again, and
    nothing that commits later is missed.
    """
    from sync.jobs.export import export_ledger

    with looked_at() as app, app.store.read() as conn:
        done = export_ledger(
            conn, file, first=first.date() if first else None, last=last.date() if last else None, after=after
        )
    emit(
        {"file": str(file), "entries": done.entries, "last_seq": done.last_seq},
        as_json,
        lambda out: out.facts({"entries": done.entries, "file": str(file), "last seq": done.last_seq}),
    )

"""`mpsync backfill`: read the days from one date to another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import opened
from sync.cli.output import Output, attention, emit, json_option

if TYPE_CHECKING:
    from sync.database.runs import Counts
    from sync.poll.backfill import Progress


@click.command()
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    metavar="YYYY-MM-DD",
    help="First day, inclusive.",
)
@click.option(
    "--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="YYYY-MM-DD", help="Last day, inclusive."
)
@click.option("--source", "sources", multiple=True, help="Only this source, such as mpw.receipts; repeatable.")
@click.option("--again", is_flag=True, help="Read complete days too.")
@json_option
def command(first: datetime, last: datetime, sources: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Read those days into the ledger.

    Resumable after a stop at any point: days that are complete are skipped. May run beside the
    daemon. Exit code 1 when a day could not be read.
    """
    from sync.poll.backfill import backfill_once, planned

    with opened() as app:
        ctx, chosen = app.context(), list(sources) or None
        total = planned(ctx, first.date(), last.date(), sources=chosen, again=again)
        with _progress(total) as progress:
            done = backfill_once(ctx, first.date(), last.date(), sources=chosen, again=again, progress=progress)
    failed = [{"source": source, "day": day, "error": error} for source, day, error in done.failed]
    data = {
        "from": first.date(),
        "to": last.date(),
        **done.counts.as_dict(),
        "skipped_days": done.skipped_days,
        "notes": done.notes,
        "failed": failed,
    }
    emit(data, as_json, lambda out: _render(out, data))
    attention(f"{row['source']} {row['day']}: {row['error']}" for row in failed)


def _render(out: Output, data: dict[str, Any]) -> None:
    names = ("seen", "added", "changed", "voided", "unchanged", "quarantined")
    out.facts(
        {"days": f"{data['from']} to {data['to']}"}
        | {name: data[name] for name in names if data[name] or name == "seen"}
    )
    if data["skipped_days"]:
        out.line(f"{data['skipped_days']} days were complete and were skipped (--again reads them too)")
    for note in data["notes"]:
        out.prose(f"note: {note}")


@contextmanager
def _progress(total: int) -> Iterator[Progress | None]:
    """Show a bar on stderr where a person watches it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)

        def step(source: str, day: date, _counts: Counts) -> None:
            bar.update(task, advance=1, description=f"{source} {day}")

        yield step

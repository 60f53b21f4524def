"""`mpsync backfill`: read the days from one date to another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from sync.cli.opened import opened
from sync.cli.output import attention, emit, json_option

if TYPE_CHECKING:
    from sync.store.runs import Counts

Progress = Callable[[int, int, str], None]


@click.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, help="First day, inclusive.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Last day, inclusive.")
@click.option("--source", "sources", multiple=True, help="Only this source; may be given several times.")
@click.option("--again", is_flag=True, help="Read complete days too.")
@json_option
def command(first: datetime, last: datetime, sources: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Read those days into the ledger. Resumable: days already complete are skipped.

    May run beside the daemon. Exit code 1 when a day could not be read.
    """
    from sync.flows.backfill import backfill_once

    if last < first:
        raise click.BadParameter("--to lies before --from", param_hint="--to")
    with opened() as app, _bar(quiet=as_json) as progress:
        report = backfill_once(
            app.context(), first.date(), last.date(), sources=list(sources) or None, again=again, progress=progress
        )
    data = {"from": first.date(), "to": last.date(), **report.counts.as_dict(), "failed": report.failed}
    emit(
        data,
        as_json,
        lambda out: out.facts(
            {name: value for name, value in report.counts.as_dict().items() if value}
            or {"read": "nothing to do: those days are complete"}
        ),
    )
    attention(f"{source} {day}: {error}" for source, day, error in report.failed)

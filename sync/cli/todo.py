"""`mpsync todo`: everything that needs a person, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, emit, json_option

Row = dict[str, Any]

IN_FULL = 3
"""So many waiting things of a kind are shown one by one; of more, their number and amount, unless --all."""


@click.command()
@click.option("--all", "everything", is_flag=True, help="What merely waits one by one, too, however many there are.")
@json_option
def command(everything: bool, as_json: bool) -> None:
    """Show everything that needs a person: what to decide now, then what waits.

    Each with what it means for the books, its amount, and the commands that settle it. Exit code 1
    when something must be decided now, or a source cannot be read.
    """
    from sync.jobs.reports import needs_a_person, todo

    with looked_at() as app, app.store.read() as conn:
        found = todo(conn)
        pressing = needs_a_person(conn)
    emit({"todo": found}, as_json, lambda out: _render(out, found, everything=everything))
    if pressing:
        raise click.exceptions.Exit(1)


def _render(out: Output, found: Sequence[Row], *, everything: bool) -> None:
    now = [row for row in found if row["level"] == "person"]
    waiting = [row for row in found if row["level"] == "waiting"]
    if not found:
        out.line("nothing needs a person")
    if now:
        out.heading(f"To decide now: {len(now)}")
        for row in now:
            _show(out, row)
    if waiting:
        out.heading(f"Waiting: {len(waiting)}")
        for kind in dict.fromkeys(row["kind"] for row in waiting):
            alike = [row for row in waiting if row["kind"] == kind]
            if everything or len(alike) <= IN_FULL:
                for row in alike:
                    _show(out, row)
            else:
                _show_together(out, alike)


def _show(out: Output, row: Row) -> None:
    out.line()
    out.prose(f"{row['what']}")
    facts: dict[str, object] = {"means": row["meaning"]}
    if row["amount"] is not None:
        facts["amount"] = row["amount"]
    facts["since"] = row["since"]
    if row["hint"]:
        facts["do"] = row["hint"]
    out.facts({f"  {name}": value for name, value in facts.items()})
    for choice in row["choices"]:
        out.prose(f"  {choice['name']}: {choice['command']}")


def _show_together(out: Output, alike: Sequence[Row]) -> None:
    out.line()
    amounts = [row["amount"] for row in alike if row["amount"] is not None]
    out.prose(f"{len(alike)} of kind {alike[0]['kind']}, such as: {alike[0]['what']}")
    facts: dict[str, object] = {"means": alike[0]["meaning"]}
    if amounts:
        facts["amount"] = sum(amounts, Decimal(0))
    facts["since"] = alike[0]["since"]
    facts["one by one"] = "mpsync todo --all"
    out.facts({f"  {name}": value for name, value in facts.items()})

"""`mpsync export`: the ledger as a file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, emit, json_option

if TYPE_CHECKING:
    from sync.journal.batches import Given


@click.group()
def command() -> None:
    """Write the ledger, or the journal, to a file."""


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


_FORMATS = ("csv", "jsonl", "hledger", "ledger", "beancount", "qbo", "xero", "bc", "odoo", "erpnext")


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "format_", type=click.Choice(_FORMATS), help="What reads it; docs/accounting.md has each.")
@click.option("--mode", type=click.Choice(["summary", "detail"]), default="summary", show_default=True)
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Last posting date.")
@click.option("--dates", default="", metavar="FORM", help="Such as MM/DD/YYYY, where the format lets you choose.")
@click.option("--tax-rate", default="", help="xero: the name of the tax rate on every line.")
@click.option("--company", default="", help="erpnext: the company.")
@click.option("--journal", "journal_", default="", help="odoo: the journal.")
@click.option("--tracking", default="", help="xero: the tracking category that cost centers are of.")
@click.option("--again", type=click.IntRange(min=1), metavar="BATCH", help="Write that batch once more, as it was.")
@click.option("--look", is_flag=True, help="Show what the next batch would be; give nothing.")
@json_option
def journal(
    file: Path,
    format_: str | None,
    mode: str,
    last: datetime | None,
    dates: str,
    tax_rate: str,
    company: str,
    journal_: str,
    tracking: str,
    again: int | None,
    look: bool,
    as_json: bool,
) -> None:
    """Give the ERP what it was not given yet, as FILE and FILE.control.json.

    An entry is given once: what is in a batch comes in no other. `summary` makes one document a
    day and cost center, `detail` one an entry. A file that would be longer than its reader takes is
    cut into FILE-1, FILE-2 and so on.
    """
    from sync.cli.opened import opened, person
    from sync.journal.batches import export_again, export_journal
    from sync.journal.formats.model import Options

    if (format_ is None) == (again is None):
        raise click.UsageError("give --format for what is new, or --again BATCH for what was given")
    options = Options(dates=dates, tax_rate=tax_rate, company=company, journal=journal_, tracking=tracking)
    with opened() as app:
        ctx = app.context()
        if again is not None:
            given = export_again(ctx, file, again)
        else:
            to = last.date() if last else None
            assert format_ is not None
            given = export_journal(
                ctx, file, format_=format_, mode=mode, last=to, options=options, by=person(), look=look
            )
    data = _told(file, given)
    emit(data, as_json, lambda out: _render(out, data))


def _told(file: Path, given: Given) -> dict[str, Any]:
    from sync.values.money import from_micros

    batch = given.batch
    if batch is None:
        return {"batch": None, "files": []}
    return {
        "batch": None if given.looked else batch.id,
        "mode": batch.mode,
        "entries": batch.entries,
        "documents": batch.documents,
        "lines": batch.lines,
        "debit": from_micros(batch.debit),
        "first": given.first,
        "last": given.last,
        "booked_from": given.first_day,
        "booked_to": given.last_day,
        "files": list(given.files),
        "control": f"{file.name}.control.json",
    }


def _render(out: Output, data: dict[str, Any]) -> None:
    from sync.cli.journal import money

    if not data["files"]:
        out.line("nothing is new: all that may be given was given")
        return
    what = f"batch {data['batch']}" if data["batch"] else "the next batch would be"
    numbers = data["first"] if data["documents"] == 1 else f"{data['first']} to {data['last']}"
    many = "1 document" if data["documents"] == 1 else f"{data['documents']} documents"
    out.line(f"{what} ({data['mode']}): {data['entries']} entries, {many} {numbers}, {data['lines']} lines")
    debit = money(data["debit"])
    out.line(f"debit {debit} = credit {debit}, booked {data['booked_from']} to {data['booked_to']}")
    names = ", ".join([*data["files"], data["control"]])
    out.line(f"{names}; again only with --again {data['batch']}" if data["batch"] else f"{names}; nothing was given")

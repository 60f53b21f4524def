"""`mpsync journal`: the ledger in accounts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.cli.journal_reports import REPORTS
from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, attention, emit, json_option
from sync.errors import ConfigError

if TYPE_CHECKING:
    from sync.journal.corrections import Corrected
    from sync.journal.report_rows import Record, Totals

LINE_COLUMNS = (
    "entry_id",
    "posted_on",
    "kind",
    "api_key",
    "account",
    "debit",
    "credit",
    "item",
    "booked_by",
    "document",
)


@click.group()
def command() -> None:
    """The ledger in accounts: look at it, check it, and book what waits."""


@command.command()
@json_option
def check(as_json: bool) -> None:
    """Compute the whole journal again from the ledger, and compare. Exit code 1 where anything differs."""
    from sync.journal.check import check_journal

    with looked_at() as app, app.store.read() as conn:
        found = check_journal(conn)
    data = found.as_dict()
    emit(data, as_json, lambda out: _render_check(out, data))
    attention(found.wrong)


def _render_check(out: Output, data: dict[str, Any]) -> None:
    out.facts(
        {
            "entries": data["entries"],
            "inventory accounts": money(data["stock"]),
            "stock by the ledger, rounded per item and warehouse": money(data["ledger_rounded"]),
            "rounding account": money(data["rounding"]),
        }
    )
    out.line("all is as the ledger makes it" if not data["wrong"] else f"{len(data['wrong'])} things are not")


@command.command()
@click.argument("what", metavar="NUMBER|KEY")
@json_option
def show(what: str, as_json: bool) -> None:
    """Show the lines of a document by its number, or of an event by its api_key."""
    from sync.journal import report_rows

    with looked_at() as app, app.store.read() as conn:
        document = report_rows.document(conn, what)
        lines = report_rows.lines_of_document(conn, what) if document else report_rows.lines_of_key(conn, what)
    data = {"document": document, "lines": with_sides(lines)}
    emit(data, as_json, lambda out: _render_lines(out, data))
    if not lines:
        attention([f"the journal has nothing of {what}; numbers and keys are exact: look in v_journal"])


def _render_lines(out: Output, data: dict[str, Any]) -> None:
    if data["document"]:
        out.facts({name.replace("_", " "): value for name, value in data["document"].items()})
    lines_table(out, data["lines"])


def lines_table(out: Output, lines: list[Record]) -> None:
    """Write lines of the journal as people read them."""
    rows = [[_cell(name, line[name]) for name in LINE_COLUMNS] for line in lines]
    out.table([name.replace("_", " ") for name in LINE_COLUMNS], rows)


def _cell(name: str, value: Any) -> Any:
    return money(value) if name in ("debit", "credit") and value is not None else value


def with_sides(lines: list[Record]) -> list[Record]:
    """Return lines with debit and credit in place of a signed amount."""
    return [
        line | {"debit": max(line["amount"], 0) or None, "credit": max(-line["amount"], 0) or None} for line in lines
    ]


def money(value: Any) -> str:
    """Return an amount as a controller reads it: 48,145.19."""
    text = f"{value:,.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


@command.command()
@json_option
def accounts(as_json: bool) -> None:
    """Show what each account holds, and who books how many entries."""
    from sync.journal import report_rows

    with looked_at() as app, app.store.read() as conn:
        found = report_rows.totals(conn)
    data = accounts_told(found)
    emit(data, as_json, lambda out: accounts_table(out, data))


def accounts_told(found: Totals) -> dict[str, Any]:
    """Return what the journal holds as a report has it."""
    return {"accounts": found.accounts, "entries": found.by_whom, "booked_by_the_erp": found.erp_keys}


def accounts_table(out: Output, data: dict[str, Any]) -> None:
    """Write the accounts as a trial balance."""
    count, keys = data["entries"], data["booked_by_the_erp"]
    named = f" ({', '.join(keys)}{', …' if count.get('erp', 0) > len(keys) >= 5 else ''})" if keys else ""
    out.line(
        f"{sum(count.values())} entries: {count.get('mpsync', 0)} for the ERP,"
        f" {count.get('erp', 0)} that the ERP booked itself{named}"
    )
    sides = ("debit", "credit", "balance")
    rows = [[row["account"], row["name"], *(money(row[side]) for side in sides)] for row in data["accounts"]]
    sums = [money(sum(row[side] for row in data["accounts"])) for side in sides]
    widths = [max(len(line[place]) for line in [*rows, ["", "", *sums]]) for place in range(2, 5)]
    right = [[*line[:2], *(cell.rjust(width) for cell, width in zip(line[2:], widths, strict=True))] for line in rows]
    out.table(
        ["account", "name", *sides],
        [*right, ["sum", "", *(cell.rjust(width) for cell, width in zip(sums, widths, strict=True))]],
    )


@command.command()
@json_option
def held(as_json: bool) -> None:
    """List ledger entries that wait, and for what."""
    from sync.journal import report_rows

    with looked_at() as app, app.store.read() as conn:
        rows = report_rows.held(conn)
    names = ("seq", "reason", "kind", "api_key", "item", "posted_on", "amount", "detail")
    emit({"held": rows}, as_json, lambda out: out.table(names, [[row[name] for name in names] for row in rows]))


@command.command()
@json_option
def unposted(as_json: bool) -> None:
    """List what is in no account, with amount and reason: the accrual list at month end."""
    from sync.journal import report_rows

    with looked_at() as app, app.store.read() as conn:
        rows = report_rows.unposted(conn)
    names = ("seq", "system", "kind", "api_key", "item", "posted_on", "amount", "reason")
    emit({"unposted": rows}, as_json, lambda out: out.table(names, [[row[name] for name in names] for row in rows]))


@command.command()
@click.argument("seq", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--why", required=True, help="Kept with the entry.")
@json_option
def post(seq: tuple[int, ...], why: str, as_json: bool) -> None:
    """Book ledger entries by their seq, whatever held them."""
    from sync.journal import people

    with opened() as app:
        booked = people.post(app.context(), seq, why=why, by=person())
    emit({"booked": booked}, as_json, lambda out: out.facts({"booked": booked}))
    if not booked:
        attention(["nothing was booked: `mpsync journal held` says what they still wait for"])


@command.command()
@click.argument("seq", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--why", required=True, help="Kept on the list.")
@json_option
def drop(seq: tuple[int, ...], why: str, as_json: bool) -> None:
    """Say of held ledger entries that they are none for the books; the list of what is unposted keeps them."""
    from sync.journal import people

    with opened() as app:
        dropped = people.drop(app.context(), seq, why=why, by=person())
    emit({"dropped": dropped}, as_json, lambda out: out.facts({"dropped": dropped}))


# --- corrections --------------------------------------------------------------------------

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])


@command.command()
@click.argument("file", type=_FILE)
@click.option("--use", type=click.Choice(["opening", "variance"]), required=True, help="Whose account it is against.")
@click.option("--on", type=_DAY, required=True, metavar="YYYY-MM-DD", help="Its posting date.")
@click.option("--why", required=True, help="Kept with each entry.")
@click.option("--deliver", is_flag=True, help="Give an opening to the ERP, too: else it has it already.")
@json_option
def adjust(file: Path, use: str, on: datetime, why: str, deliver: bool, as_json: bool) -> None:
    """Book an opening, a count or a write-off from FILE (CSV: item, warehouse, quantity, value).

    Whole or not at all. quantity and value are what is added, negative what is taken away.
    """
    from sync.journal import corrections

    with opened() as app:
        lines = _lines(file, corrections.ADJUST_COLUMNS, needed=("item", "quantity", "value"))
        done = corrections.adjust(app.context(), lines, use=use, on=on.date(), why=why, by=person(), deliver=deliver)
    _report(file, done, as_json)


@command.command()
@click.argument("file", type=_FILE)
@click.option("--on", type=_DAY, required=True, metavar="YYYY-MM-DD", help="Its posting date.")
@click.option("--why", required=True, help="Kept with each entry.")
@json_option
def reclass(file: Path, on: datetime, why: str, as_json: bool) -> None:
    """Move lines to other accounts, by FILE (CSV: entry_id, account; or item, warehouse, account).

    An entry's counter line (its expense, its GRNI) is moved by entry_id, what an item has in stock by
    item and warehouse. Whole or not at all; what was booked stays, and new entries move it.
    """
    from sync.journal import corrections

    with opened() as app:
        lines = _lines(file, corrections.RECLASS_COLUMNS, needed=("account",))
        done = corrections.reclass(app.context(), lines, on=on.date(), why=why, by=person())
    _report(file, done, as_json)


def _report(file: Path, done: Corrected, as_json: bool) -> None:
    errors = [{"line": line, "reason": why} for line, why in done.errors]
    said = "nothing was changed" if errors else f"{done.entries} entries were booked"
    emit({"file": str(file), "entries": done.entries, "errors": errors}, as_json, lambda out: out.line(said))
    attention(f"{file}, line {line}: {why}" for line, why in done.errors)


def _lines(file: Path, columns: Sequence[str], *, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return a CSV's lines by number; raises ConfigError where it is none with these columns."""
    try:
        reader = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(keepends=True), strict=True)
        header = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = header
        lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file}: no CSV: {error}", hint="save it as CSV in UTF-8") from None
    unknown = [name for name in header if name not in columns]
    missing = [name for name in needed if name not in header]
    if unknown or missing:
        what = f"not known: {', '.join(unknown)}" if unknown else f"no column {', '.join(missing)}"
        raise ConfigError(f"{file}, line 1: {what}", hint=f"its columns are {','.join(columns)}")
    return [
        (number, {name: str(row.get(name) or "").strip() for name in columns})
        for number, row in lines
        if any(row.get(name) for name in columns)
    ]


@command.command()
@click.argument("entry", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--why", required=True, help="Kept.")
@json_option
def hold(entry: tuple[int, ...], why: str, as_json: bool) -> None:
    """Keep entries, by their id, out of batches until they are released."""
    _hold(entry, why, as_json, held=True)


@command.command()
@click.argument("entry", type=click.IntRange(min=1), nargs=-1, required=True)
@click.option("--why", required=True, help="Kept.")
@json_option
def release(entry: tuple[int, ...], why: str, as_json: bool) -> None:
    """Let entries that were kept out of batches go with the next one."""
    _hold(entry, why, as_json, held=False)


def _hold(entry: tuple[int, ...], why: str, as_json: bool, *, held: bool) -> None:
    from sync.journal import corrections

    with opened() as app:
        count = corrections.set_held(app.context(), entry, held=held, why=why, by=person())
    name = "held" if held else "released"
    emit({name: count}, as_json, lambda out: out.facts({name: count}))


for _one in REPORTS:
    command.add_command(_one)

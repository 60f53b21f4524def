"""The reports of `mpsync journal`: grni, tieout, costs, variance, statement."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, attention, emit, json_option

if TYPE_CHECKING:
    from sync.journal.report_rows import Record

_MONEY = frozenset(
    {"amount", "price", "variance", "mpw_parts_cost", "difference", "opening", "closing", "booked"}
    | {"received", "issued", "transferred", "adjusted", "moved"}
)
_csv = click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to FILE."
)


def money(value: Decimal) -> str:
    """Return an amount as a controller reads it: 48,145.19."""
    from sync.cli.journal import money as text

    return text(value)


@click.command()
@_csv
@json_option
def grni(csv_file: Path | None, as_json: bool) -> None:
    """What was received and is not invoiced, by order, vendor and part, with its age."""
    from sync.journal import reports

    with looked_at() as app, app.store.read() as conn:
        found = reports.grni(conn, today=app.policy.day(app.clock.now()))
    names = ("purchase_order", "vendor", "item", "warehouse", "received_on", "quantity", "amount", "age", "flag")
    _save(csv_file, found.lines, (*names, "account", "invoice", "order_status", "booked_by", "entries"))

    def render(out: Output) -> None:
        _table(out, names, found.lines)
        out.heading("By age")
        out.facts({name: money(amount) for name, amount in found.by_age.items()} | {"in all": money(found.total)})

    emit({"lines": found.lines, "by_age": found.by_age, "total": found.total}, as_json, render)


@click.command()
@_csv
@json_option
def costs(csv_file: Path | None, as_json: bool) -> None:
    """What issues cost, by equipment and work order, beside MPW's parts_cost."""
    from sync.journal import report_rows

    with looked_at() as app, app.store.read() as conn:
        rows = report_rows.issue_costs(conn)
    names = ("work_order", "equipment", "account", "entries", "amount", "mpw_parts_cost", "difference", "title")
    _save(csv_file, rows, (*names, "cost_center", "status"))
    emit({"costs": rows}, as_json, lambda out: _table(out, names, rows))


@click.command()
@_csv
@json_option
def variance(csv_file: Path | None, as_json: bool) -> None:
    """Receipts whose price is not their order line's, the largest difference first."""
    from sync.journal import reports

    with looked_at() as app, app.store.read() as conn:
        rows = reports.variances(conn)
    names = ("purchase_order", "vendor", "item", "received_on", "quantity", "amount", "price", "variance", "note")
    _save(csv_file, rows, names)
    total = sum((row["variance"] or Decimal(0) for row in rows), Decimal(0))

    def render(out: Output) -> None:
        _table(out, names, rows)
        out.line(f"in all {money(total)}")

    emit({"variances": rows, "total": total}, as_json, render)


@click.command()
@click.argument("month", type=click.DateTime(["%Y-%m"]), metavar="YYYY-MM")
@_csv
@json_option
def statement(month: datetime, csv_file: Path | None, as_json: bool) -> None:
    """The month's statement: stock at its beginning and end, and what moved it, by warehouse and account."""
    from sync.journal import reports

    with looked_at() as app, app.store.read() as conn:
        rows = reports.statement(conn, month.date())
        out_of_books = _open(conn, month.date())
    names = ("warehouse", "account", "opening", *reports.MOVEMENTS, "closing")
    _save(csv_file, rows, names)

    def render(out: Output) -> None:
        sums = {name: sum((row[name] for row in rows), Decimal(0)) for name in names[2:]}
        _table(out, names, [*rows, {"warehouse": "sum", "account": "", **sums}])
        out.facts(out_of_books)

    emit({"statement": rows, "open": out_of_books}, as_json, render)


def _open(conn: Any, month: date) -> dict[str, int]:
    from sync.journal import report_rows

    return {"held": len(report_rows.held(conn)), "in no account": len(report_rows.unposted(conn))}


@click.command()
@_csv
@json_option
def tieout(csv_file: Path | None, as_json: bool) -> None:
    """Stock by the ledger beside the accounts, MPW's own stock, and what the ERP was given.

    Exit code 1 where the accounts are not what the ledger says.
    """
    from sync.journal import reports

    with looked_at() as app, app.store.read() as conn:
        data = reports.tie_out(conn).as_dict()
    _save(csv_file, [{"line": n, "value": v} for n, v in data.items() if isinstance(v, Decimal)], ("line", "value"))
    emit(data, as_json, lambda out: _render_tieout(out, data))
    attention(data["wrong"])


def _render_tieout(out: Output, data: dict[str, Any]) -> None:
    lines = [
        ("stock by the ledger, rounded per item and warehouse", money(data["stock_by_the_ledger"])),
        (f"inventory accounts ({', '.join(data['accounts'])})", money(data["inventory_accounts"])),
        ("difference", money(data["difference"])),
        ("booked by the ERP itself", money(data["booked_by_the_erp"])),
        ("in the ERP's opening balance", money(data["opening"])),
        ("for the ERP, in batches", money(data["in_batches"])),
        ("for the ERP, waiting", money(data["waiting"])),
        ("for the ERP, held", money(data["held"])),
    ]
    width = max(len(amount) for _, amount in lines)
    out.facts({name: amount.rjust(width) for name, amount in lines})
    off, read = data["quantities_that_differ"], data["positions_read_from_mpw"]
    out.line(f"quantities that MPW shows otherwise: {len(off) or 'none'} of {read} read")
    if off:
        _table(out, ("item", "warehouse", "quantity", "mpw_quantity", "booked"), off)
    if data["value_without_quantity"]:
        out.heading("Value of which no quantity is left (move it with `journal adjust`)")
        _table(out, ("item", "warehouse", "account", "booked"), data["value_without_quantity"])
    if data["differs_from_erp"]:
        out.heading("Booked by the ERP, and MPW says otherwise")
        _table(out, ("kind", "api_key", "quantity", "erp_quantity", "amount", "erp_amount"), data["differs_from_erp"])
    out.line(f"held: {data['ledger_entries_held']}; in no account: {data['unposted']} (`mpsync journal unposted`)")


def _table(out: Output, names: Sequence[str], rows: Sequence[Record]) -> None:
    cells = [[_cell(name, row.get(name)) for name in names] for row in rows]
    widths = {
        place: max((len(line[place]) for line in cells), default=0) for place, n in enumerate(names) if n in _MONEY
    }
    lines = [[v.rjust(widths[place]) if place in widths else v for place, v in enumerate(line)] for line in cells]
    out.table([name.replace("_", " ") for name in names], lines)


def _cell(name: str, value: Any) -> str:
    from sync.cli.output import cell

    return money(value) if name in _MONEY and isinstance(value, Decimal) else cell(value)


def _save(path: Path | None, rows: Sequence[Record], names: Sequence[str]) -> None:
    """Write rows as CSV, whole or not at all; no cell is run as a formula."""
    if path is None:
        return
    from sync.journal.files import write_whole
    from sync.journal.formats.spreadsheet import safe
    from sync.values.money import plain

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        values = [row.get(name) for name in names]
        writer.writerow([plain(one) if isinstance(one, Decimal) else safe(str(one or "")) for one in values])
    write_whole(path, text.getvalue().encode())


REPORTS = (grni, tieout, costs, variance, statement)

"""`mpsync import`: documents or movements from a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from sync.cli.opened import opened
from sync.cli.output import Output, attention, emit, json_option

TYPES = [
    "receipt",
    "issuance",
    "transfer",
    "inventory",
    "po_approval",
    "stock_cost",
    "product",
    "void",
    "movement",
]

NUMBERS = click.option(
    "--numbers",
    type=click.Choice(["point", "comma"]),
    help="The sign for decimals, where the file does not tell: 1.250 or 1,250 may be one and a quarter.",
)
SHEET = click.option("--sheet", metavar="NAME", help="The sheet of a workbook, where several have such a header.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be taken.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--type", "type_", type=click.Choice(TYPES), required=True, help="What a line of the file is.")
@click.option("--push", is_flag=True, help="movement: push them too; else they are only recorded.")
@NUMBERS
@click.option(
    "--dates",
    type=click.Choice(["ymd", "dmy", "mdy"]),
    help="The order of year, month and day, where the file does not tell: 03/04/2024 may be in March or April.",
)
@SHEET
@DRY_RUN
@json_option
def command(
    file: Path,
    type_: str,
    push: bool,
    numbers: str | None,
    dates: str | None,
    sheet: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take in documents or movements from FILE: .csv, .jsonl, .json, .xlsx or .xls.

    A line is a document: api_key beside the payload's fields, under a header that names them. `movement` takes an
    export of MPservices' movements, to fill a gap. Separator, encoding, header, and how numbers and dates are written
    are found out; where one cannot be told, nothing is taken. Every line is accepted or rejected with its number and
    reason; the same file twice changes nothing. Exit code 1 if any was rejected, or the file is something else.
    docs/documents.md has the fields of each type.
    """
    from sync.inbox.files.reading import Told
    from sync.jobs.import_file import import_file

    if push and type_ != "movement":
        raise click.UsageError("--push goes with --type movement")
    with opened() as app:
        told = Told(numbers, dates, sheet)  # type: ignore[arg-type]  # click has checked them
        report = import_file(app.context(), file, type_, push=push, told=told, dry_run=dry_run)
    data = {
        "file": str(file),
        "dry_run": dry_run,
        "found": report.found,
        "unknown_columns": sorted(report.unknown),
        "accepted": report.accepted,
        "unchanged": report.unchanged,
        "rejected": [{"line": line, "reason": reason} for line, reason in report.rejected],
        "not_pushed": report.not_pushed,
        **({"documents": report.shown} if dry_run else {}),
    }

    def render(out: Output) -> None:
        out.facts({"read as": as_found(report.found)})
        accepted = "would be accepted" if dry_run else "accepted"
        counts = {accepted: report.accepted, "known already": report.unchanged, "rejected": len(report.rejected)}
        out.facts(counts)
        if report.not_pushed:
            out.line(f"{report.not_pushed} {report.cut}")
        if dry_run and report.shown:
            names = list(dict.fromkeys(name for one in report.shown for name in one))
            out.table(names, [[one.get(name) for name in names] for one in report.shown], empty="")
            out.line("nothing was written")

    emit(data, as_json, render)
    say_unknown(report.unknown)
    attention(f"{file}, {report.numbered} {number}: {reason}" for number, reason in report.rejected)


def as_found(found: dict[str, str]) -> str:
    """Return how a file is written, as people read it."""
    return ", ".join(f"{what} {value}" for what, value in found.items())


def say_unknown(names: Iterable[str]) -> None:
    """Name on stderr the columns that nothing reads."""
    listed = ", ".join(repr(name[:60]) for name in sorted(names)[:20])
    if listed:
        click.echo(f"note: not read, no such column is known: {listed}", err=True)

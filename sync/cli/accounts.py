"""`mpsync accounts`: which account a line of the journal goes to."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, attention, emit, json_option
from sync.errors import ConfigError

if TYPE_CHECKING:
    from sync.journal.accounts import Read

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Import, export or check the rules of accounts (CSV; `accounts sample FILE` writes one to begin from)."""


@command.command("import")
@click.argument("file", type=FILE)
@json_option
def import_(file: Path, as_json: bool) -> None:
    """Put FILE in force, whole or not at all. Earlier versions are kept.

    The leftmost filled column wins; in it an exact text before a beginning (`BRG-*`), the longer
    one first. What was booked stays as it is; what waited for an account is booked by the next
    cycle. Exit code 1, and nothing changed, when a line is wrong.
    """
    from sync.journal.account_rows import save_rules

    with opened() as app:
        read = read_file(file)
        version = None
        if not read.errors:
            with app.context().anyone_writes() as books:
                version = save_rules(books, read.rules, by=person())
    data = {"file": str(file), "version": version, "rules": len(read.rules), "errors": _errors(read)}
    emit(data, as_json, lambda out: _render_import(out, data))
    attention(f"{file}, line {line}: {why}" for line, why in read.errors)


def _render_import(out: Output, data: dict[str, Any]) -> None:
    if data["version"] is None:
        out.line("nothing was changed")
    else:
        out.facts({"rules": data["rules"], "version": data["version"], "file": data["file"]})


@command.command()
@click.argument("file", type=NEW_FILE)
@click.option("--version", type=click.IntRange(min=1), help="An earlier version; else the one in force.")
@json_option
def export(file: Path, version: int | None, as_json: bool) -> None:
    """Write the rules in force to FILE, as `accounts import` reads them."""
    from sync.journal.account_rows import load_rules
    from sync.journal.accounts import COLUMNS, as_row
    from sync.journal.files import write_whole

    with looked_at() as app, app.store.read() as conn:
        known, rules = load_rules(conn, version)
    if not rules:
        raise ConfigError("there are no such rules of accounts", hint="`mpsync accounts sample FILE` writes some")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(as_row(rule) for rule in rules)
    write_whole(file, text.getvalue().encode())
    data = {"file": str(file), "version": known, "rules": len(rules)}
    emit(data, as_json, lambda out: out.facts(data))


@command.command()
@click.argument("file", type=NEW_FILE)
@json_option
def sample(file: Path, as_json: bool) -> None:
    """Write a small chart to FILE, to correct and then import."""
    from sync.journal.accounts import sample as text
    from sync.journal.files import write_whole

    if file.exists():
        raise ConfigError(f"{file} is there already", hint="name a file that is not")
    write_whole(file, text().encode())
    emit({"file": str(file)}, as_json, lambda out: out.facts({"file": str(file)}))


@command.command()
@click.argument("file", type=FILE)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="Show entries of this many days, up to today.",
)
@json_option
def check(file: Path, days: int, as_json: bool) -> None:
    """Say what FILE would make of the last entries; write nothing.

    Names rules that no entry hits, entries that only a base rule covers, and the amount of each
    account as it is and as it would be. Exit code 1 when a line is wrong.
    """
    from sync.journal.preview import preview

    read = read_file(file)
    if read.errors:
        emit({"file": str(file), "errors": _errors(read)}, as_json, lambda out: out.line("nothing was looked at"))
        attention(f"{file}, line {line}: {why}" for line, why in read.errors)
    with looked_at() as app, app.store.read() as conn:
        found = preview(conn, read.rules, today=app.policy.day(app.clock.now()), days=days)
    emit(found, as_json, lambda out: _render_check(out, found))


def _render_check(out: Output, found: dict[str, Any]) -> None:
    from sync.cli.journal import money

    out.facts({"entries looked at": found["entries"], "only a base rule covers": found["on_base_rules"]})
    if found["waiting"]:
        out.facts({"would wait for an account": found["waiting"]})
    out.heading("Amounts by account")
    rows = [[row["account"], money(row["now"]), money(row["then"])] for row in found["accounts"]]
    out.table(["account", "as it is", "as it would be"], rows)
    out.heading("Rules that no entry hits")
    out.table(["line", "rule"], [[row["line"], row["rule"]] for row in found["unused"]])


def read_file(file: Path) -> Read:
    """Read a file of rules; raises ConfigError where it is not a CSV file of rules."""
    from sync.journal.accounts import COLUMNS, Read, read_rules

    try:
        text = file.read_text(encoding="utf-8-sig")
        reader = csv.reader(text.splitlines(keepends=True), strict=True)
        header = [name.strip().lower() for name in next(reader, [])]
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: {error}", hint="save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise ConfigError(f"{file}: no CSV: {error}", hint="save it as CSV in UTF-8") from None
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in ("use", "account") if name not in header]
    twice = [name for name in COLUMNS if header.count(name) > 1]
    for problem, names in (("no column", missing), ("not known:", unknown), ("named twice:", twice)):
        if names:
            raise ConfigError(
                f"{file}, line 1: {problem} {', '.join(names)}", hint=f"the first line reads {','.join(COLUMNS)}"
            )
    long = [(line, f"{len(row)} values under {len(header)} columns") for line, row in lines if len(row) > len(header)]
    read = read_rules([(line, dict(zip(header, row, strict=False))) for line, row in lines])
    return Read(read.rules, tuple(sorted([*long, *read.errors])))


def _errors(read: Read) -> list[dict[str, object]]:
    return [{"line": line, "reason": why} for line, why in read.errors]

"""`mpsync items`: which MPservices item is which MPW part."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import click

from sync.cli.import_ import DRY_RUN, NUMBERS, SHEET, as_found, say_unknown
from sync.cli.opened import looked_at, opened
from sync.cli.output import Output, attention, emit, json_option, said


@click.group()
def command() -> None:
    """Import or export the item map (columns external_id, part_number, warehouses, factor, ignore)."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--remove-all", is_flag=True, help="FILE names no item: drop every mapping.")
@NUMBERS
@SHEET
@DRY_RUN
@json_option
def import_(file: Path, remove_all: bool, numbers: str | None, sheet: str | None, dry_run: bool, as_json: bool) -> None:
    """Replace the item map by FILE (.csv, .json, .xlsx or .xls), whole or not at all.

    warehouses: `;` between, the first takes the pushes; empty: MPW_WAREHOUSE. factor: MPW quantity
    for one of MPservices; empty: 1. ignore: yes for an item that MPW is never to have: never pushed,
    never patched, no exception; its part may be empty. Exit code 1, and nothing changed, when a line is wrong, or when
    FILE names no item and --remove-all does not say that this is meant.
    """
    from sync.inbox.files.reading import Told, open_file
    from sync.jobs.reports import warehouses_not_shown
    from sync.reconcile.item_map import FILE_COLUMNS, read_map
    from sync.reconcile.item_rows import import_items, load_map

    told = Told(numbers=numbers, sheet=sheet)  # type: ignore[arg-type]  # click has checked it
    read_as = open_file(file, FILE_COLUMNS, told, may_be_bare=True)
    lines = list(read_as.lines())
    errors = [(line.number, line.error) for line in lines if line.error is not None]
    texts = [
        (line.number, {FILE_COLUMNS.known(name) or name: str(value) for name, value in line.fields.items()})
        for line in lines
        if line.error is None
    ]
    with opened() as app:
        read = read_map(texts, default_warehouse=app.policy.warehouse, word=read_as.numbered)
        errors = sorted([*errors, *read.errors])
        with app.context().anyone_writes() as books:
            before = load_map(books.conn)
            if not read.mappings and not errors and not remove_all:
                why = f", and {len(before)} are mapped" if before else ""
                errors = [(1, f"it names no item{why}; --remove-all says that the map is to be empty")]
            if not errors:
                point = books.conn.begin_nested()
                change = import_items(books, read.mappings)
                strange = warehouses_not_shown(books.conn, app.policy.warehouse)
                if dry_run:
                    point.rollback()
                else:
                    point.commit()
    say_unknown(read_as.unknown)
    if errors:
        emit(
            {"file": str(file), "items": 0, "errors": [{"line": line, "reason": why} for line, why in errors]},
            as_json,
            lambda out: out.line("nothing was changed"),
        )
        attention(f"{file}, {read_as.numbered} {line}: {why}" for line, why in errors)
        return
    if read.open:
        click.echo(f"note: {len(read.open)} items have no part number yet, and are not mapped", err=True)
    for number, name in read.odd:
        click.echo(f"note: {file}, {read_as.numbered} {number}: {name!r} is kept as it is, spaces included", err=True)
    data = {
        "file": str(file),
        "dry_run": dry_run,
        "found": dict(read_as.found),
        "unknown_columns": list(read_as.unknown),
        "items": len(read.mappings),
        "ignored": sum(one.ignored for one in read.mappings),
        "added": len(change.added),
        "changed": len(change.changed),
        "removed": len(change.removed),
        "errors": [],
    }

    def render(out: Output) -> None:
        out.facts({"read as": as_found(dict(read_as.found))})
        out.facts({name: data[name] for name in ("file", "items", "ignored", "added", "changed", "removed")})
        if dry_run:
            out.line("nothing was changed: without --dry-run it is")

    emit(data, as_json, render)
    for one in strange:
        said("note", f"{one}; items of a warehouse that MPW does not have are never patched")


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--unmapped", is_flag=True, help="Add the items that movements named and the map does not.")
@json_option
def export(file: Path, unmapped: bool, as_json: bool) -> None:
    """Write the item map to FILE, as `items import` reads it.

    Where nothing is mapped yet FILE lists the items that movements named, each with the part of the same name where MPW
    has shown one: fill in the part numbers that are empty. What has none is left unmapped by the import.
    """
    from sync.reconcile.item_map import COLUMNS
    from sync.reconcile.item_rows import load_map, unmapped_items
    from sync.values.cells import neutralised

    with looked_at() as app, app.store.read() as conn:
        mapped = list(load_map(conn).values())
        new = unmapped_items(conn, default_warehouse=app.policy.warehouse)
    added = new if unmapped or not mapped else []
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(COLUMNS)
        for item in [*mapped, *added]:
            row = item.as_row()
            writer.writerow([neutralised(row[name]) for name in COLUMNS])
    temporary.replace(file)
    emit(
        {"file": str(file), "items": len(mapped), "unmapped": len(added)},
        as_json,
        lambda out: out.facts({"items": len(mapped), "not mapped yet": len(added), "file": str(file)}),
    )
    empty = sum(not item.part_number for item in added)
    if added:
        click.echo(
            f"note: {len(added)} items that movements named are not mapped; {empty} have no part number yet: fill it "
            "in, write yes under ignore where MPW is never to have it, or leave them: they are not mapped then",
            err=True,
        )
    elif not mapped:
        click.echo(
            "note: nothing is mapped, and no movement has named an item yet: FILE is the header alone. `mpsync once` "
            "reads the movements of the last two days; then this lists their items",
            err=True,
        )
    elif new:
        click.echo(f"note: {len(new)} items that movements named are not in the map: --unmapped adds them", err=True)

"""`mpsync items`: which MPservices item is which MPW part."""

from __future__ import annotations

import csv
import difflib
import os
from pathlib import Path

import click

from sync.cli.opened import looked_at, opened
from sync.cli.output import attention, emit, json_option, said
from sync.errors import ConfigError

COLUMNS = ("external_id", "part_number", "warehouses", "factor")


@click.group()
def command() -> None:
    """Import or export the item map (CSV: external_id, part_number, warehouses, factor)."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--remove-all", is_flag=True, help="FILE names no item: drop every mapping.")
@json_option
def import_(file: Path, remove_all: bool, as_json: bool) -> None:
    """Replace the item map by FILE, whole or not at all.

    warehouses: `;` between, the first takes the pushes; empty: MPW_WAREHOUSE. factor: MPW quantity
    for one of MPservices; empty: 1. Exit code 1, and nothing changed, when a line is wrong, or when
    FILE names no item and --remove-all does not say that this is meant.
    """
    from sync.jobs.reports import warehouses_not_shown
    from sync.reconcile.item_map import read_map
    from sync.reconcile.item_rows import import_items, load_map

    rows, errors = _read(file)
    with opened() as app:
        read = read_map(rows, default_warehouse=app.policy.warehouse)
        errors = sorted([*errors, *read.errors])
        with app.context().anyone_writes() as books:
            mapped = 0 if read.mappings or errors or remove_all else len(load_map(books.conn))
            if mapped:
                errors = [(1, f"it names no item, and {mapped} are mapped; --remove-all drops them all")]
            if not errors:
                change = import_items(books, read.mappings)
        with app.store.read() as conn:
            strange = warehouses_not_shown(conn, app.policy.warehouse)
    if errors:
        emit(
            {"file": str(file), "items": 0, "errors": [{"line": line, "reason": why} for line, why in errors]},
            as_json,
            lambda out: out.line("nothing was changed"),
        )
        attention(f"{file}, line {line}: {why}" for line, why in errors)
        return
    data = {
        "file": str(file),
        "items": len(read.mappings),
        "added": len(change.added),
        "changed": len(change.changed),
        "removed": len(change.removed),
        "errors": [],
    }
    emit(data, as_json, lambda out: out.facts({name: value for name, value in data.items() if name != "errors"}))
    for one in strange:
        said("note", f"{one}; items of a warehouse that MPW does not have are never patched")


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(file: Path, as_json: bool) -> None:
    """Write the item map to FILE, as `items import` reads it."""
    from sync.reconcile.item_rows import load_map
    from sync.values.money import plain

    with looked_at() as app, app.store.read() as conn:
        mappings = load_map(conn)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(COLUMNS)
        for item in mappings.values():
            writer.writerow([item.external_id, item.part_number, ";".join(item.warehouses), plain(item.factor)])
    temporary.replace(file)
    emit(
        {"file": str(file), "items": len(mappings)},
        as_json,
        lambda out: out.facts({"items": len(mappings), "file": str(file)}),
    )


Rows = list[tuple[int, dict[str, str | None]]]
Errors = list[tuple[int, str]]


def _read(file: Path) -> tuple[Rows, Errors]:
    """Return the lines' fields by column, and what is wrong with lines that are no CSV; each with its number."""
    rows: Rows = []
    errors: Errors = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.reader(source, strict=True)
            columns = _columns(file, next(reader, []))
            end = reader.line_num
            while True:
                number = end + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return rows, errors
                except csv.Error as error:
                    errors.append((number, f"no CSV: {error}"))
                    row = []
                end = reader.line_num
                if len(row) > len(columns):
                    errors.append((number, f"{len(row)} values under {len(columns)} columns"))
                elif any(cell.strip() for cell in row):
                    rows.append((number, dict(zip(columns, row, strict=False))))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: {error}", hint="save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise ConfigError(f"{file}, line 1: no CSV: {error}", hint="save it as CSV in UTF-8") from None


def _columns(file: Path, header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS[:2] if name not in columns]
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    # a column of another name may be a person's note; one that is nearly ours is ours misspelt
    misspelt = [
        name for name in columns if name not in COLUMNS and difflib.get_close_matches(name, COLUMNS, cutoff=0.7)
    ]
    for problem, names in (("no column", missing), ("named twice:", twice), ("not known:", misspelt)):
        if names:
            raise ConfigError(
                f"{file}, line 1: {problem} {', '.join(names)}", hint=f"the first line reads {','.join(COLUMNS)}"
            )
    return columns

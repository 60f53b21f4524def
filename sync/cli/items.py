"""`mpsync items`: which MPservices item is which MPW part."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import click

from sync.cli.opened import looked_at, opened
from sync.cli.output import attention, emit, json_option
from sync.errors import ConfigError

COLUMNS = ("external_id", "part_number", "warehouses", "factor")


@click.group()
def command() -> None:
    """Import or export the item map (CSV: external_id, part_number, warehouses, factor)."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_(file: Path, as_json: bool) -> None:
    """Replace the item map by FILE, whole or not at all.

    warehouses: `;` between, the first takes the pushes; empty: MPW_WAREHOUSE. factor: MPW quantity
    for one of MPservices; empty: 1. Exit code 1, and nothing changed, when a line is wrong.
    """
    from sync.domain.items import read_map
    from sync.store.items import import_items

    rows = _read(file)
    with opened() as app:
        read = read_map(rows, default_warehouse=app.policy.warehouse)
        if not read.errors:
            with app.store.write() as conn:
                change = import_items(conn, read.mappings, now=app.clock.now())
    if read.errors:
        emit(
            {"file": str(file), "items": 0, "errors": [{"line": line, "reason": why} for line, why in read.errors]},
            as_json,
            lambda out: out.line("nothing was changed"),
        )
        attention(f"{file}, line {line}: {why}" for line, why in read.errors)
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


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(file: Path, as_json: bool) -> None:
    """Write the item map to FILE, as `items import` reads it."""
    from sync.domain.money import plain
    from sync.store.items import load_map

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


def _read(file: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source)
            missing = [name for name in COLUMNS[:2] if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{file}, line 1: no column {', '.join(missing)}", hint=f"the first line reads {','.join(COLUMNS)}"
                )
            return [(reader.line_num, {str(name): value for name, value in row.items() if name}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file}: {error}", hint="save it as CSV in UTF-8") from None

"""`mpsync import`: documents or movements from a file."""

from __future__ import annotations

from pathlib import Path

import click

from sync.cli.opened import opened
from sync.cli.output import attention, emit, json_option

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


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--type", "type_", type=click.Choice(TYPES), required=True, help="What a line of the file is.")
@click.option("--push", is_flag=True, help="movement: push them too; else they are only recorded.")
@json_option
def command(file: Path, type_: str, push: bool, as_json: bool) -> None:
    """Take in documents or movements from FILE, CSV (with header) or JSONL.

    A line is a document: api_key beside the payload's fields. `movement` takes an export of
    MPservices' movements, to fill a gap. Every line is accepted or rejected with its number and
    reason; the same file twice changes nothing. Exit code 1 if any was rejected. docs/documents.md
    has the fields of each type.
    """
    from sync.jobs.import_file import import_file

    if push and type_ != "movement":
        raise click.UsageError("--push goes with --type movement")
    with opened() as app:
        report = import_file(app.context(), file, type_, push=push)
    data = {
        "file": str(file),
        "accepted": report.accepted,
        "unchanged": report.unchanged,
        "rejected": [{"line": line, "reason": reason} for line, reason in report.rejected],
    }
    emit(
        data,
        as_json,
        lambda out: out.facts(
            {"accepted": report.accepted, "known already": report.unchanged, "rejected": len(report.rejected)}
        ),
    )
    attention(f"{file}, line {line}: {reason}" for line, reason in report.rejected)

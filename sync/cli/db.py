"""`mpsync db`: the database's schema."""

from __future__ import annotations

import click

from sync.cli.output import attention, emit, json_option
from sync.cli.start import start


@click.group()
def command() -> None:
    """Upgrade or check the database's schema."""


@command.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the schema to this program's version; safe to repeat, and while others start."""
    from sync.store.migrate import check
    from sync.store.migrate import upgrade as bring_up

    settings = start()
    bring_up(settings.database_url, progress=lambda step: click.echo(step, err=True))
    state = check(settings.database_url)
    emit(
        {"current": state.current, "head": state.head, "up_to_date": state.current == state.head},
        as_json,
        lambda out: out.line(f"schema {state.current}: up to date"),
    )


@command.command()
@json_option
def check(as_json: bool) -> None:
    """Say which schema the database has and which this program wants; exit code 1 where they differ."""
    from sync.store.migrate import check as look

    state = look(start().database_url)
    emit(
        {"current": state.current, "head": state.head, "up_to_date": state.current == state.head},
        as_json,
        lambda out: out.facts({"database": state.current or "empty", "program": state.head}),
    )
    attention([] if state.current == state.head else ["the schema is not this program's: run `mpsync db upgrade`"])

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
    """Bring the schema to this program's version, and make again what is missing of it.

    Safe to repeat, and while others start. Tables or columns that are gone took their rows with them: these only a
    backup brings back.
    """
    from sync.database.migrate import check
    from sync.database.migrate import upgrade as bring_up

    settings = start()
    bring_up(settings.database_url, progress=lambda step: click.echo(step, err=True), mends=True)
    state = check(settings.database_url)
    emit(
        {"current": state.current, "head": state.head, "up_to_date": state.current == state.head},
        as_json,
        lambda out: out.line(f"schema {state.current}: up to date"),
    )


@command.command()
@json_option
def check(as_json: bool) -> None:
    """Say which schema the database has, which this program wants, and what of it is missing.

    Exit code 1 where they differ, or anything is missing.
    """
    from sync.database.migrate import check as look
    from sync.database.migrate import missing_of

    url = start().database_url
    state = look(url)
    missing = missing_of(url) if state.up_to_date else []
    named = [str(one) for one in missing]
    emit(
        {"current": state.current, "head": state.head, "up_to_date": state.up_to_date, "missing": named},
        as_json,
        lambda out: out.facts(
            {
                "database": state.current or ("unknown" if state.lost else "empty"),
                "program": state.head,
                "missing": ", ".join(named) or "nothing",
            }
        ),
    )
    reasons = [f"{one} is missing: {one.do}" for one in missing]
    if state.lost:
        reasons.append("its alembic_version does not say which schema its tables have: run `mpsync db upgrade`")
    elif not state.up_to_date:
        reasons.append("the schema is not this program's: run `mpsync db upgrade`")
    attention(reasons)

"""The program, built from the settings, for the commands that need it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sync.cli.output import said
from sync.cli.start import require_a_system, start
from sync.errors import ConfigError
from sync.values.exception_kinds import name_of_person

if TYPE_CHECKING:
    from sync.app import App
    from sync.settings import Settings


@contextmanager
def opened(*, to_work: bool = False) -> Iterator[App]:
    """Open the program for a command that writes: the database is migrated first.

    `to_work`: it reads and pushes, and raises ConfigError where both systems are off.
    """
    from sync.app import open_app

    settings = start()
    if to_work:
        require_a_system(settings)
    elif not settings.mpw_on and not settings.mpservices_on:
        said("note", "neither MPW_EMAIL nor MPSERVICES_TOKEN is set: both systems are off")
    with open_app(settings) as app:
        yield app


@contextmanager
def looked_at() -> Iterator[App]:
    """Open the program for a command that only reads; raises ConfigError where there is no database yet."""
    from sync.app import open_app

    settings = start()
    _require_schema(settings)
    with open_app(settings, reads_only=True) as app:
        yield app


def person() -> str:
    """Return who is at the keyboard, as far as the machine knows; never the program's own name."""
    try:
        return name_of_person(getpass.getuser())
    except (OSError, KeyError):
        return "operator"


def _require_schema(settings: Settings) -> None:
    from sync.database.migrate import LOST, check

    state = check(settings.database_url)
    if state.lost:
        raise ConfigError(LOST, hint="run `mpsync db upgrade`: it looks which schema the tables have")
    if state.current is None:
        raise ConfigError(
            "the database of DATABASE_URL holds nothing of mpsync yet",
            hint="`mpsync once` or `mpsync backfill` fills it; `mpsync db upgrade` only prepares it",
        )
    if state.current != state.head:
        raise ConfigError("the database's schema is older than this program", hint="run `mpsync db upgrade`")

"""`mpsync healthcheck`: does the daemon work? For a container's or a service's health check."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from sync.cli.output import attention
from sync.cli.start import start

FRESH_SECONDS = 60.0
"""A daemon says every few seconds that it works; one that has not for so long hangs, or is not there."""


@click.command()
def command() -> None:
    """Exit with 0 while the daemon's heartbeat is fresh, at most 60 s old; else with 1 and a line that says why.

    Where several daemons share one PostgreSQL, the one on this host (in this container) is meant.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from sync.clock import SystemClock
    from sync.database.engine import Store
    from sync.database.facts import heartbeat_age

    url = start().database_url
    path = _sqlite_path(url)
    if path is not None and not path.is_file():
        attention([f"there is no database {path}: is the daemon started, and DATABASE_URL the same?"])
    store = Store(url)
    age: float | None = None
    trouble: list[str] = []
    try:
        with store.read() as conn:
            now = store.time(conn, store.clock_for(SystemClock()))  # the clock that the daemon's heartbeat goes by
            age = heartbeat_age(conn, now, host=socket.gethostname())
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        trouble.append(f"the database does not tell the heartbeat: {reason}; `mpsync doctor` says more")
    finally:
        store.close()
    attention(trouble or _stale(age))
    click.echo(f"the daemon's heartbeat is {max(age or 0, 0):.0f} s old")


def _stale(age: float | None) -> list[str]:
    if age is None:
        return ["no daemon has ever worked on this database: start `mpsync run`"]
    if age > FRESH_SECONDS:
        return [f"the daemon's last heartbeat is {age:.0f} s old: it hangs or is stopped; restart it, and see its log"]
    if age < -FRESH_SECONDS:
        return [f"the daemon's heartbeat lies {-age:.0f} s in the future: a clock was set back; set it right"]
    return []


def _sqlite_path(url: str) -> Path | None:
    from sqlalchemy import make_url

    parts = make_url(url)
    return Path(parts.database or "") if parts.get_backend_name() == "sqlite" else None

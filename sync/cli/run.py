"""`mpsync run`: the daemon."""

from __future__ import annotations

import click

from sync.cli.start import require_a_system, start


@click.command()
def command() -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    Polls both vendors, reconciles, pushes and verifies. On SQLite one daemon per file (exit
    code 75 otherwise); on PostgreSQL several: all push, one leads.
    """
    from sync.app import open_app
    from sync.daemon import Daemon
    from sync.notify import Notifier

    notifier = Notifier()
    settings = start()
    require_a_system(settings)
    notifier.say("EXTEND_TIMEOUT_USEC=600000000", "STATUS=preparing the database")
    with open_app(settings) as app:
        raise SystemExit(Daemon(app, notifier=notifier).run())

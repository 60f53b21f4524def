"""`mpsync sandbox`: both vendors' services on this machine."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", default=8099, show_default=True, help="Port on 127.0.0.1; 0: a free one.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same data.")
@click.option("--days", default=30, show_default=True, help="Days of history to make up.")
def command(port: int, seed: int, days: int) -> None:
    """Serve both vendors' services on this machine, for trying out, until Ctrl-C.

    Prints the settings that point mpsync at it. People receive and issue parts while you watch.
    """
    from sync.sandbox.server import run_sandbox

    run_sandbox(port=port, seed=seed, days=days)

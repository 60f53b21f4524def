"""`mpsync sandbox`: both vendors' services on this machine."""

from __future__ import annotations

import textwrap
from typing import Any

import click


class QuirkNames(click.ParamType):  # type: ignore[type-arg]
    """Names of quirks with commas between, which the shell can complete; `list`: show them."""

    name = "name[,name…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names, or fail as click does; `list` stays as it is."""
        from sync.sandbox.quirks import read_quirks

        if isinstance(value, tuple):  # a default passes here as well, and what was converted may pass again
            return value
        if value == "list":
            return ("list",)
        try:
            return read_quirks(str(value))
        except ValueError as error:
            self.fail(f"{error}; `mpsync sandbox --quirks list` shows them", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the names that go on after the last comma."""
        from click.shell_completion import CompletionItem

        from sync.sandbox.quirks import QUIRKS

        before, _, last = incomplete.rpartition(",")
        given = f"{before}," if before else ""
        names = [*QUIRKS] if before else ["list", *QUIRKS]
        return [CompletionItem(given + name) for name in names if name.startswith(last)]


@click.command()
@click.option("--port", default=8099, show_default=True, help="Port on 127.0.0.1; 0: a free one.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same data.")
@click.option("--days", default=30, show_default=True, help="Days of history to make up.")
@click.option("--quirks", type=QuirkNames(), default="", help="Habits that the vendors are to have; list: show them.")
def command(port: int, seed: int, days: int, quirks: tuple[str, ...]) -> None:
    """Serve both vendors' services on this machine, for trying out, until Ctrl-C.

    Prints the settings that point mpsync at it. People receive and issue parts while you watch.
    """
    from sync.sandbox.quirks import QUIRKS
    from sync.sandbox.server import run_sandbox

    if quirks == ("list",):
        for name, told in QUIRKS.items():
            click.echo(textwrap.fill(told, 80, initial_indent=f"{name:<22}  ", subsequent_indent=" " * 24))
        return
    run_sandbox(port=port, seed=seed, days=days, quirks=quirks)

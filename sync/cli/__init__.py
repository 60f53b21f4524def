"""The command line. A command's module is imported when the command runs, so that `--help` answers at once.

Each module of this package named in `COMMANDS` holds one click command (or group) called `command`.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click

COMPLETE_VARIABLE = "_MPSYNC_COMPLETE"
"""What the shell sets to ask for completions; `mpsync completion` prints the script that does."""


class Entry(NamedTuple):
    """Where a command lives, and its one line in `mpsync --help`."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("run", "Run the daemon."),
    "once": Entry("once", "Run one cycle now: poll, inbox, reconcile, push, verify."),
    "backfill": Entry("backfill", "Read the days from one date to another."),
    "plan": Entry("plan", "Show what would be pushed and why; write nothing."),
    "status": Entry("status", "Show coverage, gaps, runs, pushes, exceptions and lag."),
    "todo": Entry("todo", "Show everything that needs a person, and what can be done."),
    "explain": Entry("explain", "Tell the whole story of one event."),
    "outbox": Entry("outbox", "List, release, retry, resolve or discard pushes."),
    "exceptions": Entry("exceptions", "List or resolve what needs a person."),
    "events": Entry("events", "Settle what a person has keyed in by hand."),
    "inbox": Entry("inbox", "List the ERP's documents and what became of them."),
    "import": Entry("import_", "Take in documents or movements from a file."),
    "items": Entry("items", "Import or export the item map."),
    "export": Entry("export", "Write the ledger to a file."),
    "accounts": Entry("accounts", "Import, export or check the rules of accounts."),
    "journal": Entry("journal", "The ledger in accounts: show, check, book what waits."),
    "learned": Entry("learned", "List, set or forget what the vendors do that no document says."),
    "probe": Entry("probe", "Try both vendors out, on an item set aside for it."),
    "db": Entry("db", "Upgrade or check the database's schema."),
    "doctor": Entry("doctor", "Check settings, database, logins and clocks; say what to do."),
    "healthcheck": Entry("healthcheck", "Exit with 0 while the daemon works."),
    "sandbox": Entry("sandbox", "Serve both vendors' services on this machine, for trying out."),
    "demo": Entry("demo", "Show it all at work, without account or network."),
    "completion": Entry("completion", "Print what lets your shell complete commands."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines by heart and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the documentation."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None where there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(f"sync.cli.{entry.module}").command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    name="mpsync",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings are environment variables or lines of .env; settings.example.env lists them.",
)
@click.version_option(package_name="mpsync", prog_name="mpsync", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep Maintenance Pro Web, MPservices and the ERP's books in step.

    Exit codes: 0 fine, 1 something needs a person, 2 usage or settings, 75 another instance holds the lease.
    """

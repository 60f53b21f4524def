"""The program's door: runs a command and turns every way it can end into an exit code and a readable line."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence

import click

from sync.cli import COMPLETE_VARIABLE, cli
from sync.errors import ConfigError, InvariantError, LeaseHeldError, LeaseLostError, SchemaOutdatedError, SyncError

FINE = 0
NEEDS_A_PERSON = 1
USAGE = 2
LEASE_HELD = 75
INTERRUPTED = 130

LOOK_FOR_CYCLES_AFTER = 20_000
"""New objects until Python looks for cycles among them: a start makes hundreds of thousands, and keeps them all."""

DATABASE_LIBRARIES = ("sqlalchemy", "psycopg", "sqlite3", "alembic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code. Nothing of it leaves as an exception but SystemExit."""
    gc.set_threshold(LOOK_FOR_CYCLES_AFTER)
    atexit.register(gc.freeze)  # what is left at the end is given back whole, and not looked through first
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _close_stdout()
        return FINE
    except (KeyboardInterrupt, click.Abort):
        _say("error: interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error)
    except SyncError as error:
        return _report(error)
    except Exception as error:  # noqa: BLE001 - the top of the program: all that is left is to say it
        return _report_unexpected(error)


def _run(arguments: list[str]) -> int:
    """Run click without its own handling of errors, which would print and exit in its way, not ours."""
    if asked := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "mpsync", COMPLETE_VARIABLE, asked)
    try:
        with cli.make_context("mpsync", arguments) as context:
            cli.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    return FINE


def _report_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _say(error.format_message())
        return USAGE
    _say("error: " + error.format_message().replace("%Y-%m-%d", "YYYY-MM-DD"))
    if isinstance(context, click.Context):
        _say(f"hint: {context.command_path} --help shows how it is used")
    return USAGE


def _report(error: SyncError) -> int:
    if _debugging() or isinstance(error, InvariantError):
        _say(_traceback(error))
    _say(f"error: {error}")
    if error.hint:
        _say(f"hint: {error.hint}")
    if isinstance(error, (ConfigError, SchemaOutdatedError)):
        return USAGE
    return LEASE_HELD if isinstance(error, (LeaseHeldError, LeaseLostError)) else NEEDS_A_PERSON


def _report_unexpected(error: Exception) -> int:
    """Say what happened: the machine's and the database's troubles in a line, our own bugs with all we know."""
    of_database = type(error).__module__.split(".")[0] in DATABASE_LIBRARIES
    ours = not isinstance(error, OSError) and not of_database
    if ours or _debugging():
        _say(_traceback(error))
    line, hint = f"{type(error).__name__}: {error}" if ours else str(error), "SYNC_LOG_LEVEL=debug shows where"
    if ours:
        hint = "this is a bug of mpsync; please report the traceback above"
    elif of_database:
        from sync.database.diagnosis import trouble_of

        trouble = trouble_of(error)
        line, hint = trouble.what, trouble.hint or hint
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room on that disk, and do it again"
    _say(f"error: {' '.join(line.split())}")
    _say(f"hint: {hint}")
    return NEEDS_A_PERSON


def _debugging() -> bool:
    return os.environ.get("SYNC_LOG_LEVEL", "").strip().lower() == "debug"


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def _say(text: str) -> None:
    """Write to stderr, without secrets: those the log knows of, or at least what looks like one."""
    from sync.redaction import Redactor

    log = sys.modules.get("sync.log")
    shown = log.redact(text) if log is not None else Redactor().text(text)
    print(_folded(shown), file=sys.stderr)  # noqa: T201 - the last word


def _folded(text: str) -> str:
    """Fold lines that begin with a word such as `hint:` on a terminal; a traceback stays as it is."""
    name, found, rest = text.partition(": ")
    if not found or name not in ("error", "hint") or not sys.stderr.isatty():
        return text
    from sync.cli.output import folded

    first, *more = rest.splitlines() or [""]
    return "\n".join([*folded(f"{name}: ", first, terminal=True), *more])


def _close_stdout() -> None:
    """Send what is still buffered nowhere: its reader is gone, and Python would complain about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())

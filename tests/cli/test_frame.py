"""The frame of the command line: what help costs, and how every way to end becomes an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from sync.__main__ import main
from sync.cli import COMMANDS, Entry
from sync.database.migrate import upgrade
from sync.errors import (
    AuthError,
    ConfigError,
    InvariantError,
    LeaseHeldError,
    LeaseLostError,
    SchemaOutdatedError,
)

HEAVY = ("sqlalchemy", "httpx", "pydantic", "structlog", "rich", "starlette", "apscheduler", "alembic", "msgspec")
PROMISED = [
    *("run", "once", "backfill", "plan", "status", "todo", "explain", "outbox", "exceptions", "events", "inbox"),
    "import",
    *("items", "export", "accounts", "journal", "learned", "probe", "db", "doctor", "healthcheck", "sandbox", "demo"),
    "completion",
]

Install = Callable[[Callable[[], object]], None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Install a command `broken` that does what the test gives it, in a folder without a .env."""
    monkeypatch.chdir(tmp_path)

    def install(body: Callable[[], object]) -> None:
        module = SimpleNamespace(command=click.Command("broken", callback=lambda: body()))
        monkeypatch.setitem(COMMANDS, "broken", Entry("broken", "Break."))
        monkeypatch.setitem(sys.modules, "sync.cli.broken", module)

    return install


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def run_python(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, *arguments], {**os.environ, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)


def test_every_promised_command_is_registered_in_the_order_of_the_documentation() -> None:
    assert list(COMMANDS) == PROMISED


def test_help_names_every_command_and_imports_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; from sync.__main__ import main; code = main(['--help']);"
        "print('loaded', *sys.modules, sep='\\n'); sys.exit(code)"
    )

    shown, _, loaded = run_python("-c", code).stdout.partition("loaded\n")

    assert all(f"  {name}  " in shown or f"  {name} " in shown for name in PROMISED)
    assert [name for name in loaded.splitlines() if name.split(".")[0] in HEAVY] == []
    assert [name for name in loaded.splitlines() if name.startswith("sync.cli.")] == []


def test_a_command_that_only_looks_loads_nothing_that_speaks_http(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mpsync.db'}"
    upgrade(url)
    code = (
        "import sys; from sync.__main__ import main; code = main(['status', '--json']);"
        "print('loaded', *sys.modules, sep='\\n'); sys.exit(code)"
    )
    vendors = {"MPW_EMAIL": "a@b.example", "MPW_PASSWORD": "a word", "MPSERVICES_TOKEN": "MPSER1-0123"}

    shown, _, loaded = run_python("-c", code, DATABASE_URL=url, **vendors).stdout.partition("loaded\n")

    assert '"outbox":[]' in shown
    assert {"httpx", "rich", "alembic", "sync.work.context"} & set(loaded.splitlines()) == set()


def test_what_speaks_http_loads_no_colours_for_a_command_line_of_its_own() -> None:
    code = "import sys, sync.clients.mpw.client; print(*sys.modules, sep='\\n')"

    loaded = set(run_python("-c", code).stdout.splitlines())

    assert "httpx" in loaded
    assert {"pygments", "rich"} & loaded == set()


def test_python_dash_m_is_the_same_program() -> None:
    assert run_python("-m", "sync", "--version").stdout.startswith("mpsync ")


@pytest.mark.parametrize("name", PROMISED)
def test_each_command_shows_its_own_help_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0

    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: mpsync {name} ")
    assert len(out.splitlines()[2].strip()) > 10
    assert err == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("DATABASE_URL: wrong"), 2),
        (SchemaOutdatedError("the database is newer"), 2),
        (LeaseHeldError("another instance runs"), 75),
        (LeaseLostError("somebody else leads by now"), 75),
        (AuthError("wrong password"), 1),
    ],
)
def test_an_error_of_ours_is_one_line_on_stderr_and_its_exit_code(
    error: Exception, code: int, broken: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(raising(error))

    assert main(["broken"]) == code

    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_the_hint_stands_on_the_line_after_the_error(broken: Install, capsys: pytest.CaptureFixture[str]) -> None:
    broken(raising(ConfigError("it is wrong", hint="set it right")))

    main(["broken"])

    assert capsys.readouterr().err == "error: it is wrong\nhint: set it right\n"


def test_a_wrong_option_is_exit_2_and_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nope"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: No such option '--nope'.\nhint: mpsync --help")


def test_an_unknown_command_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synchronise"]) == 2

    assert "error: No such command 'synchronise'" in capsys.readouterr().err


def test_no_command_at_all_shows_help_and_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err


def test_a_command_that_ends_itself_keeps_its_exit_code(broken: Install) -> None:
    broken(raising(click.exceptions.Exit(1)))

    assert main(["broken"]) == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_exit_130_without_a_traceback(
    interruption: BaseException, broken: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(raising(interruption))

    assert main(["broken"]) == 130

    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_trouble_of_the_machine_is_a_line_and_no_traceback(
    broken: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(raising(PermissionError(13, "Permission denied", "/data/mpsync.db")))

    assert main(["broken"]) == 1

    err = capsys.readouterr().err
    assert err.startswith("error: [Errno 13] Permission denied: '/data/mpsync.db'\n")
    assert "Traceback" not in err


def test_a_refusal_of_the_database_is_told_without_its_statement(
    broken: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    from sqlalchemy.exc import OperationalError

    broken(raising(OperationalError("select * from ledger_entries", {}, Exception("connection refused"))))

    assert main(["broken"]) == 1

    err = capsys.readouterr().err
    assert err.startswith("error: connection refused\n")
    assert "ledger_entries" not in err


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), InvariantError("seq went back")])
def test_a_bug_of_ours_crashes_loudly(error: Exception, broken: Install, capsys: pytest.CaptureFixture[str]) -> None:
    broken(raising(error))

    assert main(["broken"]) == 1

    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert str(error) in err.splitlines()[-1] or str(error) in err.splitlines()[-2]


def test_only_debug_shows_where_an_expected_error_came_from_and_no_secret_in_it(
    broken: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(raising(ConfigError("postgresql://sync:hunter2@db/books is wrong")))
    monkeypatch.setenv("SYNC_LOG_LEVEL", "debug")

    main(["broken"])

    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "sync:***@db" in err
    assert "hunter2" not in err


def test_a_reader_that_went_away_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    result = subprocess.run(
        [sys.executable, "-m", "sync", "--help"], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write_end)

    assert (result.returncode, result.stderr) == (0, "")


def test_a_wrong_setting_stops_a_command_before_anything_starts(
    broken: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.cli.start import start

    went_on: list[object] = []
    broken(lambda: went_on.append(start()))
    monkeypatch.setenv("SYNC_ROUTE_VOIDS", "on")

    assert main(["broken"]) == 2

    assert went_on == []
    assert capsys.readouterr().err.startswith("error: SYNC_ROUTE_VOIDS: 'on' is not known; write off, hold or push\n")


def test_a_misspelt_setting_is_warned_of_and_the_command_runs(
    broken: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.cli.start import start

    broken(lambda: click.echo(start().routes["voids"]))
    monkeypatch.setenv("SYNC_ROUTE_VIODS", "push")

    assert main(["broken"]) == 0

    out, err = capsys.readouterr()
    assert out == "hold\n"
    assert "settings.unknown_variable" in err
    assert "SYNC_ROUTE_VOIDS" in err

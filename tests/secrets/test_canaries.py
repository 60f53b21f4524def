"""Secrets that can be recognised anywhere: in no output, table or process list, whatever a vendor echoes."""

from __future__ import annotations

import html
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.secrets.echoing import ACCESS_TOKEN, WAYS, Echoing, echoing

PASSWORD = 'pw-Canary"7&<x>ä%+\\1'
TOKEN = "tok-canary-5f3a9c"
DATABASE_PASSWORD = "db-canary/9&x"
CANARIES = (PASSWORD, TOKEN, ACCESS_TOKEN, DATABASE_PASSWORD)
TELLING = ("pw-Canary", TOKEN, ACCESS_TOKEN, "db-canary")
"""The beginnings that no spelling changes."""

ROUTES = ("RECEIPTS", "ISSUANCES", "STOCK_COST", "APPROVALS", "PRODUCTS", "VOIDS", "TRANSFERS", "INVENTORIES")


def spellings(secret: str) -> Iterator[str]:
    """Every way in which a secret may stand in a text."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), html.escape(secret), html.escape(secret, False))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])


def leaks(content: str | bytes) -> list[str]:
    """Return what of any secret stands in a text, with what is around it."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    found = [form for secret in CANARIES for form in spellings(secret)] + list(TELLING)
    return [f"…{text[max(0, at - 60) : at + 60]}…" for form in found if (at := text.find(form)) >= 0]


def environment(folder: Path, vendor: Echoing, **more: str) -> dict[str, str]:
    """The settings of an installation, its secrets in files as credentials are."""
    for name, secret in (("password", PASSWORD), ("token", TOKEN)):
        (folder / name).write_text(secret + "\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MPW_", "SYNC_"))}
    return inherited | {
        "DATABASE_URL": f"sqlite:///{folder / 'secret.db'}",
        "MPW_BASE_URL": f"{vendor.url}/api/v1/mpw",
        "MPW_EMAIL": "sync@example.com",
        "MPW_PASSWORD_FILE": str(folder / "password"),
        "MPW_WAREHOUSE": "Main",
        "MPSERVICES_BASE_URL": vendor.url,
        "MPSERVICES_TOKEN_FILE": str(folder / "token"),
        "SYNC_PUSH_FROM": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "SYNC_START_DATE": datetime.now(UTC).date().isoformat(),
        "SYNC_LOG_LEVEL": "debug",
        "SYNC_REQUEST_TIMEOUT_SECONDS": "2",
        **{f"SYNC_ROUTE_{route}": "push" for route in ROUTES},
        **more,
    }


def run(settings: dict[str, str], *arguments: str) -> str:
    """Run a command to its end; return all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "sync", *arguments], env=settings, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


ECHOED = [
    *(("login", way) for way in WAYS),
    *(("read", way) for way in ("html_escaped", "json_200", "refused_401", "cut")),
    *(("write", way) for way in ("html_500", "json_200", "json_400", "redirect")),
]
ONE_EACH = {("login", "json_400"), ("read", "html_escaped"), ("write", "html_500")}
"""What is in the README's line: each starts a process or five, and so do the databases below."""


@pytest.mark.parametrize(
    ("to", "way"), [pytest.param(*one, marks=() if one in ONE_EACH else pytest.mark.slow) for one in ECHOED]
)
def test_a_vendor_that_echoes_what_it_was_sent_brings_no_secret_into_log_report_or_database(
    tmp_path: Path, way: str, to: str
) -> None:
    with echoing(way, to) as vendor:
        settings = environment(tmp_path, vendor)
        said = run(settings, "once")
        if (way, to) == ("html_500", "write") or (way, to) == ("json_400", "login"):
            for command in (
                ["status", "--json"],
                ["doctor"],
                ["exceptions", "list", "--json"],
                ["outbox", "list", "--json"],
            ):
                said += run(settings, *command)

    files = {path.name: path.read_bytes() for path in tmp_path.glob("secret.db*")}
    assert vendor.echoed > 0
    assert vendor.followed == []
    assert leaks(said) == []
    assert {name: leaks(content) for name, content in files.items()} == {name: [] for name in files}
    assert len(said) > 100


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://sync:{secret}@127.0.0.1:1/books",
        *(
            pytest.param(url, marks=pytest.mark.slow)
            for url in (
                "postgresql://sync@127.0.0.1:1/books?password={secret}",
                "postgresql://sync@127.0.0.1:1/books?sslpassword={secret}",
                "postgresql://sync:{secret}@127.0.0.1:1/books?no_such_option=1",
                "mysql://sync:{secret}@127.0.0.1/books",
                "postgresql://sync:{secret}@127.0.0.1:port/books",
            )
        ),
    ],
)
def test_the_password_of_a_database_that_cannot_be_reached_is_told_by_no_command(tmp_path: Path, url: str) -> None:
    with echoing("html_500", "nothing") as vendor:
        given = url.format(secret=quote(DATABASE_PASSWORD, safe=""))
        (tmp_path / "url").write_text(given)
        settings = environment(tmp_path, vendor, DATABASE_URL_FILE=str(tmp_path / "url"))
        del settings["DATABASE_URL"]
        said = [run(settings, *command) for command in (["once"], ["doctor"], ["status", "--json"], ["db", "check"])]

    assert [leaks(text) for text in said] == [[]] * 4
    assert all(len(text) > 40 for text in said)


def test_a_running_daemon_shows_no_secret_in_the_process_list_nor_in_its_environment(tmp_path: Path) -> None:
    with echoing("html_500", "nothing") as vendor:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "sync", "run"],
            env=environment(tmp_path, vendor),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(400):
                if vendor.served > 3:
                    break
                time.sleep(0.05)
            process = Path(f"/proc/{daemon.pid}")
            seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        finally:
            daemon.send_signal(signal.SIGTERM)
            said, _ = daemon.communicate(timeout=60)

    assert vendor.served > 3
    assert leaks(seen) == []
    assert leaks(said) == []


def test_whatever_the_umask_the_database_its_log_and_its_lock_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with echoing("html_500", "write") as vendor:
            settings = environment(tmp_path, vendor, SYNC_HTTP_ADDRESS="")
            daemon = subprocess.Popen(
                [sys.executable, "-m", "sync", "run"],
                env=settings,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                for _ in range(400):
                    if vendor.echoed:
                        break
                    time.sleep(0.05)
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("secret.db*")}
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(("secret.db", "secret.db-wal", "secret.db-shm", "secret.db.lock"), 0o600)

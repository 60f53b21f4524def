"""What is wrong with the database when it refuses, and what to do, in words for whoever runs it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

NOTHING_LOST = "nothing is lost: what was not finished is taken up again"

_ROOM = f"make room on the disk that holds the database (`df -h`); {NOTHING_LOST}"
_LOCKED = (
    "find who holds it (`fuser -v` on SQLite's file, `pg_locks` on PostgreSQL) and have that end its transaction: "
    f"whoever inserts into the inbox commits at once; {NOTHING_LOST}"
)
_AWAY = f"see that the server of DATABASE_URL runs, can be reached and lets us in; {NOTHING_LOST}"

_SQLITE = (
    ("SQLITE_FULL", "the disk that holds the database is full", _ROOM),
    ("SQLITE_IOERR", "the disk that holds the database is full or fails", f"{_ROOM}; `dmesg` shows a disk that fails"),
    ("SQLITE_BUSY", "another program keeps the database locked", _LOCKED),
    ("SQLITE_LOCKED", "another program keeps the database locked", _LOCKED),
    ("SQLITE_READONLY", "the database cannot be written to", "let this user write to its file and its folder"),
    (
        "SQLITE_CANTOPEN",
        "the database's file cannot be opened",
        "see that its folder is there and this user may use it",
    ),
    ("SQLITE_CORRUPT", "the database's file is damaged", "put a backup back, as docs/upgrade.md (Restore) says"),
    ("SQLITE_NOTADB", "the file of DATABASE_URL is not a database", "correct DATABASE_URL, or put a backup back"),
)
_POSTGRESQL = (
    ("53100", "the disk of the database's server is full", _ROOM),
    ("55P03", "another program keeps the database locked", _LOCKED),
    ("40P01", "two transactions waited for each other", NOTHING_LOST),
    ("25006", "the database takes no writes: it is a standby", "name the primary server in DATABASE_URL"),
    ("42501", "the database's user lacks a right", "grant it, as docs/install.md says"),
    ("53", "the database's server is short of connections or memory", f"see its log; {NOTHING_LOST}"),
    ("57", "the database's server ends our sessions", _AWAY),
    ("08", "the database's server cannot be reached", _AWAY),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, with the database's own words, and what to do about it (None: we do not know)."""

    what: str
    hint: str | None

    @property
    def line(self) -> str:
        """Return both in one line, for the log."""
        return self.what if self.hint is None else f"{self.what}; {self.hint}"


def trouble_of(error: Exception) -> Trouble:
    """Say what an error of SQLAlchemy or of a driver means; never with the statement, whose values are people's."""
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split())
    for prefix, what, hint in _known(cause):
        if _code(cause).startswith(prefix):
            return Trouble(f"{what} ({said})", hint)
    if not isinstance(cause, sqlite3.Error) and type(cause).__name__ == "OperationalError" and not _code(cause):
        return Trouble(f"the database's server cannot be reached ({said})", _AWAY)
    return Trouble(said, None)


def _known(cause: object) -> tuple[tuple[str, str, str], ...]:
    return _SQLITE if isinstance(cause, sqlite3.Error) else _POSTGRESQL


def _code(cause: object) -> str:
    name = "sqlite_errorname" if isinstance(cause, sqlite3.Error) else "sqlstate"
    return str(getattr(cause, name, None) or "")

"""What `v_todo` says of each kind, in a table that it reads."""

from __future__ import annotations

import json
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select

from sync.database.schema import todo_kinds
from sync.values.todo_kinds import TodoKind, all_todo_kinds


def keep_todo_kinds(conn: Connection) -> bool:
    """Write this program's texts into the table that `v_todo` reads; True where others stood there."""
    wanted = {kind.name: _row(kind) for kind in all_todo_kinds()}
    if known_todo_kinds(conn) == wanted:
        return False
    conn.execute(delete(todo_kinds))
    conn.execute(insert(todo_kinds), list(wanted.values()))
    return True


def todo_kinds_are_kept(conn: Connection) -> bool:
    """Tell whether the texts in the table are this program's."""
    return known_todo_kinds(conn) == {kind.name: _row(kind) for kind in all_todo_kinds()}


def known_todo_kinds(conn: Connection) -> dict[str, dict[str, str]]:
    """Return the rows of the table by kind."""
    return {row.kind: dict(row._mapping) for row in conn.execute(select(todo_kinds))}


def _row(kind: TodoKind) -> dict[str, str]:
    choices = json.dumps([asdict(choice) for choice in kind.choices])
    return {"kind": kind.name, "level": kind.level, "meaning": kind.meaning, "choices": choices}

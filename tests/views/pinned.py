"""The database's clock as the views see it, made to stand still where a test's own clock does."""

from __future__ import annotations

from datetime import datetime

from sync.database.engine import Store
from sync.database.types import instant_text

OF_VIEW = "select proof_seconds, window_seconds from todo_clock"


def pin(store: Store, now: datetime) -> None:
    """Let `v_todo` go by this instant, in this test's database; its other rules are those of now, too."""
    with store.write() as conn:
        proof, window = conn.exec_driver_sql(OF_VIEW).one()
        numbers = f"cast({proof} as float) as proof_seconds, cast({window} as float) as window_seconds"
        if store.is_sqlite:
            conn.exec_driver_sql("drop view todo_clock")
            made, instant = "create view", f"'{instant_text(now)}'"
        else:
            made, instant = "create or replace view", f"timestamp with time zone '{now.isoformat()}'"
        conn.exec_driver_sql(f"{made} todo_clock as select {instant} as now, {numbers}")

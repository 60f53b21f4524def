"""One row per execution of a flow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from sync.database.schema import runs

LOOK_BACK_RUNS = 20
"""How many of a flow's runs are looked at for one that was cut off: they end in turn, so it is among the last few."""


@dataclass(slots=True)
class Counts:
    """What a flow did with the rows it saw."""

    seen: int = 0
    added: int = 0
    changed: int = 0
    voided: int = 0
    unchanged: int = 0
    quarantined: int = 0

    def add(self, other: Counts) -> None:
        """Add another's counts to these."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def start_run(conn: Connection, flow: str, *, now: datetime) -> int:
    """Record that a flow began; return the run's id."""
    key = conn.execute(insert(runs).values(flow=flow, started_at=now)).inserted_primary_key
    assert key is not None
    return int(key[0])


def newest_run(conn: Connection) -> int:
    """Return the number of the newest run, 0 where there was none: whatever begins later has a larger one.

    A run that another process is just beginning may be committed after this look. It has then not asked anybody
    anything yet, so that what it reads is newer than all that is known now, as its larger number says.
    """
    return int(conn.execute(_NEWEST).scalar_one())


_NEWEST = select(func.coalesce(func.max(runs.c.id), 0))


def end_run(
    conn: Connection, run_id: int, *, now: datetime, counts: Counts, error: str | None = None, dropped: bool = False
) -> None:
    """Record how a flow ended; `error` None means it went well; `dropped`: its answer was older than what is stored."""
    outcome = "failed" if error is not None else "dropped" if dropped else "ok"
    conn.execute(
        update(runs).where(runs.c.id == run_id).values(ended_at=now, outcome=outcome, error=error, **counts.as_dict())
    )


def end_cut_off_runs(conn: Connection, flow: str, *, before: int, now: datetime) -> int:
    """End a flow's earlier runs that are still open: a kill or a lost database cut them off; return how many."""
    earlier = select(runs.c.id).where(runs.c.flow == flow, runs.c.id < before).order_by(runs.c.id.desc())
    cut_off = update(runs).where(runs.c.id.in_(earlier.limit(LOOK_BACK_RUNS)), runs.c.ended_at.is_(None))
    return conn.execute(cut_off.values(ended_at=now, outcome="failed", error="it was cut off before its end")).rowcount

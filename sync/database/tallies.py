"""What /metrics counts, kept as it happens: a row a change, added up once a day.

Triggers write the rows (migration 0021), so that whoever changes a table is counted. They only insert: no two writers
wait for one another.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, delete, func, insert, select

from sync.database.schema import tallies

ATTEMPTS = "attempts"
"""Tries to write to a vendor that have ended, by outcome."""
PUSHES = "pushes"
"""Pushes in a state that finishes them, by state."""
RUNS = "runs"
"""Runs that have ended, by `flow|outcome`."""
ROWS = "rows"
"""Rows that these runs saw, by `flow|` and what became of them."""


def tallied(conn: Connection, name: str) -> dict[str, int]:
    """Return what was counted under a name, by label; what is pruned since stays counted."""
    query = select(tallies.c.label, func.sum(tallies.c.number)).where(tallies.c.name == name).group_by(tallies.c.label)
    return {label: int(number) for label, number in conn.execute(query)}


AT_A_TIME = 20_000
"""Rows of a transaction that adds up; far more than there are labels, so that what it writes is not taken again."""


def add_up(conn: Connection) -> bool:
    """Replace the oldest rows by a sum for each label; tell whether there may be more.

    One statement takes the rows and says what they were: a row that another process is just writing stays for the
    next time.
    """
    oldest = select(tallies.c.id).order_by(tallies.c.id).limit(AT_A_TIME)
    gone = delete(tallies).where(tallies.c.id.in_(oldest)).returning(tallies.c.name, tallies.c.label, tallies.c.number)
    sums: Counter[tuple[str, str]] = Counter()
    taken = 0
    for name, label, number in conn.execute(gone):
        sums[name, label] += number
        taken += 1
    values = [{"name": name, "label": label, "number": number} for (name, label), number in sums.items() if number]
    if values:
        conn.execute(insert(tallies), values)
    return taken >= AT_A_TIME

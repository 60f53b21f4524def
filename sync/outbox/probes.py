"""The steps of `mpsync probe` as rows of the outbox: what tells them, and when nobody wants one any more.

A step stands in the outbox before its call, together with the one that takes it back. So nothing that a killed probe
has done is lost: whoever leads next (a probe, `mpsync once` or the daemon) settles what is under way, sends what takes
it back, and withdraws what was never sent.
"""

from __future__ import annotations

from sqlalchemy import Connection

from sync.outbox.machine import PATCH_STOCK
from sync.outbox.rows import Push, Which, find_pushes, push_of_key

PROBE = "probe"
"""The route of these rows. No setting holds it back: a person asked for it."""

OWNER = "probe_of"
"""The fact that names the process whose experiment a step is; what takes a step back is anyone's."""

KEY = "sent_key"
"""The fact that names the api_key which a step's call carries: two steps may send the same one."""

UNDOES = "undoes"
"""The fact that lists the steps (their api_keys in the outbox) that a row takes back."""

OPEN = ("held", "ready", "sending", "unknown")


def is_of_probe(row: Push) -> bool:
    """Tell whether a row is a step of a probe."""
    return row.route == PROBE


def open_steps(conn: Connection) -> list[Push]:
    """Return the steps of any probe that are not at their end, oldest first."""
    return [row for row in find_pushes(conn, Which(route=PROBE)) if row.state in OPEN]


def abandoned(conn: Connection, row: Push, *, owner: str) -> str | None:
    """Return why nobody wants a step any more, None where it still goes.

    An experiment is its own process's. What takes one back goes as long as that may have done anything.
    """
    if not is_of_probe(row):
        return None
    if UNDOES in row.facts:
        undone = [push_of_key(conn, PATCH_STOCK, key) for key in row.facts[UNDOES]]
        return None if any(one is not None and one.tries for one in undone) else "what it was to take back never went"
    return None if row.facts.get(OWNER) == owner else "the probe that it was a step of is over"

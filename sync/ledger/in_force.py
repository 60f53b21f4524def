"""The rules in force that `v_todo` goes by, written down among the facts."""

from __future__ import annotations

from collections.abc import Mapping

from sync.database.facts import fact
from sync.ledger.books import Books

WINDOW_SECONDS = "window_seconds"
"""How far back MPservices' feed is trusted to reach; 0: MPservices is off."""

PROOF_SECONDS = "proof_seconds"
"""How long after a call its proof normally takes at the most: what is unknown longer needs a person."""


def note_in_force(books: Books, values: Mapping[str, float]) -> None:
    """Write down these rules where they have changed."""
    for name, value in values.items():
        if fact(books.conn, name) != f"{value:g}":
            books.note_fact(name, f"{value:g}")

"""Exceptions about a push: what is known of it, and what a person can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync.ledger.books import Books
from sync.outbox.machine import PATCH_STOCK
from sync.outbox.rows import Push
from sync.values.subjects import Subject


def open_about(
    books: Books, row: Push, kind: str, detail: str, *, hint: str | None = None, external_ids: Sequence[str] = ()
) -> bool:
    """Open an exception about a push: what is known, and what a person can do.

    `external_ids` are the items that it stops, where its kind stops any; those that the push itself names are added.
    """
    facts: dict[str, Any] = {"outbox_id": row.id, "api_key": row.api_key, "operation": row.operation}
    own = row.item if row.operation == PATCH_STOCK else row.facts.get("external_id")
    if stopped := sorted({*external_ids, *([str(own)] if own else [])}):
        facts["external_ids"] = stopped
    return books.open_exception(
        kind,
        about=Subject.push(row.id),
        detail=f"{row.operation} {row.api_key}" + (f" of {row.item}" if row.item else "") + f": {detail}",
        hint=hint or default_hint(row.id),
        facts=facts,
    )


KEY_TAKEN = "key_taken"


def key_taken_reason(detail: str) -> str:
    """Say why a push is given up whose key has something else at the vendor."""
    return f"nothing was sent, since its key is taken: {detail}"


def key_taken_hint(outbox_id: int) -> str:
    """Return what ends that: sending it would overwrite what has the key."""
    return (
        f"have the ERP send the document under a new api_key, then `mpsync outbox discard {outbox_id}`; if what MPW "
        f"has under the key is wrong, delete it there, then `mpsync outbox retry {outbox_id}`"
    )


def void_taken_hint(outbox_id: int) -> str:
    """Return what ends that of a void: its delete would take what has the key, and nothing of it was ever sent."""
    return (
        f"look at it in MPW: if it is the ERP's all the same, `mpsync outbox retry {outbox_id}` deletes it; if it is "
        f"another program's, `mpsync outbox discard {outbox_id}` leaves it"
    )


def default_hint(outbox_id: int) -> str:
    """Return what can be done about a push that needs a person."""
    return (
        f"see `mpsync outbox show {outbox_id}`; then `mpsync outbox retry {outbox_id}`, "
        f"`mpsync outbox resolve {outbox_id} --done/--not-done --why …` or `mpsync outbox discard {outbox_id}`"
    )

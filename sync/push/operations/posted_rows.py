"""Marking MPW's rows as ours once we know their ids, also those that a poll has filed under another key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sync.clients.mpw.client import MpwClient
from sync.clients.written import Written
from sync.database.engine import lock_appends
from sync.errors import InvariantError
from sync.ledger.books import Books
from sync.ledger.documents import documents_by_remote_id
from sync.outbox.asking import KEY_TAKEN, default_hint, key_taken_hint, key_taken_reason
from sync.outbox.corrections import events_of_corrections
from sync.outbox.evidence import proof, same_key
from sync.outbox.machine import Conflict, Delivered, Unclear
from sync.outbox.rows import Push, add_pushed_rows
from sync.push.operations.base import GiveUp
from sync.values.systems import MPW
from sync.work.context import Context


def claim_rows(books: Books, row: Push, type_: str, remote_ids: Sequence[str]) -> None:
    """Remember remote rows as the push's doing, and file those already seen under its event."""
    claim_rows_of(books, type_, [(row, remote_id) for remote_id in remote_ids])


def claim_rows_of(books: Books, type_: str, pushed: Sequence[tuple[Push, str]]) -> None:
    """Do the same for several pushes, each given with the id of a row that it made."""
    if not pushed:
        return
    add_pushed_rows(books.conn, type_, pushed)
    lock_appends(books.conn)  # before the look: a poll that files them now is waited for
    seen = documents_by_remote_id(books.conn, MPW, type_, [remote_id for _, remote_id in pushed])
    events = events_of_corrections(books.conn, type_, {push.api_key for push, remote_id in pushed if remote_id in seen})
    for push, remote_id in pushed:
        if remote_id in seen:
            key = events.get(push.api_key, push.api_key)
            books.refile(MPW, type_, remote_id, key)


def mpw(ctx: Context) -> MpwClient:
    """Return MPW's client; the pusher only calls an operation whose system is on."""
    if ctx.mpw is None:
        raise InvariantError("MPW is off, and yet a push to it was begun")
    return ctx.mpw


def judged_answer(operation: str, sent: Mapping[str, object], key: str, written: Written) -> Delivered | Unclear:
    """Return what a 2xx answer proves, by the one table (`outbox.evidence`); Unclear where it proves nothing."""
    answer = written.answer
    told: Any = {"status": answer.status, "answered_at": answer.answered_at, "sent_key": key}
    found = proof(operation, key=key, sent=sent, rows=written.rows)
    if found.why is not None:
        return Unclear(f"{ANSWERED}{answer.status}, which proves nothing: {found.why}", data=found, **told)
    evidence = f"answered {answer.status}" + (f", id {', '.join(found.ids)}" if found.ids else ", with its key")
    return Delivered(evidence, found.ids, answered=True, **told)


ANSWERED = "answered "
"""How the error of a try begins whose answer was read, and proved nothing."""


class _Keyed(Protocol):
    @property
    def api_key(self) -> str | None: ...


K = TypeVar("K", bound=_Keyed)


def under_key(rows: Sequence[K], key: str) -> list[K]:
    """Return those rows of a read by api_key that stand under the key.

    A vendor whose database does not tell A from a shows the key as it was first spelt, and overwrites that row; one
    that shows no keys shows what it found. Where it shows other keys, it did not look by the key, and what has none is
    people's.
    """
    exact = [row for row in rows if row.api_key == key]
    alike = exact or [row for row in rows if same_key(key, row.api_key)]
    return alike or ([] if any(row.api_key for row in rows) else list(rows))


def key_taken(row: Push, detail: str) -> GiveUp:
    """Return what becomes of a push whose key has something else: sending it would overwrite that."""
    return GiveUp(key_taken_reason(detail), KEY_TAKEN, key_taken_hint(row.id))


def not_overwritten(row: Push, found: Conflict) -> GiveUp:
    """Return what becomes of a push under whose key something else was found: sending it would undo that.

    After a call whose answer was lost it may be that call's row, corrected by a person since: a conflict.
    """
    if not row.ambiguous:
        return key_taken(row, found.detail)
    return GiveUp(found.detail, found.kind, found.hint or default_hint(row.id))


def when_found(row: Push) -> str:
    """Say what had been sent when a push's effect was found before its next call."""
    return "after a call whose answer was lost" if row.ambiguous else "before anything was sent"

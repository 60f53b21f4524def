"""Marking MPW's rows as ours once we know their ids, also those that a poll has filed under another key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from sync.clients.mpw.client import MpwClient
from sync.domain.policy import Policy
from sync.errors import InvariantError
from sync.flows.context import MPW, Context
from sync.store.corrections import events_of_corrections
from sync.store.documents import documents_by_remote_id, rekey_document
from sync.store.engine import lock_appends
from sync.store.outbox import Push, add_pushed_rows


def claim_rows(
    conn: Connection, row: Push, type_: str, remote_ids: Sequence[str], *, policy: Policy, now: datetime
) -> None:
    """Remember remote rows as the push's doing, and file those already seen under its event."""
    claim_rows_of(conn, type_, [(row, remote_id) for remote_id in remote_ids], policy=policy, now=now)


def claim_rows_of(
    conn: Connection, type_: str, pushed: Sequence[tuple[Push, str]], *, policy: Policy, now: datetime
) -> None:
    """Do the same for several pushes, each given with the id of a row that it made."""
    if not pushed:
        return
    add_pushed_rows(conn, type_, pushed)
    lock_appends(conn)  # before the look: a poll that files them now is waited for
    seen = documents_by_remote_id(conn, MPW, type_, [remote_id for _, remote_id in pushed])
    events = events_of_corrections(conn, type_, {push.api_key for push, remote_id in pushed if remote_id in seen})
    for push, remote_id in pushed:
        if remote_id in seen:
            key = events.get(push.api_key, push.api_key)
            rekey_document(conn, MPW, type_, remote_id, key, lock_date=policy.lock_date, now=now, run_id=None)


def mpw(ctx: Context) -> MpwClient:
    """Return MPW's client; the pusher only calls an operation whose system is on."""
    if ctx.mpw is None:
        raise InvariantError("MPW is off, and yet a push to it was begun")
    return ctx.mpw


def ids_in(rows: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """Return the ids in an answer's rows."""
    return tuple(str(row["id"]) for row in rows if row.get("id") not in (None, ""))

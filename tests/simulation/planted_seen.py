"""Bugs to plant (see `planted`) in what is taken for proof that a push took effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from sync.clients.written import Written
from sync.jobs import due
from sync.jobs.due import Asked
from sync.outbox.machine import Conflict, Delivered
from sync.outbox.rows import Push
from sync.push import verify
from sync.push.operations import delete, issuance, receipt
from sync.push.operations.base import AlreadyDone, Go, Preparation
from sync.push.operations.issuance import PostIssuance
from sync.push.operations.receipt import PostReceipt
from sync.work.agenda import Due
from sync.work.context import Context
from tests.simulation.planted import swapped


def hollow_is_done() -> Any:
    """A 2xx is a yes."""

    def judged(operation: str, sent: Mapping[str, object], key: str, written: Written) -> Delivered:
        answer = written.answer
        told: Any = {"status": answer.status, "answered_at": answer.answered_at, "sent_key": key}
        return Delivered(f"answered {answer.status}", answered=True, **told)

    owners = [owner for owner in (receipt, issuance, delete) if hasattr(owner, "judged_answer")]
    return swapped(*((owner, "judged_answer", judged) for owner in owners))


def no_look_before_an_upsert() -> Any:
    """A key of the ERP's is new."""

    def prepare(self: PostReceipt, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        return {row.id: Go() for row in rows}

    return swapped((PostReceipt, "prepare", prepare))


def taken_key_is_done() -> Any:
    """What has our key is ours."""

    def taken(row: Push, found: Conflict) -> Preparation:
        return AlreadyDone("MPW has its key")

    return swapped((receipt, "not_overwritten", taken))


def unclear_is_never_due() -> Any:
    """A push that was answered with success needs no more work; one that was not is tried again by itself."""
    real = due.what_is_due

    def asked(conn: Connection, asked: Asked) -> Due:
        return replace(real(conn, asked), unknown=False)

    return swapped((due, "what_is_due", asked))


def own_polls_ignored() -> Any:
    """Whether it is there is asked of MPW, and of nobody else."""
    nothing = lambda *args, **kwargs: None  # noqa: E731
    return swapped(
        (verify, "settle_shown", lambda ctx: 0), (PostReceipt, "shown", nothing), (PostIssuance, "shown", nothing)
    )


def done_is_never_looked_for() -> Any:
    """A perfect answer is perfect."""
    return swapped((verify, "look_for_done", lambda ctx: 0))

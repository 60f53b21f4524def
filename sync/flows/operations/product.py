"""POST create product in MPservices: its path is in no document, and neither is a way to read products."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sync.clients.mpservices.client import MpservicesClient
from sync.domain.outbox import CREATE_PRODUCT, Absent, Delivered, Outcome, Refused, Verdict
from sync.domain.refusals import says_exists
from sync.errors import InvariantError, RejectedError
from sync.flows.context import MPSERVICES, Context
from sync.flows.operations.base import NotNow, Operation, Preparation
from sync.store.outbox import Push

LOOK_FOR_PATH = timedelta(minutes=5)
"""How soon a setting that was added is noticed; a restart reads it."""


class CreateProduct(Operation):
    """A product in MPservices (Create a new product)."""

    name = CREATE_PRODUCT
    system = MPSERVICES

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Wait while the path is not set: nobody guesses it."""
        if ctx.policy.create_product_path:
            return {}
        wait = NotNow(ctx.clock.now() + LOOK_FOR_PATH, "MPSERVICES_CREATE_PRODUCT_PATH is not set")
        return {row.id: wait for row in rows}

    def send(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Outcome]:
        """Create it; one that exists is what was wanted."""
        (row,) = rows
        try:
            written = _client(ctx).create_product(row.payload)
        except RejectedError as error:
            if says_exists(error.message, error.status):
                evidence = f"MPservices says that it exists: {error.message}"
                return {row.id: Delivered(evidence, status=error.status, answered_at=error.answered_at)}
            return {row.id: Refused(error.message, status=error.status, answered_at=error.answered_at)}
        answer = written.answer
        evidence = f"answered {answer.status}"
        return {row.id: Delivered(evidence, status=answer.status, answered_at=answer.answered_at)}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Send it again: its external_id is its key, and "exists" is done."""
        return Absent("products cannot be read; to send it again is safe")


def _client(ctx: Context) -> MpservicesClient:
    if ctx.mpservices is None:
        raise InvariantError("MPservices is off, and yet a push to it was begun")
    return ctx.mpservices

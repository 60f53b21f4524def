"""POST create product in MPservices: its path is in no document, and neither is a way to read products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from sync.clients.mpservices.client import MpservicesClient
from sync.domain.money import fixed
from sync.domain.outbox import CREATE_PRODUCT, Absent, Delivered, Outcome, Refused, Transition, Verdict
from sync.domain.policy import Policy
from sync.domain.refusals import says_exists
from sync.errors import InvariantError, RejectedError
from sync.flows.context import MPSERVICES, Context
from sync.flows.operations.base import NotNow, Operation, Preparation
from sync.flows.operations.frozen import fields_of
from sync.store.item_states import beliefs, mark_dirty, save_item_state
from sync.store.outbox import Push

LOOK_FOR_PATH = timedelta(minutes=5)
"""How soon a setting that was added is noticed; a restart reads it."""


@dataclass(frozen=True, slots=True)
class _Made:
    """It did not exist before: it has the stock and cost that it was created with."""


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
        return {row.id: Delivered(evidence, status=answer.status, answered_at=answer.answered_at, data=_Made())}

    def verify(self, ctx: Context, row: Push) -> Verdict:
        """Send it again: its external_id is its key, and "exists" is done."""
        return Absent("products cannot be read; to send it again is safe")

    def after(self, conn: Connection, row: Push, to: Transition, *, policy: Policy, now: datetime) -> None:
        """Have a product that we created compared with MPW's stock; until then it has what it was created with."""
        if to.state != "done" or row.item is None:
            return
        if isinstance(getattr(to.cause, "data", None), _Made):
            _believe(conn, row, row.item, at=getattr(to.cause, "answered_at", None) or now)
        mark_dirty(conn, [row.item], now=now, managed=True)


def _believe(conn: Connection, row: Push, external_id: str, *, at: datetime) -> None:
    """Take the stock and cost of the creation for the item's, unproven, where nothing else is known of it."""
    fields, known = fields_of(row.payload), beliefs(conn, [external_id])[external_id]
    stock, cost = _number(fields.get("product_stock")), _number(fields.get("weighted_average"))
    if known.quantity is not None or known.last_position is not None or stock is None:
        return
    values: dict[str, object] = {"base_quantity": stock, "base_at": at, "base_place": 0, "base_verified": False}
    save_item_state(conn, external_id, values | {"mps_quantity": stock, "mps_unit_cost": cost})


def _number(value: object) -> Decimal | None:
    """Read a number of the ERP's; product_stock is a text of which the document says no more (Create a new product)."""
    try:
        return None if value is None else fixed(value)
    except ValueError:
        return None


def _client(ctx: Context) -> MpservicesClient:
    if ctx.mpservices is None:
        raise InvariantError("MPservices is off, and yet a push to it was begun")
    return ctx.mpservices

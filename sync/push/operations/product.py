"""POST create product in MPservices: its path is in no document, and neither is a way to read products.

Nor does the document say that a second product with the same external_id is refused. So nothing is sent where our own
tables show that the product is there (`push/product_rows.py`), and after a lost answer nothing is sent again blindly:
the first stock patch of it tells. Refused for want of a product, once no call of ours can still land, it is not there,
and is sent again; one that made a movement proves it. Where no patch goes, a person is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sync.clients.mpservices.client import MpservicesClient
from sync.errors import InvariantError, RejectedError
from sync.ledger.books import Books
from sync.ledger.item_states import beliefs, forget_base, mark_dirty, save_item_state
from sync.outbox.machine import (
    CREATE_PRODUCT,
    TELL_AFTER,
    Absent,
    Delivered,
    Later,
    Outcome,
    Refused,
    Transition,
    Undecidable,
    Verdict,
    absence_counts_at,
)
from sync.outbox.rows import DENIED_TRIES, Push
from sync.push.operations.base import AlreadyDone, NotNow, Operation, Preparation
from sync.push.operations.payload_fields import fields_of
from sync.push.product_rows import patch_under_way, product_shown
from sync.push.refusals import says_exists
from sync.values.money import fixed
from sync.values.policy import Policy
from sync.values.systems import MPSERVICES
from sync.work.context import Context

LOOK_FOR_PATH = timedelta(minutes=5)
"""How soon a setting that was added is noticed; a restart reads it."""

LOOK_AGAIN = timedelta(minutes=5)
ASK_AFTER = 4
"""How long to wait for the stock patch that tells whether the product is there, in multiples of
SYNC_LATE_ARRIVAL_SECONDS (an hour by default)."""


@dataclass(frozen=True, slots=True)
class _Made:
    """It did not exist before: it has the stock and cost that it was created with."""


class CreateProduct(Operation):
    """A product in MPservices (Create a new product)."""

    name = CREATE_PRODUCT
    system = MPSERVICES

    def prepare(self, ctx: Context, rows: Sequence[Push]) -> dict[int, Preparation]:
        """Wait while the path is not set: nobody guesses it. What is there already is not made a second time."""
        if not ctx.policy.create_product_path:
            wait = NotNow(ctx.clock.now() + LOOK_FOR_PATH, "MPSERVICES_CREATE_PRODUCT_PATH is not set")
            return {row.id: wait for row in rows}
        found: dict[int, Preparation] = {}
        with ctx.read() as conn:
            for row in rows:
                shown = product_shown(conn, row.item) if row.item is not None else None
                if shown is not None and shown.there and DENIED_TRIES not in row.facts:
                    found[row.id] = AlreadyDone(f"the product is there: {shown.evidence}")
        return found

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
        """Say what our own tables show of it by now; no call of ours is made for it beside the item's stock patch."""
        now = ctx.clock.now()
        certain_at = patch_tells_at(row, ctx.policy)
        with ctx.read() as conn:
            shown = product_shown(conn, row.item or "")
            comes = patch_under_way(conn, row.item or "")
        if shown is not None and shown.there:
            return Delivered(f"the product is there: {shown.evidence}")
        if shown is not None and shown.at >= certain_at:
            return Absent(shown.evidence)
        if now < certain_at:
            return Later(certain_at, "its call may still land; a stock patch of it tells then")
        if now < certain_at + (TELL_AFTER if comes else ASK_AFTER * ctx.policy.late_arrival):
            return Later(
                now + min(LOOK_AGAIN, ctx.policy.late_arrival), "a stock patch of it is to tell whether it is there"
            )
        return Undecidable(
            f"the answer was lost, products cannot be read, and no stock patch tells whether there is a {row.item}: "
            "it is not sent again, since that might make a second one",
            f"look in MPservices whether there is a product {row.item}: if so "
            f"`mpsync outbox resolve {row.id} --done --why TEXT`, if not `mpsync outbox resolve {row.id} --not-done "
            "--why TEXT`, which creates it",
        )

    def after(self, books: Books, row: Push, to: Transition) -> None:
        """Have a product compared with MPW's stock; one that we created has until then what it was created with.

        One that is perhaps there, too: the patch that this leads to tells.
        """
        if to.state not in ("done", "unknown") or row.state == to.state or row.item is None:
            return
        if to.state == "done" and isinstance(getattr(to.cause, "data", None), _Made):
            _believe(books, row, row.item, at=getattr(to.cause, "answered_at", None) or books.now)
        mark_dirty(books, [row.item], managed=True)


def patch_tells_at(row: Push, policy: Policy) -> datetime:
    """Return from when on a refused stock patch shows that a product, whose creation is unknown, is not there."""
    return absence_counts_at(row.last_sent_at or row.created_at, policy.late_arrival)


def _believe(books: Books, row: Push, external_id: str, *, at: datetime) -> None:
    """Take the stock and cost of the creation for the item's, unproven, where nothing else is known of it."""
    fields, known = fields_of(row.payload), beliefs(books.conn, [external_id])[external_id]
    stock, cost = _number(fields.get("product_stock")), _number(fields.get("weighted_average"))
    if known.quantity is not None:
        forget_base(books, external_id)  # that was another product's, which people deleted
    if known.quantity is not None or known.last_position is not None or stock is None:
        return
    values: dict[str, object] = {"base_quantity": stock, "base_at": at, "base_place": 0, "base_verified": False}
    save_item_state(books.conn, external_id, values | {"mps_quantity": stock, "mps_unit_cost": cost})


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

"""More bugs to plant (see `planted`): in what MPservices is told of cost, and in what people are told at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from sync.clients.retry_after import RetryAfter
from sync.database.schema import outbox
from sync.errors import RemoteError
from sync.jobs import compare_stock
from sync.outbox import pushed
from sync.outbox.machine import Outcome, Refused, Unclear, outcome_of
from sync.poll.days import voids
from sync.poll.days.void_rules import Presence
from sync.push import answers, settle
from sync.stock import rules as stock_rules
from sync.stock.rules import Equal, ItemFacts, Ledger, MpwStock
from tests.simulation.planted import swapped

# ------------------------------------------------------------------ cost


def cost_of_last_receipt() -> Any:
    """A part costs what it was last bought for."""
    real = stock_rules.cost_of

    def last(item: ItemFacts, mpw: MpwStock, ledger: Ledger) -> Decimal | None:
        return ledger.last_cost or real(item, mpw, ledger)

    return swapped((stock_rules, "cost_of", last))


def cost_is_no_difference() -> Any:
    """Where MPservices has as many as MPW there is nothing to tell it."""
    real = stock_rules._compared

    def compared(item: ItemFacts, mpw: MpwStock, stock: Decimal, cost: Decimal) -> Any:
        return Equal() if item.believed == stock else real(item, mpw, stock, cost)

    return swapped((stock_rules, "_compared", compared))


def cost_of_parts_only() -> Any:
    """MPW knows what a part costs, or nobody does."""
    return swapped((stock_rules, "cost_of", lambda item, mpw, ledger: mpw.unit_cost or None))


def below_zero_is_told() -> Any:
    """A level is a level, above zero or below."""

    def decided(item: ItemFacts, mpw: MpwStock, ledger: Ledger, **more: Any) -> Any:
        if mpw.quantity >= 0 or mpw.missing:
            return stock_rules.decide(item, mpw, ledger, **more)
        return stock_rules.Patch(mpw.quantity, stock_rules.cost_of(item, mpw, ledger) or Decimal(1), "below zero")

    return swapped((compare_stock, "decide", decided))


# ------------------------------------------------------------------ reading


def reads_do_not_wait() -> Any:
    """To wait is the pusher's business: a read harms nobody."""
    return swapped((RetryAfter, "check", lambda self, system: None))


# ------------------------------------------------------------------ what people are told


def own_delete_forgotten() -> Any:
    """What we posted and is gone was deleted by somebody."""

    def sent(conn: Connection, post: str, delete: str, keys: Collection[str]) -> set[str]:
        posts = select(outbox.c.api_key).where(
            outbox.c.operation == post, outbox.c.api_key.in_(sorted(keys)), outbox.c.tries > 0
        )
        return set(conn.execute(posts).scalars())

    return swapped((voids, "sent_and_not_deleted", sent))


def waiting_delete_forgotten() -> Any:
    """A delete that is not done, and waits to be looked at or sent again, has not deleted anything yet."""
    real = pushed.sent_and_not_deleted

    def sent(conn: Connection, post: str, delete: str, keys: Collection[str]) -> set[str]:
        waiting = select(outbox.c.api_key).where(
            outbox.c.operation == delete, outbox.c.api_key.in_(sorted(keys)), outbox.c.state.in_(("ready", "unknown"))
        )
        return real(conn, post, delete, keys) | set(conn.execute(waiting).scalars())

    return swapped((voids, "sent_and_not_deleted", sent))


def every_absence_is_an_alarm() -> Any:
    """Rather one alarm too many: whatever is gone, a permission may be lost."""

    def alarmed(by_warehouse: Mapping[str | None, Presence], ratio: Decimal) -> str | None:
        gone = sum(presence.gone for presence in by_warehouse.values())
        return f"{gone} rows are gone" if gone else None

    return swapped((voids, "suspicion", alarmed))


def server_error_is_a_refusal() -> Any:
    """A vendor that answers has understood: what is not 2xx is a no."""

    def refused(error: RemoteError) -> Outcome:
        outcome = outcome_of(error)
        return Refused(error.message) if isinstance(outcome, Unclear) and (error.status or 0) >= 500 else outcome

    return swapped((answers, "outcome_of", refused))


def dead_in_silence() -> Any:
    """A refused push is in the outbox for everybody to see."""
    return swapped((settle, "_tell", lambda *args, **kwargs: None))

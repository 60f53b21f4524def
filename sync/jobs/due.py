"""What there is to do: an idle round asks this, in one statement and three small tables, and nothing more.

Each answer is as wide as the first question of the pass that it opens, or wider: where it says no, the pass would have
found nothing. A pass that it lets in asks its own questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Date, Text, bindparam, exists, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from sync.database.pauses import all_pauses
from sync.database.schema import (
    TO_ACT,
    book_differences,
    echoes,
    exceptions,
    facts,
    item_states,
    journal_entries,
    ledger_entries,
    outbox,
    parked,
)
from sync.database.schema import learned as learned_
from sync.database.schema import purchase_orders as orders
from sync.database.types import Fixed, Instant
from sync.inbox.rows import undecided
from sync.journal.rows import TRANSFERS_DONE
from sync.ledger.item_states import to_audit, to_compare
from sync.outbox.machine import APPROVE, TELL_AFTER
from sync.outbox.queue import READY
from sync.outbox.seen import DELETES_WATCHED, is_unclear_and_perhaps_shown, is_undone, is_unseen
from sync.outbox.shortage import NOT_ENOUGH_STOCK
from sync.outbox.watch import AWAITS_STOCK
from sync.reconcile.commands import ORDER_UNPRICED
from sync.reconcile.rows import UNKNOWN_PRODUCT, may_be_approved
from sync.reconcile.rules import OUR_EXCEPTIONS
from sync.stock.echo.rows import IS_WAITED_FOR
from sync.work.agenda import Agenda, Due
from sync.work.context import Context


@dataclass(frozen=True, slots=True)
class Asked:
    """What the question depends on besides the tables.

    `alone`: the only worker there can be, None where there may be others. `old`: from when a push that is unknown, or
    an item's audit, is old. `approve_up_to` None: nothing is approved by itself.
    """

    now: datetime
    old: datetime
    audited_before: datetime
    alone: str | None
    approve_up_to: Decimal | None
    orders_since: date
    unchanged_since: datetime
    deleted_since: datetime


_NOW, _OLD = bindparam("now_", type_=Instant()), bindparam("old_", type_=Instant())
_DELETED = bindparam("deleted_", type_=Instant())


def _any(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(*conditions)


def _open(*kinds: str) -> ColumnElement[bool]:
    return _any(exceptions.c.kind.in_(kinds), exceptions.c.resolved_at.is_(None))


_ANY: Mapping[str, ColumnElement[bool]] = {
    "received": undecided(),
    "parked": _any(parked.c.due_at <= _NOW),
    "approvals": or_(
        _open(ORDER_UNPRICED),
        _any(outbox.c.state.in_(("held", "ready")), outbox.c.operation == APPROVE, outbox.c.tries == 0),
        exists(
            select(orders.c.number).where(
                *may_be_approved(
                    up_to=bindparam("up_to_", type_=Fixed()),
                    since=bindparam("since_", type_=Date()),
                    unchanged_since=bindparam("unchanged_", type_=Instant()),
                )
            )
        ),
    ),
    "refused_products": _open(UNKNOWN_PRODUCT),
    "waits": _open(*OUR_EXCEPTIONS),
    "echoes": or_(*(exists(select(echoes.c.id).where(one)) for one in IS_WAITED_FOR)),
    "doubts": exists(select(exceptions.c.id).where(text(TO_ACT))),
    "cost_is_wrong": _open("cost_is_wrong"),
    "audits": or_(
        *(
            exists(select(item_states.c.external_id).where(one))  # one search of the index each
            for one in to_audit(bindparam("audited_", type_=Instant()), _NOW)
        )
    ),
    "dirty": exists(select(item_states.c.external_id).where(*to_compare(_NOW))),
    "lost": _any(
        outbox.c.state == "sending",
        or_(outbox.c.lease_until <= _NOW, outbox.c.lease_owner != bindparam("alone_", type_=Text())),
    ),
    "hungry": _any(AWAITS_STOCK),
    "told_short": _open(NOT_ENOUGH_STOCK),
    "old": _any(outbox.c.state == "unknown", outbox.c.last_sent_at < _OLD),
    "ready": _any(outbox.c.state == READY, outbox.c.due_at <= _NOW),
    "unknown": _any(outbox.c.state == "unknown", outbox.c.due_at <= _NOW),
    "shown": exists(select(outbox.c.id).where(is_unclear_and_perhaps_shown())),
    "unseen": exists(select(outbox.c.id).where(is_unseen())),
    "differing": _any(book_differences.c.waits),
    "transfers": TRANSFERS_DONE.exists(),
    "journal": _any(journal_entries.c.id > 0),
    "undone": or_(exists(select(outbox.c.id).where(is_undone(_DELETED))), _open("push_not_there")),
}

_LAST = select(func.coalesce(func.max(ledger_entries.c.id), 0)).scalar_subquery()
_QUESTION = select(_LAST, *_ANY.values())
_FACTS = select(facts.c.name, facts.c.value)
_LEARNED = select(learned_.c.system, learned_.c.fact, learned_.c.value)


def what_is_due(conn: Connection, asked: Asked) -> Due:
    """Return what there is to do."""
    values: dict[str, Any] = {
        "now_": asked.now,
        "old_": asked.old,
        "audited_": asked.audited_before,
        "alone_": asked.alone,
        "up_to_": asked.approve_up_to,
        "since_": asked.orders_since,
        "unchanged_": asked.unchanged_since,
        "deleted_": asked.deleted_since,
    }
    last, *answers = conn.execute(_QUESTION, values).one()
    return Due(
        last_seq=int(last),
        facts={name: value for name, value in conn.execute(_FACTS)},  # noqa: C416 - dict() would ask the result for keys
        pauses=all_pauses(conn),
        learned={(system, fact): value for system, fact, value in conn.execute(_LEARNED)},
        **{name: bool(answer) for name, answer in zip(_ANY, answers, strict=True)},
    )


def an_agenda() -> Agenda:
    """Return an agenda that asks all that a round can do."""
    return Agenda(ask)


def ask(ctx: Context) -> Due:
    """Return what there is to do now."""
    with ctx.read() as conn:
        return what_is_due(conn, _asked(ctx))


def _asked(ctx: Context) -> Asked:
    now, policy = ctx.clock.now(), ctx.policy
    return Asked(
        now=now,
        old=now - TELL_AFTER,
        audited_before=now - policy.audit_every,
        alone=ctx.owner if ctx.alone else None,
        approve_up_to=policy.approve_up_to if policy.route("approvals") != "off" else None,
        orders_since=policy.day(policy.push_from),
        unchanged_since=now - policy.approve_after,
        deleted_since=now - DELETES_WATCHED,
    )

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

from sync.domain.outbox import APPROVE
from sync.domain.reconcile import OUR_EXCEPTIONS
from sync.store.echoes import IS_WAITED_FOR
from sync.store.inbox import undecided
from sync.store.item_states import to_audit, to_compare
from sync.store.outbox_queue import READY
from sync.store.outbox_watch import AWAITS_STOCK
from sync.store.pauses import Pause, all_pauses
from sync.store.reconcile import UNKNOWN_PRODUCT, may_be_approved
from sync.store.schema import TO_ACT, echoes, exceptions, facts, item_states, ledger_entries, outbox, parked
from sync.store.schema import learned as learned_
from sync.store.schema import purchase_orders as orders
from sync.store.seen import is_unclear_and_perhaps_shown, is_undone, is_unseen
from sync.store.types import Fixed, Instant


@dataclass(frozen=True, slots=True)
class Due:
    """Whether there is anything to do, pass by pass.

    `received`: documents of the ERP. `parked`: events that are to be decided again. `approvals`: orders to approve.
    `refused_products`: patches that MPservices refused for want of a product. `waits`: open exceptions of reconcile's
    own kinds. `echoes`: patches whose own movement is expected or in question. `doubts`: that a person has decided.
    `cost_is_wrong`: that exception is open. `audits`, `dirty`: items to audit, to compare. `lost`: pushes whose worker
    is gone. `hungry`: pushes that wait for stock. `old`: pushes that are unknown since long. `ready`, `unknown`: pushes
    to send, to check. `shown`: unclear pushes that a poll may have seen; failed ones are looked at where the ledger has
    grown (`proofs.SHOWN_SEQ`). `unseen`: done pushes to look for. `undone`: deletes that are done and whose row is
    shown, or was and may be gone.
    `last_seq` is the ledger's newest entry. `facts`, `pauses` and `learned` are these small tables, whole.
    """

    last_seq: int
    received: bool
    parked: bool
    approvals: bool
    refused_products: bool
    waits: bool
    echoes: bool
    doubts: bool
    cost_is_wrong: bool
    audits: bool
    dirty: bool
    lost: bool
    hungry: bool
    old: bool
    ready: bool
    unknown: bool
    shown: bool
    unseen: bool
    undone: bool
    facts: Mapping[str, str]
    pauses: Mapping[str, Pause]
    learned: Mapping[tuple[str, str], str]

    def behind(self, fact: str) -> bool:
        """Tell whether the ledger has entries after the one that a fact names."""
        return int(self.facts.get(fact) or 0) < self.last_seq


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
    "old": _any(outbox.c.state == "unknown", outbox.c.last_sent_at < _OLD),
    "ready": _any(outbox.c.state == READY, outbox.c.due_at <= _NOW),
    "unknown": _any(outbox.c.state == "unknown", outbox.c.due_at <= _NOW),
    "shown": exists(select(outbox.c.id).where(is_unclear_and_perhaps_shown())),
    "unseen": exists(select(outbox.c.id).where(is_unseen())),
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

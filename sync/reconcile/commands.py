"""The ERP's commands that are no ledger events, and the approvals that the policy makes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sync.inbox.rules import INVENTORY, PO_APPROVAL, PRODUCT, STOCK_COST, ErpDocument
from sync.outbox.machine import APPROVE, CREATE_PRODUCT, PATCH_STOCK, POST_INVENTORY, NewPush, product_entity, rank_of
from sync.reconcile.approval_terms import stands
from sync.reconcile.order_rules import REQUISITION, folded
from sync.reconcile.rules import ORDER_CHANGED, SETTING_MISSING, Derive, Leave, Park, waits_for
from sync.values.money import agrees, plain
from sync.values.payloads import approval_payload, inventory_payload, product_payload, stock_payload
from sync.values.policy import Rules
from sync.values.subjects import Subject

PRODUCT_PATH = "MPSERVICES_CREATE_PRODUCT_PATH"
LOOK_AGAIN = timedelta(minutes=15)

COMMAND_ROUTES: Mapping[str, str] = {
    INVENTORY: "inventories",
    PO_APPROVAL: "approvals",
    STOCK_COST: "stock_cost",
    PRODUCT: "products",
}


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase order as it was last read."""

    number: str
    status: str
    created_on: date
    vendor_name: str | None
    total_cost: Decimal | None
    lines: int
    terms_digest: str
    changed_at: datetime
    unpriced: str | None = None  # why its prices do not say what it costs


def decide_command(
    document: ErpDocument, *, policy: Rules, now: datetime, order: Order | None, settled_by_person: bool = False
) -> Derive | Leave | Park:
    """Decide what an accepted command of the ERP needs. Commands are never older than the go-live cut.

    `order` is the one an approval names, None where it is not known yet: the approval searches for it.
    `settled_by_person`: it waited for an exception that somebody has resolved since.
    """
    route = COMMAND_ROUTES[document.type]
    if policy.route(route) == "off":
        return Park(f"route {route} is off", None)
    if document.type == PO_APPROVAL:
        return _approval(document, order, policy, now, settled_by_person)
    if document.type == PRODUCT and not policy.create_product_path:
        return missing_path()
    return Derive(_command(document, policy))


def missing_path() -> Park:
    """Return how a product waits whose path nobody has told us: it is not guessed."""
    subject = Subject.setting(PRODUCT_PATH)
    return Park(
        waits_for(SETTING_MISSING, subject),
        None,
        SETTING_MISSING,
        subject,
        "products are to be created in MPservices, and the path for it is not set: it is in no document",
        f"ask MPservices for the path of 'Create a new product' and set {PRODUCT_PATH}",
    )


def covered(order: Order, *, policy: Rules, now: datetime) -> bool:
    """Tell whether the policy approves an order by itself: small, complete, fresh, and unchanged for long enough."""
    return is_small(order, policy=policy) and order.changed_at + policy.approve_after <= now


def is_small(order: Order, *, policy: Rules) -> bool:
    """Tell whether an order is one of those that the policy is about, once it was unchanged for long enough."""
    return (
        policy.approve_up_to is not None
        and folded(order.status) == REQUISITION
        and order.total_cost is not None
        and order.total_cost <= policy.approve_up_to
        and order.vendor_name is not None
        and order.lines > 0
        and order.created_on >= policy.day(policy.push_from)
    )


ORDER_UNPRICED = "order_unpriced"
DECIDED, CONFIRMED, LEFT = "decided", "approve", "leave"
"""In the facts of a resolved exception: what a person said of an order whose prices do not say what it costs."""


def unpriced_detail(order: Order) -> str:
    """Say why an order is not approved by the policy."""
    return f"order {order.number} is within SYNC_APPROVE_UP_TO, and {order.unpriced}: it is not approved by itself"


UNPRICED_HINT = (
    "have its prices put right in MPW, and this is resolved; or say `mpsync exceptions resolve ID --apply --why TEXT` "
    "to approve it all the same, or `mpsync exceptions resolve ID --keep --why TEXT` to leave it"
)


def policy_approval(order: Order, *, api_key: str, policy: Rules) -> NewPush:
    """Return the approval of an order that the policy covers."""
    limit = plain(policy.approve_up_to) if policy.approve_up_to is not None else "?"
    facts = _terms(order) | {"approved_by": "SYNC_APPROVE_UP_TO", "policy": True}
    reason = f"its total of {facts['total']} is within SYNC_APPROVE_UP_TO ({limit})"
    return _approve(order.number, api_key, facts, reason, policy)


def policy_key(number: str, earlier: int) -> str:
    """Return the key of an order's n-th approval by policy: a key is never used for other terms."""
    return f"mpsync-po-{number}" if earlier == 0 else f"mpsync-po-{number}-{earlier + 1}"


def _approval(
    document: ErpDocument, order: Order | None, policy: Rules, now: datetime, settled_by_person: bool
) -> Derive | Leave | Park:
    number = document.text("purchase_order_number")
    expected = document.fields.get("expected_total")
    by = document.text("approved_by")
    facts: dict[str, Any] = {"approved_by": by}
    if isinstance(expected, Decimal):
        facts["expected_total"] = f"{expected:f}"
    if order is not None:
        standing = stands(order.status)
        if standing == "ordered":
            return Leave(f"order {number} is {order.status} in MPW already")
        if settled_by_person:
            return Leave("a person settled it")
        if standing == "withdrawn":
            return _changed(number, f"{by} approved it in the ERP, and in MPW it is {order.status}", now)
        if isinstance(expected, Decimal) and (order.total_cost is None or not agrees(order.total_cost, expected)):
            total = "unknown" if order.total_cost is None else plain(order.total_cost)
            return _changed(number, f"{by} approved a total of {expected:f}, in MPW it is {total}", now)
        facts |= _terms(order)
    return Derive(_approve(number, document.api_key, facts, f"{by} approved it in the ERP", policy))


def _changed(number: str, detail: str, now: datetime) -> Park:
    subject = Subject.order(number)
    return Park(
        waits_for(ORDER_CHANGED, subject),
        now + LOOK_AGAIN,
        ORDER_CHANGED,
        subject,
        f"order {number}: {detail}",
        "look at the order in MPW; if it is right as it is, approve it there, or send a new po_approval; "
        "then resolve this",
    )


def _terms(order: Order) -> dict[str, Any]:
    return {
        "created_on": order.created_on.isoformat(),
        "terms_digest": order.terms_digest,
        "total": None if order.total_cost is None else plain(order.total_cost),
    }


def _approve(number: str, api_key: str, facts: Mapping[str, Any], reason: str, policy: Rules) -> NewPush:
    return NewPush(
        route="approvals",
        operation=APPROVE,
        kind=None,
        api_key=api_key,
        entity_key=f"po:{number}",
        item=None,
        rank=rank_of(APPROVE),
        payload=approval_payload(number),
        reason=f"order {number}: {reason}",
        state=_state(policy, "approvals"),
        facts=facts,
    )


def _command(document: ErpDocument, policy: Rules) -> NewPush:
    operation, entity, item, payload = _effect(document)
    route = COMMAND_ROUTES[document.type]
    return NewPush(
        route=route,
        operation=operation,
        kind=None,
        api_key=document.api_key,
        entity_key=entity,
        item=item,
        rank=rank_of(operation),
        payload=payload,
        reason=f"the ERP asks for it: {document.type} {document.api_key}",
        state=_state(policy, route),
        facts={"erp": True},
    )


def _effect(document: ErpDocument) -> tuple[str, str, str, str]:
    """Return operation, entity key, item and payload."""
    if document.type == INVENTORY:
        part = document.text("part_number")
        payload = inventory_payload(
            part_number=part,
            warehouse=document.text("warehouse_name"),
            api_key=document.api_key,
            fields=document.fields,
        )
        return POST_INVENTORY, f"item:{part}", part, payload
    external_id = document.text("external_id")
    if document.type == PRODUCT:
        return CREATE_PRODUCT, product_entity(external_id), external_id, product_payload(document.fields)
    payload = stock_payload(
        external_id=external_id, new_stock=document.number("new_stock"), new_cost=document.number("new_cost")
    )
    return PATCH_STOCK, f"mps:{external_id}", external_id, payload


def _state(policy: Rules, route: str) -> str:
    return "ready" if policy.route(route) == "push" else "held"

"""Products that MPservices turned out not to have: it can only be told from a stock patch that it refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from sync.clients.jsontext import decode, lower_keys
from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import read_inventories
from sync.errors import AuthError, RemoteError
from sync.outbox.machine import CREATE_PRODUCT, NewPush, product_entity, rank_of
from sync.reconcile.commands import missing_path
from sync.reconcile.item_map import ItemMapping
from sync.reconcile.rows import products_refused
from sync.reconcile.rules import PRODUCT_INCOMPLETE, Park, waits_for
from sync.values.payloads import product_payload
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPW
from sync.work.context import Context

LOOK_AGAIN = timedelta(hours=1)


@dataclass(slots=True)
class WantedProducts:
    """Products to create, and items whose product has to wait, by external id."""

    pushes: list[NewPush] = field(default_factory=list)
    waiting: dict[str, Park] = field(default_factory=dict)


def wanted_products(ctx: Context) -> WantedProducts:
    """Return what creating the mapped items takes that MPservices refused a stock patch for.

    Name and unit are read from MPW (Inventory - GET); what cannot be read now is tried in the next pass.
    Items that were only named by a movement are left alone: people make those in MPservices.
    """
    wanted = WantedProducts()
    if ctx.policy.route("products") == "off":
        return wanted
    now = ctx.clock.now()
    with ctx.read() as conn:
        refused = products_refused(conn, now=now)
    if not refused:
        return wanted
    if not ctx.policy.create_product_path:
        wanted.waiting = dict.fromkeys(refused, replace(missing_path(), due_at=now + LOOK_AGAIN))
        return wanted
    client = ctx.mpw_client()
    for external_id, mapping in refused.items() if client is not None else ():
        assert client is not None
        try:
            shown = _shown_by_mpw(client, mapping)
        except AuthError as error:
            ctx.pause(MPW, error)
            break
        except RemoteError:
            break
        fields = _fields(mapping, shown)
        if fields is None:
            wanted.waiting[external_id] = _incomplete(mapping, ctx)
        else:
            wanted.pushes.append(_push(external_id, fields, ctx.policy))
    return wanted


def _shown_by_mpw(client: MpwClient, mapping: ItemMapping) -> dict[str, object]:
    """Return MPW's fields of the part in the first of its warehouses that has it."""
    for warehouse in mapping.warehouses:
        answer = client.inventories(warehouse_name=warehouse, part_number=mapping.part_number)
        for row in read_inventories(answer.body).rows:
            value = decode(row.raw.encode())
            if (row.part_number, row.warehouse_name) == (mapping.part_number, warehouse) and isinstance(value, dict):
                return lower_keys(value)
    return {}


def _fields(mapping: ItemMapping, shown: Mapping[str, object]) -> dict[str, object] | None:
    """Return the product's fields, or None where MPW does not say its unit, which is required."""
    unit = _text(shown.get("unit_type"))
    if unit is None:
        return None
    low = shown.get("low_stock_level")
    whole = isinstance(low, (int, Decimal)) and not isinstance(low, bool) and low > 0 and low == int(low)
    return {
        "bar_code": mapping.part_number,
        "product_name": _text(shown.get("inventory_name")) or mapping.part_number,
        "product_unit": unit,
        "external_id": mapping.external_id,
        "category": _text(shown.get("category")),
        "min_stock": Decimal(int(low)) if whole and isinstance(low, (int, Decimal)) else None,
    }


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _incomplete(mapping: ItemMapping, ctx: Context) -> Park:
    subject = Subject.item(mapping.external_id)
    return Park(
        waits_for(PRODUCT_INCOMPLETE, subject),
        ctx.clock.now() + LOOK_AGAIN,
        PRODUCT_INCOMPLETE,
        subject,
        f"MPservices has no product {mapping.external_id}, and MPW names no unit for part {mapping.part_number}",
        "give the part a unit in MPW, or send an ERP document of type product, or create it in MPservices",
    )


def _push(external_id: str, fields: Mapping[str, object], policy: Policy) -> NewPush:
    return NewPush(
        route="products",
        operation=CREATE_PRODUCT,
        kind=None,
        api_key=f"mpsync-product-{hashlib.sha256(external_id.encode()).hexdigest()[:16]}",
        entity_key=product_entity(external_id),
        item=external_id,
        rank=rank_of(CREATE_PRODUCT),
        payload=product_payload(fields),
        reason=f"the item map names {external_id}, and MPservices refused its stock: it has no such product",
        state="ready" if policy.route("products") == "push" else "held",
        facts={"part_number": str(fields["bar_code"])},
    )

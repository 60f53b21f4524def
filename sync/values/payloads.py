"""Frozen payloads: the exact JSON text that a push sends, field by field as the vendors' documents list them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from sync.values.keys import with_marker
from sync.values.money import plain

PRUNED_ON = "pruned_on"
"""The one field of a payload or raw text that was forgotten: the day of that."""

_ENCODER = msgspec.json.Encoder(decimal_format="number")

RECEIPT_EXTRAS = (
    "vendor_name",
    "vendor_number",
    "tax_rate_one",
    "tax_rate_two",
    "invoice_number",
    "inventory_api_key",
)
ISSUANCE_EXTRAS = ("equipment_unit_number", "work_order_sequential_id", "task_name")
INVENTORY_FIELDS = (
    "inventory_name",
    "bin",
    "category",
    "unit_type",
    "description",
    "quantity",
    "reorder_quantity",
    "low_stock_level",
    "unit_cost",
    "tracking_enabled",
)
PRODUCT_FIELDS = (
    "bar_code",
    "product_name",
    "product_unit",
    "external_id",
    "product_stock",
    "product_location",
    "weighted_average",
    "category",
    "min_stock",
    "max_stock",
)


def receipt_payload(
    *,
    part_number: str,
    warehouse: str,
    quantity: Decimal,
    unit_cost: Decimal,
    created_on: date,
    api_key: str,
    extras: Mapping[str, object] | None = None,
) -> str:
    """Return the object of POST /receipts (Receipts - POST); optional fields only where they were given."""
    return _text(
        {
            "part_number": part_number,
            "quantity_received": number(quantity),
            "unit_cost": number(unit_cost),
            "created_on": created_on.isoformat(),
            "warehouse_name": warehouse,
            **_given(extras, RECEIPT_EXTRAS),
            "api_key": api_key,
        }
    )


def issuance_payload(
    *,
    part_number: str,
    warehouse: str,
    quantity: Decimal,
    created_on: date,
    api_key: str,
    description: str | None,
    marker: bool,
    description_max: int | None = None,
    extras: Mapping[str, object] | None = None,
) -> str:
    """Return the object of POST /issuances (Issuances - POST).

    With `marker` the description ends in `[api_key]`: GET /issuances shows no api_key. What MPW would cut off
    (`description_max` characters are kept) is cut from the text before the marker.
    """
    said = with_marker(description, api_key, longest=description_max) if marker else description
    return _text(
        {
            "part_number": part_number,
            "quantity": number(quantity),
            "created_on": created_on.isoformat(),
            "warehouse_name": warehouse,
            **_given(extras, ISSUANCE_EXTRAS),
            **({"description": said} if said else {}),
            "api_key": api_key,
        }
    )


def transfer_payload(*, part_number: str, warehouse: str, destination: str, quantity: Decimal) -> str:
    """Return the object of POST /inventory_transfers (Inventory Transfers - POST); it carries no key."""
    return _text(
        {
            "part_number": part_number,
            "warehouse_name": warehouse,
            "destination_warehouse_name": destination,
            "quantity": number(quantity),
        }
    )


def inventory_payload(*, part_number: str, warehouse: str, api_key: str, fields: Mapping[str, object]) -> str:
    """Return the object of POST /inventories (Inventory - POST); tracking is switched on by the *string* "true"."""
    optional = _given(fields, INVENTORY_FIELDS)
    if optional.get("tracking_enabled") is True:
        optional["tracking_enabled"] = "true"
    return _text({"part_number": part_number, "warehouse_name": warehouse, "api_key": api_key, **optional})


def product_payload(fields: Mapping[str, object]) -> str:
    """Return the form fields of "Create a new product", every value a text."""
    values = {name: _as_text(fields[name]) for name in PRODUCT_FIELDS if fields.get(name) is not None}
    return _text(values)


def stock_payload(*, external_id: str, new_stock: Decimal, new_cost: Decimal) -> str:
    """Return the form fields of "Update product stock and cost", every value a text."""
    return _text({"external_id": external_id, "new_stock": plain(new_stock), "new_cost": plain(new_cost)})


def approval_payload(number: str) -> str:
    """Return what an approval is about; one call carries up to 50 of them (Purchase Orders - POST)."""
    return _text({"purchase_order_number": number})


def delete_payload(api_key: str) -> str:
    """Return what a delete is about; the key travels in the path."""
    return _text({"api_key": api_key})


def number(value: Decimal) -> int | Decimal:
    """Return a number as it is sent: whole ones as integers, since several fields are documented as such."""
    return int(value) if value == value.to_integral_value() else Decimal(plain(value))


def _given(fields: Mapping[str, object] | None, names: tuple[str, ...]) -> dict[str, object]:
    given = {} if fields is None else fields
    return {
        name: number(value) if isinstance(value, Decimal) else value
        for name in names
        if (value := given.get(name)) is not None
    }


def _as_text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _text(fields: Mapping[str, object]) -> str:
    return _ENCODER.encode(dict(fields)).decode()

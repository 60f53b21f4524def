"""MPW's records as its answers print them, field by field as in the document's samples."""

from __future__ import annotations

from datetime import date

from sync.sandbox.mpw_state import ORGANIZATION_ID, Equipment, Issuance, Order, OrderLine, Part, Receipt, WorkOrder
from sync.sandbox.numbers import decimal_number as number

Row = dict[str, object]


def _day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def issuance_row(issuance: Issuance) -> Row:
    """Issuances - GET: no api_key, no equipment, no work order."""
    part = issuance.part
    return {
        "id": issuance.id,
        "part_number": part.part_number,
        "inventory_name": part.name,
        "created_on": issuance.created_on.isoformat(),
        "quantity": number(issuance.quantity),
        "unit_cost": number(issuance.unit_cost),
        "overdraft": issuance.overdraft,
        "description": issuance.description,
        "warehouse_name": part.warehouse.name,
    }


def issuance_answer(issuance: Issuance) -> Row:
    """Issuances - POST, the answer.

    The equipment is shown for an issuance to a work order and not for one to an equipment: the document
    says so of the two sections of its sample, odd as it reads.
    """
    part = issuance.part
    equipment = issuance.work_order.equipment if issuance.work_order else None
    return {
        "id": issuance.id,
        "inventory_id": part.id,
        "part_number": part.part_number,
        "inventory_name": part.name,
        "organization_id": ORGANIZATION_ID,
        "warehouse_id": part.warehouse.id,
        "created_on": issuance.created_on.isoformat(),
        "quantity": number(issuance.quantity),
        "unit_cost": number(issuance.unit_cost),
        "overdraft": issuance.overdraft,
        "description": issuance.description,
        "api_key": issuance.api_key,
        "warehouse_name": part.warehouse.name,
        "equipment_unit_number": equipment.unit_number if equipment else None,
        "equipment_type": equipment.type if equipment else None,
        "custom_fields": {},
    }


def receipt_row(receipt: Receipt) -> Row:
    """Receipts - GET: lower case, api_key null where a person made it."""
    part, vendor, order = receipt.part, receipt.vendor, receipt.purchase_order_number
    return {
        "id": receipt.id,
        "part_number": part.part_number,
        "inventory_name": part.name,
        "created_on": receipt.created_on.isoformat(),
        "invoice_number": receipt.invoice_number,
        "quantity_received": number(receipt.received),
        "quantity_remaining": number(receipt.remaining),
        "unit_cost": number(receipt.unit_cost),
        "description": receipt.description,
        "vendor_name": vendor.name if vendor else None,
        "vendor_number": vendor.number if vendor else None,
        "api_key": receipt.api_key,
        "purchase_order_number": order,
        "purchase_order_prefix_number": "" if order is None else str(order),
        "warehouse_name": part.warehouse.name,
    }


def receipt_answer(receipt: Receipt) -> Row:
    """Receipts - POST, the answer: the document's mixture of upper and lower case, to the letter."""
    part, vendor, order = receipt.part, receipt.vendor, receipt.purchase_order_number
    return {
        "id": receipt.id,
        "Organization_id": ORGANIZATION_ID,
        "inventory_id": part.id,
        "Warehouse_id": part.warehouse.id,
        "Vendor_id": None,
        "Part_number": part.part_number,
        "Created_on": receipt.created_on.isoformat(),
        "Invoice_number": receipt.invoice_number,
        "Quantity_received": number(receipt.received),
        "Quantity_remaining": number(receipt.remaining),
        "Unit_cost": number(receipt.unit_cost),
        "Description": receipt.description,
        "Vendor_name": vendor.name if vendor else None,
        "Vendor_number": vendor.number if vendor else None,
        "Api_key": receipt.api_key,
        "purchase_order_number": order,
        "Purchase_order_prefix_number": "" if order is None else str(order),
        "warehouse_name": part.warehouse.name,
    }


def inventory_row(part: Part) -> Row:
    """Inventory - GET."""
    return {
        "id": part.id,
        "part_number": part.part_number,
        "api_key": part.api_key,
        "inventory_name": part.name,
        "warehouse_name": part.warehouse.name,
        "bin": part.bin,
        "category": part.category,
        "unit_type": part.unit_type,
        "description": part.description,
        "quantity": number(part.quantity),
        "reorder_quantity": number(part.reorder_quantity),
        "low_stock_level": number(part.low_stock_level),
        "unit_cost": number(part.unit_cost),
        "tracking_enabled": part.tracking_enabled,
    }


def inventory_answer(part: Part) -> Row:
    """Inventory - POST and Inventory Transfers - POST: the same with the two ids."""
    ids: Row = {"organization_id": ORGANIZATION_ID, "warehouse_id": part.warehouse.id}
    return inventory_row(part) | ids


def order_row(order: Order) -> Row:
    """Purchase Orders - GET."""
    return {
        "sequential_id": order.number,
        "prefix_title": str(order.number),
        "status": order.status,
        "created_on": order.created_on.isoformat(),
        "required_on": _day(order.required_on),
        "terms": "NET 30",
        "ship_via": "ground",
        "invoice_number": order.invoice_number,
        "work_order_sequential_id": None,
        "subtotal": number(order.subtotal),
        "tax_rate_one": number(order.tax_cost * 0),
        "tax_rate_two": number(order.tax_cost * 0),
        "tax_one_cost": number(order.tax_cost),
        "tax_two_cost": number(order.tax_cost * 0),
        "freight_cost": number(order.freight_cost),
        "total_cost": number(order.total),
        "completed_on": _day(order.completed_on),
        "notes": order.notes,
        "custom_fields": {},
        "tax_cost": number(order.tax_cost),
        "buyer_name": order.buyer_name,
        "vendor_name": order.vendor.name if order.vendor else None,
        "warehouse_name": order.warehouse.name if order.warehouse else None,
        "vendor_number": order.vendor.number if order.vendor else None,
        "work_order_prefix_title": "",
        "items": [_line_row(line) for line in order.lines],
    }


def _line_row(line: OrderLine) -> Row:
    return {
        "id": line.id,
        "quantity": number(line.quantity),
        "quantity_received": number(line.received),
        "unit_cost": number(line.unit_cost),
        "extended_cost": number(line.quantity * line.unit_cost),
        "part_number": line.part_number,
        "name": line.name,
        "category": None,
        "manufacturer": None,
        "unit_type": line.unit_type,
        "description": None,
        "taxes": "Both",
        "supplier_part_number": None,
        "note": None,
    }


def work_order_row(order: WorkOrder) -> Row:
    """Work Orders - GET."""
    zero, total = number(order.parts_cost * 0), number(order.parts_cost + order.labor_cost)
    done = order.completed_at is not None
    return {
        "sequential_id": order.number,
        "prefix_title": str(order.number),
        "category_name": order.category,
        "location_name": order.location,
        "start_at": order.start_at,
        "due_on": _day(order.due_on),
        "scheduled_on": _day(order.scheduled_on),
        "completed_at": order.completed_at,
        "percent_complete": 100 if done else 0,
        "assignee_name": order.assignee,
        "second_assignee_name": "",
        "equipment_name": order.equipment.unit_number if order.equipment else None,
        "equipment_title": order.equipment.name if order.equipment else None,
        "status": order.status,
        "priority": "NORMAL",
        "downtime_hours": None,
        "custom_fields": {},
        "parts_cost": number(order.parts_cost),
        "labor_cost": number(order.labor_cost),
        "custom_cost_one": zero,
        "custom_cost_two": zero,
        "custom_cost_three": zero,
        "subtotal": total,
        "tax_rate_one": zero,
        "tax_rate_two": zero,
        "tax_one_cost": zero,
        "tax_two_cost": zero,
        "credit_amount": zero,
        "tax_cost": zero,
        "total_cost": total,
        "tasks": [
            {
                "id": task.id,
                "name": task.name,
                "task_type": task.task_type,
                "completed_at": order.completed_at,
                "note": None,
                "task_notes": None,
            }
            for task in order.tasks
        ],
    }


def equipment_row(equipment: Equipment) -> Row:
    """Equipment - GET."""
    return {
        "id": equipment.id,
        "last_recorded_on": _day(equipment.last_recorded_on),
        "name": equipment.name,
        "status": equipment.status,
        "category_name": equipment.category,
        "assignee_name": equipment.assignee_name,
        "assignee_number": equipment.assignee_number,
    }

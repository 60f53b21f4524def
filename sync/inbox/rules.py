"""What the ERP may put into the inbox, and what is wrong with what it put."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import msgspec

from sync.inbox.files.columns import Columns, Kind
from sync.ledger.rules import ISSUANCE, RECEIPT, TRANSFER
from sync.values.keys import is_child_key, is_correction_key, is_key
from sync.values.money import SCALE, fixed, plain, times
from sync.values.payloads import PRODUCT_FIELDS

OUR_PREFIXES = ("mpw-r-", "mpw-i-", "mps-", "mpsync-")
TEXT_CHARACTERS_MAX = 2000
LEDGER_TYPES = (RECEIPT, ISSUANCE, TRANSFER)
VOID = "void"
PO_APPROVAL, STOCK_COST, PRODUCT, INVENTORY = "po_approval", "stock_cost", "product", "inventory"
COMMAND_TYPES = (INVENTORY, PO_APPROVAL, STOCK_COST, PRODUCT)

Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class ErpDocument:
    """A document that may be acted on. `fields` are read: numbers Decimal, dates date, texts as they came.

    `ignored` are fields that no call of the vendor takes; they are kept in the raw payload only.
    """

    type: str
    api_key: str
    fields: Mapping[str, object]
    digest: str
    ignored: tuple[str, ...] = ()

    @property
    def remote_id(self) -> str:
        """What it is recognised by: a receipt's key and an issuance's are separate, and so are their voids."""
        return f"{self.fields['kind']}:{self.api_key}" if self.type == VOID else self.api_key

    @property
    def created_on(self) -> date | None:
        """The business date, where the type has one."""
        value = self.fields.get("created_on")
        return value if isinstance(value, date) else None

    def text(self, name: str) -> str:
        """Return a required text field."""
        return str(self.fields[name])

    def number(self, name: str) -> Decimal:
        """Return a required number field."""
        value = self.fields[name]
        assert isinstance(value, Decimal)
        return value


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why a document is refused: everything that is wrong with it."""

    errors: tuple[str, ...]

    @property
    def reason(self) -> str:
        """All of it in one line."""
        return "; ".join(self.errors)


def read_document(document_type: str | None, api_key: str | None, payload: str | None) -> ErpDocument | Invalid:
    """Read one row of the inbox: JSON with exact numbers, every field checked, all errors listed.

    Numbers may be texts. Field names are matched without regard to case, and the payload may come in
    an envelope named like its type, as MPW's own calls do.
    """
    type_ = type_in(document_type)
    if type_ not in _SHAPES:
        return Invalid((f"document_type {type_[:60]!r} is none of {', '.join(_SHAPES)}",))
    try:
        given = _object(type_, payload)
    except ValueError as error:
        return Invalid((str(error),))
    key, errors = _key(type_, api_key, given.pop("api_key", None))
    fields: dict[str, object] = {}
    shape = _SHAPES[type_]
    for name, (required, read) in shape.items():
        value = given.pop(name, None)
        if value is None or (isinstance(value, str) and not value.strip()):
            if required:
                errors.append(f"{name} is required")
            continue
        try:
            fields[name] = read(value)
        except ValueError as error:
            errors.append(f"{name}: {error}")
    if not errors:
        errors += _RULES[type_](fields) if type_ in _RULES else []
    if errors or key is None:
        return Invalid(tuple(errors))
    return ErpDocument(type_, key, fields, _digest(fields), tuple(sorted(given)))


def type_in(document_type: str | None) -> str:
    """Return the type that a row names, known or not."""
    return (document_type or "").strip().lower()


def key_in(api_key: str | None, payload: str | None) -> str | None:
    """Return the key that a row names, beside or in its payload, as far as that can be read; None where it has none."""
    key = (api_key or "").strip()
    if key:
        return key
    try:
        value = _DECODER.decode((payload or "").encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError):
        return None
    for one in (value, *value.values()) if isinstance(value, dict) else ():
        inside = {str(name).strip().lower(): item for name, item in one.items()} if isinstance(one, dict) else {}
        if str(inside.get("api_key") or "").strip():
            return str(inside["api_key"]).strip()
    return None


def _object(type_: str, payload: str | None) -> dict[str, object]:
    if payload is None or not payload.strip():
        raise ValueError("payload is empty")
    try:
        value = _DECODER.decode(payload.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError) as error:
        raise ValueError(f"payload is no JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise ValueError("payload is no JSON object")
    folded = _folded(value)
    inner = next(iter(folded.values())) if len(folded) == 1 and next(iter(folded)) in _envelopes(type_) else None
    return _folded(inner) if isinstance(inner, dict) else folded


def _envelopes(type_: str) -> tuple[str, ...]:
    return (type_, "inventory_transfer") if type_ == TRANSFER else (type_,)


def _folded(value: dict[str, object]) -> dict[str, object]:
    folded = {name.strip().lower(): item for name, item in value.items()}
    if len(folded) < len(value):
        raise ValueError("payload names a field twice")
    return folded


def _key(type_: str, column: str | None, inside: object) -> tuple[str | None, list[str]]:
    key = (column or "").strip() or (str(inside).strip() if inside is not None else "")
    if not key:
        return None, ["api_key is missing"]
    if inside is not None and str(inside).strip() != key:
        return None, [f"the payload's api_key is {str(inside)[:60]!r}, the row's is {key[:60]!r}"]
    if not is_key(key):
        return None, ["api_key may hold A-Z a-z 0-9 _ - only, 100 characters at most"]
    if type_ == VOID:
        return _void_key(key)
    if is_child_key(key):
        return None, ["api_key ends in _s and a number, as the parts of a split issuance do"]
    if is_correction_key(key):
        return None, ["api_key ends in _c and a number, as what is posted again for a corrected movement does"]
    prefix = next((prefix for prefix in OUR_PREFIXES if key.lower().startswith(prefix)), None)
    if prefix is not None:
        return None, [f"api_key begins with {prefix}, which marks keys that mpsync makes"]
    return key, []


def _void_key(key: str) -> tuple[str | None, list[str]]:
    if key.lower().startswith(("mpw-r-", "mpw-i-")):
        return None, ["MPW has no api_key for that row: it was keyed in there and can only be deleted there"]
    return key, []


# --- one reader per kind of field ---------------------------------------------------------


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError("must be a text")
    text = plain(fixed(value)) if isinstance(value, Decimal) else str(value)
    text = text.strip()
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"is longer than {TEXT_CHARACTERS_MAX} characters")
    if any(ord(character) < 32 and character not in "\t\r\n" for character in text):
        raise ValueError("holds control characters")
    return text


def _name(value: object) -> str:
    text = _text(value)
    if any(ord(character) < 32 for character in text):
        raise ValueError("holds control characters")
    return text


def _letters(value: object) -> str:
    """Return the name of a part or an item to the letter: spaces around it may be part of it."""
    text = value if isinstance(value, str) else _name(value)
    _name(text)
    return text


def _number(value: object) -> Decimal:
    return fixed(value)


def _as_given(value: object) -> Decimal:
    """Return a number with as many decimals as were given: it is compared at those."""
    number = fixed(value)
    exponent = Decimal(str(value).strip()).as_tuple().exponent
    decimals = min(SCALE, max(0, -exponent)) if isinstance(exponent, int) else 0
    return number.quantize(Decimal(1).scaleb(-decimals))


def _positive(value: object) -> Decimal:
    number = fixed(value)
    if number <= 0:
        raise ValueError("must be above 0")
    return number


def _not_negative(value: object) -> Decimal:
    number = fixed(value)
    if number < 0:
        raise ValueError("must not be below 0")
    return number


def _whole(value: object) -> Decimal:
    number = fixed(value)
    if number != number.to_integral_value():
        raise ValueError("must be a whole number")
    return number


def _day(value: object) -> date:
    if not isinstance(value, str):
        raise ValueError("must be a date YYYY-MM-DD")
    text = value.strip()
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]", text, re.ASCII):
            return datetime.fromisoformat(text).date()
    except ValueError:
        pass
    raise ValueError(f"no date YYYY-MM-DD: {text[:40]!r}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _order_number(value: object) -> str:
    text = _name(value)
    if not re.fullmatch(r"[0-9]{1,30}", text, re.ASCII):
        raise ValueError("must be an order's number (its sequential_id)")
    return text


def _void_kind(value: object) -> str:
    text = _name(value).lower()
    if text not in (RECEIPT, ISSUANCE):
        raise ValueError("must be receipt or issuance")
    return text


_SHAPES: Mapping[str, Mapping[str, tuple[bool, Reader]]] = {
    RECEIPT: {
        "part_number": (True, _letters),
        "warehouse_name": (True, _name),
        "quantity_received": (True, _positive),
        "unit_cost": (True, _not_negative),
        "created_on": (True, _day),
        "vendor_name": (False, _name),
        "vendor_number": (False, _name),
        "tax_rate_one": (False, _number),
        "tax_rate_two": (False, _number),
        "invoice_number": (False, _name),
        "inventory_api_key": (False, _name),
    },
    ISSUANCE: {
        "part_number": (True, _letters),
        "warehouse_name": (True, _name),
        "quantity": (True, _positive),
        "created_on": (True, _day),
        "equipment_unit_number": (False, _name),
        "description": (False, _text),
        "work_order_sequential_id": (False, _whole),
        "task_name": (False, _name),
    },
    TRANSFER: {
        "part_number": (True, _letters),
        "warehouse_name": (True, _name),
        "destination_warehouse_name": (True, _name),
        "quantity": (True, _positive),
        "created_on": (False, _day),
    },
    INVENTORY: {
        "part_number": (True, _letters),
        "warehouse_name": (True, _name),
        "inventory_name": (False, _name),
        "bin": (False, _name),
        "category": (False, _name),
        "unit_type": (False, _name),
        "description": (False, _text),
        "quantity": (False, _not_negative),
        "reorder_quantity": (False, _not_negative),
        "low_stock_level": (False, _not_negative),
        "unit_cost": (False, _not_negative),
        "tracking_enabled": (False, _flag),
    },
    PO_APPROVAL: {
        "purchase_order_number": (True, _order_number),
        "approved_by": (True, _name),
        "expected_total": (False, _as_given),
    },
    STOCK_COST: {
        "external_id": (True, _letters),
        "new_stock": (True, _not_negative),
        "new_cost": (True, _not_negative),
    },
    PRODUCT: {
        name: (
            name in ("bar_code", "product_name", "product_unit", "external_id"),
            {
                "external_id": _letters,
                "weighted_average": _not_negative,
                "min_stock": _whole,
                "max_stock": _whole,
            }.get(name, _name),
        )
        for name in PRODUCT_FIELDS
    },
    VOID: {"kind": (True, _void_kind)},
}


def _receipt_rules(fields: Mapping[str, object]) -> list[str]:
    quantity, unit_cost = fields["quantity_received"], fields["unit_cost"]
    assert isinstance(quantity, Decimal)
    assert isinstance(unit_cost, Decimal)
    try:
        times(quantity, unit_cost)
    except ValueError:
        return ["quantity_received × unit_cost is too large"]
    return []


def _issuance_rules(fields: Mapping[str, object]) -> list[str]:
    """Equipment would win over the work order, silently (Issuances - POST)."""
    order, task = "work_order_sequential_id" in fields, "task_name" in fields
    errors = []
    if "equipment_unit_number" in fields and (order or task):
        errors.append("equipment_unit_number together with a work order: MPW would not issue to the work order")
    if order != task:
        errors.append("work_order_sequential_id and task_name belong together: one is missing")
    return errors


def _transfer_rules(fields: Mapping[str, object]) -> list[str]:
    if fields["warehouse_name"] == fields["destination_warehouse_name"]:
        return ["warehouse_name and destination_warehouse_name are the same"]
    return []


_NUMBERS = (_number, _as_given, _positive, _not_negative, _whole)


def columns_of(type_: str) -> Columns:
    """Return the columns that a file of documents of a type may have: `api_key` beside the payload's fields."""
    shape = _SHAPES[type_]
    kinds: dict[str, Kind] = {"api_key": "text"}
    for name, (_, read) in shape.items():
        kinds[name] = "date" if read is _day else "number" if read in _NUMBERS else "text"
    return Columns(type_, kinds, ("api_key", *(name for name, (required, _) in shape.items() if required)))


_RULES: Mapping[str, Callable[[Mapping[str, object]], list[str]]] = {
    RECEIPT: _receipt_rules,
    ISSUANCE: _issuance_rules,
    TRANSFER: _transfer_rules,
}


def _digest(fields: Mapping[str, object]) -> str:
    """Return 32 hex digits of the content: 10, "10" and 10.0 are the same, and so is any order of fields."""
    text = msgspec.json.encode(
        {name: plain(value) if isinstance(value, Decimal) else value for name, value in sorted(fields.items())}
    )
    return hashlib.sha256(text).hexdigest()[:32]


_DECODER = msgspec.json.Decoder(float_hook=Decimal)

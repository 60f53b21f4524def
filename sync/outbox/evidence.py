"""What proves that a write took effect. A 2xx by itself proves nothing: what matters is what the answer shows.

| operation | its answer proves it where it shows | else |
|---|---|---|
| receipt, inventory | one row with an id or our key, and equal fields | read by its key |
| issuance | rows with an id or our key and equal fields, whose quantities add up | its day is read |
| delete | our key | read, or deleted again: 404 after our own attempt is done |
| transfer | two rows that name the part, and between them both warehouses | never sent again: a person decides |
| approval | nothing: the order is read again | read until it is ordered |
| stock and cost | nothing: it has landed, and its echo proves it | the echo |
| create product | any 2xx without an error: products cannot be read back | its first stock patch tells, else a person |

"Equal fields" are those of `COMPARED` that were sent and that the answer shows, at least one of them. An answer of 2xx
that proves nothing is ambiguous: it is verified by reading, never taken for done and never sent again blindly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sync.outbox.machine import (
    DELETE_ISSUANCE,
    DELETE_RECEIPT,
    POST_INVENTORY,
    POST_ISSUANCE,
    POST_RECEIPT,
    POST_TRANSFER,
)
from sync.values.money import fixed, plain

Fields = Mapping[str, object]

DECIMALS_KEPT_MIN = 2
"""No document says how many decimals MPW keeps of a cost or a quantity: a number that was rounded or cut to two or
more of them is still the one that was sent."""


def same_name(sent: object, shown: object) -> bool:
    """Tell whether two part numbers or warehouses are one: the vendor may show its own spelling of it."""
    return _name(sent) == _name(shown)


def same_key(sent: object, shown: object) -> bool:
    """Tell whether two api_keys are one to a vendor whose database does not tell A from a."""
    return _name(sent) == _name(shown) != ""


def same_number(sent: object, shown: object) -> bool:
    """Tell whether a number is what was sent, or that rounded or cut to `DECIMALS_KEPT_MIN` or more decimals."""
    one, other = number_of(sent), number_of(shown)
    if one is None or other is None:
        return False
    if one == other:
        return True
    exponent = other.normalize().as_tuple().exponent
    kept = max(DECIMALS_KEPT_MIN, -exponent if isinstance(exponent, int) else 0)
    step = Decimal(1).scaleb(-kept)
    return other in (one.quantize(step, ROUND_FLOOR), one.quantize(step, ROUND_CEILING))


def adds_up(sent: object, shown: Sequence[Decimal]) -> bool:
    """Tell whether rows are together what was sent.

    Each row of several may have been rounded or cut by itself: one unit of the decimals that are kept is allowed for
    each.
    """
    wanted, total = number_of(sent), sum(shown, Decimal(0))
    if wanted is None or not shown:
        return False
    if same_number(wanted, total):
        return True
    exponents = [exponent for one in shown if isinstance(exponent := one.normalize().as_tuple().exponent, int)]
    step = Decimal(1).scaleb(-max(DECIMALS_KEPT_MIN, *(-exponent for exponent in exponents)))
    return len(shown) > 1 and abs(total - wanted) <= step * len(shown)


def same_day(sent: object, shown: object) -> bool:
    """Tell whether two dates are one; a timestamp counts by its date as it is written."""
    return _day(sent) == _day(shown) != ""


def number_of(value: object) -> Decimal | None:
    """Return a vendor's or a payload's number, None for whatever is not one."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return fixed(value)
    except (ValueError, TypeError, ArithmeticError):
        return None


def id_of(row: Fields) -> str | None:
    """Return a row's id as text, as `wire` reads it: 43381, "43381" and 43381.0 are one; None for whatever is not."""
    value = row.get("id")
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        value = int(value) if value.adjusted() < 40 else None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip()
    return text if text not in ("", "0") else None


Same = Callable[[object, object], bool]

COMPARED: Mapping[str, Mapping[str, Same]] = {
    POST_RECEIPT: {
        "part_number": same_name,
        "warehouse_name": same_name,
        "quantity_received": same_number,
        "unit_cost": same_number,
        "created_on": same_day,
    },
    POST_ISSUANCE: {
        "part_number": same_name,
        "warehouse_name": same_name,
        "quantity": same_number,
        "created_on": same_day,
    },
    POST_INVENTORY: {
        "part_number": same_name,
        "warehouse_name": same_name,
        "quantity": same_number,
        "unit_cost": same_number,
    },
}
"""Which fields of an operation must be equal, and how each is compared. An issuance has no cost: that is MPW's fact."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer shows: `ids` of the rows that are ours; `why` it proves nothing (None: it proves the effect).

    `answered_quantity`: everything about the rows is ours but how much it is.
    """

    ids: tuple[str, ...] = ()
    why: str | None = None
    answered_quantity: Decimal | None = None

    @property
    def proved(self) -> bool:
        """Whether the effect is there."""
        return self.why is None


def differences(operation: str, sent: Fields, shown: Fields, *, but: Sequence[str] = ()) -> list[str]:
    """Return which fields that were sent and are shown differ, each as a person would read it."""
    return [
        f"{name} {_shown(shown[name])} instead of {_shown(sent[name])}"
        for name, same in COMPARED[operation].items()
        if name not in but and _is_given(sent, name) and _is_given(shown, name) and not same(sent[name], shown[name])
    ]


def proof(operation: str, *, key: str, sent: Fields, rows: Sequence[Fields]) -> Proof:
    """Judge the rows of a 2xx answer (names in lower case) by the table above. Raises nothing, whatever they hold."""
    if operation in (DELETE_RECEIPT, DELETE_ISSUANCE):
        named = any(same_key(key, row.get("api_key")) for row in rows)
        return Proof() if named else Proof(why="the answer does not name its key")
    if operation == POST_TRANSFER:
        return _transfer(sent, rows)
    return _issuance(key, sent, rows) if operation == POST_ISSUANCE else _one_row(operation, key, sent, rows)


def _one_row(operation: str, key: str, sent: Fields, rows: Sequence[Fields]) -> Proof:
    named = [row for row in rows if same_key(key, row.get("api_key"))]
    mine = named or list(rows)
    if len(mine) != 1:
        told = f"{len(named)} rows under its key" if named else f"{len(rows)} rows, and none by its key"
        return Proof(why=f"the answer shows {told}")
    unknown = _not_ours(key, mine[0]) or _unlike(operation, sent, mine[0])
    return Proof(_ids(mine), unknown)


def _issuance(key: str, sent: Fields, rows: Sequence[Fields]) -> Proof:
    """Judge the rows of an issuance: MPW splits one over receipts where equipment or a work order is named."""
    if not rows:
        return Proof(why="the answer shows no row")
    for row in rows:
        unknown = _not_ours(key, row) or _unlike(POST_ISSUANCE, sent, row, but=("quantity",))
        if unknown is not None:
            return Proof(_ids(rows), unknown)
    given = [row for row in rows if _is_given(row, "quantity")]
    quantities = [value for row in given if (value := number_of(row["quantity"])) is not None]
    if not given:
        return Proof(_ids(rows))
    if len(quantities) != len(rows):
        return Proof(_ids(rows), "the answer does not say of every row how much it is")
    total = sum(quantities, Decimal(0))
    if adds_up(sent.get("quantity"), quantities):
        return Proof(_ids(rows))
    told = f"the answer shows {plain(total)} issued instead of {_shown(sent.get('quantity'))}"
    return Proof(_ids(rows), told, answered_quantity=total)


def _transfer(sent: Fields, rows: Sequence[Fields]) -> Proof:
    about = [row for row in rows if same_name(sent.get("part_number"), row.get("part_number"))]
    sides = ("warehouse_name", "destination_warehouse_name")
    missing = [
        _shown(sent.get(side))
        for side in sides
        if not any(same_name(sent.get(side), row.get("warehouse_name")) for row in about)
    ]
    if missing:
        return Proof(why=f"the answer does not show the part in {' and '.join(missing)}")
    return Proof(_ids(rows))


def _not_ours(key: str, row: Fields) -> str | None:
    """Return why a row cannot be told to be ours: no id and no key, or another one's key."""
    other = row.get("api_key")
    if _name(other) and not same_key(key, other):
        return f"the answer shows the key {_shown(other)}"
    if not _name(other) and id_of(row) is None:
        return "the answer shows neither an id nor its key"
    return None


def _unlike(operation: str, sent: Fields, row: Fields, *, but: Sequence[str] = ()) -> str | None:
    different = differences(operation, sent, row, but=but)
    if different:
        return "the answer shows " + "; ".join(different)
    if not any(_is_given(sent, name) and _is_given(row, name) for name in COMPARED[operation]):
        return "the answer shows nothing of what was sent"
    return None


def _ids(rows: Sequence[Fields]) -> tuple[str, ...]:
    return tuple(found for row in rows if (found := id_of(row)) is not None)


def _is_given(fields: Fields, name: str) -> bool:
    return fields.get(name) not in (None, "")


def _name(value: object) -> str:
    return "" if value is None else str(value).strip().casefold()


def _day(value: object) -> str:
    return value.isoformat()[:10] if isinstance(value, date) else str(value or "").strip()[:10]


def _shown(value: object) -> str:
    number = number_of(value) if isinstance(value, (int, Decimal)) else None
    return plain(number) if number is not None else str(value)[:200]

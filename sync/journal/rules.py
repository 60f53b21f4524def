"""What an entry of the journal says: accounts, amounts, and what is held instead. Integers of millionths, and pure.

What becomes of a ledger entry of MPW's receipts and issuances, and of the ERP's (accounting.md of the design, 1.1):

| | ledger entry | becomes |
|---|---|---|
| 1 | another system's | nothing; 2 and 3 are the exceptions |
| 2 | the ERP's original of a kind that it books itself, after MPW's | a handover of each entry so far |
| 3 | the ERP's transfer | held until its push is done; then one entry between two positions |
| 4 | a reversal whose original is in the journal | the original's accounts, its counter amount negated |
| 5 | a reversal whose original is held | held with it |
| 6 | a reversal of what the opening counted | as an original, with what it says now |
| 7 | any other reversal, an original before the first day | nothing |
| 8 | an original dated in a closed period, where these wait | held: late |
| 9 | a receipt of people's that looks like the arrival of a transfer of ours | held: twin |
| 10 | an original that a needed rule of accounts names no account for | held: unmapped |
| 11 | any other original | an entry |

Rounding (docs/adr/0018): a position's account holds its value, rounded once. `amount` is the change of that, `counter`
is the ledger's own amount rounded, and what the two differ by, one unit at most, goes to the rounding account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, Protocol

RECEIPT, ISSUANCE, TRANSFER, ADJUSTMENT = "receipt", "issuance", "transfer", "adjustment"
MPW, ERP = "mpw", "erp"
MPSYNC, OPENING = "mpsync", "opening"
FROM_LEDGER, HANDOVER, ADJUST, RECLASS = "ledger", "handover", "adjust", "reclass"
UNMAPPED, LATE, TRANSFER_PENDING, TWIN, WITH_ORIGINAL = "unmapped", "late", "transfer", "twin", "original"

EXPENSED = "expense"
"""In place of an inventory account: what is received is an expense at once, and its issue is none."""

Day = str
"""A day as YYYY-MM-DD: it is read and written as that, and compares as days do."""


class Account(NamedTuple):
    """Where a rule sends a line."""

    account: str
    cost_center: str | None


class Chart(Protocol):
    """The rules of accounts in force (`accounts.Accounts`)."""

    @property
    def version(self) -> int:
        """The version of the rules."""
        ...

    def find(self, use: str, facts: Facts, day: Day) -> Account | None:
        """Return where a use goes on a day; None: no rule says, or one says that it is to wait."""
        ...

    def has(self, use: str) -> bool:
        """Tell whether a use has any rule."""
        ...


class LedgerRow(NamedTuple):
    """A ledger entry as the journal reads it; numbers are millionths."""

    id: int
    system: str
    kind: str
    api_key: str
    remote_id: str
    entry_type: str
    reverses_id: int | None
    item: str
    warehouse: str | None
    quantity: int
    amount: int
    occurred_on: Day
    posted_on: Day


class Facts(NamedTuple):
    """What the rules of accounts choose by."""

    work_order: str | None = None
    equipment: str | None = None
    part: str | None = None
    vendor: str | None = None
    category: str | None = None
    warehouse: str | None = None
    purchase_order: str | None = None
    invoice: str | None = None


class Entry(NamedTuple):
    """A row of journal_entries, in the order of its columns."""

    id: int
    ledger_id: int | None
    reverses_id: int | None
    origin: str
    kind: str
    api_key: str
    item: str
    warehouse: str | None
    quantity: int
    counter_warehouse: str | None
    counter_quantity: int | None
    occurred_on: Day
    posted_on: Day
    account: str
    amount: int
    counter_account: str
    counter_amount: int
    rounding_account: str | None
    rounding_amount: int
    cost_center: str | None
    vendor: str | None
    purchase_order: str | None
    invoice: str | None
    equipment: str | None
    work_order: str | None
    why: str | None
    made_by: str | None
    booked_by: str
    rules_version: int


Key = tuple[str, str]
"""Of an event: its kind and api_key."""

Place = tuple[str, str]
"""Of a position: its item and warehouse, `` where MPW names none."""


def minor(millionths: int, unit: int) -> int:
    """Round to the currency's smallest unit, halves away from zero."""
    if millionths >= 0:
        return (2 * millionths + unit) // (2 * unit) * unit
    return -((-2 * millionths + unit) // (2 * unit) * unit)


class Position:
    """An item in a warehouse: its account, and what that holds of its value."""

    __slots__ = ("account", "booked", "quantity", "value")

    def __init__(self, account: str, quantity: int = 0, value: int = 0, booked: int = 0) -> None:
        self.account, self.quantity, self.value, self.booked = account, quantity, value, booked

    def take(self, quantity: int, value: int, unit: int) -> int:
        """Add to it; return by how much its account changes."""
        self.quantity += quantity
        if self.account == EXPENSED:
            return 0
        self.value += value
        rounded = minor(self.value, unit)
        change = rounded - self.booked
        self.booked = rounded
        return change

    def share(self, quantity: int) -> int:
        """Return the value that goes with a quantity: its average's, and all of it with the last unit."""
        if quantity == self.quantity or self.quantity <= 0:
            return self.value if quantity == self.quantity else 0
        product = self.value * quantity
        whole, rest = divmod(product, self.quantity)
        return whole + 1 if 2 * rest > self.quantity or (2 * rest == self.quantity and whole & 1) else whole


@dataclass(slots=True)
class Desk:
    """All that a batch of ledger entries touches, and what it makes of them.

    `by_ledger` are journal entries by the ledger entry that they book; `given` those of an event that mpsync delivers;
    `erp_first` the id of the ERP's first entry of an event that it books itself; `held` what waits, by ledger id.
    `moved_to` is the counter account of an entry that a person booked elsewhere. `twins` are ids of receipts that look
    like the arrival of a transfer of ours; `counted_to` the newest ledger entry that the opening counted.
    """

    chart: Chart
    unit: int
    starts_on: Day
    next_id: int
    holds_late: bool = False
    counted_to: int = 0
    erp_books: frozenset[str] = frozenset()
    facts: Mapping[int, Facts] = field(default_factory=dict)
    positions: dict[Place, Position] = field(default_factory=dict)
    by_ledger: dict[int, Entry] = field(default_factory=dict)
    given: dict[Key, list[Entry]] = field(default_factory=dict)
    erp_first: Mapping[Key, int] = field(default_factory=dict)
    moved_to: Mapping[int, str] = field(default_factory=dict)
    twins: frozenset[int] = frozenset()
    held: dict[int, tuple[str, str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    touched: set[Place] = field(default_factory=set)

    def take(self, row: LedgerRow, *, released: bool = False) -> None:
        """Take one ledger entry in; `released`: a person, or the end of its reason, let it go."""
        if row.system == ERP:
            self._of_the_erp(row)
        elif row.system != MPW or row.kind not in (RECEIPT, ISSUANCE):
            return  # 1
        elif row.entry_type == "original":
            self._original(row, released)
        else:
            self._reversal(row)

    def _of_the_erp(self, row: LedgerRow) -> None:
        if row.entry_type != "original":
            return
        if row.kind == TRANSFER:
            if row.quantity < 0:  # 3; the receiving leg is the next entry, and is read with this one
                self.held[row.id] = (TRANSFER_PENDING, "its push to MPW is not done yet")
            return
        if row.kind in self.erp_books and self.erp_first.get((row.kind, row.api_key)) == row.id:
            self._hand_over(row)  # 2

    def _hand_over(self, row: LedgerRow) -> None:
        """Take back for delivery what the ERP turns out to have booked itself, and keep it as the ERP's."""
        for one in self.given.pop((row.kind, row.api_key), ()):
            for sign, by in ((-1, MPSYNC), (1, ERP)):
                self._add(
                    one._replace(
                        id=self.next_id,
                        ledger_id=None,
                        reverses_id=one.id,
                        origin=HANDOVER,
                        quantity=sign * one.quantity,
                        amount=sign * one.amount,
                        counter_amount=sign * one.counter_amount,
                        rounding_amount=sign * one.rounding_amount,
                        posted_on=max(row.posted_on, one.posted_on),
                        booked_by=by,
                    )
                )

    def _original(self, row: LedgerRow, released: bool) -> None:
        if row.occurred_on < self.starts_on and not released:
            return  # 7
        if not released:
            if self.holds_late and row.posted_on > row.occurred_on:
                detail = f"it occurred on {row.occurred_on}, whose period is closed"
                self.held[row.id] = (LATE, detail)  # 8
                return
            if row.id in self.twins:
                detail = "it may be the arrival of a transfer that is booked already"
                self.held[row.id] = (TWIN, detail)  # 9
                return
        self._post(row, None)

    def _reversal(self, row: LedgerRow) -> None:
        original = row.reverses_id or 0
        booked = self.by_ledger.get(original)
        if booked is not None:
            self._post(row, booked)  # 4
        elif original in self.held:
            self.held[row.id] = (WITH_ORIGINAL, f"ledger entry {original}, which it takes back, is held")  # 5
        elif 0 < original <= self.counted_to < row.id:
            self._post(row, None)  # 6

    def _post(self, row: LedgerRow, original: Entry | None) -> None:
        """Make the entry of a row, or hold it where no rule names an account."""
        place = (row.item, row.warehouse or "")
        facts = self.facts.get(row.id) or Facts(part=row.item, warehouse=row.warehouse)
        position = self.positions.get(place)
        if position is None:
            found = self.chart.find("inventory", facts, row.posted_on)
            if found is None:
                self._unmapped(row, "inventory")
                return
            position = Position(found.account)
        if original is None:
            use = self._use(row.kind, facts)
            rule = self.chart.find(use, facts, row.posted_on)
            if rule is None:
                self._unmapped(row, use)
                return
            counter, (counter_account, cost_center) = -minor(row.amount, self.unit), rule
            booked_by = ERP if self._erp_has(row) else MPSYNC
        else:
            counter = -original.counter_amount
            counter_account = self.moved_to.get(original.id, original.counter_account)
            cost_center = original.cost_center
            booked_by = ERP if self._erp_has(row) else original.booked_by
            facts = Facts(
                work_order=original.work_order,
                equipment=original.equipment,
                vendor=original.vendor,
                purchase_order=original.purchase_order,
                invoice=original.invoice,
            )
        account, amount = position.account, position.take(row.quantity, row.amount, self.unit)
        if account == EXPENSED:
            account, amount, counter = self._expensed(row, original, facts, counter)
        rounding = -(amount + counter)
        rounding_to = self.chart.find("rounding", facts, row.posted_on) if rounding else None
        self.positions[place] = position
        self.touched.add(place)
        entry = Entry(
            self.next_id,
            row.id,
            original.id if original is not None else None,
            FROM_LEDGER,
            row.kind,
            row.api_key,
            row.item,
            row.warehouse,
            row.quantity,
            None,
            None,
            row.occurred_on,
            row.posted_on,
            account,
            amount,
            counter_account,
            counter,
            rounding_to.account if rounding_to is not None else None,
            rounding,
            cost_center,
            facts.vendor,
            facts.purchase_order,
            facts.invoice,
            facts.equipment,
            facts.work_order,
            None,
            None,
            booked_by,
            self.chart.version,
        )
        self._add(entry)
        self.by_ledger[row.id] = entry
        if booked_by == MPSYNC and row.kind in self.erp_books:
            self.given.setdefault((row.kind, row.api_key), []).append(entry)

    def _expensed(self, row: LedgerRow, original: Entry | None, facts: Facts, counter: int) -> tuple[str, int, int]:
        """Return account, amount and counter amount where nothing goes through stock: nothing at all at the issue."""
        if original is not None:
            return original.account, -original.amount, -original.counter_amount
        if row.kind == ISSUANCE:
            return EXPENSED, 0, 0
        rule = self.chart.find("expense", facts, row.posted_on)
        return rule.account if rule is not None else EXPENSED, -counter, counter

    def _use(self, kind: str, facts: Facts) -> str:
        if kind == ISSUANCE:
            return "expense"
        found = not (facts.vendor or facts.purchase_order or facts.invoice) and self.chart.has("found")
        return "found" if found else "grni"

    def _erp_has(self, row: LedgerRow) -> bool:
        first = self.erp_first.get((row.kind, row.api_key))
        return first is not None and first < row.id and row.kind in self.erp_books

    def _unmapped(self, row: LedgerRow, use: str) -> None:
        self.held[row.id] = (UNMAPPED, f"no rule of accounts says where its {use} goes")

    def transfer(self, giving: LedgerRow, receiving: LedgerRow) -> None:
        """Move value between two positions in one entry: the giving one's average goes with the quantity."""
        facts = Facts(part=giving.item, warehouse=giving.warehouse)
        there = facts._replace(warehouse=receiving.warehouse)
        places = (giving.item, giving.warehouse or ""), (receiving.item, receiving.warehouse or "")
        for place, at in zip(places, (facts, there), strict=True):
            if place not in self.positions:
                found = self.chart.find("inventory", at, giving.posted_on)
                if found is None:
                    self._unmapped(giving, "inventory")
                    return
                self.positions[place] = Position(found.account)
        source, target = (self.positions[place] for place in places)
        value = source.share(receiving.quantity)
        counter = source.take(-receiving.quantity, -value, self.unit)
        amount = target.take(receiving.quantity, value, self.unit)
        rounding = -(amount + counter)
        rounding_to = self.chart.find("rounding", facts, giving.posted_on) if rounding else None
        self.touched.update(places)
        self._add(
            Entry(
                id=self.next_id,
                ledger_id=giving.id,
                reverses_id=None,
                origin=FROM_LEDGER,
                kind=TRANSFER,
                api_key=giving.api_key,
                item=giving.item,
                warehouse=receiving.warehouse,
                quantity=receiving.quantity,
                counter_warehouse=giving.warehouse or "",
                counter_quantity=-receiving.quantity,
                occurred_on=giving.occurred_on,
                posted_on=giving.posted_on,
                account=target.account,
                amount=amount,
                counter_account=source.account,
                counter_amount=counter,
                rounding_account=rounding_to.account if rounding_to is not None else None,
                rounding_amount=rounding,
                cost_center=None,
                vendor=None,
                purchase_order=None,
                invoice=None,
                equipment=None,
                work_order=None,
                why=None,
                made_by=None,
                booked_by=ERP if TRANSFER in self.erp_books else MPSYNC,
                rules_version=self.chart.version,
            )
        )

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.next_id += 1


_FOLIO = re.compile(r"\bFolio-\w+")
_TOKEN = re.compile(r"\b(wo|eq):(\S+)", re.IGNORECASE)


def told_in(description: str | None) -> tuple[str | None, str | None]:
    """Return the work order and the equipment that a description names: `wo:4711`, `eq:TRK-12`, `Folio-198`."""
    if not description:
        return None, None
    work_order = equipment = None
    if ":" in description:
        for name, value in _TOKEN.findall(description):
            if name.lower() == "wo":
                work_order = value
            else:
                equipment = value
    if work_order is None and (folio := _FOLIO.search(description)):
        work_order = folio.group(0)
    return work_order, equipment


def arrivals(receipts: Sequence[LedgerRow], transfers: Sequence[LedgerRow]) -> frozenset[int]:
    """Return the receipts of people's that may be the receiving side of a transfer that is done.

    Same part, destination and quantity, a day either way: the two would count the stock twice. It is not known whether
    MPW lists what a transfer brings as a receipt (docs/assumptions.md).
    """
    days: dict[tuple[str, str | None, int], list[date]] = {}
    for one in transfers:
        days.setdefault((one.item, one.warehouse, one.quantity), []).append(date.fromisoformat(one.occurred_on))
    found = set()
    for row in receipts:
        known = days.get((row.item, row.warehouse, row.quantity))
        if known and any(abs((date.fromisoformat(row.occurred_on) - day).days) <= 1 for day in known):
            found.add(row.id)
    return frozenset(found)

"""Whether the journal is what the ledger makes of it: every entry computed again, in order, from the ledger alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from sync.database.facts import fact
from sync.journal import rows as stored
from sync.journal.derive import JOURNAL_SEQ, JOURNAL_TERMS, fixed_of
from sync.journal.rows import Booked
from sync.journal.rules import ADJUST, EXPENSED, FROM_LEDGER, RECLASS, TRANSFER, Entry, Place, Position, minor

NAMED_MAX = 20
"""Findings of one sort that are named; the rest is counted."""


@dataclass(slots=True)
class Checked:
    """What the check found. Amounts are millionths; without `wrong` all is as it should be.

    `stock` is the sum of the inventory accounts, `rounded_value` the ledger's value rounded once per position: equal.
    `lost` is what rounding each entry by itself would have lost: `rounding` says the same.
    """

    entries: int = 0
    stock: int = 0
    rounded_value: int = 0
    rounding: int = 0
    lost: int = 0
    largest_rounding: int = 0
    by_account: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return it as a report has it."""
        from sync.values.money import from_micros

        return {
            "entries": self.entries,
            "stock": from_micros(self.stock),
            "ledger_rounded": from_micros(self.rounded_value),
            "rounding": from_micros(self.rounding),
            "accounts": {name: from_micros(amount) for name, amount in sorted(self.by_account.items())},
            "wrong": self.wrong,
        }


def check_journal(conn: Connection) -> Checked:
    """Compute the journal again from the ledger and compare. Only reads; takes a second for 50,000 entries."""
    found = Checked()
    known = fact(conn, JOURNAL_TERMS)
    if known is None:
        return found
    terms = fixed_of(known)
    there = stored.all_positions(conn)
    replay = _Replay(terms.unit, there, found)
    for one in stored.booked(conn):
        replay.take(one)
    replay.compare()
    seq = int(fact(conn, JOURNAL_SEQ) or 0)
    found.wrong += [
        f"ledger entry {id_} is neither in the journal nor held"
        for id_ in stored.forgotten(conn, starts_on=terms.starts_on, seq=seq)
    ]
    found.wrong += [f"document {number} is not what its entries are" for number in stored.documents_off(conn)]
    if found.stock != found.rounded_value:
        found.wrong.append("the inventory accounts are not the ledger's value, rounded once per position")
    if sum(found.by_account.values()):
        found.wrong.append("debit and credit are not the same in all")
    return found


class _Replay:
    """Positions as they are computed again, entry by entry."""

    def __init__(self, unit: int, there: Mapping[Place, Position], found: Checked) -> None:
        self._unit, self._there, self._found = unit, there, found
        self._positions: dict[Place, Position] = {}
        self._counters: dict[int, int] = {}
        self._ledger: set[int] = set()
        self._sums: Counter[Place] = Counter()  # of the entries' own amounts: computed by nothing that made them

    def take(self, one: Booked) -> None:
        """Compute one entry again."""
        entry, found = one.entry, self._found
        found.entries += 1
        found.by_account[entry.account] += entry.amount
        found.by_account[entry.counter_account] += entry.counter_amount
        if entry.rounding_amount:
            found.by_account[str(entry.rounding_account)] += entry.rounding_amount
            found.rounding += entry.rounding_amount
            found.largest_rounding = max(found.largest_rounding, abs(entry.rounding_amount))
        if entry.amount + entry.counter_amount + entry.rounding_amount:
            self._say(entry, "does not balance")
        if abs(entry.rounding_amount) > self._unit:
            self._say(entry, "rounds by more than one unit")
        self._sums[entry.item, entry.warehouse or ""] += entry.amount
        if entry.counter_warehouse is not None:
            self._sums[entry.item, entry.counter_warehouse] += entry.counter_amount
        if entry.origin == FROM_LEDGER:
            self._from_ledger(one)
        elif entry.origin == ADJUST:
            self._expect(entry, "amount", self._at(entry).take(entry.quantity, entry.amount, self._unit), entry.amount)
        elif entry.origin == RECLASS and entry.counter_warehouse is not None:
            self._at(entry).account = entry.account

    def _from_ledger(self, one: Booked) -> None:
        entry = one.entry
        if one.quantity is None or one.amount is None:
            self._say(entry, "books a ledger entry that is not there")
            return
        if entry.ledger_id in self._ledger:
            self._say(entry, "books a ledger entry that another one books, too")
        self._ledger.add(entry.ledger_id or 0)
        position = self._at(entry)
        if entry.kind == TRANSFER:
            source = self._position((entry.item, entry.counter_warehouse or ""), entry.counter_account)
            value = source.share(entry.quantity)
            self._expect(
                entry, "counter amount", source.take(-entry.quantity, -value, self._unit), entry.counter_amount
            )
            self._expect(entry, "amount", position.take(entry.quantity, value, self._unit), entry.amount)
            return
        self._expect(entry, "quantity", one.quantity, entry.quantity)
        amount = position.take(one.quantity, one.amount, self._unit)
        if position.account == EXPENSED:
            return
        self._expect(entry, "amount", amount, entry.amount)
        if entry.account != position.account:
            self._say(entry, f"is on {entry.account}, and its position on {position.account}")
        counter = -minor(one.amount, self._unit)
        if entry.reverses_id is not None:
            counter = -self._counters.get(entry.reverses_id, 0)
        self._expect(entry, "counter amount", counter, entry.counter_amount)
        self._counters[entry.id] = entry.counter_amount
        self._found.lost += minor(one.amount, self._unit) if entry.reverses_id is None else -counter

    def _at(self, entry: Entry) -> Position:
        return self._position((entry.item, entry.warehouse or ""), entry.account)

    def _position(self, place: Place, account: str) -> Position:
        known = self._positions.get(place)
        if known is None:
            there = self._there.get(place)
            expensed = there is not None and there.account == EXPENSED
            known = self._positions[place] = Position(EXPENSED if expensed else account)
        return known

    def compare(self) -> None:
        """Compare positions with those that are kept, and the accounts with the value."""
        names = ("account", "quantity", "value", "booked")
        for place in sorted({*self._positions, *self._there}):
            mine, kept = self._positions.get(place), self._there.get(place)
            if mine is None or kept is None or any(getattr(mine, name) != getattr(kept, name) for name in names):
                self._found.wrong.append(
                    f"position {place[0]} in {place[1] or 'no warehouse'} is not what its entries are"
                )
            if mine is not None and mine.account != EXPENSED and self._sums[place] != minor(mine.value, self._unit):
                self._found.wrong.append(
                    f"the entries of {place[0]} in {place[1] or 'no warehouse'} are not its value, rounded once"
                )
            if mine is not None and mine.account != EXPENSED:
                self._found.rounded_value += minor(mine.value, self._unit)
                self._found.stock += mine.booked

    def _expect(self, entry: Entry, what: str, right: int, there: int) -> None:
        if right != there:
            self._say(entry, f"has {what} {there} and should have {right} (millionths)")

    def _say(self, entry: Entry, what: str) -> None:
        if len(self._found.wrong) < NAMED_MAX:
            self._found.wrong.append(f"entry {entry.id} ({entry.kind} {entry.api_key}) {what}")

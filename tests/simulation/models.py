"""The sandbox's models, which hold to the documents' idempotency, with a book of what truly happened."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from sync.sandbox.answers import answered
from sync.sandbox.mpservices import INBOUND, OUTBOUND, Line, Movement, MpservicesModel, movement_row
from sync.sandbox.mpw import MpwModel
from sync.sandbox.mpw_state import Issuance, Part, Receipt
from sync.sandbox.numbers import Number, exact, whole_or_decimal
from sync.values.keys import movement_key
from sync.values.money import plain
from tests.simulation.chronicle import Chronicle
from tests.simulation.habits import Habits


class TrueMpw(MpwModel):
    """MPW, and what the API's user made in it: by key, however often."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.transfers: Counter[tuple[str, str]] = Counter()
        self.approvals: Counter[str] = Counter()
        self.api_deleted: set[tuple[str, str]] = set()
        self.edited: set[str] = set()
        self.overwritten: list[str] = []
        self.chronicle = Chronicle()
        self.on_made: Callable[[str, str, Decimal], None] = lambda kind, key, quantity: None
        self.on_receipt: Callable[[str, Mapping[str, object]], None] = lambda key, values: None
        self.on_forgotten: Callable[[], None] = lambda: None
        self.forgets: Callable[[str], bool] = lambda key: False
        """Whether a row that was answered for is not kept after all."""

    def new_receipt(self, part: Part, created_on: date, quantity: Decimal, *args: Any, **kwargs: Any) -> Receipt:
        """Note a receipt that came with a key."""
        made = super().new_receipt(part, created_on, quantity, *args, **kwargs)
        key = kwargs.get("api_key")
        if key is not None:
            self.made["receipt", key] += quantity
            self.on_made("receipt", key, quantity)
        return made

    def issue(self, part: Part, created_on: date, quantity: Decimal, **kwargs: Any) -> list[Issuance]:
        """Note an issuance that came with a key."""
        made = super().issue(part, created_on, quantity, **kwargs)
        self.chronicle.overdrawn.update(row.part.part_number for row in made if row.overdraft)
        key = kwargs.get("api_key")
        if key is not None:
            self.made["issuance", key] += quantity
            self.on_made("issuance", key, quantity)
        return made

    def stranger_issues(self, item: str, warehouse: str, quantity: Decimal, key: str) -> None:
        """Let another program issue under a key that is not its own: no effect of ours."""
        super().issue(self.parts[warehouse, item], self.today(), quantity, api_key=key)
        self.edited.add(key)

    def stranger_receives(
        self, item: str, warehouse: str, quantity: Decimal, cost: Decimal, day: date, key: str
    ) -> None:
        """Let another program receive under a key that is not its own."""
        super().new_receipt(self.parts[warehouse, item], day, quantity, cost, api_key=key)
        self.edited.add(key)

    def person_transfers(self, item: str, warehouse: str, destination: str, quantity: Decimal) -> None:
        """Move parts to another warehouse in MPW's screens: no answer shows a row of it in the first."""
        part, wanted = self.parts[warehouse, item], quantity
        for layer in part.layers:
            taken = min(layer.remaining, wanted)
            layer.remaining -= taken
            wanted -= taken
            if taken:
                super().new_receipt(self.parts[destination, item], self.today(), taken, layer.unit_cost, listed=False)

    def post_receipt(self, values: Mapping[str, object]) -> tuple[int, object]:
        """Note an upsert that undid a person's correction."""
        key = str(values.get("api_key"))
        self.on_receipt(key, values)
        known = key in self.receipt_by_key
        answer = super().post_receipt(values)
        if known and key in self.edited and answer[0] == 200:
            self.overwritten.append(key)
        if not known and answer[0] == 200 and self.forgets(key):
            self.drop_receipt(self.receipt_by_key[key])
            self._forgot("receipt", key)
        return answer

    def post_issuance(self, values: Mapping[str, object]) -> tuple[int, object]:
        """Forget what was answered for, where that is this vendor's habit."""
        key = str(values.get("api_key"))
        answer = super().post_issuance(values)
        if answer[0] == 200 and self.forgets(key):
            for row in list(self.issuances_by_key[key]):
                self.drop_issuance(row)
            self._forgot("issuance", key)
        return answer

    def _forgot(self, kind: str, key: str) -> None:
        del self.made[kind, key]
        self.chronicle.vanished.add((kind, key))
        self.on_forgotten()

    def transfer(self, values: Mapping[str, object]) -> tuple[int, object]:
        """Count what moved."""
        answer = super().transfer(values)
        if answer[0] == 200:
            self.transfers[str(values["part_number"]), str(values["quantity"])] += 1
        return answer

    def delete_issuance(self, api_key: str) -> tuple[int, object]:
        """Note what the API took back."""
        rows = list(self.issuances_by_key.get(api_key, []))
        answer = super().delete_issuance(api_key)
        if answer[0] == 200:
            self.api_deleted.add(("issuance", api_key))
            self.chronicle.taken_back.update(("issuance", row.id) for row in rows)
        return answer

    def delete_receipt(self, api_key: str) -> tuple[int, object]:
        """Note what the API took back."""
        row = self.receipt_by_key.get(api_key)
        answer = super().delete_receipt(api_key)
        if answer[0] == 200 and row is not None:
            self.api_deleted.add(("receipt", api_key))
            self.chronicle.taken_back.add(("receipt", row.id))
        return answer

    # ------------------------------------------------------------------ what people did to rows

    def person_deletes_receipt(self, receipt_id: int) -> None:
        """Note which."""
        super().person_deletes_receipt(receipt_id)
        self.chronicle.deleted.add(("receipt", receipt_id))

    def person_deletes_issuance(self, issuance_id: int) -> None:
        """Note which."""
        super().person_deletes_issuance(issuance_id)
        self.chronicle.deleted.add(("issuance", issuance_id))

    def person_edits_receipt(self, receipt_id: int, **changes: Any) -> None:
        """Note a new day."""
        super().person_edits_receipt(receipt_id, **changes)
        if "created_on" in changes:
            self.chronicle.moved.add(("receipt", receipt_id))

    def person_edits_issuance(self, issuance_id: int, **changes: Any) -> None:
        """Note a new day."""
        super().person_edits_issuance(issuance_id, **changes)
        if "created_on" in changes:
            self.chronicle.moved.add(("issuance", issuance_id))

    # ------------------------------------------------------------------ what is hidden from us

    def receipts(self, query: Mapping[str, str]) -> tuple[int, object]:
        """Note what a day does not show."""
        self._hide(query, "receipt", self.receipts_by_day)
        return super().receipts(query)

    def issuances(self, query: Mapping[str, str]) -> tuple[int, object]:
        """Note what a day does not show."""
        self._hide(query, "issuance", self.issuances_by_day)
        return super().issuances(query)

    def _hide(self, query: Mapping[str, str], kind: str, by_day: Mapping[date, Mapping[int, Any]]) -> None:
        rows = by_day.get(date.fromisoformat(query["date"]), {}) if "date" in query else {}
        for row in rows.values():
            if row.part.warehouse.hidden:
                self.chronicle.hid((kind, row.id), self.clock.monotonic())

    def inventories(self, query: Mapping[str, str]) -> tuple[int, object]:
        """Note a part that is there, and is not shown."""
        part = self.parts.get((query.get("warehouse_name", ""), query.get("part_number", "")))
        if part is not None and part.warehouse.hidden:
            self.chronicle.parts_not_shown.add((part.warehouse.name, part.part_number))
        return super().inventories(query)

    def purchase_orders(self, query: Mapping[str, str]) -> tuple[int, object]:
        """Note orders that are there, and are not shown."""
        hidden = [order for order in self.orders.values() if order.warehouse is not None and order.warehouse.hidden]
        self.chronicle.orders_not_shown.update(str(order.number) for order in hidden)
        return super().purchase_orders(query)

    def _approve_one(self, text: str) -> str | None:
        problem = super()._approve_one(text)
        if problem is None:
            self.approvals[text] += 1
        return problem


@dataclass(slots=True)
class Keeps:
    """How many decimals a vendor keeps of a number, and whether it cuts or rounds the rest."""

    decimals: int = 6
    cuts: bool = False

    def of(self, value: Decimal) -> Decimal:
        """Return what it keeps."""
        rounding = ROUND_DOWN if self.cuts else ROUND_HALF_UP
        return value.quantize(Decimal(1).scaleb(-self.decimals), rounding)

    @property
    def unit(self) -> Decimal:
        """The last decimal that it keeps."""
        return Decimal(1).scaleb(-self.decimals)


def event_of(key: str) -> str:
    """Return the key of the event that a key is of: a corrected movement is posted again as `key_c2`, `key_c3`."""
    return re.sub(r"_c\d+$", "", key)


UNKNOWN_TYPES = ("Adjustment", "Ajuste", "Return", "Transfer")
"""What the document's "Inbound" and "Outbound" do not name."""


class TrueMps(MpservicesModel):
    """MPservices, and which lines of which movements are people's; with the habits that a seed draws."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.events: dict[tuple[str, str], tuple[str, Decimal]] = {}
        """People's movements as they stand: the item, and how many of it."""
        self.before: dict[tuple[str, str], set[Decimal]] = defaultdict(set)
        """What corrected ones said before."""
        self.withdrawn: dict[tuple[str, str], tuple[str, Decimal]] = {}
        """Deleted ones."""
        self.echoes: set[str] = set()
        self.patches = 0
        self.patched: set[tuple[str, Decimal, Decimal]] = set()
        self.did_nothing: set[tuple[str, Decimal, Decimal]] = set()
        self.shown: frozenset[str] = frozenset()
        """What the last reading showed."""
        self.reached: Counter[str] = Counter()
        self.keeps_cost, self.keeps_stock = Keeps(), Keeps()
        self.total = self.old_cost = False
        self.echo_type = self.echo_reference = ""
        self.sleeps: Callable[[str], bool] = lambda item: False
        self.visible_at: dict[str, float] = {}
        self.nameless: set[str] = set()
        self._cost_before: Decimal | None = None
        self._lines_of: dict[str, int] = {}
        self._line_by_key: dict[str, Line] = {}

    def take_habits(self, habits: Habits) -> None:
        """Be as the seed has it."""
        self.options.patch_zero_delta_movement = "zero_echo" in habits
        for name, keeps in (("rounds_cost", self.keeps_cost), ("rounds_stock", self.keeps_stock)):
            if name in habits:
                random = habits.random(name)
                keeps.decimals, keeps.cuts = random.choice((2, 2, 1, 0)), random.random() < 0.5
        self.total = "cost_is_total" in habits or "cost_is_wrong" in habits
        self.old_cost = "old_cost" in habits
        if "odd_echo" in habits:
            random = habits.random("odd_echo")
            self.echo_type = random.choice(("", *UNKNOWN_TYPES))
            self.echo_reference = (
                random.choice(("API", "Folio-1")) if not self.echo_type or random.random() < 0.5 else ""
            )

    # ------------------------------------------------------------------ endpoints

    @answered
    def movements(self) -> object:
        """Show what is to be seen by now, as this vendor shows it."""
        now = self.clock.monotonic()
        seen = [one for one in self.all_movements if self.visible_at.get(one.id, 0.0) <= now]
        self.shown = frozenset(one.id for one in seen)
        return self._feed([(one.created_at, self._row(one)) for one in seen])

    def _row(self, movement: Movement) -> dict[str, object]:
        row = movement_row(movement)
        lines: list[dict[str, object]] = row["movements"]  # type: ignore[assignment]
        for shown, line in zip(lines, movement.lines, strict=True):
            shown["cost"] = plain(self.shown_cost(line))
            shown["quantity"] = whole_or_decimal(line.quantity)
            if movement.id in self.nameless:
                shown["item_external_id"] = None
        return row

    def shown_cost(self, line: Line) -> Decimal:
        """Return a line's cost as the feed shows it."""
        self.reached["a total"] += self.total and abs(line.quantity) > 1
        return self.keeps_cost.of(line.cost * abs(line.quantity) if self.total else line.cost)

    def unit_cost_shown(self, line: Line) -> Decimal:
        """Return what a reader makes of that: the cost of one."""
        shown = self.shown_cost(line)
        return shown / abs(line.quantity) if self.total and line.quantity else shown

    def patch_stock(self, values: Mapping[str, str]) -> tuple[int, object]:
        """Do what the document says, or what this vendor does; note what took effect."""
        item = values["external_id"]
        sent = item, Decimal(values["new_stock"]), Decimal(values["new_cost"])
        product = self._by_external_id(item)
        if product is None:
            return super().patch_stock(values)
        if self.sleeps(item):
            self.note_no_op(values)
            return 200, {"external_id": item, "stock": values["new_stock"], "cost": values["new_cost"]}
        stock, cost = self.keeps_stock.of(sent[1]), self.keeps_cost.of(sent[2])
        for name, keeps, kept, of in (
            ("stock", self.keeps_stock, stock, sent[1]),
            ("cost", self.keeps_cost, cost, sent[2]),
        ):
            self.reached[f"{name} {'cut' if keeps.cuts else 'rounded'}"] += kept != of
        self._cost_before = product.cost
        answer = super().patch_stock({**values, "new_stock": plain(stock), "new_cost": plain(cost)})
        if answer[0] == 200:
            self.patched.add(sent)
        return answer

    def note_no_op(self, values: Mapping[str, str]) -> None:
        """Note a patch that was answered with success, and did nothing."""
        self.did_nothing.add((values["external_id"], Decimal(values["new_stock"]), Decimal(values["new_cost"])))
        self.reached["no-op patch"] += 1

    def keys_of(self, external_id: str, *, shown: Collection[str]) -> list[tuple[str, str]]:
        """Return the events of an item among the movements of these ids."""
        keys = [movement_key(one, n) for one in shown for n in range(1, self._lines_of.get(one, 0) + 1)]
        kinds = ("receipt", "issuance")
        found = [(kind, key) for key in keys for kind in kinds if (kind, key) in self.events]
        return [event for event in found if self.events[event][0] == external_id]

    def line_of(self, key: str) -> Line | None:
        """Return the line of a movement that a key is of."""
        return self._line_by_key.get(event_of(key))

    def no_events(self) -> set[str]:
        """Return the keys of movements that reach nobody: our own, nameless and deleted ones, those of unknown type."""
        withdrawn = {key for _, key in self.withdrawn}
        return {key for key in self._line_by_key if key not in {k for _, k in self.events}} | self.echoes | withdrawn

    # ------------------------------------------------------------------ people

    def person_drifts(self, item: str, by: Number) -> None:
        """Edit a product's stock without a movement."""
        self.product(item).stock += exact(by)

    def person_adjusts(self, type: str, item: str, by: Number, cost: Number) -> str:
        """Move stock by a movement of a type that no document names."""
        product = self.product(item)
        product.stock += exact(by)
        return self._record(type, [Line(product, exact(by), exact(cost))], None, self._stamp_now()).id

    def person_forgets_the_name(self, movement_id: str) -> None:
        """Let the feed show no external id of a movement: nobody can tell from it what was moved."""
        self.nameless.add(movement_id)
        for n in range(1, self._lines_of[movement_id] + 1):
            for kind in ("receipt", "issuance"):
                self.events.pop((kind, movement_key(movement_id, n)), None)

    def person_corrects(self, movement_id: str, quantity: Number) -> None:
        """Correct how many a movement of one line says; the stock follows."""
        movement = next(one for one in self.all_movements if one.id == movement_id)
        line, kind, key = movement.lines[0], _kind(movement.type), movement_key(movement_id, 1)
        sign = 1 if kind == "receipt" else -1
        line.product.stock += sign * (exact(quantity) - line.quantity)
        self.before[kind, key].add(line.quantity)
        movement.lines[0] = self._line_by_key[key] = replace(line, quantity=exact(quantity))
        self.events[kind, key] = str(line.product.external_id), exact(quantity)

    def person_withdraws(self, movement_id: str) -> None:
        """Delete a movement; the stock follows, no trace remains."""
        movement = next(one for one in self.all_movements if one.id == movement_id)
        kind = _kind(movement.type)
        for n, line in enumerate(movement.lines, start=1):
            line.product.stock -= line.quantity * (1 if kind == "receipt" else -1)
            self.withdrawn[kind, movement_key(movement_id, n)] = self.events.pop((kind, movement_key(movement_id, n)))
        self.all_movements.remove(movement)

    def _record(
        self, type: str, lines: list[Line], reference: str | None, created_at: datetime, *, by_patch: bool = False
    ) -> Movement:
        if by_patch:
            type, lines, reference = self._as_echo(type, lines)
        made = super()._record(type, lines, reference, created_at, by_patch=by_patch)
        self._lines_of[made.id] = len(lines)
        for n, line in enumerate(lines, start=1):
            key = movement_key(made.id, n)
            self._line_by_key[key] = line
            if by_patch:
                self.echoes.add(key)
                self.patches += 1
            elif type in (INBOUND, OUTBOUND):
                self.events[_kind(type), key] = (str(line.product.external_id), line.quantity)
        return made

    def _as_echo(self, type: str, lines: list[Line]) -> tuple[str, list[Line], str | None]:
        """Return how a patch's own movement looks here: its quantity keeps its sign where its type does not tell it."""
        line = lines[0]
        self.reached["echo of zero"] += not line.quantity
        if self.old_cost and self._cost_before is not None:
            self.reached["echo at the old cost"] += self._cost_before != line.cost
            line = replace(line, cost=self._cost_before)
        if self.echo_type:
            self.reached["echo of an unknown type"] += 1
            line = replace(line, quantity=-line.quantity if type == OUTBOUND else line.quantity)
            type = self.echo_type
        self.reached["echo with a reference"] += bool(self.echo_reference)
        return type, [line], self.echo_reference or None


def _kind(type: str) -> str:
    return "receipt" if type == INBOUND else "issuance"

"""The sandbox's models, which hold to the documents' idempotency, with a book of what truly happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sync.domain.keys import movement_key
from sync.sandbox.mpservices import INBOUND, OUTBOUND, Line, Movement, MpservicesModel
from sync.sandbox.mpw import MpwModel
from sync.sandbox.mpw_state import Issuance, Part, Receipt
from tests.simulation.chronicle import Chronicle


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

    def post_receipt(self, values: Mapping[str, object]) -> tuple[int, object]:
        """Note an upsert that undid a person's correction."""
        key = str(values.get("api_key"))
        answer = super().post_receipt(values)
        if key in self.edited and answer[0] == 200:
            self.overwritten.append(key)
        return answer

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


class TrueMps(MpservicesModel):
    """MPservices, and which lines of which movements are people's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.events: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.echoes: set[str] = set()
        self.patches = 0
        self.patched: set[tuple[str, Decimal, Decimal]] = set()

    def patch_stock(self, values: Mapping[str, str]) -> tuple[int, object]:
        """Note a patch that took effect."""
        answer = super().patch_stock(values)
        if answer[0] == 200:
            self.patched.add((values["external_id"], Decimal(values["new_stock"]), Decimal(values["new_cost"])))
        return answer

    def keys_of(self, external_id: str, *, first: int) -> list[tuple[str, str]]:
        """Return the events of an item among the first so many movements."""
        keys = [movement_key(one.id, n) for one in self.all_movements[:first] for n in range(1, len(one.lines) + 1)]
        kinds = ("receipt", "issuance")
        found = [(kind, key) for key in keys for kind in kinds if (kind, key) in self.events]
        return [event for event in found if self.events[event][0] == external_id]

    def _record(
        self, type: str, lines: list[Line], reference: str | None, created_at: datetime, *, by_patch: bool = False
    ) -> Movement:
        made = super()._record(type, lines, reference, created_at, by_patch=by_patch)
        for n, line in enumerate(lines, start=1):
            key = movement_key(made.id, n)
            if by_patch:
                self.echoes.add(key)
                self.patches += 1
            elif type in (INBOUND, OUTBOUND):
                kind = "receipt" if type == INBOUND else "issuance"
                self.events[kind, key] = (str(line.product.external_id), line.quantity)
        return made

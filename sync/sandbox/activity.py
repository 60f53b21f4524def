"""People at work while you watch: one act at a time in either system, never more than there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random

from sync.sandbox.mpservices import INBOUND, OUTBOUND, MpservicesModel
from sync.sandbox.mpw import MpwModel
from sync.sandbox.seed import MAIN, MOVING, RESERVE


class Activity:
    """A generator of people's acts; the same seed acts the same way on the same data."""

    def __init__(self, mpw: MpwModel, mpservices: MpservicesModel, seed: int) -> None:
        self._mpw = mpw
        self._mpservices = mpservices
        self._random = Random(seed)  # noqa: S311 - repeatable, no secret

    def step(self) -> str:
        """Do one thing somebody would do; return it in words ("" if there was nothing to do it with)."""
        acts: tuple[Callable[[str, str], str], ...] = (
            self._receive,
            self._issue,
            self._issue,
            self._move_in,
            self._move_out,
            self._move_out,
            self._order,
        )
        item = self._random.choice(MOVING)
        if (MAIN, item.number) not in self._mpw.parts:
            return ""
        return self._random.choice(acts)(item.number, item.cost)

    def _receive(self, part: str, cost: str) -> str:
        quantity = self._random.randint(2, 12)
        day = self._mpw.today() - timedelta(days=self._random.choice((0, 0, 0, 1)))
        self._mpw.person_receives(part, MAIN, quantity, self._price(cost), day)
        return f"MPW: {quantity} of {part} received"

    def _issue(self, part: str, _cost: str) -> str:
        quantity = self._random.randint(1, 4)
        with self._mpw.lock:
            if self._mpw.stock(part, MAIN) - quantity < RESERVE:
                return ""
            self._mpw.person_issues(part, MAIN, quantity)
        return f"MPW: {quantity} of {part} issued"

    def _move_in(self, part: str, cost: str) -> str:
        quantity = self._random.randint(1, 8)
        self._mpservices.person_moves(INBOUND, part, quantity, self._price(cost))
        return f"MPservices: {quantity} of {part} in"

    def _move_out(self, part: str, cost: str) -> str:
        quantity = self._random.randint(1, 3)
        if min(self._mpservices.stock(part), self._mpw.stock(part, MAIN)) - quantity < RESERVE / 2:
            return ""
        reference = f"Folio-{self._random.randint(198, 260)}"
        self._mpservices.person_moves(OUTBOUND, part, quantity, self._price(cost), reference)
        return f"MPservices: {quantity} of {part} out"

    def _order(self, part: str, cost: str) -> str:
        order = self._mpw.add_order(
            vendor_name="Grainger", warehouse_name=MAIN, lines=[(part, self._random.randint(1, 9), cost)]
        )
        return f"MPW: requisition {order.number} written"

    def _price(self, cost: str) -> Decimal:
        return (Decimal(cost) * (100 + self._random.randint(-4, 6)) / 100).quantize(Decimal("0.0001"))

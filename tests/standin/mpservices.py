"""MPservices from its document ("API"), with a switch for everything that the document leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Literal
from uuid import UUID

from tests.standin.server import RefusalError, Reply, Request, Vendor

FEED, PATCH, CREATE = "GET FetchTenantsInventoryMovements", "PATCH UpdateProductStockCost", "POST CreateProduct"
TOKEN = "token-of-the-standin"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Habits:
    """What the document does not say of MPservices. The defaults are the plainest reading of it."""

    echo: bool = True  # a patch makes a movement at all
    echo_of_nothing: bool = True  # also one that changes nothing
    echo_type: str | None = None  # None: Inbound or Outbound, by its direction
    echo_signed: bool = False  # its quantity has a sign
    echo_reference: str | None = None
    echo_cost: Literal["new", "old"] = "new"
    echo_external_id: bool = True  # its line names the item's external id
    cost_shown: Literal["unit", "total"] = "unit"
    cost_decimals: int | None = None  # what is kept of a cost
    stock_decimals: int | None = None
    cuts: bool = False  # cut instead of rounded
    averages: bool = False  # a receipt makes a new average cost
    reach: timedelta = timedelta(hours=48)
    by_calendar: bool = False  # from the midnight that `reach` back lies in, UTC
    stamps: timedelta = timedelta(milliseconds=1)  # createdAt is cut to this
    order: Literal["newest", "oldest", "mixed"] = "newest"
    answer: Any = field(default_factory=lambda: {"success": True})  # to a patch
    unknown_refused: bool = True  # a patch of a product that is not there; else it is answered alike, and does nothing
    twins_refused: bool = True  # a second product with the same external id; else there are two


@dataclass
class Product:
    """A product as MPservices keeps it."""

    external_id: str
    item_id: str
    name: str
    unit: str
    stock: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Line:
    """A line of a movement: what changed of one product. `change` has the sign of the stock."""

    product: str
    change: Decimal
    cost: Decimal
    external_id: str | None


@dataclass
class Movement:
    """A movement.

    `echo_of`: the stock and cost that a patch asked for, where one made it; None: people did. `garbled`:
    what its first line shows instead of what is true.
    """

    id: str
    type: str
    reference: str | None
    created_at: datetime
    lines: tuple[Line, ...]
    signed: bool = False
    shown_from: datetime | None = None
    echo_of: tuple[str, str] | None = None
    garbled: dict[str, Any] = field(default_factory=dict)


class Mpservices(Vendor):
    """One tenant: products, movements, people."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.habits = Habits()
        self.products: dict[str, Product] = {}
        self.deleted: set[str] = set()  # external ids of products that people deleted; their movements stay
        self.twins: list[str] = []  # external ids of second products
        self.movements: list[Movement] = []
        self._numbers = 0

    # ------------------------------------------------------------------ what the program sees

    def handle(self, request: Request) -> Reply:
        """Answer a request."""
        if request.headers.get("token") != TOKEN:
            raise RefusalError(401, "Invalid token")
        calls: dict[str, Callable[[Request], Reply]] = {FEED: self._feed, PATCH: self._patch, CREATE: self._create}
        if request.name not in calls:
            raise RefusalError(404, "Cannot " + request.name)
        return calls[request.name](request)

    def _feed(self, _: Request) -> Reply:
        now, habits = self.clock.now(), self.habits
        first = now - habits.reach
        if habits.by_calendar:
            first = first.replace(hour=0, minute=0, second=0, microsecond=0)
        seen = [m for m in self.movements if m.created_at >= first and (m.shown_from is None or m.shown_from <= now)]
        seen.sort(key=lambda m: m.created_at, reverse=habits.order != "oldest")
        if habits.order == "mixed":
            seen = seen[1::2] + seen[::2]
        return Reply(200, [self._shown(movement) for movement in seen])

    def _shown(self, movement: Movement) -> dict[str, Any]:
        stamp = movement.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        lines = []
        for line in movement.lines:
            product = self.products[line.product]
            each = 1 if self.habits.cost_shown == "unit" else abs(line.change)
            shown: dict[str, Any] = {
                "cost": _text(line.cost * each),
                "quantity": line.change if movement.signed else abs(line.change),
                "item": product.name,
                "unit": product.unit,
                "item_id": product.item_id,
            }
            if line.external_id is not None:
                shown["item_external_id"] = line.external_id
            lines.append(shown if lines else shown | movement.garbled)
        return {
            "id": movement.id,
            "reference": movement.reference,
            "type": movement.type,
            "createdAt": stamp,
            "movements": lines,
        }

    def _patch(self, request: Request) -> Reply:
        form = request.form
        missing = [name for name in ("external_id", "new_stock", "new_cost") if not form.get(name)]
        if missing:
            raise RefusalError(400, f"{missing[0]} is required")
        product = None if form["external_id"] in self.deleted else self.products.get(form["external_id"])
        if product is None and not self.habits.unknown_refused:
            return Reply(200, self.habits.answer)
        if product is None:
            raise RefusalError(404, "Product not found")
        habits, old_cost = self.habits, product.cost
        stock = self._kept(Decimal(form["new_stock"]), habits.stock_decimals)
        cost = self._kept(Decimal(form["new_cost"]), habits.cost_decimals)
        change = stock - product.stock
        product.stock, product.cost = stock, cost
        if habits.echo and (change or habits.echo_of_nothing):
            self._add(
                habits.echo_type or ("Outbound" if change < 0 else "Inbound"),
                Line(
                    product.external_id,
                    change,
                    cost if habits.echo_cost == "new" else old_cost,
                    product.external_id if habits.echo_external_id else None,
                ),
                signed=habits.echo_signed,
                reference=habits.echo_reference,
                echo_of=(form["new_stock"], form["new_cost"]),
            )
        return Reply(200, habits.answer)

    def _create(self, request: Request) -> Reply:
        form = request.form
        missing = [n for n in ("bar_code", "product_name", "product_unit", "external_id") if not form.get(n)]
        if missing:
            raise RefusalError(400, f"{missing[0]} is required")
        stock, cost = form.get("product_stock") or "0", form.get("weighted_average") or "0"
        if form["external_id"] in self.products.keys() - self.deleted:
            if self.habits.twins_refused:
                raise RefusalError(409, "external_id already in use")
            self.twins.append(form["external_id"])
            return Reply(200, {"success": True})
        self.deleted.discard(form["external_id"])
        self.add(form["external_id"], stock, cost, name=form["product_name"], unit=form["product_unit"])
        return Reply(200, {"success": True})

    def _kept(self, value: Decimal, decimals: int | None) -> Decimal:
        if decimals is None:
            return value
        return value.quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN if self.habits.cuts else ROUND_HALF_UP)

    # ------------------------------------------------------------------ what people do

    def add(self, external_id: str, stock: Any, cost: Any, *, name: str = "A part", unit: str = "Pieces") -> Product:
        """Keep a product."""
        number = f"{len(self.products) + 1:013d}"
        product = Product(external_id, number, name, unit, Decimal(str(stock)), Decimal(str(cost)))
        self.products[external_id] = product
        return product

    def moves(
        self,
        external_id: str,
        change: Any,
        *,
        cost: Any = None,
        type: str | None = None,
        back: timedelta = timedelta(),
        shown_after: timedelta = timedelta(),
        external: bool = True,
        garbled: dict[str, Any] | None = None,
    ) -> str:
        """Let a person move stock, at the product's present cost or another one; return the movement's id.

        `back`: its createdAt lies so far back; `shown_after`: the feed lacks it for so long; `external`: its line names
        the external id. What moved has happened now, whatever the feed shows.
        """
        with self.lock:
            self.catch_up()
            product, amount = self.products[external_id], Decimal(str(change))
            paid = product.cost if cost is None else Decimal(str(cost))
            if self.habits.averages and amount > 0 and product.stock + amount > 0:
                value = product.stock * product.cost + amount * paid
                product.cost = self._kept(value / (product.stock + amount), self.habits.cost_decimals or 6)
            product.stock += amount
            movement = self._add(
                type or ("Outbound" if amount < 0 else "Inbound"),
                Line(external_id, amount, paid, external_id if external else None),
                signed=False,
                reference="Folio-198",
            )
            movement.created_at -= back
            movement.garbled = garbled or {}
            if shown_after:
                movement.shown_from = self.clock.now() + shown_after
            return movement.id

    def edits_stock(self, external_id: str, change: Any) -> None:
        """Let a person change a product's stock without a movement."""
        with self.lock:
            self.products[external_id].stock += Decimal(str(change))

    def corrects(self, movement_id: str, change: Any) -> None:
        """Let a person correct a movement: the stock follows."""
        movement = self._movement(movement_id)
        (line,) = movement.lines
        self.products[line.product].stock += Decimal(str(change)) - line.change
        movement.lines = (replace(line, change=Decimal(str(change))),)
        if movement.type in ("Inbound", "Outbound"):
            movement.type = "Outbound" if movement.lines[0].change < 0 else "Inbound"

    def deletes(self, movement_id: str) -> None:
        """Let a person delete a movement: the stock follows."""
        movement = self._movement(movement_id)
        for line in movement.lines:
            self.products[line.product].stock -= line.change
        self.movements.remove(movement)

    def stock(self, external_id: str) -> Decimal:
        """Return what there really is."""
        with self.lock:
            self.catch_up()
            return self.products[external_id].stock

    def patches(self, external_id: str) -> list[tuple[Decimal, Decimal]]:
        """Return stock and cost of every patch of a product that arrived, in order."""
        forms = [request.form for request in self.asked(PATCH)]
        return [(Decimal(f["new_stock"]), Decimal(f["new_cost"])) for f in forms if f["external_id"] == external_id]

    def _movement(self, movement_id: str) -> Movement:
        return next(movement for movement in self.movements if movement.id == movement_id)

    def _add(
        self, type: str, line: Line, *, signed: bool, reference: str | None, echo_of: tuple[str, str] | None = None
    ) -> Movement:
        self._numbers += 1
        step = self.habits.stamps
        now = self.clock.now()
        created_at = EPOCH + (now - EPOCH) // step * step
        # Ids are random at the vendor: the number comes first only so that a failing test can be read.
        id_ = str(UUID(int=(self._numbers << 96) | 0x4000_8000_0000_0000_0000))
        movement = Movement(id_, type, reference, created_at, (line,), signed=signed, echo_of=echo_of)
        self.movements.append(movement)
        return movement


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"

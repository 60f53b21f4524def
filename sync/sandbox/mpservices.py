"""MPservices' API as a model without HTTP, with people's acts: products, movements, work orders.

The two feeds show what was created in the last two days, newest first; the document names no other read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from threading import RLock
from uuid import UUID

from sync.clock import Clock
from sync.sandbox.answers import Refusal, answered, locked
from sync.sandbox.numbers import Number, exact, whole_or_decimal
from sync.values.money import plain

INBOUND, OUTBOUND = "Inbound", "Outbound"
REQUIRED_OF_PRODUCT = ("bar_code", "product_name", "product_unit", "external_id")


@dataclass(slots=True)
class Product:
    """A product; made in the screens, it may have no external id."""

    item_id: str
    external_id: str | None
    name: str
    unit: str
    stock: Decimal
    cost: Decimal
    bar_code: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a movement."""

    product: Product
    quantity: Decimal
    cost: Decimal


@dataclass(slots=True)
class Movement:
    """An inventory movement; `by_patch` marks those that UpdateProductStockCost made (no answer shows it)."""

    id: str
    type: str
    created_at: datetime
    reference: str | None
    lines: list[Line]
    by_patch: bool = False


@dataclass(slots=True)
class ServiceOrder:
    """A work order of MPservices."""

    id: str
    folio: int
    title: str
    created_at: datetime
    closed: bool = False


@dataclass(slots=True)
class MpservicesOptions:
    """Where the document is silent, both readings can be had.

    `feed_hours`: how far "the last two days" reach, rolling by the clock.
    `patch_zero_delta_movement`: a patch that leaves the stock as it is makes a movement of quantity 0, else none.
    `feed_wrapper`: put the feed's list under this name; empty: a bare list.
    `stamp_skew_seconds`: how far createdAt runs ahead of the Date header's clock.
    `keeps_cost`, `keeps_stock`: what is kept of the numbers that a patch sends.
    """

    feed_hours: float = 48
    patch_zero_delta_movement: bool = False
    feed_wrapper: str = ""
    stamp_skew_seconds: float = 0
    keeps_cost: Callable[[Decimal], Decimal] = lambda cost: cost
    keeps_stock: Callable[[Decimal], Decimal] = lambda stock: stock


class MpservicesModel:
    """MPservices: its endpoints and what people do in its screens."""

    def __init__(
        self, clock: Clock, *, token: str = "", seed: int = 1, options: MpservicesOptions | None = None
    ) -> None:
        self.lock = RLock()
        self.clock = clock
        self.token = token
        self.options = options or MpservicesOptions()
        self.products: list[Product] = []
        self.all_movements: list[Movement] = []
        self.service_orders: list[ServiceOrder] = []
        self._random = Random(seed)  # noqa: S311 - ids that repeat with the seed, no secret

    def allows(self, token: str | None) -> bool:
        """Return whether the `token` header is the tenant's key."""
        return bool(self.token) and token == self.token

    # ------------------------------------------------------------------ endpoints

    @answered
    def movements(self) -> object:
        """Get Inventory movements: "created inventory movements in the last two days ordered by last created"."""
        return self._feed([(item.created_at, movement_row(item)) for item in self.all_movements])

    @answered
    def work_orders(self) -> object:
        """Get work orders: "created work orders of the last two days ordered by last created"."""
        return self._feed([(item.created_at, service_order_row(item)) for item in self.service_orders])

    def _feed(self, rows: list[tuple[datetime, dict[str, object]]]) -> object:
        now = max(self.clock.now(), self._stamp_now())
        since = now - timedelta(hours=self.options.feed_hours)
        recent = [(stamp, place, row) for place, (stamp, row) in enumerate(rows) if since <= stamp <= now]
        newest_first = [row for _, _, row in sorted(recent, key=lambda item: item[:2], reverse=True)]
        return {self.options.feed_wrapper: newest_first} if self.options.feed_wrapper else newest_first

    @answered
    def create_product(self, values: Mapping[str, str]) -> object:
        """Create a new product."""
        for name in REQUIRED_OF_PRODUCT:
            _required(values, name)
        for name in ("product_stock", "weighted_average"):
            _number(values.get(name) or "0", name)
        for name in ("min_stock", "max_stock"):
            if values.get(name) and not values[name].strip().lstrip("-").isdecimal():
                raise Refusal(400, f"{name} must be an integer")
        if self._by_external_id(values["external_id"]) is not None:
            raise Refusal(409, f"A product with external_id {values['external_id']} already exists")
        product = self.add_product(
            values["external_id"],
            name=values["product_name"],
            unit=values["product_unit"],
            stock=values.get("product_stock") or "0",
            cost=values.get("weighted_average") or "0",
        )
        product.bar_code, product.fields = values["bar_code"], dict(values)
        return product_row(product)

    @answered
    def patch_stock(self, values: Mapping[str, str]) -> object:
        """Update product stock and cost: "Updates the cost and stock of a product and creates a movement".

        The values are absolute. The movement is the difference, at the new cost, typed by its sign.
        """
        external_id = _required(values, "external_id")
        stock = _number(_required(values, "new_stock"), "new_stock")
        cost = _number(_required(values, "new_cost"), "new_cost")
        product = self._by_external_id(external_id)
        if product is None:
            raise Refusal(404, f"There is no product with external_id {external_id}")
        stock, cost = self.options.keeps_stock(stock), self.options.keeps_cost(cost)
        delta = stock - product.stock
        product.stock, product.cost = stock, cost
        if delta != 0 or self.options.patch_zero_delta_movement:
            kind = OUTBOUND if delta < 0 else INBOUND
            self._record(kind, [Line(product, abs(delta), cost)], None, self._stamp_now(), by_patch=True)
        return product_row(product)

    # ------------------------------------------------------------------ people

    @locked
    def add_product(
        self,
        external_id: str | None,
        *,
        name: str | None = None,
        unit: str = "Pieces",
        stock: Number = 0,
        cost: Number = 0,
    ) -> Product:
        """Make a product; without an external id its movements show none."""
        item_id = f"{len(self.products) + 1:013d}"
        product = Product(item_id, external_id, name or external_id or item_id, unit, exact(stock), exact(cost))
        self.products.append(product)
        return product

    @locked
    def product(self, external_id: str) -> Product:
        """Return a product by its external id, else by its own id; ValueError if there is none."""
        found = self._by_external_id(external_id)
        found = found or next((item for item in self.products if item.item_id == external_id), None)
        if found is None:
            raise ValueError(f"there is no product {external_id}")
        return found

    @locked
    def stock(self, external_id: str) -> Decimal:
        """Return what MPservices has of a product, which its API cannot tell."""
        return self.product(external_id).stock

    @locked
    def person_moves(
        self,
        type: str,
        external_id: str,
        quantity: Number,
        cost: Number,
        reference: str | None = None,
        *,
        created_at: datetime | None = None,
    ) -> str:
        """Move one product in (`Inbound`) or out (`Outbound`) of stock; return the movement's id."""
        return self.person_moves_lines(type, [(external_id, quantity, cost)], reference, created_at=created_at)

    @locked
    def person_moves_lines(
        self,
        type: str,
        lines: Sequence[tuple[str, Number, Number]],
        reference: str | None = None,
        *,
        created_at: datetime | None = None,
    ) -> str:
        """Make one movement with several lines (external id, quantity, cost); any other type leaves the stock alone."""
        made = [Line(self.product(item), exact(quantity), exact(cost)) for item, quantity, cost in lines]
        sign = {INBOUND: 1, OUTBOUND: -1}.get(type, 0)
        for line in made:
            line.product.stock += sign * line.quantity
        return self._record(type, made, reference, created_at or self._stamp_now()).id

    @locked
    def add_work_order(
        self, folio: int, title: str, *, created_at: datetime | None = None, closed: bool = False
    ) -> ServiceOrder:
        """Write a work order."""
        order = ServiceOrder(self._uuid(), folio, title, created_at or self.clock.now(), closed)
        self.service_orders.append(order)
        return order

    @locked
    def set_feed_hours(self, hours: float) -> None:
        """Let the feeds reach less or more far back."""
        self.options.feed_hours = float(hours)

    # ------------------------------------------------------------------ shared

    def _by_external_id(self, external_id: str) -> Product | None:
        return next((item for item in self.products if item.external_id == external_id), None)

    def _record(
        self, type: str, lines: list[Line], reference: str | None, created_at: datetime, *, by_patch: bool = False
    ) -> Movement:
        movement = Movement(self._uuid(), type, created_at, reference, lines, by_patch)
        self.all_movements.append(movement)
        return movement

    def _stamp_now(self) -> datetime:
        """The clock of createdAt, which need not be the one of the Date header."""
        return self.clock.now() + timedelta(seconds=self.options.stamp_skew_seconds)

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def _required(values: Mapping[str, str], name: str) -> str:
    if not (values.get(name) or "").strip():
        raise Refusal(400, f"{name} is required")
    return values[name].strip()


def _number(text: str, name: str) -> Decimal:
    try:
        return exact(text.strip())
    except ValueError:
        raise Refusal(400, f"{name} must be a number") from None


def stamp(instant: datetime) -> str:
    """Return an instant as the samples print it: 2023-09-19T13:54:37.187Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def movement_row(movement: Movement) -> dict[str, object]:
    """A movement as its sample prints it: the cost a string, the quantity a number."""
    return {
        "id": movement.id,
        "reference": movement.reference,
        "type": movement.type,
        "createdAt": stamp(movement.created_at),
        "movements": [
            {
                "cost": plain(line.cost),
                "quantity": whole_or_decimal(line.quantity),
                "item": line.product.name,
                "unit": line.product.unit,
                "item_id": line.product.item_id,
                "item_external_id": line.product.external_id,
            }
            for line in movement.lines
        ],
    }


def service_order_row(order: ServiceOrder) -> dict[str, object]:
    """A work order as its sample prints it."""
    start = order.created_at
    return {
        "id": order.id,
        "folio": order.folio,
        "title": order.title,
        "scheduleDate": stamp(start),
        "start": stamp(start + timedelta(hours=1)),
        "end": stamp(start + timedelta(hours=4)),
        "open": not order.closed,
        "closed": order.closed,
        "createdAt": stamp(order.created_at),
        "users": [{"username": "John", "email": "john@example.com"}],
        "client": {"name": "Client 1"},
        "asset": {"name": "Mini Split", "code": "MS-230"},
        "notes": [],
    }


def product_row(product: Product) -> dict[str, object]:
    """What the two writes answer (undocumented): the product as it is now."""
    return {
        "external_id": product.external_id,
        "item_id": product.item_id,
        "product_name": product.name,
        "stock": plain(product.stock),
        "cost": plain(product.cost),
    }

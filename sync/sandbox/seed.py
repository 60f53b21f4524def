"""A parts department to try things on: the same seed and day give the same data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from sync.sandbox.mpservices import INBOUND, OUTBOUND, MpservicesModel
from sync.sandbox.mpw import MpwModel

MAIN, SECOND = "Warehouse #1", "WH2"
GPS_PROVIDER = "Geotab"
SPLIT_PART = "000global"
"""Nobody but MPservices takes from it: its receipts are 4, 3 and 5, and an Outbound of 10 waits for them."""
RESERVE = 20
"""People leave that much of a part, so that what MPservices took can be taken in MPW too."""


@dataclass(frozen=True, slots=True)
class Item:
    """A part of the seed: its price at the start, and whether MPservices has it under the same number."""

    number: str
    warehouse: str
    name: str
    unit: str
    cost: str
    mapped: bool = True


ITEMS = (
    Item("51503", MAIN, "Frame rail fuel filter", "Each", "11.3"),
    Item("091843", MAIN, "Hydraulic hose 3/8", "Each", "9.99"),
    Item("99999", MAIN, "Oil 15W-40", "Gallon", "10"),
    Item("1112", MAIN, "V-belt B55", "Each", "1.99"),
    Item("BRG-6204", MAIN, "Ball bearing 6204", "Each", "4.2550"),
    Item("BRK-220", MAIN, "Brake pad set", "Each", "43.2705"),
    Item("FLT-100", MAIN, "Air filter", "Each", "27.45"),
    Item("SPARE-7", MAIN, "Control board", "Each", "185", mapped=False),
    Item("51503", SECOND, "Frame rail fuel filter", "Each", "11.5", mapped=False),
    Item("GRS-14", SECOND, "Grease cartridge", "Each", "6.35", mapped=False),
    Item("BLT-310", SECOND, "Hex bolt M10", "Each", "0.35", mapped=False),
)
MOVING = tuple(item for item in ITEMS if item.mapped)


def populate(mpw: MpwModel, mpservices: MpservicesModel, *, seed: int, days: int) -> None:
    """Fill both vendors: `days` days of people's work in MPW up to today, the last two days' in MPservices."""
    random = Random(seed)  # noqa: S311 - the same data for the same seed, no secret
    today = mpw.today()
    first = today - timedelta(days=max(days, 1) - 1)
    _people_and_places(mpw, today)
    _first_receipts(mpw, first)
    _split_layers(mpw, first, today)
    _months_of_work(mpw, random, first, today - timedelta(days=1))
    _products(mpw, mpservices)
    _days_work(mpw, random, today)
    mpw.person_receives("99999", MAIN, 8, "10.4", today, vendor_name="Bosch")
    _movements(mpservices)
    _orders(mpw, random, first, today)
    _work_orders(mpw, mpservices, today)


def _people_and_places(mpw: MpwModel, today: date) -> None:
    for name in (MAIN, SECOND):
        mpw.add_warehouse(name)
    mpw.add_vendor("Bosch")
    mpw.add_vendor("Grainger", "V-100")
    mpw.add_vendor("Fastenal", "V-200")
    mpw.add_equipment("001", "4-Gas Monitor", name="001 001 - 2010 ABC")
    for number, name in (("STX-333", "STX-333 KW Hydro"), ("TRK-12", "Truck 12"), ("LDR-4", "Loader 4")):
        mpw.add_equipment(
            number, "Truck", name=name, gps_provider=GPS_PROVIDER, last_recorded_on=today - timedelta(days=1)
        )


def _first_receipts(mpw: MpwModel, first: date) -> None:
    for item in ITEMS:
        mpw.add_part(item.number, item.warehouse, name=item.name, unit_type=item.unit)
        mpw.person_receives(item.number, item.warehouse, 60, item.cost, first, vendor_name="Grainger")


def _split_layers(mpw: MpwModel, first: date, today: date) -> None:
    mpw.add_part(SPLIT_PART, MAIN, name="Global part")
    for quantity, cost, back in ((4, "50", 9), (3, "51.25", 5), (5, "52.5", 2)):
        mpw.person_receives(SPLIT_PART, MAIN, quantity, cost, max(first, today - timedelta(days=back)))


def _months_of_work(mpw: MpwModel, random: Random, first: date, last: date) -> None:
    for back in range((last - first).days, -1, -1):
        _days_work(mpw, random, last - timedelta(days=back))


def _days_work(mpw: MpwModel, random: Random, day: date) -> None:
    for _ in range(random.randint(1, 3)):
        item = random.choice(ITEMS)
        price = Decimal(item.cost) * (100 + random.randint(-5, 8)) / 100
        mpw.person_receives(
            item.number,
            item.warehouse,
            random.randint(5, 30),
            price.quantize(Decimal("0.0001")),
            day,
            vendor_name=random.choice(("Bosch", "Grainger", "Fastenal", None)),
            invoice_number=random.choice((None, f"INV-{random.randint(1000, 9999)}")),
        )
    for _ in range(random.randint(2, 6)):
        item = random.choice(ITEMS)
        spare = mpw.stock(item.number, item.warehouse) - RESERVE
        if spare >= 1:
            quantity = min(random.randint(1, 8), int(spare))
            mpw.person_issues(item.number, item.warehouse, quantity, day, description=random.choice((None, "shop")))


def _products(mpw: MpwModel, mpservices: MpservicesModel) -> None:
    """Give MPservices the mapped parts, with MPW's stock of the start of the day: today's is not known there."""
    for item in MOVING:
        stock = mpw.stock(item.number, item.warehouse)
        mpservices.add_product(item.number, name=item.name, unit="Pieces", stock=stock, cost=item.cost)
    mpservices.add_product(SPLIT_PART, name="Global part", stock=mpw.stock(SPLIT_PART, MAIN), cost="50")


def _movements(mpservices: MpservicesModel) -> None:
    """Move parts in MPservices over the last two days; all of it can be posted to MPW."""
    now = mpservices.clock.now()
    steps: tuple[tuple[float, str, tuple[tuple[str, int, str], ...], str | None], ...] = (
        (45, INBOUND, (("51503", 6, "11.4"),), None),
        (39, OUTBOUND, (("51503", 2, "11.3"),), "Folio-198"),
        (30, OUTBOUND, (("99999", 3, "10"), ("1112", 1, "1.99")), "Folio-199"),
        (22, INBOUND, (("091843", 12, "10.25"),), None),
        (13, OUTBOUND, (("BRG-6204", 4, "4.255"),), None),
        (7, OUTBOUND, ((SPLIT_PART, 10, "51"),), "Folio-201"),
        (2, INBOUND, (("BRK-220", 4, "43.2705"),), None),
        (0.5, OUTBOUND, (("FLT-100", 1, "27.45"),), "Folio-202"),
    )
    for hours, kind, lines, reference in steps:
        mpservices.person_moves_lines(kind, lines, reference, created_at=now - timedelta(hours=hours))


def _orders(mpw: MpwModel, random: Random, first: date, today: date) -> None:
    statuses = ("Received", "Received", "Rejected", "Ordered", "Ordered") + ("requisition",) * 5
    for place, status in enumerate(statuses):
        created = max(first, today - timedelta(days=2 * (len(statuses) - place)))
        lines = [
            (item.number, random.randint(1, 20), item.cost)
            for item in random.sample([item for item in ITEMS if item.warehouse == MAIN], random.randint(1, 3))
        ]
        order = mpw.add_order(
            1000 + place,
            status=status,
            created_on=created,
            vendor_name=None if place == len(statuses) - 1 else random.choice(("Bosch", "Grainger", "Fastenal")),
            warehouse_name=MAIN,
            lines=lines,
            required_on=created + timedelta(days=7),
            completed_on=created + timedelta(days=3) if status == "Received" else None,
            freight_cost=random.choice(("0", "12.5")),
        )
        if status == "Received":
            for line in order.lines:
                line.received = line.quantity


def _work_orders(mpw: MpwModel, mpservices: MpservicesModel, today: date) -> None:
    for place, tasks in enumerate((("repair3",), ("inspect", "replace filter"), ("oil change",), ("brakes",))):
        done = place == 3
        mpw.add_work_order(
            1_234_567_996 + place,
            status="Completed" if done else "Open",
            tasks=tasks,
            equipment=mpw.equipments[place],
            scheduled_on=today - timedelta(days=place),
            due_on=today + timedelta(days=3 - place),
            start_at=f"{today - timedelta(days=place)}T08:00:00.000Z" if place else None,
            completed_at=f"{today}T10:00:00.000Z" if done else None,
        )
    now = mpservices.clock.now()
    for place, title in enumerate(("Preventive Monthly Activity", "Fix leak", "Weekly check", "Replace filter")):
        mpservices.add_work_order(198 + place, title, created_at=now - timedelta(hours=41 - 11 * place))

"""The load: people at both vendors and the ERP at its inbox, while daemons die; and what each act must lead to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from sync.database.engine import Store
from sync.sandbox.server import Sandbox

MAIN, SECOND = "Warehouse #1", "WH2"
PARTS = ("P-1", "P-2", "P-3", "P-4")
SMALL_LAYERS = "SPLIT"
"""A part whose receipts hold 3 each: an issuance of more is posted in parts."""

FAULTS = (
    "refused_before",
    "lost_request",
    "lost_answer",
    "error_before",
    "error_after",
    "too_many",
    "cut_body",
    "html",
)
STRUCK = (
    "mpw.post_*",
    "mpw.delete_*",
    "mpw.approve",
    "mpservices.patch_stock",
    "mpservices.create_product",
    "mpw.receipts",
    "mpw.issuances",
    "mpw.inventories",
    "mpservices.movements",
)
SLOW_SECONDS_MAX = 0.8
"""How late a slow answer comes: below the request timeout, so that a late effect is one of a killed caller's call."""


@dataclass
class Expected:
    """What must be in the vendors at the end: quantity by (kind, api_key), and what the ERP ordered otherwise.

    A quantity of 0 says that it was voided: posted once, deleted once, and not there.
    """

    movements: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    orders: set[int] = field(default_factory=set)
    products: set[str] = field(default_factory=set)
    inventories: set[str] = field(default_factory=set)
    transfers: dict[str, Decimal] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """How many acts must have exactly one effect."""
        others = (self.orders, self.products, self.inventories, self.transfers)
        return len(self.movements) + sum(len(other) for other in others)


def furnish(sandbox: Sandbox) -> None:
    """Put warehouses and parts into both vendors, with so much stock that no issuance waits for some."""
    mpw, mpservices = sandbox.mpw, sandbox.mpservices
    for warehouse in (MAIN, SECOND):
        mpw.add_warehouse(warehouse)
    mpw.add_vendor("Bosch")
    long_ago = mpw.today().replace(year=mpw.today().year - 1, day=1)
    for part in PARTS:
        mpw.add_part(part, MAIN, name=part)
        mpw.person_receives(part, MAIN, 100_000, "10", long_ago)
        mpservices.add_product(part, stock=100_000, cost="10")
    mpw.add_part(SMALL_LAYERS, MAIN)
    for _ in range(700):
        mpw.person_receives(SMALL_LAYERS, MAIN, 3, "10", long_ago)
    mpservices.add_product(SMALL_LAYERS, stock=2100, cost="10")


class People:
    """Acts of a seed, one at a time or from a thread; every act is written down in `expected`.

    No two acts share a cost, so that an echo is never in doubt (docs/adr/0004): a doubt is a person's
    to settle, and this is about what the program settles alone.
    """

    def __init__(self, sandbox: Sandbox, database_url: str, seed: int) -> None:
        self._mpw, self._mpservices, self._faults = sandbox.mpw, sandbox.mpservices, sandbox.faults
        self._store = Store(database_url)
        self._random = Random(seed)
        self._numbers = 0
        self._backlog: list[tuple[str, str, dict[str, object]]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None
        self.expected = Expected()
        self._acts: list[Callable[[], None]] = [
            self._moves_in,
            self._moves_in,
            self._moves_out,
            self._moves_out,
            self._receives,
            self._issues,
            self._erp_receives,
            self._erp_issues,
            self._erp_voids,
            self._erp_approves,
            self._erp_makes_a_product,
            self._erp_makes_a_part,
            self._erp_transfers,
        ]

    def begin(self) -> None:
        """Move every part once in MPservices: from then on its stock is kept equal."""
        for part in (*PARTS, SMALL_LAYERS):
            self._move("Inbound", [(part, 1)])

    def act(self) -> None:
        """Do one thing."""
        self._random.choice(self._acts)()
        self.hand_in()

    def act_all(self, names: Sequence[str]) -> None:
        """Do each of these things once, by their names here."""
        for name in names:
            getattr(self, name)()
        self.hand_in()

    def break_something(self) -> None:
        """Let a coming request or two go wrong."""
        kind = self._random.choice(FAULTS)
        self._faults.add(self._random.choice(STRUCK), kind, self._random.choice((1, 1, 2)), retry_after=0)
        slow = round(self._random.uniform(0.05, SLOW_SECONDS_MAX), 3)
        self._faults.add(self._random.choice(STRUCK), "slow", 2, seconds=slow)

    def start(self, *, pause_seconds: float, fault_share: float) -> None:
        """Act from a thread, a pause of about so long between any two acts; some of them are faults."""

        def run() -> None:
            try:
                while not self._stop.wait(self._random.uniform(0.2, 1.8) * pause_seconds):
                    self.act()
                    if self._random.random() < fault_share:
                        self.break_something()
            except BaseException as error:  # told by stop(), in the thread that waits
                self._failed = error

        self._thread = threading.Thread(target=run, name="people", daemon=True)
        self._thread.start()

    def stop(self, *, hand_in_seconds: float = 60.0) -> None:
        """End the acts and the faults, and hand in what the database did not take meanwhile."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._failed is not None:
            raise self._failed
        self._faults.clear()
        deadline = time.monotonic() + hand_in_seconds
        while self.hand_in():
            if time.monotonic() > deadline:
                raise AssertionError(f"the inbox takes nothing: {self._backlog[0]}")
            time.sleep(0.1)

    def close(self) -> None:
        """Let go of the database."""
        self._stop.set()
        self._store.close()

    def hand_in(self) -> int:
        """Insert what is still to be inserted; return how much the database did not take. As the ERP would: again and
        again with the same key, also where it did take it and only the answer was lost."""
        while self._backlog:
            document_type, api_key, payload = self._backlog[0]
            statement = text("insert into inbox (document_type, api_key, payload) values (:t, :k, :p)")
            try:
                with self._store.write() as conn:
                    conn.execute(statement, {"t": document_type, "k": api_key, "p": json.dumps(payload)})
            except SQLAlchemyError:
                break
            self._backlog.pop(0)
        return len(self._backlog)

    # ------------------------------------------------------------------ acts

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _cost(self) -> Decimal:
        return Decimal(10) + Decimal(self._number()) / 1000

    def _part(self) -> str:
        return self._random.choice((*PARTS, SMALL_LAYERS))

    def _move(self, kind: str, lines: list[tuple[str, int]]) -> None:
        made = [(part, quantity, self._cost()) for part, quantity in lines]
        movement = self._mpservices.person_moves_lines(kind, made)
        event = "receipt" if kind == "Inbound" else "issuance"
        for place, (_, quantity) in enumerate(lines, start=1):
            self.expected.movements[event, f"mps-{movement.replace('-', '')}-{place}"] = Decimal(quantity)

    def _moves_in(self) -> None:
        self._move("Inbound", [(self._part(), self._random.randint(1, 9)) for _ in range(self._random.choice((1, 2)))])

    def _moves_out(self) -> None:
        self._move("Outbound", [(self._part(), self._random.randint(1, 7))])

    def _receives(self) -> None:
        self._mpw.person_receives(self._part(), MAIN, self._random.randint(1, 9), self._cost(), self._mpw.today())

    def _issues(self) -> None:
        self._mpw.person_issues(self._part(), MAIN, self._random.randint(1, 4))

    def _insert(self, document_type: str, api_key: str, **payload: object) -> None:
        self._backlog.append((document_type, api_key, payload))

    def _erp_receives(self) -> None:
        key, quantity = f"ERP-R-{self._number()}", self._random.randint(1, 9)
        self._insert(
            "receipt",
            key,
            part_number=self._part(),
            warehouse_name=MAIN,
            quantity_received=quantity,
            unit_cost=str(self._cost()),
            created_on=self._mpw.today().isoformat(),
        )
        self.expected.movements["receipt", key] = Decimal(quantity)

    def _erp_issues(self) -> None:
        key, quantity = f"ERP-I-{self._number()}", self._random.randint(1, 5)
        self._insert(
            "issuance",
            key,
            part_number=self._part(),
            warehouse_name=MAIN,
            quantity=quantity,
            created_on=self._mpw.today().isoformat(),
        )
        self.expected.movements["issuance", key] = Decimal(quantity)

    def _erp_voids(self) -> None:
        """Take back an issuance of the ERP, wherever it is on its way by now."""
        alive = [
            key
            for (kind, key), quantity in self.expected.movements.items()
            if kind == "issuance" and key.startswith("ERP-I-") and quantity
        ]
        if alive:
            key = self._random.choice(alive)
            self._insert("void", key, kind="issuance")
            self.expected.movements["issuance", key] = Decimal(0)

    def _erp_approves(self) -> None:
        order = self._mpw.add_order(vendor_name="Bosch", warehouse_name=MAIN, lines=[(self._part(), 5, "7")])
        self._insert("po_approval", f"ERP-A-{order.number}", purchase_order_number=order.number, approved_by="ann")
        self.expected.orders.add(order.number)

    def _erp_makes_a_product(self) -> None:
        name = f"NEW-{self._number()}"
        self._insert("product", f"ERP-P-{name}", bar_code=name, product_name=name, product_unit="x", external_id=name)
        self.expected.products.add(name)

    def _erp_makes_a_part(self) -> None:
        name = f"PART-{self._number()}"
        self._insert("inventory", f"ERP-V-{name}", part_number=name, warehouse_name=MAIN, inventory_name=name)
        self.expected.inventories.add(name)

    def _erp_transfers(self) -> None:
        """Each of a part of its own, so that its effects can be counted: MPW keeps no trace of a transfer."""
        name, quantity = f"MOVED-{self._number()}", self._random.randint(1, 9)
        self._mpw.add_part(name, MAIN)
        self._mpw.person_receives(name, MAIN, 50, self._cost(), self._mpw.today())
        self._insert(
            "transfer",
            f"ERP-T-{name}",
            part_number=name,
            warehouse_name=MAIN,
            destination_warehouse_name=SECOND,
            quantity=quantity,
        )
        self.expected.transfers[name] = Decimal(quantity)

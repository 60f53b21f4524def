"""What must be true after all the deaths: every act has its one effect, and the three sets of books agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from sync.database.engine import Store
from sync.sandbox.server import Sandbox
from tests.crash.people import MAIN, PARTS, SECOND, SMALL_LAYERS, Expected

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass
class Findings:
    """How many events had exactly their effect, and which had more, less, or are not settled yet."""

    events: int = 0
    effects: int = 0
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether all have met."""
        return self.open == 0

    @property
    def open(self) -> int:
        """How much has not met."""
        return len(self.doubled) + len(self.lost) + len(self.unsettled)

    def __str__(self) -> str:
        return (
            f"events {self.events}, effects {self.effects}, doubled {len(self.doubled)}, lost {len(self.lost)}, "
            f"unsettled {len(self.unsettled)}"
        )

    def details(self) -> str:
        """Return what is wrong, a line each."""
        lines = [("doubled", self.doubled), ("lost", self.lost), ("unsettled", self.unsettled)]
        return "\n".join(f"  {name}: {what}" for name, whats in lines for what in whats)


class Books:
    """Looks into the vendors' models, where nothing is hidden, and into mpsync's own tables."""

    def __init__(self, sandbox: Sandbox, database_url: str, expected: Expected) -> None:
        self._sandbox = sandbox
        self._store = Store(database_url)
        self._expected = expected

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def examine(self) -> Findings:
        """Compare everything with what was done."""
        expected = self._expected
        findings = Findings(events=expected.events)
        with self._sandbox.mpw.lock, self._sandbox.mpservices.lock:
            compared: list[tuple[str, Decimal, Decimal]] = [
                *self._movements(),
                *((f"product {name}", self._products(name), ONE) for name in expected.products),
                *((f"part {name}", self._parts(name), ONE) for name in expected.inventories),
                *((f"approval of {number}", self._approved(number), ONE) for number in expected.orders),
                *((f"transfer of {name}", self._moved(name), wanted) for name, wanted in expected.transfers.items()),
            ]
            findings.doubled += self._nobodys()
            findings.unsettled += self._stocks_apart()
            truth = self._truth()
        for name, made, wanted in compared:
            findings.effects += made == wanted
            if made > wanted:
                findings.doubled.append(f"{name}: {made} in place of {wanted}")
            elif made < wanted:
                findings.lost.append(f"{name}: {made} of {wanted}")
        findings.unsettled += self._unfinished()
        findings.unsettled += self._ledger_differs(truth)
        return findings

    def query(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Run SQL on mpsync's database."""
        with self._store.read() as conn:
            return [dict(row._mapping) for row in conn.execute(text(sql), values)]

    # ------------------------------------------------------------------ the vendors

    def _movements(self) -> Iterator[tuple[str, Decimal, Decimal]]:
        made: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        for key, receipt in self._sandbox.mpw.receipt_by_key.items():
            made["receipt", key] += receipt.received
        for key, issuances in self._sandbox.mpw.issuances_by_key.items():
            made["issuance", _event_key(key)] += sum((issuance.quantity for issuance in issuances), ZERO)
        for (kind, key), quantity in self._expected.movements.items():
            yield f"{kind} {key}", made[kind, key], quantity

    def _nobodys(self) -> list[str]:
        """What stands in MPW under a key, and nobody asked for: a forwarded echo would be such a row."""
        mpw, known = self._sandbox.mpw, self._expected.movements
        keys = [("receipt", key) for key in mpw.receipt_by_key]
        keys += [("issuance", _event_key(key)) for key, rows in mpw.issuances_by_key.items() if rows]
        return [f"{kind} {key} is nobody's" for kind, key in dict.fromkeys(keys) if (kind, key) not in known]

    def _products(self, name: str) -> Decimal:
        return Decimal(sum(product.external_id == name for product in self._sandbox.mpservices.products))

    def _parts(self, name: str) -> Decimal:
        part = self._sandbox.mpw.parts.get((MAIN, name))
        return Decimal(part is not None and part.api_key == f"ERP-V-{name}")

    def _approved(self, number: int) -> Decimal:
        return Decimal(self._sandbox.mpw.orders[number].status == "Ordered")

    def _moved(self, name: str) -> Decimal:
        part = self._sandbox.mpw.parts.get((SECOND, name))
        return part.quantity if part is not None else ZERO

    def _stocks_apart(self) -> list[str]:
        apart = []
        for part in (*PARTS, SMALL_LAYERS):
            here = self._sandbox.mpw.stock(part, MAIN)
            there = self._sandbox.mpservices.stock(part)
            if here != there:
                apart.append(f"stock of {part}: MPW has {here}, MPservices {there}")
        return apart

    def _truth(self) -> dict[tuple[str, str], Decimal]:
        """Return the quantity of every row that both vendors' feeds show, by system and identity."""
        mpw = self._sandbox.mpw
        today = mpw.today()
        truth: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        for receipt in mpw.receipt_by_id.values():
            if receipt.listed and (today - receipt.created_on).days <= 2:
                truth["mpw", f"receipt {receipt.id}"] += receipt.received
        for issuance in mpw.issuance_by_id.values():
            truth["mpw", f"issuance {issuance.id}"] -= issuance.quantity
        for (kind, key), quantity in self._expected.movements.items():
            if key.startswith("mps-"):
                truth["mpservices", key] += quantity if kind == "receipt" else -quantity
        return truth

    # ------------------------------------------------------------------ mpsync's own tables

    def _unfinished(self) -> list[str]:
        left = [
            f"outbox {row['id']} {row['operation']} {row['api_key']} is {row['state']}: {row['last_error']}"
            for row in self.query(
                "select * from v_outbox where state not in ('done', 'superseded', 'discarded') order by id"
            )
        ]
        left += [
            f"exception {row['kind']} {row['subject']}: {row['detail']}"
            for row in self.query("select * from v_exceptions where resolved_at is null order by id")
        ]
        left += [
            f"inbox {row['document_type']} {row['api_key']} is {row['state']}: {row['error']}"
            for row in self.query("select * from inbox where state is null or state <> 'accepted' order by id")
        ]
        return left

    def _ledger_differs(self, truth: dict[tuple[str, str], Decimal]) -> list[str]:
        """Each vendor's row has exactly its quantity in the ledger; echoes are in it too, and are nobody's event."""
        held: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        rows = self.query(
            "select system, kind, remote_id, api_key, sum(quantity_micros) as micros from v_ledger"
            " where system in ('mpw', 'mpservices') and kind in ('receipt', 'issuance') group by 1, 2, 3, 4"
        )
        for row in rows:
            name = f"{row['kind']} {row['remote_id']}" if row["system"] == "mpw" else str(row["api_key"])
            held[row["system"], name] += Decimal(int(row["micros"])) / 10**6
        return [
            f"ledger of {system} {name}: {held[system, name]}, truth {truth[system, name]}"
            for system, name in sorted(held.keys() | truth.keys())
            if held[system, name] != truth[system, name]
        ]


def _event_key(key: str) -> str:
    """Return the event of a part of a split issuance (`key_s1`)."""
    head, _, tail = key.rpartition("_s")
    return head if head and tail.isdigit() else key

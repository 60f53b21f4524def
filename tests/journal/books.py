"""A ledger to book, and what a test does with it; what systems say goes through the ledger's own door."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select, text, update

from sync.database.engine import Store
from sync.database.schema import documents
from sync.jobs.due import an_agenda
from sync.jobs.reports import Record, rows
from sync.journal.account_rows import save_rules
from sync.journal.accounts import numbered, read_rules, sample
from sync.journal.check import Checked, check_journal
from sync.journal.derive import journal_once
from sync.ledger.documents import insert_documents
from sync.ledger.rules import new_entry
from sync.values.books import JournalTerms
from sync.values.policy import Policy
from sync.work.context import Context
from tests.clocks import FakeClock

DAY = date(2024, 3, 14)
FIRST = date(2024, 1, 1)


@dataclass
class Books:
    """A ledger, its journal, and their clock."""

    store: Store
    clock: FakeClock
    terms: JournalTerms = field(default_factory=lambda: JournalTerms(starts_on=FIRST))
    lock_date: date | None = None

    def context(self) -> Context:
        """Return what a flow works with."""
        policy = replace(Policy(), journal=self.terms, lock_date=self.lock_date)
        return Context(store=self.store, clock=self.clock, policy=policy, agenda=an_agenda())

    def accounts(self, csv_text: str | None = None) -> None:
        """Put rules of accounts in force."""
        read = read_rules(numbered(sample() if csv_text is None else csv_text))
        assert read.errors == ()
        with self.context().anyone_writes() as books:
            save_rules(books, read.rules, by="test")

    def append(self, system: str, kind: str, key: str, quantity: str, cost: str = "0", **more: Any) -> int:
        """Append one original; return its id. With `raw` MPW's row is kept as its document."""
        raw = more.pop("raw", None)
        remote_id = more.pop("remote_id", key)
        values: dict[str, Any] = {"item": "P-1", "warehouse": "Main", "occurred_on": DAY} | more
        new = new_entry(system, kind, key, remote_id, quantity=Decimal(quantity), unit_cost=Decimal(cost), **values)
        with self.context().anyone_writes() as books:
            [id_] = books.append([new])
            if raw is not None:
                self._document(books.conn, new, id_, raw)
        return id_

    def _document(self, conn: Connection, new: Any, id_: int, raw: dict[str, Any]) -> None:
        mine = documents.c.system == new.system, documents.c.type == new.kind, documents.c.remote_id == new.remote_id
        if conn.execute(select(documents.c.id).where(*mine)).first():
            values = {"entry_id": id_, "api_key": new.api_key, "raw": json.dumps(raw), "voided_at": None}
            conn.execute(update(documents).where(*mine).values(**values))
            return
        row = {
            "system": new.system,
            "type": new.kind,
            "remote_id": new.remote_id,
            "source": f"mpw.{new.kind}s",
            "day": new.occurred_on,
            "raw": json.dumps(raw),
            "digest": str(id_),
            "api_key": new.api_key,
            "item": new.item,
            "warehouse": new.warehouse,
            "entry_id": id_,
            "first_seen_at": self.clock.now(),
            "last_seen_at": self.clock.now(),
        }
        insert_documents(conn, [row])

    def receive(self, key: str, quantity: str, cost: str, **more: Any) -> int:
        """Let MPW know a receipt."""
        return self.append("mpw", "receipt", key, quantity, cost, **more)

    def issue(self, key: str, quantity: str, cost: str, **more: Any) -> int:
        """Let MPW know an issuance."""
        return self.append("mpw", "issuance", key, f"-{quantity}", cost, **more)

    def reverse(self, *ids: int) -> list[int]:
        """Take originals back."""
        with self.context().anyone_writes() as books:
            return books.reverse(ids)

    def book(self) -> int:
        """Derive the journal; return how many entries were added."""
        return journal_once(self.context()).added

    def check(self) -> Checked:
        """Compute the journal again; fails where anything is wrong."""
        with self.store.read() as conn:
            found = check_journal(conn)
        assert found.wrong == []
        return found

    def query(self, sql: str, **values: Any) -> list[Record]:
        """Ask as an operator would."""
        with self.store.read() as conn:
            return rows(conn, sql, **values)

    def run(self, *statements: str) -> None:
        """Change the database as nobody should."""
        with self.store.write() as conn:
            for statement in statements:
                conn.execute(text(statement))

    def lines(self, where: str = "1 = 1") -> list[tuple[str, str]]:
        """Return accounts and amounts, debit positive, in order."""
        found = self.query(f"select account, amount_micros from v_journal where {where} order by entry_id, line")
        return [(row["account"], f"{Decimal(int(row['amount_micros'])) / 10**6:.2f}") for row in found]

    def balances(self, where: str = "1 = 1") -> dict[str, str]:
        """Return what each account holds."""
        found = self.query(f"select account, sum(amount_micros) as m from v_journal where {where} group by account")
        return {row["account"]: f"{Decimal(int(row['m'])) / 10**6:.2f}" for row in found}


def total(balances: Iterable[str]) -> Decimal:
    """Return the sum of balances."""
    return sum((Decimal(one) for one in balances), Decimal(0))

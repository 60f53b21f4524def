"""One transaction that writes: its connection, its one instant, the settings it goes by, and what every writer does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, update

from sync.database import exceptions as exception_rows
from sync.database import facts as fact_rows
from sync.database.bulk import insert_rows
from sync.database.chunks import upsert
from sync.database.engine import lock_appends
from sync.database.schema import documents, ledger_entries, parked
from sync.errors import InvariantError
from sync.ledger.documents import document
from sync.ledger.entries import COLUMNS, ORIGINAL, REVERSAL, entries_by_id, next_ids
from sync.ledger.parked import Key
from sync.ledger.rules import NewEntry, posted_on
from sync.values.policy import Policy
from sync.values.subjects import Subject


@dataclass(frozen=True, slots=True)
class Books:
    """What a transaction that writes works with; opened by `ctx.leader_writes()` or `ctx.anyone_writes()`.

    `now` is one instant for all that the transaction writes. `policy` is what was in force when it began. `run_id` is
    the run that its ledger entries belong to, None where they belong to none.
    """

    conn: Connection
    now: datetime
    policy: Policy = field(default_factory=Policy)
    run_id: int | None = None

    @property
    def run(self) -> int:
        """The run that this transaction is the work of. Raises InvariantError where it is of none."""
        if self.run_id is None:
            raise InvariantError("this transaction is not the work of a run")
        return self.run_id

    @property
    def lock_date(self) -> date | None:
        """The last day of the closed period: nothing is posted on it or before."""
        return self.policy.lock_date

    @property
    def today(self) -> date:
        """The day of this transaction, where the organisation is."""
        return self.policy.day(self.now)

    def of_run(self, run_id: int) -> Books:
        """Return the same transaction, as the work of a run that was begun in it."""
        return replace(self, run_id=run_id)

    # --- the ledger -------------------------------------------------------------------------

    def append(self, entries: Sequence[NewEntry]) -> list[int]:
        """Append originals; return their ids (which are their seq), in the order given."""
        if not entries:
            return []
        lock_appends(self.conn)
        ids = next_ids(self.conn, len(entries))
        posted = {day: posted_on(day, self.lock_date) for day in {entry.occurred_on for entry in entries}}
        insert_rows(
            self.conn,
            ledger_entries,
            COLUMNS,
            [
                (
                    entry_id,
                    entry.system,
                    entry.kind,
                    entry.api_key,
                    entry.remote_id,
                    ORIGINAL,
                    entry.item,
                    entry.warehouse,
                    entry.quantity,
                    entry.unit_cost,
                    entry.amount,
                    entry.occurred_on,
                    entry.occurred_at,
                    posted[entry.occurred_on],
                    self.now,
                    self.run_id,
                )
                for entry_id, entry in zip(ids, entries, strict=True)
            ],
        )
        return list(ids)

    def reverse(self, entry_ids: Sequence[int]) -> list[int]:
        """Append a reversal of each original: same event, negated quantity and amount; return the new ids in order.

        A reversal of something in a closed period is posted in the open one. Reversing an entry twice
        violates a constraint: an entry counts once, and so does its reversal.
        """
        if not entry_ids:
            return []
        lock_appends(self.conn)
        known = entries_by_id(self.conn, entry_ids)
        ids = next_ids(self.conn, len(entry_ids))
        self.conn.execute(
            insert(ledger_entries),
            [
                {
                    **known[reversed_id]._mapping,
                    "id": entry_id,
                    "entry_type": REVERSAL,
                    "reverses_id": reversed_id,
                    "quantity": -known[reversed_id].quantity,
                    "amount": -known[reversed_id].amount,
                    "posted_on": posted_on(known[reversed_id].occurred_on, self.lock_date),
                    "recorded_at": self.now,
                    "run_id": self.run_id,
                }
                for entry_id, reversed_id in zip(ids, entry_ids, strict=True)
            ],
        )
        return list(ids)

    def file_again(self, entry_id: int, **changes: Any) -> int:
        """Reverse an entry, and append it again with these of its fields changed; return the new entry's id."""
        old = entries_by_id(self.conn, [entry_id])[entry_id]
        self.reverse([entry_id])
        again = NewEntry(
            system=old.system,
            kind=old.kind,
            api_key=old.api_key,
            remote_id=old.remote_id,
            item=old.item,
            warehouse=old.warehouse,
            quantity=old.quantity,
            unit_cost=old.unit_cost,
            amount=old.amount,
            occurred_on=old.occurred_on,
            occurred_at=old.occurred_at,
        )
        return self.append([again._replace(**changes)])[0]

    def refile(self, system: str, type_: str, remote_id: str, api_key: str) -> bool:
        """File a document under another event: a reversal under the old key, an original under the new one.

        For a row of ours that a poll saw before its answer was recorded. Returns False, and does nothing,
        where the document is unknown or has that key already.
        """
        lock_appends(self.conn)
        known = document(self.conn, system, type_, remote_id)
        if known is None or known.api_key == api_key:
            return False
        entry_id = self.file_again(known.entry_id, api_key=api_key) if known.entry_id is not None else None
        self.conn.execute(
            update(documents)
            .where(documents.c.id == known.id)
            .values(api_key=api_key, entry_id=entry_id, last_seen_at=self.now)
        )
        return True

    # --- what reconcile looks at --------------------------------------------------------------

    def look_again(self, events: Iterable[Key], *, reason: str) -> None:
        """Let reconcile look at these events in its next pass; `reason` is what they wait for until then."""
        rows = [
            {"kind": kind, "api_key": key, "reason": reason, "due_at": self.now} for kind, key in dict.fromkeys(events)
        ]
        upsert(self.conn, parked, rows, key=("kind", "api_key"), update=("reason", "due_at"))

    def look_again_for(self, reason: str) -> int:
        """Let the events that wait for one reason be looked at in the next pass; return how many."""
        return self.conn.execute(update(parked).where(parked.c.reason == reason).values(due_at=self.now)).rowcount

    def look_again_at_all(self) -> int:
        """Let all that waits be looked at in the next pass, as when the rules changed; return how many."""
        later = or_(parked.c.due_at.is_(None), parked.c.due_at > self.now)
        return self.conn.execute(update(parked).where(later).values(due_at=self.now)).rowcount

    # --- what people are told, and what is remembered -----------------------------------------

    def open_exception(
        self, kind: str, about: Subject, *, detail: str, hint: str, facts: Mapping[str, Any] | None = None
    ) -> bool:
        """Open an exception, or refresh the open one of its kind and subject; True when it is new.

        As `sync.database.exceptions.open_exception`, which says what the arguments mean.
        """
        return exception_rows.open_exception(
            self.conn, kind, about, detail=detail, hint=hint, now=self.now, facts=facts
        )

    def resolve_exceptions(self, kind: str, about: Subject, *, resolution: str, by: str = "mpsync") -> int:
        """Resolve the open exception of a kind and subject, if there is one; return how many were."""
        return exception_rows.resolve_exceptions(self.conn, kind, about, resolution=resolution, now=self.now, by=by)

    def note_fact(self, name: str, value: str) -> None:
        """Set a fact, whatever it was. Of two processes that set it first at the same time, none fails."""
        fact_rows.set_fact(self.conn, name, value, now=self.now)

"""Events begun anywhere, edited, voided, split, derived and given at random moments: nothing is booked twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from sync.journal.batches import export_journal
from sync.journal.rules import minor
from tests.journal.books import Books

EVENTS = 25
CENT = 10_000


@dataclass
class Event:
    """What happens to one event, step by step; `live` are MPW's originals by their row."""

    kind: str
    key: str
    cost: str
    steps: list[Callable[[], None]] = field(default_factory=list)
    live: dict[str, int] = field(default_factory=dict)
    erp: bool = False


class World:
    """A ledger in which events take their steps in any order."""

    def __init__(self, books: Books, seed: int) -> None:
        self.books, self.chance = books, random.Random(seed)
        self.events = [self._event(n) for n in range(EVENTS)]

    def _event(self, n: int) -> Event:
        chance = self.chance
        kind, origin = chance.choice(["receipt", "issuance"]), chance.choice(["mpw", "own", "mps", "erp", "erp-late"])
        key = {"mpw": f"mpw-{kind[0]}-{n}", "mps": f"mps-{n}-1"}.get(origin, f"K-{n}")
        one = Event(kind, key, chance.choice(["2.5", "3.3333", "0.000001", "17"]))
        if origin == "mps":
            one.steps.append(lambda: self._says(one, "mpservices", f"m{n}"))
        if origin == "erp":
            one.steps.append(lambda: self._erp(one))
        one.steps.append(lambda: self._mpw(one, f"{n}0"))
        if chance.random() < 0.3:
            one.steps.append(lambda: self._mpw(one, f"{n}1"))  # a split
        for _ in range(chance.randrange(3)):
            one.steps.append(chance.choice([lambda: self._void(one), lambda: self._edit(one, f"{n}0")]))
        if origin == "erp-late":
            one.steps.insert(chance.randrange(1, len(one.steps) + 1), lambda: self._erp(one))
        if chance.random() < 0.3:
            one.steps.append(lambda: self._mpw(one, f"{n}0") if f"{n}0" not in one.live else None)  # back again
        return one

    def _says(self, one: Event, system: str, remote_id: str, cost: str | None = None) -> int:
        quantity = self.chance.randrange(1, 9) * (1 if one.kind == "receipt" else -1)
        return self.books.append(
            system, one.kind, one.key, str(quantity), one.cost if cost is None else cost, remote_id=remote_id
        )

    def _mpw(self, one: Event, row: str) -> None:
        one.live[row] = self._says(one, "mpw", row)

    def _erp(self, one: Event) -> None:
        self._says(one, "erp", one.key, "0" if one.kind == "issuance" else None)
        one.erp = True

    def _void(self, one: Event) -> None:
        if one.live:
            self.books.reverse(one.live.pop(self.chance.choice(sorted(one.live))))

    def _edit(self, one: Event, row: str) -> None:
        if row in one.live:
            self.books.reverse(one.live.pop(row))
            self._mpw(one, row)

    def run(self, folder: Path) -> None:
        """Take every step; book and give at random moments."""
        files = 0
        while left := [one for one in self.events if one.steps]:
            self.chance.choice(left).steps.pop(0)()
            if self.chance.random() < 0.4:
                self.books.book()
            if self.chance.random() < 0.1:
                files += 1
                export_journal(self.books.context(), folder / f"{files}.csv", format_="csv", by="test")
        self.books.book()
        export_journal(self.books.context(), folder / "last.csv", format_="csv", by="test")


def seeds(count: int) -> list[object]:
    return [pytest.param(n, marks=[] if n < 4 else [pytest.mark.slow, pytest.mark.nightly]) for n in range(count)]


@pytest.mark.parametrize("seed", seeds(40))
def test_what_is_given_and_what_the_erp_booked_is_what_mpw_says(
    sqlite_books: Books, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.journal.derive.BATCH", 3)
    world = World(sqlite_books, seed)

    world.run(tmp_path)

    sqlite_books.check()
    amounts = {row["seq"]: int(row["amount_micros"]) for row in sqlite_books.query("select * from v_ledger")}
    given = _counters(sqlite_books, "join journal_batch_entries as b on b.entry_id = e.id")
    booked = _counters(sqlite_books, "")
    for one in world.events:
        right = -sum(minor(amounts[id_], CENT) for id_ in one.live.values())
        event = (one.kind, one.key)
        assert booked.get(event, Decimal(0)) == right, one
        assert given.get(event, Decimal(0)) == (0 if one.erp else right), one


def _counters(books: Books, join: str) -> dict[tuple[str, str], Decimal]:
    sql = f"select e.kind, e.api_key, sum(e.counter_amount) as m from journal_entries as e {join} group by 1, 2"
    return {(row["kind"], row["api_key"]): Decimal(int(row["m"])) for row in books.query(sql)}

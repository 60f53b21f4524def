"""What holds of any ledger, whatever the size of batches and the currency's decimals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.journal.accounts import Accounts, numbered, read_rules, sample
from sync.journal.rules import Desk, Entry, LedgerRow, Position, minor
from sync.values.books import unit_of

CHART = Accounts(read_rules(numbered(sample())).rules, 1)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.sampled_from(["receipt", "issuance", "reversal"]),
        st.integers(1, 9_999_999),
        st.integers(0, 99_999_999),
    ),
    max_size=40,
)


def ledger_of(moves: Sequence[tuple[str, str, int, int]]) -> list[LedgerRow]:
    """Return ledger entries; a reversal takes back the newest original that is still there."""
    rows: list[LedgerRow] = []
    live: list[LedgerRow] = []
    for id_, (item, what, quantity, amount) in enumerate(moves, 1):
        if what == "reversal" and live:
            of = live.pop()
            rows.append(
                of._replace(id=id_, entry_type="reversal", reverses_id=of.id, quantity=-of.quantity, amount=-of.amount)
            )
            continue
        kind = "receipt" if what == "reversal" else what
        sign = 1 if kind == "receipt" else -1
        day = "2024-03-14"
        row = LedgerRow(
            id_,
            "mpw",
            kind,
            f"k{id_}",
            str(id_),
            "original",
            None,
            item,
            "Main",
            sign * quantity,
            sign * amount,
            day,
            day,
        )
        rows.append(row)
        live.append(row)
    return rows


def booked(rows: list[LedgerRow], size: int, unit: int) -> tuple[list[Entry], dict[tuple[str, str], Position]]:
    """Book a ledger in batches of so many."""
    entries: list[Entry] = []
    positions: dict[tuple[str, str], Position] = {}
    by_ledger: dict[int, Entry] = {}
    for start in range(0, len(rows), size):
        desk = Desk(CHART, unit, "2024-01-01", len(entries) + 1, positions=positions, by_ledger=by_ledger)
        for row in rows[start : start + size]:
            desk.take(row)
        entries += desk.entries
    return entries, positions


@given(MOVES, st.sampled_from([0, 2, 3]), st.integers(1, 50))
def test_the_accounts_hold_the_ledgers_value_rounded_once(
    moves: list[tuple[str, str, int, int]], decimals: int, size: int
) -> None:
    unit, rows = unit_of(decimals), ledger_of(moves)

    entries, positions = booked(rows, size, unit)

    assert entries == booked(rows, 10_000, unit)[0]
    assert all(one.amount + one.counter_amount + one.rounding_amount == 0 for one in entries)
    assert all(abs(one.rounding_amount) <= unit for one in entries)
    assert all(amount % unit == 0 for one in entries for amount in (one.amount, one.counter_amount))
    values = {place: sum(row.amount for row in rows if row.item == place[0]) for place in positions}
    assert sum(one.amount for one in entries) == sum(minor(value, unit) for value in values.values())
    assert sum(one.rounding_amount for one in entries) == -sum(one.counter_amount for one in entries) - sum(
        minor(value, unit) for value in values.values()
    )
    by_ledger = {one.ledger_id: one for one in entries}
    for row in rows:
        if row.reverses_id is not None:
            assert by_ledger[row.id].counter_amount == -by_ledger[row.reverses_id].counter_amount


@pytest.mark.parametrize(
    ("millionths", "cents"),
    [(5_000, 1), (4_999, 0), (-5_000, -1), (-4_999, 0), (15_000, 2), (0, 0), (-15_001, -2), (10_000, 1)],
)
def test_halves_are_rounded_away_from_zero(millionths: int, cents: int) -> None:
    assert minor(millionths, 10_000) == cents * 10_000


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.integers(0, 9_999_999)), max_size=60))
def test_a_transfer_moves_all_with_the_last_unit_and_makes_nothing(moves: list[tuple[int, int, int]]) -> None:
    here, there, unit = Position("1"), Position("2"), 10_000
    received = 0
    for what, quantity, cost in moves:
        if what == 0 or here.quantity <= 0:
            here.take(quantity * 10**6, quantity * cost, unit)
            received += quantity * cost
        else:
            moved = min(here.quantity, quantity * 10**6)
            value = here.share(moved)
            here.take(-moved, -value, unit)
            there.take(moved, value, unit)
            assert here.quantity or here.value == here.booked == 0

    assert here.value + there.value == received
    assert (here.booked, there.booked) == (minor(here.value, unit), minor(there.value, unit))

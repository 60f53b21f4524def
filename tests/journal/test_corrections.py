"""What a person corrects: entries of their own, with who and why."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sync.errors import ConfigError
from sync.journal import corrections
from sync.journal.batches import export_journal
from tests.journal.books import FIRST, Books

ON = date(2024, 3, 20)
SAID: dict[str, Any] = {"on": ON, "why": "counted", "by": "controller"}


def lines(*rows: str, columns: str = "item,warehouse,quantity,value") -> list[tuple[int, dict[str, str]]]:
    names = columns.split(",")
    return [(n, dict(zip(names, row.split(","), strict=True))) for n, row in enumerate(rows, 2)]


def adjust(books: Books, *rows: str, use: str = "variance", **more: Any) -> corrections.Corrected:
    return corrections.adjust(books.context(), lines(*rows), use=use, **(SAID | more))


def moved(books: Books, columns: str, *rows: str) -> corrections.Corrected:
    return corrections.reclass(books.context(), lines(*rows, columns=columns), **SAID)


def given(books: Books, folder: Path) -> int:
    batch = export_journal(books.context(), folder / "a.csv", format_="csv", by="test").batch
    return batch.entries if batch is not None else 0


def test_an_opening_is_stock_that_the_erp_has_already(books: Books, tmp_path: Path) -> None:
    done = adjust(books, "P-1,Main,3,10.01", "P-2,WH2,1,5", use="opening", on=FIRST)

    assert done == corrections.Corrected(2)
    assert books.balances() == {"1410": "10.01", "1420": "5.00", "3900": "-15.01"}
    assert given(books, tmp_path) == 0
    books.issue("mpw-i-1", "3", "3.336666")
    books.book()
    assert books.balances("item = 'P-1'")["1410"] == "0.00"
    books.check()


def test_an_opening_is_given_where_that_is_wanted(books: Books, tmp_path: Path) -> None:
    adjust(books, "P-1,Main,3,10.01", use="opening", deliver=True)

    assert given(books, tmp_path) == 1


def test_what_the_opening_counted_is_taken_back_when_it_is_deleted_later(books: Books) -> None:
    old = books.receive("mpw-r-1", "2", "5", occurred_on=date(2023, 12, 1))
    books.book()
    adjust(books, "P-1,Main,2,10", use="opening", on=FIRST)
    books.reverse(old)

    assert books.book() == 1

    assert books.balances() == {"1410": "0.00", "2150": "10.00", "3900": "-10.00"}
    books.check()


def test_a_count_takes_value_away_and_says_who_and_why(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.5")
    books.book()

    adjust(books, "P-1,Main,-1,-2.50")

    assert books.balances() == {"1410": "7.50", "2150": "-10.00", "5150": "2.50"}
    [row] = books.query("select why, made_by, posted_on from v_journal where origin = 'adjust' and line = 1")
    assert row == {"why": "counted", "made_by": "controller", "posted_on": ON}
    books.check()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("P-1,Main,1,1.005", "more than 2 decimals"),
        (",Main,1,1", "no item"),
        ("P-1,Main,one,1", "not a number"),
    ],
)
def test_an_adjustment_is_taken_whole_or_not_at_all(books: Books, row: str, why: str) -> None:
    done = adjust(books, "P-1,Main,1,1", row)

    assert [line for line, _ in done.errors] == [3]
    assert why in done.errors[0][1]
    assert books.query("select * from v_journal_entries") == []


def test_an_expense_is_moved_by_two_entries_and_its_reversal_follows_it(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.5")
    issue = books.issue("mpw-i-1", "1", "2.5")
    books.book()

    assert moved(books, "entry_id,account", "2,5199") == corrections.Corrected(2)

    assert books.balances() == {"1410": "7.50", "2150": "-10.00", "5100": "0.00", "5199": "2.50"}
    books.check()
    books.reverse(issue)
    books.book()
    assert books.balances() == {"1410": "10.00", "2150": "-10.00", "5100": "0.00", "5199": "0.00"}
    books.check()


def test_moving_twice_moves_on_from_where_it_lies(books: Books) -> None:
    books.issue("mpw-i-1", "1", "2.5")
    books.book()
    moved(books, "entry_id,account", "1,5199")

    moved(books, "entry_id,account", "1,5198")

    assert books.balances() == {"1410": "-2.50", "5100": "0.00", "5198": "2.50", "5199": "0.00"}


def test_a_position_is_moved_whole_and_stays_there(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.5")
    books.book()

    assert moved(books, "item,warehouse,account", "P-1,Main,1499") == corrections.Corrected(1)

    books.issue("mpw-i-1", "1", "2.5")
    books.book()
    assert books.balances() == {"1410": "0.00", "1499": "7.50", "2150": "-10.00", "5100": "2.50"}
    books.check()


def test_what_cannot_be_moved_is_named_and_nothing_is(books: Books) -> None:
    books.append("erp", "receipt", "ERP-1", "4", "10")
    books.receive("ERP-1", "4", "10")
    taken_back = books.receive("mpw-r-1", "1", "1")
    books.reverse(taken_back)
    books.receive("mpw-r-2", "1", "1")
    books.book()

    done = moved(books, "entry_id,account", "4,5199", "1,5199", "2,5199", "99,5199", "4,")

    assert [line for line, _ in done.errors] == [3, 4, 5, 6]
    assert "5199" not in books.balances()


def test_what_is_held_is_in_no_batch_until_it_is_released(books: Books, tmp_path: Path) -> None:
    books.receive("mpw-r-1", "4", "2.5")
    books.receive("mpw-r-2", "1", "2.5")
    books.book()
    said: dict[str, Any] = {"why": "asked the vendor", "by": "controller"}

    corrections.set_held(books.context(), [1], held=True, **said)
    assert given(books, tmp_path) == 1
    corrections.set_held(books.context(), [1], held=False, **said)
    assert given(books, tmp_path) == 1

    with pytest.raises(ConfigError, match="was given it already"):
        corrections.set_held(books.context(), [1], held=True, **said)

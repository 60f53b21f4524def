"""Which account a line goes to, and what a file of rules may say."""

from __future__ import annotations

import pytest

from sync.journal.account_rows import load_rules
from sync.journal.accounts import Accounts, Read, as_row, numbered, read_rules, sample
from sync.journal.rules import Facts
from tests.journal.books import Books

BASE = "use,work_order,equipment,part,vendor,warehouse,account,cost_center,from\n" + "".join(
    f"{use},,,,,,{use.upper()},,\n" for use in ("inventory", "grni", "expense", "rounding")
)


def read(*lines: str) -> Read:
    return read_rules(numbered(BASE + "".join(f"{line}\n" for line in lines)))


def chosen(*lines: str, day: str = "2024-03-14", use: str = "expense", **facts: str) -> str | None:
    made = read(*lines)
    assert made.errors == ()
    found = Accounts(made.rules, 1).find(use, Facts(**facts), day)
    return found.account if found is not None else None


@pytest.mark.parametrize(
    ("facts", "account"),
    [
        ({}, "EXPENSE"),
        ({"part": "BRG-6204"}, "5110"),
        ({"part": "BRG-62-X"}, "5111"),
        ({"part": "BRG-1"}, "5112"),
        ({"part": "BRG-1", "equipment": "LDR-4"}, "5120"),
        ({"part": "BRG-1", "equipment": "LDR-4", "work_order": "7"}, "5130"),
        ({"warehouse": "WH2"}, "5140"),
        ({"warehouse": "WH2", "part": "BRG-1"}, "5112"),
    ],
)
def test_the_leftmost_filled_column_wins_and_exact_comes_before_a_beginning(
    facts: dict[str, str], account: str
) -> None:
    lines = (
        "expense,,,BRG-*,,,5110,,",
        "expense,,,BRG-62-*,,,5111,,",
        "expense,,,BRG-1,,,5112,,",
        "expense,,LDR-4,,,,5120,,",
        "expense,7,,,,,5130,,",
        "expense,,,,,WH2,5140,,",
    )

    assert chosen(*lines, **facts) == account
    assert chosen(*reversed(lines), **facts) == account


def test_all_filled_columns_of_a_rule_must_fit() -> None:
    line = "expense,,LDR-4,BRG-*,,,5199,,"

    assert chosen(line, equipment="LDR-4", part="FLT-1") == "EXPENSE"
    assert chosen(line, equipment="LDR-4", part="BRG-1") == "5199"


def test_of_equal_rules_the_one_that_began_last_by_posting_date_counts() -> None:
    lines = ("expense,,LDR-4,,,,5120,,2024-02-01", "expense,,LDR-4,,,,5121,,2024-03-01")

    found = [chosen(*lines, equipment="LDR-4", day=day) for day in ("2024-01-31", "2024-02-01", "2024-03-01")]

    assert found == ["EXPENSE", "5120", "5121"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("expence,,,,,,1,,", "no use is called 'expence'"),
        ("expense,,,,Bosch,,1,,", "expense never knows a vendor"),
        ("expense,,,P-1,,,,,", "no account"),
        ("expense,,,P*1,,,1,,", "a star is only understood at the end"),
        ("expense,,,*,,,1,,", "a star is only understood at the end"),
        ("expense,,,P-1,,,1,,2024-2-1", "write a day as YYYY-MM-DD"),
        ("expense,,,,,,1,,", "the same as line"),
        ("rounding,,,,,,?,,2024-01-01", "rounding cannot wait"),
        (f"expense,,,P-1,,,{'9' * 101},,", "at most 100"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(line: str, why: str) -> None:
    [(number, reason)] = read(line).errors

    assert number == 6
    assert why in reason


def test_each_use_that_every_entry_needs_has_a_base_rule() -> None:
    errors = read_rules(numbered("use,part,account\ninventory,P-1,1\ngrni,,2\nexpense,,3\n")).errors

    assert [why.split(" has")[0] for _, why in errors] == ["inventory", "rounding"]


def test_the_sample_is_right_and_comes_back_as_it_went_in(books: Books) -> None:
    with books.store.read() as conn:
        version, rules = load_rules(conn)

    lines = [",".join(as_row(rule)) for rule in rules]
    assert lines == sample().splitlines()[1:]
    assert version == 1


def test_the_same_file_twice_makes_no_version_and_versions_are_kept(books: Books) -> None:
    books.accounts()
    books.accounts(BASE)

    with books.store.read() as conn:
        assert load_rules(conn)[0] == 2
        assert len(load_rules(conn, 1)[1]) == 8


def test_a_preview_names_rules_that_nothing_hits_and_what_would_move(sqlite_books: Books) -> None:
    from sync.journal.preview import preview
    from tests.journal.books import DAY

    sqlite_books.receive("mpw-r-1", "4", "2.5")
    sqlite_books.issue("mpw-i-1", "1", "2.5")
    sqlite_books.book()

    with sqlite_books.store.read() as conn:
        found = preview(conn, read("expense,,,P-*,,,9,,", "expense,,,Q-*,,,8,,").rules, today=DAY, days=90)

    assert found["entries"] == 2
    assert [row["line"] for row in found["unused"]] == [4, 5, 7]
    amounts = {row["account"]: (str(row["now"]), str(row["then"])) for row in found["accounts"]}
    assert amounts["5100"] == ("2.500000", "0.000000")
    assert amounts["9"] == ("0.000000", "2.500000")

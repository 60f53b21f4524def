"""What the ledger becomes in accounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from sync.database.schema import journal_entries
from sync.journal.answers import answers_once
from sync.journal.derive import journal_once
from tests.journal.books import DAY, Books
from tests.statements import counted


def test_a_receipt_debits_inventory_and_credits_what_is_not_invoiced(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50", raw={"vendor_name": "Bosch", "purchase_order_number": 1005})

    assert books.book() == 1

    assert books.lines() == [("1410", "10.00"), ("2150", "-10.00")]
    [row] = books.query("select vendor, purchase_order, booked_by, document from v_journal where line = 1")
    assert row == {"vendor": "Bosch", "purchase_order": "1005", "booked_by": "mpsync", "document": None}


def test_an_issuance_debits_expense_at_mpws_cost(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50")
    books.issue("mpw-i-1", "1", "2.50", raw={"description": "for wo:4711 eq:LDR-4"})

    books.book()

    assert books.lines("kind = 'issuance'") == [("1410", "-2.50"), ("5100", "2.50")]
    [row] = books.query("select work_order, equipment from v_journal where kind = 'issuance' and line = 2")
    assert row == {"work_order": "4711", "equipment": "LDR-4"}


def test_a_second_pass_adds_nothing_and_writes_nothing(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50")
    books.book()
    context = books.context()
    writes = context.store.writes

    assert books.book() == 0

    assert context.store.writes == writes
    assert len(books.query("select * from v_runs where flow = 'journal'")) == 1


def test_there_is_no_journal_before_its_first_day_and_accounts_are_set(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50")
    books.terms = replace(books.terms, starts_on=None)

    assert books.book() == 0
    assert books.query("select * from v_journal") == []


def test_without_rules_of_accounts_nothing_is_booked(store: object, clock: object) -> None:
    books = Books(store, clock)  # type: ignore[arg-type]
    books.receive("mpw-r-1", "4", "2.50")

    assert books.book() == 0

    books.accounts()
    assert books.book() == 1


def test_what_occurred_before_the_first_day_is_listed_and_not_booked(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50", occurred_on=date(2023, 12, 31))
    books.receive("mpw-r-2", "1", "2.50")

    books.book()

    assert [row["api_key"] for row in books.query("select api_key from v_journal where line = 1")] == ["mpw-r-2"]
    [row] = books.query("select api_key, reason from v_journal_unposted")
    assert row == {"api_key": "mpw-r-1", "reason": "before SYNC_JOURNAL_FROM"}


def test_the_first_day_can_be_set_earlier_until_there_is_an_entry(books: Books) -> None:
    books.receive("mpw-r-1", "4", "2.50", occurred_on=date(2023, 12, 31))
    books.book()
    assert books.query("select * from v_journal") == []

    books.terms = replace(books.terms, starts_on=date(2023, 12, 1))

    assert books.book() == 1


def test_decimals_stand_once_there_is_an_entry(books: Books) -> None:
    books.receive("mpw-r-1", "1", "2.505")
    books.book()

    books.terms = replace(books.terms, decimals=0)
    books.receive("mpw-r-2", "1", "2.505")
    books.book()

    assert books.lines("line = 2") == [("2150", "-2.51"), ("2150", "-2.51")]
    assert books.check().stock == 5_010_000


def test_rounding_never_adds_up(books: Books) -> None:
    for n in range(3):
        books.receive(f"mpw-r-{n}", "1", "0.333333")
    books.book()

    assert books.balances() == {"1410": "1.00", "2150": "-0.99", "5190": "-0.01"}
    books.check()


def test_an_empty_position_holds_nothing_whatever_was_rounded(books: Books) -> None:
    books.receive("mpw-r-1", "3", "0.333333")
    for n in range(3):
        books.issue(f"mpw-i-{n}", "1", "0.333333")
    books.book()

    assert books.balances()["1410"] == "0.00"
    books.check()


def test_an_edit_is_a_mirror_and_a_new_entry(books: Books) -> None:
    first = books.receive("mpw-r-1", "3", "0.335")
    books.book()
    books.reverse(first)
    books.receive("mpw-r-1", "4", "0.335", remote_id="other")
    books.book()

    assert books.lines("line = 2") == [("2150", "-1.01"), ("2150", "1.01"), ("2150", "-1.34")]
    books.check()


def test_a_reversal_goes_to_the_accounts_of_its_original_though_the_rules_changed(books: Books) -> None:
    first = books.receive("mpw-r-1", "3", "1")
    books.book()
    books.accounts("use,account\ninventory,1\ngrni,2\nexpense,3\nrounding,4\n")
    books.reverse(first)
    books.book()

    assert books.balances() == {"1410": "0.00", "2150": "0.00"}


def test_stock_of_mpservices_is_in_no_account_and_on_the_list(books: Books) -> None:
    books.append("mpservices", "receipt", "mps-a-1", "4", "2.5", item="EXT", warehouse=None)
    books.append("mpservices", "adjustment", "mps-b-1", "4", "2.5", item="EXT", warehouse=None)

    assert books.book() == 0

    [row] = books.query("select system, api_key, reason, amount from v_journal_unposted")
    assert row["reason"] == "MPW does not know it yet"
    assert row["amount"] == 10


def test_what_the_erp_sent_in_is_booked_by_it_and_never_delivered(books: Books) -> None:
    books.append("erp", "receipt", "ERP-1", "4", "10")
    books.receive("ERP-1", "4", "10")

    books.book()

    assert {row["booked_by"] for row in books.query("select booked_by from v_journal")} == {"erp"}


def test_what_the_erp_claims_later_is_handed_over(books: Books) -> None:
    books.receive("K-1", "4", "10")
    books.book()
    books.append("erp", "receipt", "K-1", "4", "10")

    assert books.book() == 2

    assert books.balances("booked_by = 'mpsync'") == {"1410": "0.00", "2150": "0.00"}
    assert books.balances() == {"1410": "40.00", "2150": "-40.00"}
    assert books.book() == 0
    books.check()


def test_a_kind_that_the_erp_does_not_book_is_delivered(books: Books) -> None:
    books.terms = replace(books.terms, erp_books=frozenset())
    books.append("erp", "receipt", "ERP-1", "4", "10")
    books.receive("ERP-1", "4", "10")

    books.book()

    assert {row["booked_by"] for row in books.query("select booked_by from v_journal")} == {"mpsync"}


def test_an_account_that_waits_holds_the_entry_and_an_import_lets_it_go(books: Books) -> None:
    books.accounts("use,part,account\ninventory,,1\ngrni,,2\nexpense,,3\nexpense,P-1,?\nrounding,,4\n")
    books.receive("mpw-r-1", "4", "2")
    books.issue("mpw-i-1", "1", "2")
    books.reverse(books.issue("mpw-i-2", "1", "2"))
    assert books.book() == 1
    held = books.query("select api_key, reason from v_journal_held order by seq")
    assert [(row["api_key"], row["reason"]) for row in held] == [
        ("mpw-i-1", "unmapped"),
        ("mpw-i-2", "unmapped"),
        ("mpw-i-2", "original"),
    ]
    [opened] = books.query("select detail from v_exceptions where kind = 'journal_unmapped' and resolved_at is null")
    assert "2 ledger entries" in opened["detail"]

    books.accounts("use,part,account\ninventory,,1\ngrni,,2\nexpense,,3\nrounding,,4\n")

    assert books.book() == 3
    assert books.query("select * from v_journal_held") == []
    assert books.query("select * from v_exceptions where resolved_at is null") == []
    assert books.balances() == {"1": "6.00", "2": "-8.00", "3": "2.00"}
    books.check()


def test_what_is_dated_in_a_closed_period_waits_where_that_is_wanted(books: Books) -> None:
    books.terms = replace(books.terms, holds_late=True)
    books.lock_date = date(2024, 2, 29)
    books.receive("mpw-r-1", "4", "2", occurred_on=date(2024, 2, 20))
    assert books.book() == 0
    [held] = books.query("select reason, occurred_on, posted_on from v_journal_held")
    assert held == {"reason": "late", "occurred_on": date(2024, 2, 20), "posted_on": date(2024, 3, 1)}

    books.receive("mpw-r-2", "4", "2")
    assert books.book() == 1


def test_what_is_expensed_at_once_is_no_stock_and_its_issue_is_nothing(books: Books) -> None:
    books.accounts("use,part,account\ninventory,,1\ninventory,OIL*,expense\ngrni,,2\nexpense,,3\nrounding,,4\n")
    books.receive("mpw-r-1", "4", "2.5", item="OIL-5")
    books.issue("mpw-i-1", "4", "2.5", item="OIL-5")

    assert books.book() == 2

    assert books.balances() == {"3": "10.00", "2": "-10.00"}
    books.check()


def test_a_batch_may_be_cut_anywhere(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.journal.derive.BATCH", 2)
    ids = [books.receive(f"mpw-r-{n}", "1", "0.333333") for n in range(5)]
    books.reverse(ids[0], ids[3])

    assert books.book() == 7

    books.check()


COPIED = ", ".join(column.name for column in journal_entries.c if column.name not in ("id", "ledger_id", "amount"))


@pytest.mark.parametrize(
    "statement",
    [
        "update journal_entries set amount = 0",
        "delete from journal_entries",
        f"insert into journal_entries ({COPIED}, id, ledger_id, amount) select {COPIED}, 2, 99, amount + 10000"
        " from journal_entries",
        f"insert into journal_entries ({COPIED}, id, ledger_id, amount) select {COPIED}, 2, ledger_id, amount"
        " from journal_entries",
    ],
    ids=["changed", "removed", "unbalanced", "doubled"],
)
def test_the_database_refuses_what_is_no_entry(books: Books, statement: str) -> None:
    books.receive("mpw-r-1", "4", "2.50")
    books.book()

    with pytest.raises(IntegrityError), books.store.write() as conn:
        conn.execute(text(statement))

    assert books.lines() == [("1410", "10.00"), ("2150", "-10.00")]


def transfer(books: Books, key: str, quantity: str) -> None:
    books.append("erp", "transfer", key, f"-{quantity}", warehouse="Main")
    books.append("erp", "transfer", key, quantity, warehouse="WH2")


def push_done(books: Books, key: str) -> None:
    books.run(
        "insert into outbox (route, operation, kind, api_key, entity_key, state, due_at, payload, evidence, created_at,"
        f" finalized_at) values ('transfers', 'post_transfer', 'transfer', '{key}', '{key}', 'done',"
        " '2024-03-14T12:00:00.000000Z', '{}', 'x', '2024-03-14T12:00:00.000000Z', '2024-03-14T12:00:00.000000Z')"
    )


def test_a_transfer_moves_value_between_accounts_once_its_push_is_done(books: Books) -> None:
    books.receive("mpw-r-1", "3", "0.333333")
    transfer(books, "T-1", "1")
    assert books.book() == 1
    assert [row["reason"] for row in books.query("select reason from v_journal_held")] == ["transfer"]

    push_done(books, "T-1")

    assert books.book() == 1
    assert books.lines("kind = 'transfer'") == [("1420", "0.33"), ("1410", "-0.33")]
    assert books.query("select * from v_journal_held") == []
    books.check()


def test_with_nothing_new_a_round_is_asked_nothing_more(books: Books) -> None:
    books.receive("mpw-r-1", "3", "0.333333")
    transfer(books, "T-1", "1")  # which waits for its push
    books.book()
    books.terms = replace(books.terms, decimals=0)  # which stay as they are: there is an entry
    ctx = books.context()

    with ctx.agenda.round():
        ctx.due()
        with counted(books.store) as sent:
            assert journal_once(ctx).added == answers_once(ctx) == 0

    assert sent == []


def test_a_receipt_that_may_be_the_arrival_of_a_transfer_waits(books: Books) -> None:
    books.receive("mpw-r-1", "3", "2")
    transfer(books, "T-1", "1")
    books.book()
    push_done(books, "T-1")
    books.book()

    books.receive("mpw-r-2", "1", "2", warehouse="WH2")
    books.receive("mpw-r-3", "2", "2", warehouse="WH2")

    assert books.book() == 1
    assert [(row["api_key"], row["reason"]) for row in books.query("select * from v_journal_held")] == [
        ("mpw-r-2", "twin")
    ]


def test_the_check_finds_a_position_that_was_changed(books: Books) -> None:
    from sync.journal.check import check_journal

    books.receive("mpw-r-1", "3", "2")
    books.book()
    books.check()
    books.run("update journal_positions set booked = booked + 10000")

    with books.store.read() as conn:
        assert check_journal(conn).wrong == ["position P-1 in Main is not what its entries are"]


def test_the_day_of_an_entry_is_the_ledgers(books: Books) -> None:
    books.lock_date = date(2024, 3, 31)
    books.receive("mpw-r-1", "3", "2")
    books.book()

    [row] = books.query("select occurred_on, posted_on from v_journal where line = 1")
    assert row == {"occurred_on": DAY, "posted_on": date(2024, 4, 1)}


def test_the_check_finds_entries_whose_cents_were_lost(books: Books) -> None:
    """The positions are right and the entries are not: each was rounded by itself."""
    from sync.journal.check import check_journal
    from sync.journal.rules import Position, minor

    def by_itself(self: Position, quantity: int, value: int, unit: int) -> int:
        self.quantity, self.value = self.quantity + quantity, self.value + value
        self.booked = minor(self.value, unit)
        return minor(value, unit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Position, "take", by_itself)
        for n in range(3):
            books.receive(f"mpw-r-{n}", "1", "0.333333")
        books.book()

    with books.store.read() as conn:
        wrong = check_journal(conn).wrong
    assert "the entries of P-1 in Main are not its value, rounded once" in wrong

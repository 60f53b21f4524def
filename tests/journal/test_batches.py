"""What the ERP is given: once, whole, and the same again."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from sync.errors import ConfigError, InvariantError
from sync.journal.batches import Given, export_again, export_journal
from sync.journal.formats.model import Options
from tests.journal.books import Books
from tests.journal.golden import CASES, FOLDER, OPTIONS, made, small_month


def give(books: Books, path: Path, format_: str = "csv", **more: object) -> Given:
    return export_journal(books.context(), path, format_=format_, by="controller", **{"options": OPTIONS, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_each_format_makes_the_file_that_was_looked_at(
    sqlite_books: Books, tmp_path: Path, name: str, mode: str
) -> None:
    small_month(sqlite_books)

    path = made(sqlite_books, tmp_path, name, mode)

    assert path.read_bytes() == (FOLDER / path.name).read_bytes(), (
        "look at the difference: python -m tests.journal.golden"
    )


@pytest.mark.parametrize("mode", ["summary", "detail"])
def test_both_databases_give_the_same_bytes(books: Books, tmp_path: Path, mode: str) -> None:
    small_month(books)

    path = made(books, tmp_path, "csv", mode)

    assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_what_was_given_never_comes_again_and_again_is_byte_equal(books: Books, tmp_path: Path) -> None:
    small_month(books)
    first = give(books, tmp_path / "a.csv")
    assert first.batch is not None

    assert give(books, tmp_path / "b.csv").batch is None
    assert not (tmp_path / "b.csv").exists()
    books.accounts("use,account\ninventory,1\ngrni,2\nexpense,3\nrounding,4\n")
    books.receive("mpw-r-9", "1", "2")
    books.book()
    export_again(books.context(), tmp_path / "c.csv", first.batch.id)

    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    second = give(books, tmp_path / "d.csv")
    assert second.batch is not None
    assert (second.batch.id, second.batch.entries) == (2, 1)
    given = books.query("select entry_id from journal_batch_entries order by 1")
    deliverable = books.query("select entry_id from v_journal_entries where booked_by = 'mpsync' order by 1")
    assert given == deliverable
    books.check()


def test_files_hold_what_the_journal_holds_and_the_control_file_says_so(books: Books, tmp_path: Path) -> None:
    small_month(books)
    give(books, tmp_path / "a.csv")

    held: Counter[str] = Counter()
    with (tmp_path / "a.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            held[row["account"]] += Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)  # type: ignore[assignment]
    control = json.loads((tmp_path / "a.csv.control.json").read_text())
    [of_file] = control["files"]

    assert {name: f"{amount:.2f}" for name, amount in held.items()} == books.balances("booked_by = 'mpsync'")
    assert of_file["sha256"] == hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    assert control["debit"] == control["credit"] == of_file["debit"]
    assert control["documents"] == len(books.query("select number from v_journal_documents"))
    states = {row["state"] for row in books.query("select state from v_journal_documents")}
    assert states == {"written"}


def test_what_the_erp_booked_itself_is_in_no_file(books: Books, tmp_path: Path) -> None:
    small_month(books)

    give(books, tmp_path / "a.csv", mode="detail")

    assert "ERP-1" not in (tmp_path / "a.csv").read_text()


def test_looking_gives_nothing(books: Books, tmp_path: Path) -> None:
    small_month(books)

    looked = give(books, tmp_path / "a.csv", look=True)

    assert looked.looked
    assert (tmp_path / "a.csv").exists()
    assert books.query("select * from v_journal_batches") == []
    assert give(books, tmp_path / "b.csv").batch is not None
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_a_batch_that_was_cut_and_not_written_is_named_and_finished(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_month(books)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sync.journal.batches._write", die)
        with pytest.raises(KeyboardInterrupt):
            give(books, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()

    with pytest.raises(ConfigError, match="batch 1 was cut"):
        give(books, tmp_path / "b.csv")
    export_again(books.context(), tmp_path / "a.csv", 1)

    assert give(books, tmp_path / "b.csv").batch is None
    assert (tmp_path / "a.csv").exists()


def test_a_file_longer_than_its_reader_takes_is_cut_between_documents(sqlite_books: Books, tmp_path: Path) -> None:
    for n in range(220):
        sqlite_books.receive(f"mpw-r-{n}", "1", "2.5", remote_id=str(n))
    sqlite_books.book()

    given = give(sqlite_books, tmp_path / "a.csv", "xero", mode="detail")

    assert given.files == ("a-1.csv", "a-2.csv")
    sizes = [len((tmp_path / name).read_text().splitlines()) - 1 for name in given.files]
    assert sizes == [300, 140]


def test_a_format_that_needs_to_be_told_says_so(sqlite_books: Books, tmp_path: Path) -> None:
    small_month(sqlite_books)

    with pytest.raises(ConfigError, match="xero needs --tax-rate"):
        give(sqlite_books, tmp_path / "a.csv", "xero", options=Options())

    assert sqlite_books.query("select * from v_journal_batches") == []


def test_an_account_too_long_for_a_format_gives_nothing(sqlite_books: Books, tmp_path: Path) -> None:
    sqlite_books.accounts(f"use,account\ninventory,{'9' * 21}\ngrni,2\nexpense,3\nrounding,4\n")
    sqlite_books.receive("mpw-r-1", "1", "2.5")
    sqlite_books.book()

    with pytest.raises(ConfigError, match="more than 20 characters"):
        give(sqlite_books, tmp_path / "a.csv", "bc")

    assert sqlite_books.query("select * from v_journal_batches") == []
    assert list(tmp_path.glob("a.csv*")) == []


def test_a_document_is_booked_on_the_first_open_day(books: Books, tmp_path: Path) -> None:
    books.receive("mpw-r-1", "1", "2.5", occurred_on=date(2024, 3, 4))
    books.book()
    books.lock_date = date(2024, 3, 31)

    give(books, tmp_path / "a.csv")

    assert [row["booked_on"] for row in books.query("select booked_on from v_journal_documents")] == [date(2024, 4, 1)]


def test_a_later_day_waits_for_its_own_batch(books: Books, tmp_path: Path) -> None:
    books.receive("mpw-r-1", "1", "2.5", occurred_on=date(2024, 3, 4))
    books.receive("mpw-r-2", "1", "2.5", occurred_on=date(2024, 3, 5))
    books.book()

    first = give(books, tmp_path / "a.csv", last=date(2024, 3, 4))
    second = give(books, tmp_path / "b.csv")

    assert [given.batch.entries for given in (first, second) if given.batch] == [1, 1]


def test_what_was_handed_over_after_it_was_given_is_taken_back(books: Books, tmp_path: Path) -> None:
    books.receive("K-1", "4", "10")
    books.book()
    give(books, tmp_path / "a.csv")
    books.append("erp", "receipt", "K-1", "4", "10")
    books.book()

    give(books, tmp_path / "b.csv", mode="detail")

    rows = list(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))
    assert (rows[0]["account"], rows[0]["credit"]) == ("1410", "40.00")
    assert rows[0]["document"].endswith("h")


def test_a_batch_that_no_longer_gives_its_bytes_is_refused(sqlite_books: Books, tmp_path: Path) -> None:
    small_month(sqlite_books)
    give(sqlite_books, tmp_path / "a.csv")
    sqlite_books.run("update journal_documents set booked_on = '2024-03-05' where booked_on = '2024-03-04'")

    with pytest.raises(InvariantError, match="no longer gives the bytes"):
        export_again(sqlite_books.context(), tmp_path / "b.csv", 1)

    assert not (tmp_path / "b.csv").exists()


def test_a_number_of_a_detail_says_where_it_comes_from(books: Books, tmp_path: Path) -> None:
    small_month(books)

    give(books, tmp_path / "a.csv", mode="detail")

    numbers = [row["number"] for row in books.query("select number from v_journal_documents order by number")]
    assert numbers == ["I3.1", "I4.1", "R1.1", "R2.1", "R2.1r", "R2.2", "R6.1"]

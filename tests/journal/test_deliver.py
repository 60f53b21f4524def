"""Files for the ERP each day, by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from sync.journal.deliver import deliver_if_due_once
from tests.journal.books import Books


@pytest.fixture
def daily(books: Books, tmp_path: Path) -> Books:
    """Books whose files are to be written at 06:00, with one receipt of yesterday's."""
    books.terms = replace(books.terms, deliver_at=time(6), folder=tmp_path)
    books.receive("mpw-r-1", "4", "2.5")
    books.book()
    return books


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("journal-"))


def test_what_is_new_up_to_yesterday_is_written_once_a_day(daily: Books, tmp_path: Path) -> None:
    daily.clock.current = datetime(2024, 3, 15, 5, 59, tzinfo=UTC)
    assert deliver_if_due_once(daily.context()) == 0

    daily.clock.current = datetime(2024, 3, 15, 6, 0, tzinfo=UTC)
    assert deliver_if_due_once(daily.context()) == 1
    daily.receive("mpw-r-2", "1", "2.5")
    daily.book()
    assert deliver_if_due_once(daily.context()) == 0

    daily.clock.current = datetime(2024, 3, 16, 6, 0, tzinfo=UTC)
    assert deliver_if_due_once(daily.context()) == 1
    assert [name for name in files(tmp_path) if name.endswith(".csv")] == [
        "journal-000001-2024-03-15.csv",
        "journal-000002-2024-03-16.csv",
    ]


def test_a_name_that_is_taken_is_not_taken_again(daily: Books, tmp_path: Path) -> None:
    (tmp_path / "journal-000001-2024-03-15.csv").write_text("of a database that was put back")

    assert deliver_if_due_once(daily.context()) == 1

    assert (tmp_path / "journal-000001-2024-03-15.csv").read_text() == "of a database that was put back"
    assert (tmp_path / "journal-000001-2024-03-15_2.csv").exists()


def test_a_folder_that_is_gone_is_said_and_what_was_cut_comes_when_it_is_back(daily: Books, tmp_path: Path) -> None:
    folder = tmp_path / "erp"
    daily.terms = replace(daily.terms, folder=folder)
    assert deliver_if_due_once(daily.context()) == 0
    [opened] = daily.query("select detail from v_exceptions where kind = 'journal_delivery' and resolved_at is null")
    assert "cannot write there" in opened["detail"]

    folder.mkdir()

    assert deliver_if_due_once(daily.context()) == 1
    assert daily.query("select * from v_exceptions where resolved_at is null") == []
    assert len(daily.query("select * from v_journal_batches")) == 1
    daily.check()


def test_what_the_format_needs_is_said_and_nothing_is_cut(daily: Books) -> None:
    daily.terms = replace(daily.terms, format="xero")
    assert deliver_if_due_once(daily.context()) == 0
    assert daily.query("select * from v_journal_batches") == []
    [opened] = daily.query("select detail from v_exceptions where resolved_at is null")
    assert "xero needs --tax-rate" in opened["detail"]

    daily.terms = replace(daily.terms, options={"tax_rate": "Tax Exempt"})

    assert deliver_if_due_once(daily.context()) == 1

"""The commands about the journal, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync.__main__ import main
from tests.journal.books import Books


@pytest.fixture
def typed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> object:
    """Return what runs a command on the test's database; it returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SYNC_JOURNAL_FROM", "2024-01-01")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_chart_is_written_corrected_and_imported(typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert typed("accounts", "sample", "a.csv")[0] == 0
    code, out, _ = typed("accounts", "import", "a.csv", "--json")
    assert (code, json.loads(out)["version"]) == (0, 1)

    (tmp_path / "b.csv").write_text("use,account\nexpense,1\nexpense,2\n")
    code, out, err = typed("accounts", "import", "b.csv")
    assert code == 1
    assert "nothing was changed" in out
    assert "b.csv, line 3: the same as line 2" in err

    assert typed("accounts", "export", "c.csv")[0] == 0
    assert (tmp_path / "c.csv").read_text() == (tmp_path / "a.csv").read_text()
    assert typed("accounts", "sample", "a.csv")[0] == 2


def test_the_journal_is_shown_checked_and_explained(typed, sqlite_books: Books) -> None:  # type: ignore[no-untyped-def]
    sqlite_books.receive("mpw-r-1", "4", "2.5", raw={"vendor_name": "Bosch"})
    sqlite_books.book()

    assert typed("journal", "check")[0] == 0
    code, out, _ = typed("journal", "show", "mpw-r-1", "--json")
    assert [line["account"] for line in json.loads(out)["lines"]] == ["1410", "2150"]
    assert code == 0
    assert typed("journal", "show", "nothing")[0] == 1
    assert "1410" in typed("explain", "mpw-r-1")[1]
    code, out, _ = typed("journal", "accounts")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["account", "name", "debit", "credit", "balance"],
        ["1410", "Parts", "10.00", "0.00", "10.00"],
        ["2150", "Goods", "received", "not", "invoiced", "0.00", "10.00", "-10.00"],
        ["sum", "–", "10.00", "10.00", "0.00"],
    ]


def test_the_check_fails_where_the_journal_is_not_what_the_ledger_says(typed, sqlite_books: Books) -> None:  # type: ignore[no-untyped-def]
    sqlite_books.receive("mpw-r-1", "4", "2.5")
    sqlite_books.book()
    sqlite_books.run("update journal_positions set value = value + 1")

    code, _, err = typed("journal", "check")

    assert code == 1
    assert "position P-1 in Main" in err


def test_what_is_held_is_booked_or_dropped_by_a_person(typed, sqlite_books: Books) -> None:  # type: ignore[no-untyped-def]
    sqlite_books.accounts("use,part,account\ninventory,,1\ngrni,,2\ngrni,P-2,?\nexpense,,3\nrounding,,4\n")
    early = sqlite_books.receive("mpw-r-1", "4", "2.5", occurred_on=__import__("datetime").date(2023, 12, 1))
    held = sqlite_books.receive("mpw-r-2", "1", "2.5", item="P-2")
    sqlite_books.book()

    assert "mpw-r-2" in typed("journal", "held")[1]
    assert "before SYNC_JOURNAL_FROM" in typed("journal", "unposted")[1]
    assert typed("journal", "post", str(early), "--why", "it counts")[0] == 0
    assert typed("journal", "post", str(early), "--why", "twice")[0] == 2
    assert typed("journal", "post", "99", "--why", "none")[0] == 2
    assert typed("journal", "drop", str(held), "--why", "a sample")[0] == 0

    [row] = sqlite_books.query("select why, made_by from v_journal where line = 1")
    assert row["why"] == "it counts"
    assert row["made_by"]
    [row] = sqlite_books.query("select reason from v_journal_unposted")
    assert row["reason"] == "dropped"
    assert sqlite_books.query("select * from v_exceptions where resolved_at is null") == []


def test_doctor_says_what_is_missing(typed, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    _, out, err = typed("doctor")
    assert "journal: SYNC_JOURNAL_FROM is set, and there are no rules of accounts" in " ".join(err.split())
    typed("accounts", "sample", "a.csv")
    typed("accounts", "import", "a.csv")
    _, out, _ = typed("doctor")
    assert "journal: kept from 2024-01-01" in out

    monkeypatch.delenv("SYNC_JOURNAL_FROM")
    _, _, err = typed("doctor")

    assert "journal: there are rules of accounts, and SYNC_JOURNAL_FROM is not set" in err

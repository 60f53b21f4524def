"""Whoever works at the program's own login, as in the image, is a person all the same."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sync.__main__ import main
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.ledger.books import Books
from sync.stock.echo.rows import doubts_decided_by_people
from sync.values.subjects import Subject


def test_a_decision_made_at_the_program_s_own_login_is_a_person_s_and_is_acted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(getpass, "getuser", lambda: "mpsync")
    assert main(["db", "upgrade"]) == 0
    store = Store("sqlite:///mpsync.db")
    with store.write() as conn:
        Books(conn, now=datetime(2026, 5, 1, tzinfo=UTC)).open_exception(
            "echo_undecided",
            about=Subject.event("k-1"),
            detail="which one?",
            hint="say",
            facts={"external_id": "P-1", "movements": ["7"]},
        )
        [doubt] = open_exceptions(conn)

    assert main(["exceptions", "resolve", str(doubt.id), "--echo", "7", "--why", "asked in the store"]) == 0

    with store.read() as conn:
        [decided] = doubts_decided_by_people(conn)
    store.close()
    assert decided.id == doubt.id


@pytest.mark.parametrize("command", [["exceptions", "list"], ["todo"]])
def test_a_hint_names_the_exception_s_own_number_to_be_typed_as_it_stands(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["db", "upgrade"]) == 0
    store = Store("sqlite:///mpsync.db")
    with store.write() as conn:
        for n in (1, 2):
            Books(conn, now=datetime(2026, 5, 1, tzinfo=UTC)).open_exception(
                "cost_jump",
                about=Subject.stock_of(f"P-{n}"),
                detail="it jumped",
                hint="`mpsync exceptions resolve ID --apply --why TEXT`",
                facts={"external_id": f"P-{n}", "cost": "7"},
            )
    store.close()

    main(command)

    said = capsys.readouterr().out
    assert "resolve 1 --apply" in said
    assert "resolve 2 --apply" in said
    assert "resolve ID" not in said

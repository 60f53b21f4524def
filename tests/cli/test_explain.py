"""`mpsync explain` says why nothing is under way for an event; `mpsync outbox` knows the routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync.__main__ import main
from sync.cli.outbox import ROUTES as OFFERED
from sync.values.policy import ROUTES

RECEIPT = {
    "part_number": "P-1",
    "warehouse_name": "Main",
    "quantity_received": "3",
    "unit_cost": "2.50",
}


def test_an_event_of_before_the_go_live_says_why_it_is_not_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNC_PUSH_FROM", "2026-11-20T00:00:00Z")
    lines = [
        RECEIPT | {"api_key": "old", "created_on": "2026-11-19"},
        RECEIPT | {"api_key": "new", "created_on": "2026-11-20"},
    ]
    Path("receipts.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert main(["import", "receipts.jsonl", "--type", "receipt"]) == 0
    capsys.readouterr()

    assert main(["explain", "old"]) == 0
    assert "not pushed  older than SYNC_PUSH_FROM" in capsys.readouterr().out
    assert main(["explain", "new"]) == 0
    assert "not pushed" not in capsys.readouterr().out


def test_the_outbox_commands_offer_every_route_and_no_other() -> None:
    assert tuple(OFFERED) == ROUTES


def test_a_late_document_says_which_date_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNC_PUSH_FROM", "2026-10-01T00:00:00Z")
    monkeypatch.setenv("SYNC_LOCK_DATE", "2026-10-31")
    lines = [
        RECEIPT | {"api_key": "late", "created_on": "2026-10-20"},
        RECEIPT | {"api_key": "in-time", "created_on": "2026-11-02"},
    ]
    Path("receipts.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert main(["import", "receipts.jsonl", "--type", "receipt"]) == 0
    capsys.readouterr()

    assert main(["explain", "late"]) == 0
    assert "late: erp dates it 2026-10-20, in a closed month (SYNC_LOCK_DATE); the ledger posts it on 2026-11-01" in (
        capsys.readouterr().out
    )
    assert main(["explain", "in-time"]) == 0
    assert "late:" not in capsys.readouterr().out

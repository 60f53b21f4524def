"""`mpsync learned`: people read what was learnt, and their word stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.__main__ import main
from sync.database.engine import Store
from sync.learned.rows import learn, learned
from sync.learned.rules import FACTS


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    store = Store(database_url)
    yield store
    store.close()


def shown(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, Any]]:
    capsys.readouterr()
    assert main(["learned", "list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    return {(row["system"], row["fact"]): row for row in facts}


def test_the_list_shows_every_fact_and_what_is_assumed_where_nothing_is_known(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.write() as conn:
        learn(conn, "mpw", "page_honoured", "no", evidence="orders of May", now=datetime.now(UTC))

    found = shown(capsys)

    assert set(found) == set(FACTS)
    assert (found["mpw", "page_honoured"]["value"], found["mpw", "page_honoured"]["evidence"]) == (
        "no",
        "orders of May",
    )
    assert found["mpw", "marker_survives"]["value"] is None
    assert all(row["assumed"] and row["used"] for row in found.values())
    assert main(["learned", "list"]) == 0
    assert "mpw page_honoured: no" in capsys.readouterr().out


def test_what_is_set_is_shown_with_who_and_why_and_can_be_forgotten(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["learned", "set", "window_hours", "24", "--why", "their support said so"]) == 0

    row = shown(capsys)["mpservices", "window_hours"]
    assert (row["value"], row["evidence"]) == ("24", "their support said so")
    assert row["set_by"]

    assert main(["learned", "forget", "window_hours"]) == 0
    assert shown(capsys)["mpservices", "window_hours"]["value"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "1", "--why", "x"], "learned list"),
        (["window_hours", "two days", "--why", "x"], "a number of hours"),
        (["window_hours", "24"], "--why"),
        (["window_hours", "24", "--why", " "], "--why"),
        (["clock_skew_seconds", "3", "--why", "x"], "--system"),
        (["window_hours", "24", "--system", "mpw", "--why", "x"], "is not a fact of mpw"),
    ],
)
def test_what_cannot_be_set_is_refused_with_exit_2_and_nothing_is_written(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["learned", "set", *arguments]) == 2

    assert said in capsys.readouterr().err
    with store.read() as conn:
        assert learned(conn, "mpservices", "window_hours") is None


def test_a_fact_of_both_systems_is_told_apart_by_its_system(store: Store) -> None:
    assert main(["learned", "set", "clock_skew_seconds", "-90", "--system", "mpw", "--why", "measured"]) == 0

    with store.read() as conn:
        assert learned(conn, "mpw", "clock_skew_seconds") == "-90"
        assert learned(conn, "mpservices", "clock_skew_seconds") is None


def test_the_shell_completes_the_names_of_facts(capsys: pytest.CaptureFixture[str]) -> None:
    from sync.cli.learned import FactName

    names = [item.value for item in FactName().shell_complete(None, None, "cost_")]  # type: ignore[arg-type]

    assert names == ["cost_cut", "cost_decimals", "cost_is"]

"""`mpsync probe` against a sandbox with a quirk tells what it is, and leaves nothing behind."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.server import Sandbox
from tests.sandbox.conftest import MAIN
from tests.standin.times import OurClock, TrueTime

ITEM, PART = "PROBE-1", "P-77"


@contextmanager
def quirky(*quirks: str) -> Iterator[Sandbox]:
    """A sandbox with a part, 10 of it at 12.6666, and its item, 7 at 9; six orders, none of them about it."""
    with Sandbox(populate=False, clock=OurClock(TrueTime()), quirks=quirks) as sandbox:
        sandbox.mpw.add_part(PART, MAIN, quantity=10, unit_cost="12.6666")
        sandbox.mpw.add_part("other", MAIN, quantity=50, unit_cost=1)
        sandbox.mpservices.add_product(ITEM, stock=7, cost=9)
        for _ in range(6):
            sandbox.mpw.add_order(warehouse_name=MAIN, lines=[("other", 1, 1)])
        yield sandbox


class Told:
    """What a probe said, as --json has it."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        settings = sandbox.settings() | {"DATABASE_URL": f"sqlite:///{folder}/probe.db"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sync.app.SystemClock", lambda: sandbox.clock)
        monkeypatch.setattr("sync.work.lead.TRUSTED", timedelta(hours=2))  # its clock jumps when it sleeps
        monkeypatch.chdir(folder)
        from sync.__main__ import main

        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(io.TextIOWrapper(binary := io.BytesIO(), write_through=True)), redirect_stderr(err):
            self.code = main(["probe", "--item", ITEM, "--part", PART, "--warehouse", MAIN, "--yes", "--json"])
        del out
        self.errors = err.getvalue()
        said = binary.getvalue().decode()
        assert said.startswith("{"), self.errors
        self.data: dict[str, Any] = json.loads(said)

    def fact(self, name: str, system: str = "mpservices") -> str | None:
        """Return what is known of a fact now."""
        (row,) = [one for one in self.data["facts"] if (one["system"], one["fact"]) == (system, name)]
        return row["value"]  # type: ignore[no-any-return]

    def answer(self, step: str) -> str:
        """Return what a step came to."""
        return next(one["answer"] for one in self.data["steps"] if one["name"] == step)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def run(sandbox: Sandbox) -> Told:
        return Told(sandbox, monkeypatch, tmp_path)

    return run


def nothing_is_left(sandbox: Sandbox, *, stock: Decimal | int = 10, strangers: int = 0) -> None:
    assert sandbox.mpw.stock(PART, MAIN) == 10
    assert len(sandbox.mpw.receipt_by_key) + len(sandbox.mpw.issuances_by_key) == strangers
    assert sandbox.mpservices.stock(ITEM) == stock


def test_without_a_quirk(probe: Any) -> None:
    with quirky() as sandbox:
        told = probe(sandbox)

        assert (told.code, told.errors) == (0, told.errors)
        assert told.fact("mark_survives") == "yes"
        assert told.fact("zero_echo") == "no"
        assert told.fact("cost_is") == "unit"
        assert [told.fact(name) for name in ("cost_decimals", "stock_decimals")] == [None, None]
        assert [told.fact(name, "mpw") for name in ("marker_survives", "fractions_taken")] == ["yes", "no"]
        assert told.fact("description_max", "mpw") is None
        assert "already exists" in str(told.fact("exists_words", "mpw"))
        assert "maximum quantity" in str(told.fact("maximum_words", "mpw"))
        nothing_is_left(sandbox)


@pytest.mark.parametrize("how", ["rounded", "cut"])
@pytest.mark.parametrize("places", ["2", "1", "0"])
def test_decimals_of_a_cost(probe: Any, how: str, places: str) -> None:
    with quirky(f"cost-{how}-{places}") as sandbox:
        told = probe(sandbox)

        assert told.code == 0, told.errors
        assert (told.fact("cost_decimals"), told.fact("cost_cut")) == (places, how)
        assert told.fact("mark_survives") == "no"
        nothing_is_left(sandbox)


@pytest.mark.parametrize("how", ["rounded", "cut"])
@pytest.mark.parametrize("places", ["2", "1", "0"])
def test_decimals_of_a_stock(probe: Any, how: str, places: str) -> None:
    with quirky(f"stock-{how}-{places}") as sandbox:
        told = probe(sandbox)

        assert told.code == 0, told.errors
        assert (told.fact("stock_decimals"), told.fact("stock_cut")) == (places, how)
        nothing_is_left(sandbox)


@pytest.mark.parametrize(
    ("quirk", "fact", "value"),
    [
        ("zero-echo", "mpservices zero_echo", "yes"),
        ("unknown-types", "mpservices echo_type", "Adjustment"),
        ("echo-reference", "mpservices echo_reference", "API"),
        ("total-costs", "mpservices cost_is", "total"),
        ("mpservices-clock-ahead", "mpservices clock_skew_seconds", "300"),
        ("mpw-clock-behind", "mpw clock_skew_seconds", "-300"),
        ("fractions-taken", "mpw fractions_taken", "yes"),
        ("fractions-made-whole", "mpw fractions_taken", "no"),
        ("short-descriptions", "mpw description_max", "60"),
        ("no-descriptions", "mpw marker_survives", "no"),
        ("page-ignored", "mpw page_honoured", "no"),
        ("strict-wordings", "mpw exists_words", "e# api_key conflict"),
        ("strict-wordings", "mpw maximum_words", "e# quantity out of range"),
    ],
)
def test_what_is_a_fact(probe: Any, quirk: str, fact: str, value: str) -> None:
    with quirky(quirk) as sandbox:
        told = probe(sandbox)

        system, name = fact.split()
        assert told.fact(name, system) == value
        nothing_is_left(sandbox)


def test_a_late_movement_is_said_to_be_late(probe: Any) -> None:
    with quirky("late-movements") as sandbox:
        told = probe(sandbox)

        assert told.code == 0, told.errors
        assert "s after the answer" in told.answer("uneven")
        nothing_is_left(sandbox)


def test_a_patch_that_does_nothing_is_told(probe: Any) -> None:
    with quirky("no-op-patch") as sandbox:
        told = probe(sandbox)
        assert told.code == 1
        assert "the patch before it did nothing" in told.answer("same")
        assert "it was sent 2 times" in told.answer("back")
        nothing_is_left(sandbox)


def test_a_patch_that_the_feed_never_shows_is_told(probe: Any) -> None:
    with quirky("no-echo") as sandbox:
        told = probe(sandbox)

        assert told.code == 1
        assert "made no movement" in told.answer("uneven")
        nothing_is_left(sandbox)


def test_hollow_answers_are_told(probe: Any) -> None:
    with quirky("hollow-answers") as sandbox:
        told = probe(sandbox)

        assert told.code == 0, told.errors
        for step in ("receipt", "issuance"):
            assert told.answer(step).startswith("made: ")
            assert "nothing" in told.answer(step)
        nothing_is_left(sandbox)


@pytest.mark.parametrize("quirk", ["hollow-writes", "vanishing-rows"])
def test_what_is_answered_and_not_there_is_told(probe: Any, quirk: str) -> None:
    with quirky(quirk) as sandbox:
        told = probe(sandbox)

        assert told.code == 1
        assert told.answer("receipt").startswith("missing: MPW does not show it")
        assert told.answer("again").startswith("made: ")
        nothing_is_left(sandbox)


def test_a_key_that_is_taken_is_told_and_left_alone(probe: Any) -> None:
    with quirky("key-taken") as sandbox:
        told = probe(sandbox)

        assert told.code == 1
        assert "MPW has a receipt under" in told.answer("receipt")
        assert [row.received for row in sandbox.mpw.receipt_by_key.values()] == [7]

"""Three programs of other people's read what was given and find our balances; one changed cent, and they refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from sync.journal.batch_rows import batch_of
from sync.journal.batches import export_journal
from sync.journal.formats.plaintext import names_of
from tests.journal.books import Books
from tests.journal.golden import CHART
from tests.journal.random_events import fill

SOME, MANY = 300, 5_000
"""Events: in the usual loop, and in the slow one."""


def program(name: str) -> str:
    """Return where a judge is; without it the test is skipped, and with CI set it fails: .ci/judges installs it."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"{name} is not on this machine (.ci/judges installs it)")
    assert found is not None
    return found


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})


def hledger(path: Path) -> tuple[int, str]:
    checked = ran(program("hledger"), "-f", str(path), "check", "-s", "ordereddates")
    if checked.returncode:
        return checked.returncode, checked.stderr
    balances = ran(program("hledger"), "-f", str(path), "bal", "--flat", "-N", "-E")
    return balances.returncode, balances.stdout


def ledger(path: Path) -> tuple[int, str]:
    balances = ran(program("ledger"), "-f", str(path), "bal", "--flat", "--no-total", "-E")
    return balances.returncode, balances.stdout + balances.stderr


def beancount(path: Path) -> tuple[int, str]:
    checked = ran(program("bean-check"), str(path))
    return checked.returncode, checked.stdout + checked.stderr


JUDGES: dict[str, Callable[[Path], tuple[int, str]]] = {"hledger": hledger, "ledger": ledger, "beancount": beancount}


def exported(books: Books, folder: Path, judge: str, mode: str, events: int) -> tuple[Path, dict[str, Decimal]]:
    """Return the file of random events, and what each account holds by our own books."""
    books.accounts(CHART)
    fill(books.store, books.clock, events, seed=7)
    books.book()
    books.check()
    path = folder / f"all.{judge}"
    given = export_journal(books.context(), path, format_=judge, mode=mode, by="judge")
    assert given.batch is not None
    with books.store.read() as conn:
        batch = batch_of(conn, given.batch.id)
    assert batch is not None
    names = names_of(batch.options)
    balances = books.balances("booked_by = 'mpsync'")
    return path, {names[code]: Decimal(amount) for code, amount in balances.items() if code in names}


def one_cent_off(path: Path) -> None:
    """Change one amount in the middle of a file by a cent."""
    text = path.read_text(encoding="utf-8")
    amounts = list(re.finditer(r" {2,}(-?\d+\.\d\d) USD$", text, re.MULTILINE))
    middle = amounts[len(amounts) // 2]
    changed = Decimal(middle[1]) + Decimal("0.01")
    path.write_text(f"{text[: middle.start(1)]}{changed:.2f}{text[middle.end(1) :]}", encoding="utf-8")


def read_balances(text: str) -> dict[str, Decimal]:
    """Return accounts and amounts of a balance report."""
    found = re.findall(r"^\s*(-?[\d.,]+)(?: USD)?\s+(\S+)\s*$", text, re.MULTILINE)
    return {name: Decimal(amount.replace(",", "")) for amount, name in found}


@pytest.mark.parametrize("mode", ["summary", "detail"])
@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("events", [SOME, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_judge_accepts_random_events_and_refuses_one_changed_cent(
    sqlite_books: Books, tmp_path: Path, judge: str, mode: str, events: int
) -> None:
    judged = JUDGES[judge]
    program("bean-check" if judge == "beancount" else judge)
    path, ours = exported(sqlite_books, tmp_path, judge, mode, events)

    code, said = judged(path)
    assert code == 0, said
    if judge == "beancount":
        path_with_totals(path, ours)
        code, said = judged(path)
        assert code == 0, said
    else:
        theirs = read_balances(said)
        assert {name: theirs.get(name, Decimal(0)) for name in ours} == ours

    one_cent_off(path)
    assert judged(path)[0] != 0


def path_with_totals(path: Path, ours: dict[str, Decimal]) -> None:
    """Let Beancount compare its balances with ours: it refuses a `balance` that is not so."""
    text = "".join(f"\n2099-12-31 balance {name}  {amount:.2f} USD" for name, amount in sorted(ours.items()))
    path.write_text(path.read_text(encoding="utf-8") + text + "\n", encoding="utf-8")


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_accepts_100_000_random_events(sqlite_books: Books, tmp_path: Path, judge: str) -> None:
    program("bean-check" if judge == "beancount" else judge)
    path, _ = exported(sqlite_books, tmp_path, judge, "detail", 100_000)

    code, said = JUDGES[judge](path)

    assert code == 0, said

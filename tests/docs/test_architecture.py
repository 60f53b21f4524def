"""What ARCHITECTURE.md and the README say of the code in tables is what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from sync import __main__ as program
from sync.outbox.machine import LEGAL

ROOT = Path(__file__).parents[2]
PICTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_the_table_of_moves_is_the_machine_s() -> None:
    table = PICTURE.split("| from | to |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    moves = {state: set(to.split(", ")) - {"none"} for states, to in rows for state in states.split(", ")}
    assert moves == {state: set(to) for state, to in LEGAL.items()}


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(one for name, of_extra in extras.items() if name != "bench" for one in of_extra),
    ]
    names = {re.match(r"[\w-]+", one)[0] for one in wanted}  # type: ignore[index]
    told = PICTURE.split("## Dependencies")[1]
    first = " ".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| "))
    assert {name for name in names if not re.search(rf"(?i)(?<![\w-]){name}(?![\w-])", first)} == set()


def test_the_readme_names_every_exit_code() -> None:
    said = (ROOT / "README.md").read_text(encoding="utf-8").split("Exit codes: ")[1].split("`--json`")[0]
    codes = {program.FINE, program.NEEDS_A_PERSON, program.USAGE, program.LEASE_HELD, program.INTERRUPTED}
    assert {int(code) for code in re.findall(r"\b\d+\b", said)} == codes

"""docs/assumptions.md lists every case that the code cites."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"edge cases? ((?:[MSX][0-9]+[a-z]?(?:, | and )?)+)")


def test_every_case_that_the_code_cites_is_on_the_page() -> None:
    page = (ROOT / "docs" / "assumptions.md").read_text()
    listed = {case for row in re.findall(r"^\| ([^|]+) \|", page, re.M) for case in re.split(r", ", row)}
    cited: dict[str, str] = {}
    for path in sorted((ROOT / "sync").rglob("*.py")):
        for cases in CITED.findall(path.read_text()):
            cited |= dict.fromkeys(re.findall(r"[MSX][0-9]+[a-z]?", cases), str(path.relative_to(ROOT)))

    assert {"M39", "S13", "S15"} <= set(cited)
    assert {case: where for case, where in cited.items() if case not in listed} == {}

"""docs/glossary.md names every concept once, among them all that the tables' rules name."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import CheckConstraint

from sync.database.schema import ledger_entries, outbox

TERMS = re.findall(
    r"^\| \*\*(.+?)\*\* \|",
    (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)


def test_no_concept_is_defined_twice() -> None:
    assert len(TERMS) > 60
    assert sorted(set(TERMS)) == sorted(TERMS)


def test_every_state_of_a_push_and_type_of_an_entry_is_defined() -> None:
    rules = [
        str(constraint.sqltext)
        for table, name in ((outbox, "ck_outbox_state"), (ledger_entries, "ck_ledger_entries_entry_type"))
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint) and constraint.name == name
    ]

    named = set(re.findall(r"'(\w+)'", " ".join(rules)))

    assert len(rules) == 2
    assert named <= set(TERMS)

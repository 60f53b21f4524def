"""The rules of accounts in their table: every version that was ever in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection, func, insert, select

from sync.database.schema import account_rules, account_versions
from sync.journal.accounts import CELLS, Rule, begins_of, is_always
from sync.ledger.books import Books

ACCOUNTS_VERSION = "accounts_version"
"""The fact that says which rules are in force, for those who ask in every round."""


def version_in_force(conn: Connection) -> int:
    """Return the newest version of the rules, 0 where there is none."""
    return int(conn.execute(select(func.coalesce(func.max(account_versions.c.version), 0))).scalar_one())


def load_rules(conn: Connection, version: int | None = None) -> tuple[int, list[Rule]]:
    """Return the rules in force, or those of a version, in the order of their file."""
    wanted = version_in_force(conn) if version is None else version
    query = select(account_rules).where(account_rules.c.version == wanted).order_by(account_rules.c.n)
    rules = [
        Rule(
            row.use,
            tuple(getattr(row, name) for name in CELLS),
            row.account,
            row.cost_center,
            begins_of(row.from_on.isoformat() if row.from_on else None),
            row.name,
        )
        for row in conn.execute(query)
    ]
    return wanted, rules


def save_rules(books: Books, rules: Sequence[Rule], *, by: str) -> int:
    """Put rules in force as a new version; return it. Rules equal to those in force make no version."""
    version, known = load_rules(books.conn)
    if version and known == list(rules):
        return version
    version += 1
    made = {"version": version, "imported_at": books.now, "imported_by": by, "rules": len(rules)}
    books.conn.execute(insert(account_versions).values(**made))
    values = [
        {
            "version": version,
            "n": n,
            "use": rule.use,
            **dict(zip(CELLS, rule.cells, strict=True)),
            "account": rule.account,
            "cost_center": rule.cost_center,
            "from_on": None if is_always(rule.begins) else date.fromisoformat(rule.begins),
            "name": rule.name,
        }
        for n, rule in enumerate(rules, 1)
    ]
    books.conn.execute(insert(account_rules), values)
    books.note_fact(ACCOUNTS_VERSION, str(version))
    return version

"""What rules of accounts would make of entries that there are; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection

from sync.journal import rows as stored
from sync.journal.accounts import WAITS, Accounts, Rule, as_row
from sync.journal.rules import FROM_LEDGER, ISSUANCE, TRANSFER, Facts
from sync.values.money import from_micros


def preview(conn: Connection, rules: Sequence[Rule], *, today: date, days: int) -> dict[str, Any]:
    """Return rules that no entry hits, how many entries only base rules cover, and amounts by account, now and then."""
    chart = Accounts(rules, 0)
    since = (today - timedelta(days=days)).isoformat()
    hit: set[Rule] = set()
    now: Counter[str] = Counter()
    then: Counter[str] = Counter()
    entries = on_base = waiting = 0
    for one, _, _ in stored.booked(conn):
        if one.origin != FROM_LEDGER or one.posted_on < since or one.kind == TRANSFER:
            continue
        entries += 1
        facts = Facts(
            one.work_order, one.equipment, one.item, one.vendor, None, one.warehouse, one.purchase_order, one.invoice
        )
        found_only = not (one.vendor or one.purchase_order or one.invoice) and chart.has("found")
        use = "expense" if one.kind == ISSUANCE else "found" if found_only else "grni"
        chosen = chart.rule("inventory", facts, one.posted_on), chart.rule(use, facts, one.posted_on)
        rounding = chart.rule("rounding", facts, one.posted_on) if one.rounding_amount else None
        hit.update(rule for rule in (*chosen, rounding) if rule is not None)
        on_base += not any(chosen[1].cells) if chosen[1] is not None else 0
        waiting += any(rule is None or rule.account == WAITS for rule in chosen)
        amounts = one.amount, one.counter_amount, one.rounding_amount
        for account, amount in zip((one.account, one.counter_account, one.rounding_account), amounts, strict=True):
            now[account or ""] += amount
        for rule, amount in zip((*chosen, rounding), amounts, strict=True):
            then[rule.account if rule is not None else WAITS] += amount
    named = sorted(name for name in {*now, *then} if name)
    return {
        "entries": entries,
        "on_base_rules": on_base,
        "waiting": waiting,
        "accounts": [
            {"account": name, "now": from_micros(now[name]), "then": from_micros(then[name])} for name in named
        ],
        "unused": [{"line": n, "rule": ",".join(as_row(rule))} for n, rule in enumerate(rules, 2) if rule not in hit],
    }

"""Changes that no test can notice: file, the line as it is, as it would be, and why both do the same."""

from __future__ import annotations

HARMLESS = {
    'sync/reconcile/rules.py - return "ready" if policy.route(route) == "push" else "held"'
    ' + return "ready" if policy.route(route) >= "push" else "held"': (
        "the other ways of a route, off and hold, come before push in the alphabet"
    ),
    'sync/reconcile/rules.py - if part.state != "found": + if part.state < "found":': (
        "the other states, absent and failed, come before found in the alphabet"
    ),
    "sync/values/marks.py - return cost if abs(cost) < MARKED_FROM else cost.quantize(_FIVE, rounding=ROUND_DOWN) + 0"
    " + return cost if abs(cost) < MARKED_FROM else cost.quantize(_FIVE, rounding=ROUND_DOWN) - 0": (
        "+ 0 takes the sign from a nought, and what is not below MARKED_FROM is none"
    ),
    "sync/values/money.py - if number.adjusted() < -60: + if number.adjusted() <= -60:": (
        "it only spares the arithmetic of very small numbers: with six decimals either is nought"
    ),
    "sync/journal/rules.py - if booked_by == MPSYNC and row.kind in self.erp_books:"
    " + if booked_by == MPSYNC or row.kind in self.erp_books:": (
        "what is kept in vain is never handed over: the ERP's first entry of an event comes before those that it books"
    ),
}

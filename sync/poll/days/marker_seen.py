"""Learning from our own issuances, as a day shows them, whether MPW keeps their descriptions and markers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sync.clients.mpw.day_rows import DayRow
from sync.learned.rows import learn, learned
from sync.ledger.books import Books
from sync.outbox.pushed import payloads_of_pushed_rows
from sync.values.keys import is_child_of, markers
from sync.values.systems import MPW

LOOK_AT_MAX = 20
"""Issuances of one reading that are looked at: the first few tell what the others would."""


def learn_markers(books: Books, kind: str, rows: Sequence[DayRow]) -> None:
    """Look at the rows that answers have shown to be ours: does the description that we sent come back?"""
    if kind != "issuance" or not rows:
        return
    ours = payloads_of_pushed_rows(books.conn, kind, [row.remote_id for row in rows])
    for row in [row for row in rows if row.remote_id in ours][:LOOK_AT_MAX]:
        api_key, payload = ours[row.remote_id]
        _look(books, row, api_key, payload)


def _look(books: Books, row: DayRow, api_key: str, payload: str) -> None:
    sent = _description(payload)
    if f"[{api_key}]" not in sent:
        return
    shown = (row.description or "").strip()
    told = f"issuance {row.remote_id} of {api_key} shows the description {shown[:200]!r}"
    if any(key == api_key or is_child_of(key, api_key) for key in markers(shown)):
        learn(books.conn, MPW, "marker_survives", "yes", evidence=told, now=books.now)
        longest = learned(books.conn, MPW, "description_max")
        if shown == sent.strip() and longest is not None and len(shown) > int(longest):
            evidence = f"{told}, whole"
            learn(books.conn, MPW, "description_max", str(len(shown)), evidence=evidence, now=books.now)
    elif shown and _words(shown) == _words(sent.replace(f"[{api_key}]", "")):
        return  # a person may have taken the key out, or MPW may have cut just there: it tells nothing of either
    elif shown and sent.startswith(shown):
        evidence = f"{told}, of {len(sent)} characters that were sent"
        learn(books.conn, MPW, "description_max", str(len(shown)), evidence=evidence, now=books.now)
    else:
        learn(books.conn, MPW, "marker_survives", "no", evidence=f"{told}; {sent[:200]!r} was sent", now=books.now)


def _words(text: str) -> list[str]:
    return text.split()


def _description(payload: str) -> str:
    try:
        return str(json.loads(payload).get("description") or "")
    except (ValueError, AttributeError):
        return ""

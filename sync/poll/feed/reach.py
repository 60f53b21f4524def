"""Learning from MPservices' answers how far back they reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from sync.database.facts import fact
from sync.learned.rows import learn
from sync.ledger.books import Books
from sync.poll.feed.reach_rules import DAY, Edge, Reach, edge_of, watch
from sync.poll.feed.short_window import take_off_explained
from sync.values.systems import MPSERVICES

MOVEMENTS_REACH = "movements_reach"
"""The fact that keeps what the readings have shown so far (`sync.poll.feed.reach_rules.Reach`)."""

LOOK_BACK = 5 * DAY
"""How old a known movement may be to tell where the window begins: well beyond any "two days"."""


def learn_reach(
    books: Books, shown: Mapping[str, datetime], known: Mapping[str, datetime], *, at: datetime, ahead: timedelta
) -> None:
    """Learn what an answer shows of the window.

    `at`: when it was answered, by the vendor's own clock; `ahead`: by how much that is ahead of ours.
    """
    before = _kept(fact(books.conn, MOVEMENTS_REACH))
    edge = edge_of(at, shown, known)
    after, found = watch(before, at, shown, edge, zone=books.policy.timezone, setting=books.policy.window)
    if after.edges != before.edges or after.longest >= before.longest + timedelta(hours=1):
        books.note_fact(MOVEMENTS_REACH, _as_text(after))
    for one in found:
        if learn(books.conn, MPSERVICES, one.fact, one.value, evidence=one.evidence, now=books.now):
            resolution = f"how far the feed reaches is known now: {one.fact} is {one.value}"
            take_off_explained(books, ahead=ahead, why=resolution)


def _kept(text: str | None) -> Reach:
    if text is None:
        return Reach()
    kept = json.loads(text)
    edges = (
        Edge(
            datetime.fromisoformat(one["at"]),
            datetime.fromisoformat(one["lost"]),
            one["lost_id"],
            datetime.fromisoformat(one["oldest"]),
            one["oldest_id"],
        )
        for one in kept["edges"]
    )
    return Reach(timedelta(seconds=kept["longest_seconds"]), tuple(edges))


def _as_text(reach: Reach) -> str:
    edges = [
        {
            "at": one.at.isoformat(),
            "lost": one.lost.isoformat(),
            "lost_id": one.lost_id,
            "oldest": one.oldest.isoformat(),
            "oldest_id": one.oldest_id,
        }
        for one in reach.edges
    ]
    return json.dumps({"longest_seconds": reach.longest.total_seconds(), "edges": edges})

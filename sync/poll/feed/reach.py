"""Learning from MPservices' answers how far back they reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from sync.database.exceptions import resolve_exceptions
from sync.database.facts import fact, set_fact
from sync.learned.rows import learn
from sync.ledger.coverage import MOVEMENTS
from sync.poll.feed.reach_rules import DAY, Edge, Reach, edge_of, watch
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPSERVICES

MOVEMENTS_REACH = "movements_reach"
"""The fact that keeps what the readings have shown so far (`sync.poll.feed.reach_rules.Reach`)."""

LOOK_BACK = 5 * DAY
"""How old a known movement may be to tell where the window begins: well beyond any "two days"."""


def learn_reach(
    conn: Connection,
    shown: Mapping[str, datetime],
    known: Mapping[str, datetime],
    *,
    at: datetime,
    policy: Policy,
    now: datetime,
) -> None:
    """Learn what an answer shows of the window. `at`: when it was answered, by the vendor's own clock."""
    before = _kept(fact(conn, MOVEMENTS_REACH))
    edge = edge_of(at, shown, known)
    after, found = watch(before, at, shown, edge, zone=policy.timezone, setting=policy.window)
    if after.edges != before.edges or after.longest >= before.longest + timedelta(hours=1):
        set_fact(conn, MOVEMENTS_REACH, _as_text(after), now=now)
    for one in found:
        if learn(conn, MPSERVICES, one.fact, one.value, evidence=one.evidence, now=now):
            resolution = f"how far the feed reaches is known now: {one.fact} is {one.value}"
            resolve_exceptions(conn, "short_window", Subject.source(MOVEMENTS), resolution=resolution, now=now)


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

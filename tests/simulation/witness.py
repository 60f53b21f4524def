"""What was truly read: whole answers, held against what the books say was read, voided and patched."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sync.sandbox.app import Call
from tests.simulation.kernel import Actor, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

DAYS = {"mpw.issuances", "mpw.receipts"}
FEED = "mpservices.movements"
MASS = 5
"""So many rows at once that MPW only hides are a lost permission, and no deletes (edge cases, "deletes")."""

UNSETTLED = ("movement_changed", "movement_deleted", "quarantined_row", "push_not_there", "patch_without_echo")
"""What makes an item's stock unknown until a person has settled it: nothing is patched meanwhile."""

Read = tuple[str, str]


class Witness:
    """Counts whole answers by what they answer; the books may not have moved more often than that."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._answers: Counter[Read] = Counter()
        self._moves: Counter[Read] = Counter()
        self._read_at: dict[Read, str] = {}
        self._drained: dict[str, frozenset[str]] = {}
        self._voided: set[int] = set()

    def answered(self, actor: Actor, name: str, call: Call) -> None:
        """Take note of a whole answer: a cut one, or a page of HTML, is none."""
        self.world.oracle.causes.answered(name, call)
        if name in DAYS and call.query.get("date"):
            self._answers[name, call.query["date"]] += 1
        elif name == FEED:
            self._answers[name, ""] += 1
            self._drained[actor.name] = self.world.mps.shown

    def asked(self, actor: Actor, name: str) -> None:
        """A drain is just before a patch as long as its hand has asked MPW nothing since."""
        if name.startswith("mpw."):
            self._drained.pop(actor.name, None)

    def before_patch(self, actor: Actor, external_id: str, new_stock: Decimal, *, asks: bool) -> None:
        """A patch follows a reading of the feed by the same hand, and rests on all that this showed.

        One that `asks` which movement the last one made goes out while that is not known, whatever else waits.
        """
        if new_stock < 0:
            raise Violation(f"MPservices is told a stock below zero: {new_stock} of {external_id}")
        for row in self.world.raw.execute("select kind, facts from exceptions where resolved_at is null"):
            facts = json.loads(row["facts"])
            named = {facts.get("external_id"), *(facts.get("external_ids") or ())}
            if row["kind"] in UNSETTLED and external_id in named and not asks:
                raise Violation(f"{external_id} is patched though {row['kind']} of it is not settled")
        unfit = "select 1 from item_states where external_id = ? and unfit_patches >= 2"
        if self.world.raw.execute(unfit, (external_id,)).fetchone():
            raise Violation(f"{external_id} is patched though its fuse has blown")
        shown = self._drained.pop(actor.name, None)
        if shown is None:
            raise Violation(f"{external_id} is patched without a drain of the feed just before")
        for key in self.world.mps.keys_of(external_id, shown=shown):
            made, wanted = self.world.oracle.made_of_movement(*key), self.world.oracle.expected(*key) or 0
            if made < wanted and key not in self.world.people.kept and not (asks and self._is_undecided(key[1])):
                raise Violation(f"{external_id} is patched though {' '.join(key)}, which was read, is not in MPW")

    def _is_undecided(self, key: str) -> bool:
        query = "select 1 from movement_lines where api_key = ? and role = 'undecided'"
        return self.world.raw.execute(query, (key,)).fetchone() is not None

    def after_commit(self, *, operating: bool) -> None:
        """Hold what the books say was read, and what they took for deleted, to what was answered."""
        raw = self.world.raw
        for source, day, at in raw.execute("select source, day, last_read_at from coverage"):
            if source in DAYS:
                self._moved((source, day), at)
        for source, at in raw.execute("select source, last_read_at from feeds where source = ?", (FEED,)):
            self._moved((source, ""), at)
        self._voids(operating)

    def _moved(self, read: Read, at: str | None) -> None:
        if at is None or self._read_at.get(read) == at:
            return
        self._read_at[read] = at
        self._moves[read] += 1
        if self._moves[read] > self._answers[read]:
            raise Violation(f"a watermark moved without a whole answer: {' '.join(read).strip()} is read at {at}")

    def _voids(self, operating: bool) -> None:
        rows = self.world.raw.execute(
            "select id, type, remote_id, missing_since, voided_at from documents "
            "where voided_at is not null and system = 'mpw'"
        ).fetchall()
        new = [row for row in rows if row["id"] not in self._voided]
        self._voided = {row["id"] for row in rows}
        if operating or not new:
            return
        for row in new:
            self._voided_in_time(row)
        hidden = [row for row in new if self._exists(row)]
        if len(hidden) >= MASS:
            raise Violation(f"a mass disappearance was voided: MPW still has {len(hidden)} of these rows")

    def _voided_in_time(self, row: sqlite3.Row) -> None:
        name = f"{row['type']} {row['remote_id']}"
        if row["missing_since"] is None:
            raise Violation(f"{name} was voided, and no reading had lacked it before")
        absent = datetime.fromisoformat(row["voided_at"]) - datetime.fromisoformat(row["missing_since"])
        if absent < self.world.policy.void_after:
            raise Violation(f"{name} was voided on a single absence, {absent / timedelta(minutes=1):.0f} minutes old")

    def _exists(self, row: sqlite3.Row) -> bool:
        mpw = self.world.mpw
        return int(row["remote_id"]) in (mpw.receipt_by_id if row["type"] == "receipt" else mpw.issuance_by_id)

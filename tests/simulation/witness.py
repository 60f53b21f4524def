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

        One that `asks` which movement the last one made (a follow-up) goes out whatever else waits, were it a push of
        people's that is read, decided and dead: it compares nothing with MPW. It sets the stock that was sent last,
        and its own movement shows what people moved since; that goes to MPW, and comes back with the next ordinary
        patch, which is held here until MPW has it all. So the exemption is for a stock that was sent already, and for
        no other patch.
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
            if made < wanted and key not in self.world.people.kept and not asks:
                raise Violation(f"{external_id} is patched though {' '.join(key)}, which was read, is not in MPW")

    def follows(self, external_id: str, new_stock: Decimal, echo_id: int | None) -> bool:
        """Tell whether a patch is the follow-up of one of the same item, to a stock that this explains.

        That is the stock that it sent, and with it what people are known to have moved since it was claimed.
        """
        if echo_id is None:
            return False
        query = "select new_stock, claimed_seq from echoes where id = ? and external_id = ?"
        asked = self.world.raw.execute(query, (echo_id, external_id)).fetchone()
        if asked is None:
            raise Violation(f"{external_id} is patched as if to ask about a patch that never was")
        query = "select quantity from movement_lines where external_id = ? and seen_seq > ?"
        moved = [row["quantity"] for row in self.world.raw.execute(query, (external_id, asked["claimed_seq"]))]
        stocks = {asked["new_stock"]}
        for quantity in moved:
            stocks |= {stock + quantity for stock in stocks}
        if int(new_stock * 1_000_000) not in {max(stock, 0) for stock in stocks}:
            raise Violation(f"{external_id} is patched to {new_stock} to ask about a patch to another stock")
        return True

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

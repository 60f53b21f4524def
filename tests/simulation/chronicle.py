"""What the model itself did, and to what: who deleted, moved and hid which row, what was struck, what was refused.

A cause is looked up here, never in the program's own tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta

Row = tuple[str, int]
"""A row of MPW's: its kind and its id."""

Write = tuple[str, str]
"""A call that writes: its name, and what identifies it to us."""

LESS_BY_STEPS = timedelta(minutes=3)
"""So much shorter than by the program's clock two readings may lie apart: clocks are stepped by a minute each way."""


class Chronicle:
    """What happened, by the kernel's seconds."""

    def __init__(self) -> None:
        self.deleted: set[Row] = set()
        """By people."""
        self.taken_back: set[Row] = set()
        """By a DELETE of ours."""
        self.moved: set[Row] = set()
        """To another day, by people."""
        self.overdrawn: set[str] = set()
        """Parts of which more was issued than there was."""
        self.parts_not_shown: set[tuple[str, str]] = set()
        """(warehouse, part) that we asked about while the warehouse was hidden."""
        self.orders_not_shown: set[str] = set()
        self.refused: dict[Write, set[str]] = defaultdict(set)
        """Why the vendor had to refuse a call: hidden, short, used, taken, withdrawn."""
        self.struck: dict[Write, list[float]] = defaultdict(list)
        """When a fault hit a call that writes."""
        self.cut: set[Write] = set()
        """Calls of which an answer was cut: its words, which tell one refusal from another, cannot be read."""
        self.unauthorized: dict[str, list[float]] = defaultdict(list)
        """When a system answered 401."""
        self.upheavals: list[float] = []
        """When a daemon died, froze, thawed, or had its clock stepped."""
        self.vanished: set[Write] = set()
        """(kind, key) of rows that were answered for and not kept."""
        self.off_clocks: list[float] = []
        """When a daemon's clock was off by more than two minutes, or began to be."""
        self.touched: Counter[str] = Counter()
        """How often people, and faults of the vendors, gave us something to do about an item."""
        self.moved_oddly: dict[str, list[str]] = defaultdict(list)
        """Items whose stock at MPservices is not what its movements make it, and why, act by act."""
        self.transferred: set[str] = set()
        """Parts that people moved to another warehouse, which no row shows."""
        self._not_shown: dict[Row, list[float]] = defaultdict(list)

    def hid(self, row: Row, at: float) -> None:
        """Note that a day was read and did not show a row, since its warehouse is hidden from us."""
        self._not_shown[row].append(at)

    def was_hidden(self, row: Row) -> bool:
        """Tell whether a reading lacked a row for want of a permission."""
        return bool(self._not_shown[row])

    def was_hidden_for(self, row: Row, span: timedelta) -> bool:
        """Tell whether two readings so far apart lacked a row for want of a permission."""
        times = self._not_shown[row]
        return bool(times) and times[-1] - times[0] >= (span - LESS_BY_STEPS).total_seconds()

    def was_disturbed(self, write: Write, since: float) -> bool:
        """Tell whether a call was struck, or a daemon upset, since a moment."""
        return any(at >= since for at in (*self.struck[write], *self.upheavals))

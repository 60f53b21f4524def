"""What a round of work has to do: asked once, and again after every write of ours, so that nothing is missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.database.pauses import Pause
from sync.errors import InvariantError

if TYPE_CHECKING:
    from sync.work.context import Context


KNOWN_SECONDS = 10.0
"""For so long at most an answer is kept: a round that sends nothing and writes nothing ends in less."""


@dataclass(frozen=True, slots=True)
class Due:
    """Whether there is anything to do, pass by pass.

    `received`: documents of the ERP. `parked`: events that are to be decided again. `approvals`: orders to approve.
    `refused_products`: patches that MPservices refused for want of a product. `waits`: open exceptions of reconcile's
    own kinds. `echoes`: patches whose own movement is expected or in question. `doubts`: that a person has decided.
    `cost_is_wrong`: that exception is open. `audits`, `dirty`: items to audit, to compare. `lost`: pushes whose worker
    is gone. `hungry`: pushes that wait for stock. `told_short`: a person was told of one. `old`: pushes that are
    unknown since long. `ready`, `unknown`: pushes to send, to check. `shown`: unclear pushes that a poll may have seen;
    failed ones are looked at where the ledger has grown (`proofs.SHOWN_SEQ`). `unseen`: done pushes to look for.
    `undone`: deletes that are done and whose row is shown, or was and may be gone. `differing`: events whose books
    differ while a push of theirs is under way.
    `transfers`: they wait in the journal, and their push is done. `journal`: it has any entry.
    `last_seq` is the ledger's newest entry. `facts`, `pauses` and `learned` are these small tables, whole.
    """

    last_seq: int
    received: bool
    parked: bool
    approvals: bool
    refused_products: bool
    waits: bool
    echoes: bool
    doubts: bool
    cost_is_wrong: bool
    audits: bool
    dirty: bool
    lost: bool
    hungry: bool
    told_short: bool
    old: bool
    ready: bool
    unknown: bool
    shown: bool
    unseen: bool
    undone: bool
    differing: bool
    transfers: bool
    journal: bool
    facts: Mapping[str, str]
    pauses: Mapping[str, Pause]
    learned: Mapping[tuple[str, str], str]

    def behind(self, fact: str) -> bool:
        """Tell whether the ledger has entries after the one that a fact names."""
        return int(self.facts.get(fact) or 0) < self.last_seq


class Agenda(threading.local):
    """What is due, as one thread knows it. Inside a `round` it is kept for as long as this process writes nothing.

    What another process writes meanwhile is for the next round. Outside a round it is asked every time.
    """

    def __init__(self, ask: Callable[[Context], Due] | None = None) -> None:
        """Keep how to ask: the questions span all rooms, and are put together above them (`jobs/due.py`)."""
        super().__init__()
        self._ask = ask
        self._in_round = False
        self._known: tuple[int, Due] | None = None
        self._asked_at = 0.0

    @contextmanager
    def round(self) -> Iterator[None]:
        """Keep the answer while nothing is written, until the block ends."""
        self._in_round, self._known = True, None
        try:
            yield
        finally:
            self._in_round, self._known = False, None

    def known(self, ctx: Context) -> Due | None:
        """Return what is due where that is known and nothing was written since, None where it had to be asked.

        A process that froze does not go by what it knew before.
        """
        if self._known is None or self._known[0] != ctx.store.writes:
            return None
        return self._known[1] if ctx.clock.monotonic() - self._asked_at < KNOWN_SECONDS else None

    def due(self, ctx: Context) -> Due:
        """Return what there is to do."""
        known = self.known(ctx)
        if known is not None:
            return known
        writes, asked_at = ctx.store.writes, ctx.clock.monotonic()  # a write that ends meanwhile makes the answer old
        if self._ask is None:
            raise InvariantError("nobody said how to ask what is due")
        due = self._ask(ctx)
        if self._in_round:
            self._known, self._asked_at = (writes, due), asked_at
        return due

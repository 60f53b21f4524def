"""Each COMMIT of a cycle lost in turn, before it or with its answer: `python -m tests.crash.commits`.

One cycle per position, run in this process through a proxy, with every kind of event in it; the cycle
may fail, and those after it must bring each event to its one effect. The order of a cycle's commits is
the same each time, so that every place is met.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from sync.clock import SystemClock
from sync.database.migrate import upgrade
from sync.errors import SyncError
from sync.log import configure_logging
from sync.push.operator import resolve_push
from sync.sandbox.server import Sandbox
from tests.crash.asked import words_about_pushes
from tests.crash.books import Books
from tests.crash.people import People, furnish
from tests.crash.postgres import PostgresServer, own_postgres
from tests.crash.proxy import COMMIT_ANSWER_LOST, COMMIT_LOST_BEFORE, HOST, PASS, Proxy
from tests.e2e.world import World

FATES = (COMMIT_LOST_BEFORE, COMMIT_ANSWER_LOST)
CYCLES_MAX = 5
LEASES_END = timedelta(seconds=30)
EACH_ONCE = ("_moves_in", "_moves_out", "_receives", "_issues", "_erp_receives", "_erp_issues", "_erp_voids")
ORDERED_ONCE = ("_erp_approves", "_erp_makes_a_product", "_erp_makes_a_part")


class AheadClock(SystemClock):
    """The machine's clock, moved ahead by hand: leases end without waiting. It starts at one at night: no day ends.

    It is the database server's clock too: it would be found wrong beside a server whose hands nobody moved.
    """

    def __init__(self) -> None:
        now = super().now()
        self.ahead = now.replace(hour=1, minute=0) - now
        self.server = self

    def now(self) -> datetime:
        """Return the instant it shows."""
        return super().now() + self.ahead


class LoseOne:
    """Strikes the n-th COMMIT, counted over all sessions."""

    def __init__(self, position: int, fate: str) -> None:
        self._position, self._fate = position, fate
        self._lock = threading.Lock()
        self.commits = 0

    def decide(self, commit: bool) -> str:
        """Return a message's fate."""
        if not commit:
            return PASS
        with self._lock:
            self.commits += 1
            return self._fate if self.commits == self._position else PASS


class Desk:
    """A database behind a proxy, both vendors, and a program that runs cycles here."""

    def __init__(self, server: PostgresServer, proxy: Proxy, seed: int) -> None:
        self.clock = AheadClock()
        url = server.create_database("mpsync")
        upgrade(url)
        self.sandbox = Sandbox(populate=False, seed=seed, clock=self.clock)
        furnish(self.sandbox)
        self.proxy = proxy
        by_proxy = f"postgresql+psycopg://sync@{HOST}:{proxy.port}/mpsync"
        self.world = World(self.sandbox, by_proxy, clock=self.clock, extra={"SYNC_VOID_MAX_RATIO": "1"})
        self.people = People(self.sandbox, url, seed)
        self.books = Books(self.sandbox, url, self.people.expected)
        self.failed: Counter[str] = Counter()

    def lose(self, position: int, fate: str) -> int:
        """Let one of each event happen and lose the n-th COMMIT of the cycle; return how many it made.

        AssertionError where the cycles after it do not bring everything to its one effect.
        """
        self.people.act_all(EACH_ONCE + ORDERED_ONCE)
        struck = LoseOne(position, fate)
        self.proxy.decide = struck.decide
        try:
            self.world.cycle()
        except (SQLAlchemyError, SyncError) as error:
            self.failed[type(error).__name__] += 1
        self.proxy.decide = lambda _commit: PASS
        for _ in range(CYCLES_MAX):
            self.clock.ahead += LEASES_END
            self.world.cycle()
            self._answer()
            findings = self.books.examine()
            if findings.fine:
                return struck.commits
        raise AssertionError(f"commit {position}, {fate}: {findings}\n{findings.details()}")

    def _answer(self) -> None:
        """Decide, as a person who looks, about a product whose answer's COMMIT was lost: nothing else can (rule 6)."""
        for push, there in list(words_about_pushes(self.books, self.sandbox)):
            with self.world.app() as app:
                resolve_push(app.context(), push, done=there, why="looked at it there", by="ann")


@contextmanager
def desk(server: PostgresServer, seed: int = 1) -> Iterator[Desk]:
    """Yield a desk whose sandbox runs, and on whose database one cycle was run already."""
    proxy = Proxy(server.socket)
    made = Desk(server, proxy, seed)
    try:
        with made.sandbox:
            made.people.begin()
            made.lose(0, PASS)
            yield made
    finally:
        made.people.close()
        made.books.close()
        proxy.close()


def lose_each(made: Desk, positions: Iterable[tuple[int, str]]) -> int:
    """Lose the COMMIT at each position in a cycle of its own; return how many were lost."""
    before = made.proxy.cuts.total()
    for position, fate in positions:
        made.lose(position, fate)
    return made.proxy.cuts.total() - before


def main(arguments: list[str] | None = None) -> int:
    """Run the command: every position of a cycle, each fate."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.commits", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="only every so many-th position")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    configure_logging("critical")
    with own_postgres() as server, desk(server, chosen.seed) as made:
        commits = made.lose(0, PASS)
        lost = 0
        for position in range(1, commits + 1, chosen.every):
            lost += lose_each(made, [(position, fate) for fate in FATES])
            print(f"commit {position} of {commits}", flush=True)
        findings = made.books.examine()
        cuts = ", ".join(f"{name} {count}" for name, count in sorted(made.proxy.cuts.items()))
        print(f"{commits} commits in a cycle; {cuts}; cycles that failed {made.failed.total()}")
    print(f"seed {chosen.seed}: commits lost {lost}, {findings}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if findings.fine else 1


if __name__ == "__main__":
    sys.exit(main())

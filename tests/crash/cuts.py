"""PostgreSQL restarted and its connections cut, under load: `python -m tests.crash.cuts --rounds 30 --seed 1`.

mpsync reaches the server through a proxy that cuts sessions before any message, before a COMMIT, and
after a COMMIT took effect and before its answer. Beside that each round restarts the server
(immediate or fast), terminates some of mpsync's sessions, or cuts all of them. A daemon that ends is
started again, as a service manager would. At the end the cutting stops, and all must meet.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg

from sync.sandbox.server import Sandbox
from tests.crash.books import Findings
from tests.crash.postgres import PostgresServer, own_postgres
from tests.crash.proxy import COMMIT_ANSWER_LOST, COMMIT_LOST_BEFORE, CUT, HOST, PASS, Proxy
from tests.crash.station import Daemon, Station, kept_on_failure

DATABASE = "mpsync"
NEEDS_A_PERSON = 1
"""The exit code of a daemon that cannot start or go on; a service manager starts it again (docs/runbook.md)."""


@dataclass
class Chances:
    """How likely it is that a message, or a COMMIT, is the last of its session; one random source for all threads."""

    random: Random
    cut: float = 0.001
    commit_lost: float = 0.02
    answer_lost: float = 0.04
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, commit: bool) -> str:
        """Return a message's fate."""
        with self._lock:
            drawn = self.random.random()
        if not commit:
            return CUT if drawn < self.cut else PASS
        if drawn < self.answer_lost:
            return COMMIT_ANSWER_LOST
        return COMMIT_LOST_BEFORE if drawn < self.answer_lost + self.commit_lost else PASS


class Trouble:
    """A daemon behind a proxy, and what is done to its database."""

    def __init__(self, server: PostgresServer, seed: int, folder: Path, *, real_leases: bool = False) -> None:
        self.random = Random(seed)
        self.server = server
        url = server.create_database(DATABASE)
        self.station = Station(Sandbox(populate=False, seed=seed), url, folder, seed, real_leases)
        self.proxy = Proxy(server.socket)
        self.by_proxy = f"postgresql+psycopg://sync@{HOST}:{self.proxy.port}/{DATABASE}"
        self.done: Counter[str] = Counter()
        self.wrong_exits: list[str] = []
        self._daemon: Daemon | None = None

    def close(self) -> None:
        """End the daemons, then the proxy."""
        self.station.close()
        self.proxy.close()

    def supervise(self) -> None:
        """Start a daemon where none runs; one that ended must have said why and left as documented."""
        if self._daemon is not None and self._daemon.runs:
            return
        if self._daemon is not None:
            self.done["exits"] += 1
            said = self._daemon.log.read_text(errors="replace")
            if self._daemon.process.returncode != NEEDS_A_PERSON or "\nerror: " not in f"\n{said}":
                self.wrong_exits.append(
                    f"{self._daemon.log.name} left with {self._daemon.process.returncode}: {said[-400:]}"
                )
        self._daemon = self.station.start(database_url=self.by_proxy)

    def round(self) -> None:
        """Do one thing to the database, drawn from the seed."""
        things: tuple[Callable[[], None], ...] = (
            self.restart_immediate,
            self.restart_fast,
            self.terminate,
            self.terminate,
            self.cut_all,
        )
        self.suffer(self.random.choice(things))

    def suffer(self, thing: Callable[[], None]) -> None:
        """Do one thing to the database, and let the daemon work on for a while."""
        thing()
        until = time.monotonic() + self.random.uniform(1.5, 4.0)
        while time.monotonic() < until:
            self.supervise()
            time.sleep(0.05)

    def restart_immediate(self) -> None:
        """As a crash of the server: `pg_ctl restart -m immediate`."""
        self.done["restarts immediate"] += 1
        self.server.restart("immediate", away_seconds=self.random.choice((0.0, 0.5, 2.0)))

    def restart_fast(self) -> None:
        """`pg_ctl restart -m fast`."""
        self.done["restarts fast"] += 1
        self.server.restart("fast", away_seconds=self.random.choice((0.0, 0.5, 2.0)))

    def terminate(self) -> None:
        """`pg_terminate_backend` of some of the daemon's sessions, those in a transaction first."""
        wanted = self.random.randint(1, 4)
        deadline = time.monotonic() + 2.0
        while wanted and time.monotonic() < deadline:
            try:
                sessions = sorted(self.server.sessions(DATABASE), key=lambda session: not session[2])
                for pid, _, in_transaction in sessions[:wanted]:
                    self.server.terminate(pid)
                    self.done["terminated in a transaction" if in_transaction else "terminated"] += 1
                    wanted -= 1
            except psycopg.Error:
                pass
            time.sleep(0.02)

    def cut_all(self) -> None:
        """Every session at once, as when a switch dies."""
        self.done["all cut"] += 1
        self.proxy.cut_all()

    def run(self, rounds: int) -> Findings:
        """Make trouble for so many rounds under load, then none; return what is found when all has settled."""
        self.begin()
        for _ in range(rounds):
            self.round()
        return self.settle()

    def begin(self) -> None:
        """Let people, a daemon, and the cutting of sessions begin."""
        people = self.station.people
        people.begin()
        people.start(pause_seconds=0.2, fault_share=0.05)
        self.supervise()
        self.proxy.decide = Chances(self.random).decide

    def settle(self) -> Findings:
        """Let people and trouble end; return what is found when all has settled."""
        self.proxy.decide = lambda _commit: PASS
        self.station.people.stop()
        findings = self.station.settles(self.supervise)
        assert self._daemon is not None
        code = self._daemon.end()
        if code != 0:
            findings.unsettled.append(f"the last daemon left with {code}")
        findings.unsettled += self.wrong_exits + self.station.bugs()
        return findings

    def report(self) -> str:
        """Return what was done, in a line."""
        counted = self.done + self.proxy.cuts
        done = ", ".join(f"{name} {counted[name]}" for name in sorted(counted))
        return f"{done}; a person was asked {self.station.asked} times"


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.cuts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real-leases", action="store_true", help="wait for the leases as they are in production")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    with kept_on_failure("mpsync-cuts-") as folder, own_postgres() as server:
        trouble = Trouble(server, chosen.seed, folder, real_leases=chosen.real_leases)
        try:
            findings = trouble.run(chosen.rounds)
        finally:
            trouble.close()
        print(findings.details() or "all have met", flush=True)
        print(trouble.report())
        closing = f"seed {chosen.seed}: rounds {chosen.rounds}, {findings}, {time.monotonic() - began:.0f} s"
        if not findings.fine:
            raise SystemExit(closing)
    print(closing, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

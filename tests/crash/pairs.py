"""Two daemons on one PostgreSQL, under load: `python -m tests.crash.pairs --rounds 20 --seed 1`.

Each round kills or freezes one of the two: the leader, the other, or whoever has a call under way just
then. A frozen one is thawed after its leases have run out and others have gone on with its work. The
last line says what was counted, and how long a successor took to lead at most.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sync.sandbox.requests import Seen
from sync.sandbox.server import Sandbox
from tests.crash.books import Findings
from tests.crash.postgres import PostgresServer, own_postgres
from tests.crash.station import Daemon, Station, kept_on_failure, wait_until

CALL_SECONDS = 0.7
"""How slow the call is that a daemon is caught in: time to find out whose it is."""

TAKEN_OVER_WITHIN_SECONDS = 120.0
"""A bound for a run that fails; the longest real lease is a claim's, 26 s."""


@dataclass
class Pair:
    """Two daemons, and what was done to them."""

    station: Station
    random: Random
    daemons: list[Daemon] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    followed: list[float] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start both at once, on a database without a table, and wait for the first leader."""
        self.daemons = [self.station.start(), self.station.start()]
        wait_until(lambda: all(daemon.says("daemon.started") for daemon in self.daemons), "both daemons run")

    # ------------------------------------------------------------------ who does what

    def leader(self) -> Daemon | None:
        """Return who leads by the lease row, also if it is frozen; None while nobody we know does."""
        rows = self.station.books.query("select owner from leases where name = 'leader' and expires_at > now()")
        return self._owned(rows[0]["owner"]) if rows else None

    def claimers(self) -> list[tuple[int, int, Daemon]]:
        """Return (outbox id, fence, daemon) of the calls under way."""
        rows = self.station.books.query("select id, fence, lease_owner from outbox where state = 'sending' order by id")
        found = [(row["id"], row["fence"], self._owned(row["lease_owner"])) for row in rows]
        return [(id_, fence, daemon) for id_, fence, daemon in found if daemon is not None]

    def _owned(self, owner: str) -> Daemon | None:
        return next((daemon for daemon in self.daemons if f":{daemon.pid}:" in owner), None)

    def caught_in_a_call(self) -> tuple[int, int, Daemon] | None:
        """Wait for a write at a vendor, slow it down, and return whose it is while it is under way."""
        arrived = threading.Event()

        def note(_seen: Seen) -> None:
            arrived.set()

        self.station.sandbox.faults.add("mpw.post_*", "slow", 1, seconds=CALL_SECONDS)
        self.station.requests.on_write = note
        arrived.wait(5.0)
        self.station.requests.on_write = lambda _seen: None
        claimed = self.claimers()
        return self.random.choice(claimed) if claimed else None

    # ------------------------------------------------------------------ what is done to them

    def kill(self, daemon: Daemon, which: str) -> None:
        """SIGKILL; the other leads within the lease, and a new one is started."""
        led = self.leader() is daemon
        daemon.kill()
        self.done[f"killed {which}"] += 1
        if led:
            self._other_leads(daemon)
        self.daemons[self.daemons.index(daemon)] = self.station.start()

    def freeze_past_its_lease(self, daemon: Daemon, which: str, claim: tuple[int, int] | None = None) -> None:
        """SIGSTOP until others have its lead, and the push that it had claimed; then SIGCONT.

        Whether it has a result to drop then is chance: its call may not have begun, or have been written down.
        """
        led, said = self.leader() is daemon, daemon.says("leadership.lost")
        daemon.freeze()
        self.done[f"frozen {which}"] += 1
        if led:
            self._other_leads(daemon)
        if claim is not None:
            wait_until(
                lambda: claim not in [(id_, fence) for id_, fence, _ in self.claimers()],
                "the frozen one's call is taken from it",
                seconds=TAKEN_OVER_WITHIN_SECONDS,
            )
        if not led and claim is None:
            time.sleep(self.random.uniform(1.0, 4.0))
        daemon.thaw()
        if led:
            self._says(daemon, "leadership.lost", said)

    def _other_leads(self, daemon: Daemon) -> None:
        began = time.monotonic()
        wait_until(
            lambda: self.leader() not in (None, daemon), "the other one leads", seconds=TAKEN_OVER_WITHIN_SECONDS
        )
        self.followed.append(time.monotonic() - began)

    def _says(self, daemon: Daemon, event: str, before: int) -> None:
        try:
            wait_until(lambda: daemon.says(event) > before, f"{event} in its log", seconds=20)
        except AssertionError as error:
            self.silent.append(f"{daemon.log.name}: {error}")

    def round(self) -> None:
        """Do one thing to one of the two, drawn from the seed."""
        kind = self.random.choice(("leader", "other", "caller", "caller"))
        kill = self.random.random() < 0.5
        claim: tuple[int, int] | None = None
        leader = self.leader() or self.daemons[0]
        victim = leader if kind == "leader" else next(daemon for daemon in self.daemons if daemon is not leader)
        if kind == "caller":
            caught = self.caught_in_a_call()
            if caught is None:
                return
            claim, victim = caught[:2], caught[2]
        if kill:
            self.kill(victim, kind)
        else:
            self.freeze_past_its_lease(victim, kind, claim)
        time.sleep(self.random.uniform(0.0, 1.5))

    def run(self, rounds: int) -> Findings:
        """Do so many things to them under load; return what is found when both have settled everything."""
        people = self.station.people
        self.start()
        people.begin()
        people.start(pause_seconds=0.15, fault_share=0.05)
        for _ in range(rounds):
            self.round()
        people.stop()
        findings = self.station.settles(self._both_live)
        for daemon in self.daemons:
            code = daemon.end()
            if code != 0:
                findings.unsettled.append(f"{daemon.log.name} left with {code}")
        findings.unsettled += self.silent + self.station.bugs()
        return findings

    def _both_live(self) -> None:
        for daemon in self.daemons:
            if not daemon.runs:
                raise AssertionError(f"{daemon.log.name} ended by itself: {daemon.log.read_text()[-2000:]}")

    def report(self) -> str:
        """Return what was done, in a line."""
        said = self.station.said()
        pushing = sum(bool(daemon.says("push.finished")) for daemon in self.station.daemons)
        counted = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        return (
            f"{counted}; results dropped {said['push.dropped']}, leadership lost {said['leadership.lost']}, "
            f"rescues {said['outbox.swept']}, daemons {len(self.station.daemons)}, of these pushed {pushing}; "
            f"asked {self.station.asked}; a successor led after {max(self.followed, default=0):.1f} s at most"
        )


def pair_on(server: PostgresServer, seed: int, folder: Path, *, real_leases: bool = False) -> Pair:
    """Return a pair on an empty database of the server; its station is to be closed."""
    url = server.create_database("mpsync")
    return Pair(Station(Sandbox(populate=False, seed=seed), url, folder, seed, real_leases), Random(seed))


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.pairs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real-leases", action="store_true", help="wait for the leases as they are in production")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    with kept_on_failure("mpsync-pairs-") as folder, own_postgres() as server:
        pair = pair_on(server, chosen.seed, folder, real_leases=chosen.real_leases)
        try:
            findings = pair.run(chosen.rounds)
            print(findings.details() or "all have met", flush=True)
            print(pair.report())
        finally:
            pair.station.close()
        closing = f"seed {chosen.seed}: rounds {chosen.rounds}, {findings}, {time.monotonic() - began:.0f} s"
        if not findings.fine:
            raise SystemExit(closing)
    print(closing, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

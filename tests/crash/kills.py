"""SIGKILL at random moments, under load: `python -m tests.crash.kills --kills 50 --database sqlite --seed 1`.

Each moment is drawn from the seed and printed. Afterwards one more daemon must, alone, bring everything
to its one effect; the last line says what was counted.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sync.sandbox.requests import Seen
from sync.sandbox.server import Sandbox
from tests.crash.books import Findings
from tests.crash.postgres import own_postgres
from tests.crash.station import Daemon, Station, kept_on_failure

WRITE_COMES_WITHIN_SECONDS = 4.0
"""Where no write comes, it is killed without one."""


@dataclass(frozen=True)
class Moment:
    """When to kill: `after` seconds from its start, or `after` the arrival of its n-th write at a vendor."""

    after: float
    write: int | None = None

    def __str__(self) -> str:
        when = "its start" if self.write is None else f"the arrival of write {self.write}"
        return f"{self.after * 1000:.0f} ms after {when}"


def moments(chance: Random, count: int) -> list[Moment]:
    """Draw moments: while it starts, while it works, and most of all around its writes."""
    drawn = []
    for _ in range(count):
        kind = chance.random()
        if kind < 0.2:
            drawn.append(Moment(chance.uniform(0.0, 1.5)))
        elif kind < 0.4:
            drawn.append(Moment(chance.uniform(1.0, 4.0)))
        else:
            drawn.append(Moment(chance.choice((0.0, 0.0, chance.uniform(0.0, 0.08))), chance.randint(1, 6)))
    return drawn


def kill_at(station: Station, moment: Moment) -> None:
    """Start a daemon, and kill it at the moment."""
    if moment.write is None:
        daemon = station.start()
        time.sleep(moment.after)
        daemon.kill()
        return
    arrived, left = threading.Event(), [moment.write]

    def count(_seen: Seen) -> None:
        left[0] -= 1
        if left[0] <= 0:
            if not moment.after and not arrived.is_set():
                daemon.process.kill()  # in the vendor's thread: the write is here, and has done nothing yet
            arrived.set()

    daemon = station.start()
    station.requests.on_write = count
    if arrived.wait(WRITE_COMES_WITHIN_SECONDS):
        time.sleep(moment.after)
    station.requests.on_write = lambda _seen: None
    daemon.kill()


def run(station: Station, kills: list[Moment], *, pause_seconds: float = 0.15, say: bool = True) -> Findings:
    """Kill a daemon at each moment while people work, then let one daemon settle everything; return what is found."""
    station.people.begin()
    station.people.start(pause_seconds=pause_seconds, fault_share=0.1)
    for number, moment in enumerate(kills, start=1):
        kill_at(station, moment)
        if say:
            print(f"kill {number}: {moment}", flush=True)
    last = station.start()  # before the rest is handed in: on a slow machine none before it may have made the inbox
    station.people.stop()
    return settle(station, last)


def settle(station: Station, last: Daemon) -> Findings:
    """Let one daemon, alone, bring everything to its end; it must live through it and leave with 0."""

    def lives() -> None:
        if not last.runs:
            raise AssertionError(
                f"the last daemon ended with {last.process.returncode}: {last.log.read_text()[-2000:]}"
            )

    findings = station.settles(lives)
    code = last.end()
    if code != 0:
        findings.unsettled.append(f"the last daemon left with {code}")
    findings.unsettled += station.bugs()
    return findings


@contextmanager
def station_on(database: str, seed: int, folder: Path, *, real_leases: bool = False) -> Iterator[Station]:
    """Yield a station on an empty database of that kind: the first daemons are killed while they create the schema."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'mpsync.db'}"
        if database == "postgresql":
            url = stack.enter_context(own_postgres()).create_database("mpsync")
        station = Station(Sandbox(populate=False, seed=seed), url, folder, seed, real_leases)
        stack.callback(station.close)
        yield station


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where anything was doubled, lost or left unsettled."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real-leases", action="store_true", help="wait for the leases as they are in production")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    with kept_on_failure("mpsync-kills-") as folder:
        with station_on(chosen.database, chosen.seed, folder, real_leases=chosen.real_leases) as station:
            findings = run(station, moments(Random(chosen.seed), chosen.kills))
            said, writes = station.said(), len(station.requests.writes())
        print(findings.details() or "all have met", flush=True)
        if not findings.fine:
            raise SystemExit(f"{chosen.database}, seed {chosen.seed}: kills {chosen.kills}, {findings}")
    print(f"writes {writes}, sweeps that rescued {said['outbox.swept']}, a person was asked {station.asked} times")
    print(
        f"{chosen.database}, seed {chosen.seed}: kills {chosen.kills}, {findings}, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

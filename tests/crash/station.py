"""Daemons as processes against the sandbox: started, killed, frozen, thawed and asked to stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sync.sandbox.requests import RequestLog, Seen
from sync.sandbox.server import Sandbox
from tests.crash.asked import words_about_echoes, words_about_pushes
from tests.crash.books import Books, Findings
from tests.crash.people import People, furnish
from tests.e2e.world import World

SETTINGS = {
    "SYNC_POLL_MOVEMENTS_SECONDS": "1",
    "SYNC_POLL_RECENT_SECONDS": "1",
    "SYNC_POLL_ORDERS_SECONDS": "2",
    "SYNC_RETRY_BASE_SECONDS": "0.2",
    "SYNC_REQUEST_TIMEOUT_SECONDS": "1.5",
    "SYNC_LATE_ARRIVAL_SECONDS": "2",
    "SYNC_VOID_MAX_RATIO": "1",
    "SYNC_LOG_FORMAT": "json",
}
"""Late arrival is longer than a slow answer: a call of a killed caller may still land within it."""

STUCK_SECONDS = 150.0
"""So long without anything met that had not met before: it never will."""


STAYS_SECONDS = 2.5
"""Longer than every poll takes to come round: what would still be doubled shows by then."""


class WatchedLog(RequestLog):
    """A log of requests that tells of every write as it arrives, before it takes effect."""

    def __init__(self) -> None:
        super().__init__()
        self.on_write: Callable[[Seen], None] = lambda _seen: None

    def add(self, seen: Seen) -> None:
        """Append a request, and tell of it."""
        super().add(seen)
        if seen.is_write:
            self.on_write(seen)


@dataclass
class Daemon:
    """One process of `mpsync run`, and its log."""

    process: subprocess.Popen[bytes]
    log: Path
    frozen: bool = False

    @property
    def pid(self) -> int:
        """Its process id, which stands in the outbox rows and leases it owns."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more when this returns."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        self.process.send_signal(signal.SIGCONT)

    def end(self, *, seconds: float = 150.0) -> int:
        """SIGTERM; return the exit code."""
        if self.frozen:
            self.thaw()
        if self.runs:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield its log's events; what is no JSON comes as {"text": …}."""
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                yield {"text": line}

    def says(self, event: str) -> int:
        """Return how often an event stands in its log."""
        return sum(line.get("event") == event for line in self.lines())


@dataclass
class Station:
    """A sandbox that has not started yet, a database, people at work and any number of daemons."""

    sandbox: Sandbox
    database_url: str
    folder: Path
    seed: int
    real_leases: bool = False
    asked: int = 0
    daemons: list[Daemon] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = WatchedLog()
        self.sandbox.requests = self.requests
        furnish(self.sandbox)
        self.sandbox.start()
        self.world = World(self.sandbox, self.database_url, extra=SETTINGS)
        self._environment: dict[str, str] | None = None
        self.people = People(self.sandbox, self.database_url, self.seed)
        self.books = Books(self.sandbox, self.database_url, self.people.expected)

    def start(self, *, database_url: str | None = None) -> Daemon:
        """Start a daemon, on another way to the same database if need be."""
        module = "sync" if self.real_leases else "tests.crash.short_leases"
        log = self.folder / f"daemon-{len(self.daemons) + 1:03d}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "run"], env=self.environment(database_url), stdout=out, stderr=out
            )
        daemon = Daemon(process, log)
        self.daemons.append(daemon)
        return daemon

    def settles(self, alive: Callable[[], None]) -> Findings:
        """Wait until all have met and stay so through another read of everything, or until nothing moves any more.

        `alive` is called now and then: it may start a daemon that ended. Returns what was found last.
        """
        best, best_at = self.books.examine(), time.monotonic()
        fine_since: float | None = None
        while True:
            alive()
            self.answer()
            findings, now = self.books.examine(), time.monotonic()
            if findings.open < best.open:
                best, best_at = findings, now
            fine_since = (fine_since or now) if findings.fine else None
            stuck = not findings.fine and now - best_at > STUCK_SECONDS
            if stuck or (fine_since is not None and now - fine_since > STAYS_SECONDS):
                return findings
            time.sleep(0.3)

    def answer(self) -> None:
        """Decide, as a person who looks, what nothing else can."""
        for push, there in words_about_pushes(self.books, self.sandbox):
            self._say("outbox", "resolve", str(push), "--done" if there else "--not-done")
        for doubt, echo in words_about_echoes(self.books, self.sandbox):
            self._say("exceptions", "resolve", str(doubt), *(["--none"] if echo is None else ["--echo", echo]))

    def _say(self, *words: str) -> None:
        command = [sys.executable, "-m", "sync", *words, "--why", "looked at it there"]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True)
        self.asked += 1

    def environment(self, database_url: str | None = None) -> dict[str, str]:
        """Return the variables of a process of mpsync; the days it counts from are those of the first call."""
        if self._environment is None:
            machine = {name: value for name, value in os.environ.items() if not name.startswith(("MPW_", "SYNC_"))}
            self._environment = machine | self.world.environment()
        return self._environment | {"DATABASE_URL": database_url or self.database_url}

    def close(self) -> None:
        """End every process and let go of the database."""
        for daemon in self.daemons:
            if daemon.runs:
                daemon.kill()
        self.people.close()
        self.books.close()
        self.sandbox.stop()

    def bugs(self) -> list[str]:
        """Return what the daemons' logs show that nobody expects: a traceback is a bug, whatever died around it."""
        found = []
        for daemon in self.daemons:
            for line in daemon.lines():
                if "exception" in line or str(line.get("text", "")).startswith("Traceback"):
                    found.append(f"{daemon.log.name}: {line}")
        return found

    def said(self) -> Counter[str]:
        """Return how often each event stands in all logs."""
        return Counter(str(line.get("event")) for daemon in self.daemons for line in daemon.lines())


@contextmanager
def kept_on_failure(prefix: str) -> Iterator[Path]:
    """Yield a folder for the database and the logs that stays, and is named, where the block does not end well."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except BaseException:
        print(f"database and logs: {folder}", flush=True)
        raise
    shutil.rmtree(folder)


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = 150.0) -> None:
    """Return once it is so; AssertionError that names it when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to be: {what}")
        time.sleep(0.02)

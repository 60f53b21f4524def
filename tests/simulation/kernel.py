"""Virtual time, and processes that run one at a time.

Each process is a few threads that hand control to each other through the kernel: whoever waits gives
way to what is due first. Nothing runs in parallel, so a seed always takes the same course.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2024, 3, 15, 9, 0, tzinfo=UTC)
RENEW_SECONDS = 4.0


class Killed(BaseException):
    """The process is gone: its code stops where it stands, and nothing of it is written any more."""


class Crash(Killed):
    """The plan kills the process here."""


class Violation(AssertionError):  # noqa: N818 - what the oracle calls it
    """A promise was broken."""


class Actor:
    """One thread of a process."""

    def __init__(self, kernel: Kernel, process: Process, name: str, body: Callable[[Actor], None]) -> None:
        self.kernel, self.process, self.name = kernel, process, name
        self.epoch = process.epoch
        self.baton = threading.Semaphore(0)
        self.ended = False
        self._body = body
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its process is still the one that started it."""
        return self.epoch == self.process.epoch

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if self.alive:
                self._body(self)
        except Killed:
            pass
        except BaseException as error:  # whatever went wrong, the seed has failed
            self.kernel.failure = self.kernel.failure or error
        finally:
            self.ended = True
            self.kernel.main.release()

    def wait(self, seconds: float) -> None:
        """Let time pass for this thread; a frozen process wakes when it thaws."""
        kernel = self.kernel
        kernel.until(self, kernel.time + max(0.0, seconds))
        while self.alive and kernel.failure is None and self.process.frozen_until > kernel.time:
            kernel.until(self, self.process.frozen_until)
        self.check()

    def crash(self) -> None:
        """Kill its process here and now: not even what it does on its way out is written any more."""
        self.process.die()
        raise Crash

    def check(self) -> None:
        """Stop here if the process is gone, or the seed has failed."""
        if not self.alive or self.kernel.failure is not None:
            raise Killed


@dataclass
class Process:
    """A daemon: its clock, its threads, what becomes of it."""

    kernel: Kernel
    name: str
    start: Callable[[Process], None]
    offset: float = 0.0
    ahead: float = 0.0
    """By how much its clock is wrong besides: not a step of seconds."""
    ahead_since: float = 0.0
    booted_at: float = 0.0
    epoch: int = 0
    frozen_until: float = 0.0
    deaths: int = 0
    actors: list[Actor] = field(default_factory=list)
    reboot_after: Callable[[], float] = lambda: 60.0
    state: dict[str, Any] = field(default_factory=dict)

    def spawn(self, name: str, body: Callable[[Actor], None]) -> None:
        """Start a thread of it, now."""
        actor = Actor(self.kernel, self, f"{self.name}.{name}#{self.epoch}", body)
        self.actors.append(actor)
        actor.thread.start()
        self.kernel.at(self.kernel.time, actor)

    def boot(self) -> None:
        """Start anew."""
        self.frozen_until = 0.0
        self.booted_at = self.kernel.time
        self.start(self)

    def die(self) -> None:
        """End every thread of it where it stands, and start again after a while."""
        self.epoch += 1
        self.deaths += 1
        self.kernel.upset()
        self.frozen_until = 0.0
        for actor in self.actors:
            if not actor.ended:
                self.kernel.at(self.kernel.time, actor)
        self.actors = []
        self.kernel.at(self.kernel.time + self.reboot_after(), lambda died=self.epoch: self._reboot(died))  # type: ignore[misc]

    def _reboot(self, died: int) -> None:
        """Start again, unless it died once more, or was put to other use, in the meantime."""
        if self.epoch == died:
            self.boot()


class Kernel:
    """The agenda: what happens when, in order."""

    def __init__(self) -> None:
        self.time = 0.0
        self.horizon = 0.0
        self.failure: BaseException | None = None
        self.main = threading.Semaphore(0)
        self.current: Actor | None = None
        self._agenda: list[tuple[float, int, Actor | Callable[[], None]]] = []
        self._serial = 0
        self.trace: list[str] | None = None
        self.upset: Callable[[], None] = lambda: None
        """Called whenever a process dies."""
        self._everyone: list[Actor] = []

    def at(self, when: float, what: Actor | Callable[[], None]) -> None:
        """Put something on the agenda."""
        self._serial += 1
        heapq.heappush(self._agenda, (when, self._serial, what))
        if isinstance(what, Actor):
            self._everyone.append(what)

    def until(self, actor: Actor, when: float) -> None:
        """Suspend an actor; returns at once, with the clock moved, where nothing else is due before."""
        if when <= self.horizon and (not self._agenda or self._agenda[0][0] > when):
            self.time = max(self.time, when)
            return
        self.at(when, actor)
        self.main.release()
        actor.baton.acquire()

    def run(self, until: float) -> None:
        """Work the agenda off up to a moment."""
        self.horizon = until
        while self._agenda and self._agenda[0][0] <= until and self.failure is None:
            self.step()
        if self.failure is not None:
            raise self.failure
        self.time = max(self.time, until)

    def step(self) -> None:
        """Do what is due next."""
        when, _, what = heapq.heappop(self._agenda)
        self.time = max(self.time, when)
        if isinstance(what, Actor):
            self.resume(what)
        else:
            what()

    def resume(self, actor: Actor) -> None:
        """Hand control to an actor until it gives way."""
        if actor.ended:
            return
        before, self.current = self.current, actor
        actor.baton.release()
        self.main.acquire()
        self.current = before

    def close(self) -> None:
        """End every thread that still waits."""
        self.failure = self.failure or Killed()
        for actor in self._everyone:
            while not actor.ended:
                self.resume(actor)
            actor.thread.join()
        self._everyone = []

    def log(self, *words: object) -> None:
        """Note what happens, where somebody wants to read it."""
        if self.trace is not None:
            who = self.current.name if self.current else "world"
            self.trace.append(f"{self.time / 60:9.2f}m {who:12} {' '.join(str(word) for word in words)}")


class SimClock:
    """A clock of the virtual world: a process's own may be off, and may be stepped."""

    def __init__(self, kernel: Kernel, owner: Process | None = None, offset: float = 0.0) -> None:
        self._kernel, self._owner, self._offset = kernel, owner, offset
        self.server: SimClock | None = None
        """The database server's, where several daemons share one."""

    def now(self) -> datetime:
        """Return the instant it shows, to the millisecond."""
        offset = self._owner.offset + self._owner.ahead if self._owner is not None else self._offset
        return START + timedelta(milliseconds=round((self._kernel.time + offset) * 1000))

    def monotonic(self) -> float:
        """Return seconds that no step touches."""
        return self._kernel.time

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Let virtual time pass."""
        if wake is not None and wake.is_set():
            return True
        assert self._kernel.current is not None
        self._kernel.current.wait(seconds)
        return False

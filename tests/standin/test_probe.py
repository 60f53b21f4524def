"""`mpsync probe` against the stand-in: what it writes, what it learns, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.standin.mpservices import PATCH
from tests.standin.mpw import DELETE_ISSUANCE, DELETE_RECEIPT, ISSUANCE, RECEIPT
from tests.standin.server import Request
from tests.standin.world import MAIN, PART, ROOT, World

ARGUMENTS = ("probe", "--item", PART, "--part", PART, "--warehouse", MAIN, "--yes")


@pytest.fixture(autouse=True)
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's clock jumps when the program sleeps, and nobody renews the lease in between."""
    monkeypatch.setattr("sync.work.lead.TRUSTED", timedelta(hours=2))
    monkeypatch.setattr("sync.work.lead.LASTS", timedelta(hours=3))


def test_a_probe_learns_and_leaves_nothing_behind(fresh: World) -> None:
    code, said = fresh.mpsync(*ARGUMENTS)

    print(said)
    assert code == 0, said
    assert fresh.stocks() == (100, 100)


WRITES = 14
"""What a probe sends: four patches, and in MPW a receipt, five issuances, and four deletes."""

STEPS = 13


def started(world: World, **environment: str) -> subprocess.Popen[bytes]:
    """Start a probe in a process of its own."""
    world.restart()
    told = world.environment() | {"STANDIN_NOW": world.true.now().isoformat(), "PYTHONPATH": str(ROOT)} | environment
    program = [sys.executable, "-m", "tests.standin.one_probe", *ARGUMENTS]
    return subprocess.Popen(program, cwd=ROOT, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def killed_at(world: World, n: int, *, effect: bool) -> None:
    """Kill a probe at its n-th write, before or after its effect."""
    running: list[subprocess.Popen[bytes]] = []
    seen: list[str] = []

    def is_it(request: Request) -> bool:
        seen.append(request.name)
        return len(seen) == n

    def kill() -> None:
        running[0].send_signal(signal.SIGKILL)
        running[0].wait(10)

    for vendor, some in ((world.mps, (PATCH,)), (world.mpw, (RECEIPT, ISSUANCE, DELETE_RECEIPT, DELETE_ISSUANCE))):
        for name in some:
            vendor.goes_wrong(name, effect="now" if effect else "never", answer="lost", after=kill, where=is_it)
    running.append(started(world))
    said, _ = running[0].communicate(timeout=60)
    assert running[0].returncode == -signal.SIGKILL, said.decode()
    for vendor in (world.mpw, world.mps):
        vendor.faults.clear()


def by_the_daemon(world: World) -> None:
    world.rests(minutes=20)


def by_the_next_probe(world: World) -> None:
    world.true.advance(timedelta(minutes=20))  # a lost call may land so long
    code, said = world.mpsync(*ARGUMENTS)
    assert code == 0, said


def nothing_is_left(world: World) -> None:
    """Nothing of a probe is under way or in MPW, nothing of it went to the other system, and nobody is asked."""
    assert world.view("v_outbox", route="probe", state=["held", "ready", "sending", "unknown", "dead"]) == []
    assert [(row.received, row.remaining) for row in world.mpw.receipts] == [(100, 100)]
    assert world.mpw.issuances == []
    assert world.stocks() == (100, 100)
    assert world.view("v_outbox", operation=["post_receipt", "post_issuance", "delete_receipt"]) == []
    assert world.told() == []
    assert world.status() == []


@pytest.mark.parametrize("recovers", [by_the_daemon, by_the_next_probe])
@pytest.mark.parametrize("effect", [True, False], ids=["landed", "lost"])
@pytest.mark.parametrize("n", range(1, WRITES + 1))
def test_a_probe_that_is_killed_at_a_write_is_taken_back(
    fresh: World, n: int, effect: bool, recovers: Callable[[World], None]
) -> None:
    killed_at(fresh, n, effect=effect)

    recovers(fresh)

    nothing_is_left(fresh)


@pytest.mark.parametrize("recovers", [by_the_daemon, by_the_next_probe])
@pytest.mark.parametrize("n", range(1, STEPS + 1))
def test_a_probe_that_is_killed_after_a_step_is_taken_back(
    fresh: World, n: int, recovers: Callable[[World], None]
) -> None:
    running = started(fresh, PROBE_STEPS=str(n))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, said.decode()

    recovers(fresh)

    nothing_is_left(fresh)

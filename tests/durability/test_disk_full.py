"""The disk is full: nothing is lost, nothing leaves unrecorded, a line says what to do, and with room it goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from sync.clock import SystemClock
from sync.database.diagnosis import trouble_of
from sync.database.engine import BUSY_TIMEOUT_SECONDS
from tests.durability.powercut import require_a_disk, witnessed
from tests.e2e.test_processes import FAST, finish, run, start, wait_until
from tests.e2e.world import MAIN, World, quiet_world

KIBIBYTES = 8192
FULL_SECONDS = 4
"""Several rounds of the daemon's work."""


class ShiftedClock(SystemClock):
    """The machine's clock, moved ahead by hand."""

    shift = timedelta()

    def now(self) -> datetime:
        """Return the shifted instant."""
        return super().now() + self.shift


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={KIBIBYTES}k,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def world(small_disk: Path, sqlite_template: Path) -> Iterator[World]:
    shutil.copyfile(sqlite_template, small_disk / "mpsync.db")
    with quiet_world(f"sqlite:///{small_disk / 'mpsync.db'}") as made:
        yield made


def fill(folder: Path) -> Path:
    """Take all the room there is, whoever else writes meanwhile."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_once_and_import_end_with_what_to_do_and_lose_nothing(world: World, small_disk: Path, tmp_path: Path) -> None:
    documents = tmp_path / "receipts.csv"
    today = world.sandbox.mpw.today()
    documents.write_text(
        "api_key,part_number,warehouse_name,quantity_received,unit_cost,created_on\n"
        + "".join(f"GR-{n},P-2,{MAIN},1,9,{today}\n" for n in range(60))
    )
    assert run(world, "once")[0] == 0
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    ballast = fill(small_disk)

    filled_at = time.monotonic()
    once = run(world, "once")
    once_seconds = time.monotonic() - filled_at
    imported = run(world, "import", str(documents), "--type", "receipt")
    written = world.writes()
    ballast.unlink()
    again = run(world, "import", str(documents), "--type", "receipt")
    for _ in range(2):
        world.cycle()

    for code, out, err in (once, imported):
        assert (code, out) == (1, "")
        assert "the disk that holds the database is full" in err
        assert "hint: make room on the disk" in err
        assert "nothing is lost" in err
        assert "Traceback" not in err
    assert once_seconds < BUSY_TIMEOUT_SECONDS, "it waits for a lock that nobody holds"
    assert written == []
    assert again[0] == 0, again[2]
    assert world.sandbox.mpw.stock("P-1", MAIN) == 107
    assert world.sandbox.mpw.stock("P-2", MAIN) == 160
    assert world.writes().count("mpw.post_receipt") == 61
    assert world.open_exceptions() == []


def test_the_daemon_waits_for_room_and_goes_on_by_itself(world: World, small_disk: Path) -> None:
    daemon = start(world, "run", **FAST)
    try:
        wait_until(lambda: world.sandbox.requests.of("mpw.receipts"))
        ballast = fill(small_disk)
        world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
        time.sleep(FULL_SECONDS)
        written = world.writes()
        running = daemon.poll() is None
        ballast.unlink()
        wait_until(lambda: world.sandbox.mpservices.stock("P-1") == world.sandbox.mpw.stock("P-1", MAIN) == 107)
    finally:
        daemon.send_signal(signal.SIGTERM)
        code, _, err = finish(daemon)

    assert running
    assert code == 0, err
    assert written == []
    assert world.writes().count("mpw.post_receipt") == 1
    assert "the disk that holds the database is full" in err
    assert "make room on the disk" in err
    assert '"event": "job.recovered"' in err


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_wherever_the_disk_fills_up_no_write_leaves_unrecorded_and_each_has_one_effect(
    tmp_path: Path, sqlite_url: str, seed: int
) -> None:
    """Room for ever new numbers of bytes: it ends in a poll, in a claim, or between a call and its record."""
    require_a_disk()
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    chance, clock = random.Random(seed), ShiftedClock()
    with (
        quiet_world(sqlite_url, clock=clock) as world,
        witnessed(database, tmp_path / "after", seed=seed, share=0) as witness,
    ):
        world.cycle()
        witness.begin()
        troubles: list[str] = []
        for n in range(12):
            world.sandbox.mpservices.person_moves("Inbound" if n % 2 else "Outbound", f"P-{n % 3 + 1}", n + 1, "10")
            witness.disk.free = int(chance.expovariate(1 / 60_000))
            try:
                world.cycle()
            except OperationalError as error:
                troubles.append(trouble_of(error).what)
            witness.disk.free = None
        for _ in range(4):
            clock.shift += timedelta(minutes=2)  # past the lease of what was being sent
            world.cycle()
        found = witness.end()

    assert len(troubles) >= 3
    assert all("the disk that holds the database is full" in trouble for trouble in troubles)
    assert found.unannounced == []
    assert found.lost == []
    for part in range(1, 4):
        expected = 100 + sum((n + 1) * (1 if n % 2 else -1) for n in range(12) if n % 3 + 1 == part)
        assert world.sandbox.mpw.stock(f"P-{part}", MAIN) == expected
        assert world.sandbox.mpservices.stock(f"P-{part}") == expected

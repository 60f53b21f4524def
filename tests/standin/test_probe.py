"""`mpsync probe` against the stand-in: what it writes, what it learns, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from sync.inbox.take_in import inbox_once
from sync.reconcile.derive import reconcile_once
from sync.values.policy import ROUTES
from tests.standin.mpservices import PATCH
from tests.standin.mpw import DELETE_ISSUANCE, DELETE_RECEIPT, ISSUANCE, RECEIPT
from tests.standin.server import Reply, Request
from tests.standin.world import MAIN, PART, ROOT, World

ARGUMENTS = ("probe", "--item", PART, "--part", PART, "--warehouse", MAIN, "--yes")


@pytest.fixture(autouse=True)
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's clock jumps when the program sleeps, and nobody renews the lease in between."""
    monkeypatch.setattr("sync.work.lead.TRUSTED", timedelta(hours=2))
    monkeypatch.setattr("sync.work.lead.LASTS", timedelta(hours=3))


WRITES = 14
"""What a probe sends: four patches, and in MPW a receipt, five issuances, and four deletes."""

WRITES_TO_RECEIPT = 5
"""The first write whose row in MPW must be taken back: the case that the usual loop runs (tests/loops.py)."""

STEPS = 13


def started(world: World, *, keep: bool = False, **environment: str) -> subprocess.Popen[bytes]:
    """Start a probe in a process of its own; `keep`: ours goes on."""
    if not keep:
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
@pytest.mark.parametrize("n", sorted(range(1, WRITES + 1), key=lambda n: n != WRITES_TO_RECEIPT))
def test_a_probe_that_is_killed_at_a_write_is_taken_back(
    fresh: World, n: int, effect: bool, recovers: Callable[[World], None]
) -> None:
    killed_at(fresh, n, effect=effect)

    recovers(fresh)

    nothing_is_left(fresh)


def test_a_probe_learns_and_leaves_nothing_behind(fresh: World) -> None:
    code, said = fresh.mpsync(*ARGUMENTS)

    assert code == 0, said
    assert len(fresh.writes()) == WRITES
    assert fresh.learned() == {
        "mpservices mark_survives": "yes",
        "mpservices zero_echo": "yes",
        "mpservices echo_type": "Inbound | Outbound",
        "mpservices echo_sign": "signed",
        "mpservices echo_reference": "none",
        "mpservices cost_is": "unit",
        "mpw marker_survives": "yes",
        "mpw exists_words": "an issuance with this api_key already exists.",
        "mpw maximum_words": "quantity exceeds the current receipt. the maximum quantity available is #.",
        "mpw fractions_taken": "yes",
    }
    nothing_is_left(fresh)


def test_what_a_probe_prints_fits_80_columns(fresh: World) -> None:
    _, said = fresh.mpsync(*ARGUMENTS)

    printed = [line for line in said.splitlines() if not line.startswith("{")]
    assert max(map(len, printed)) <= 80
    assert "* fractions_taken     yes" in printed
    assert "            assumed   no, unless MPW_FRACTIONAL_ISSUANCES says so" in printed


def test_nothing_of_a_probe_reaches_the_books_or_the_other_system(fresh: World) -> None:
    fresh.mpsync(*ARGUMENTS)
    before = fresh.writes()

    fresh.rests(minutes=40)

    assert fresh.writes() == before
    nothing_is_left(fresh)
    standing = [(row["kind"], row["mpw_quantity"]) for row in fresh.view("v_events", voided=0)]
    assert {kind for kind, _ in standing} == {"adjustment", "receipt"}
    assert [quantity for kind, quantity in standing if kind == "receipt"] == [100]


@pytest.mark.parametrize("mode", ["off", "hold"])
def test_no_route_holds_a_probe_or_what_takes_it_back(fresh: World, mode: str) -> None:
    fresh.restart(**{f"SYNC_ROUTE_{route.upper()}": mode for route in ROUTES})
    fresh.erp_receipt("GR-1")

    code, said = fresh.mpsync(*ARGUMENTS)

    assert code == 0, said
    assert len(fresh.writes()) == WRITES


def test_a_probe_sends_nothing_but_its_own_steps(fresh: World) -> None:
    fresh.mpw.adds("P-2", MAIN, 5, 3)
    fresh.erp_receipt("GR-1", part_number="P-2")
    with fresh.app().leading() as leadership:
        context = fresh.app().context(leadership)
        inbox_once(context)
        reconcile_once(context)
    assert fresh.states(api_key="GR-1") == ["ready"]

    fresh.mpsync(*ARGUMENTS)

    assert fresh.states(api_key="GR-1") == ["ready"]


def test_a_probe_is_not_the_first_run(fresh: World) -> None:
    fresh.mpsync(*ARGUMENTS)

    assert fresh.query("select value from facts where name = 'first_run_at'") == []


def test_a_probe_asks_and_without_a_terminal_refuses(fresh: World) -> None:
    code, said = fresh.mpsync(*ARGUMENTS[:-1])

    assert code == 2
    assert "there is no terminal to ask at" in said
    assert "a receipt of 1 P-1 at 10 in Warehouse #1" in said
    assert fresh.writes() == []


def test_a_probe_waits_for_no_daemon(fresh: World) -> None:
    with fresh.app().leading():
        running = started(fresh, keep=True)
        said, _ = running.communicate(timeout=60)

    assert running.returncode == 75
    assert "another mpsync works on" in said.decode()
    assert fresh.writes() == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--part", "P-9"), "the item map has P-1 as part P-1"),
        (("--item", "X-9"), "P-1 in Warehouse #1 is P-1 by the item map, not X-9"),
        (("--warehouse", "nowhere"), "the item map has P-1 as part P-1"),
        (("--item", "X-9", "--part", "P-9"), "MPW does not know part P-9"),
        (("--item", "X-9", "--part", "P-8"), "a probe issues up to 2 of it"),
        (("--cost", "0"), "is not a cost above zero"),
    ],
)
def test_an_item_that_is_not_set_aside_for_it_is_refused(fresh: World, more: tuple[str, ...], told: str) -> None:
    fresh.mpw.adds("P-8", MAIN, 1, 3)

    code, said = fresh.mpsync(*ARGUMENTS, *more)

    assert code == 2
    assert told in " ".join(said.split())
    assert fresh.writes() == []


def test_an_item_with_pushes_under_way_is_refused(fresh: World) -> None:
    fresh.restart(SYNC_ROUTE_RECEIPTS="hold")
    fresh.erp_receipt("GR-1")
    fresh.cycle()

    code, said = fresh.mpsync(*ARGUMENTS)

    assert code == 2
    assert "the outbox has 1 pushes of P-1" in said
    assert fresh.writes() == []


def test_what_cannot_be_deleted_is_left_to_a_person_and_its_hint_ends_it(fresh: World) -> None:
    fresh.mpw.goes_wrong(DELETE_RECEIPT, effect="never", answer=Reply(422, {"message": "no permission"}), times=9)

    code, said = fresh.mpsync(*ARGUMENTS)

    assert code == 1
    assert "no permission" in said
    assert fresh.told() == ["push_dead"]
    fresh.mpw.receipts.pop()  # by hand
    fresh.follows("push_dead", "outbox resolve", TEXT="deleted")
    fresh.mpw.faults.clear()
    assert fresh.mpsync(*ARGUMENTS)[0] == 0
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


ADDS = 8


def tries_of_steps(world: World) -> int:
    return len(world.query("select 1 from v_attempts a join v_outbox o on o.id = a.outbox_id where o.route = 'probe'"))


@pytest.mark.parametrize("n", range(1, ADDS + 1))
def test_a_step_of_a_killed_probe_that_never_went_is_never_sent(fresh: World, n: int) -> None:
    running = started(fresh, PROBE_ADDS=str(n))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, said.decode()
    before = tries_of_steps(fresh)

    by_the_daemon(fresh)

    assert tries_of_steps(fresh) == before
    nothing_is_left(fresh)


@pytest.mark.parametrize(("n", "effect"), [(3, True), (4, False)])
def test_a_stock_that_a_killed_probe_has_changed_is_set_back_whatever_the_routes_say(
    fresh: World, n: int, effect: bool
) -> None:
    fresh.restart(**{f"SYNC_ROUTE_{route.upper()}": "hold" for route in ROUTES})
    killed_at(fresh, n, effect=effect)
    assert fresh.mps.stock(PART) > 101

    fresh.rests(minutes=20)

    assert fresh.stocks() == (100, 100)
    assert fresh.view("v_outbox", route="probe", state=["held", "ready", "sending", "unknown", "dead"]) == []

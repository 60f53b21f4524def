"""Whatever goes wrong with a write: one effect, and the state settles by itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.e2e.world import MAIN, World, quiet_world

FAULTS = [
    "refused_before",
    "lost_request",
    "lost_answer",
    "error_before",
    "error_after",
    "cut_body",
    "html",
    "html_after",
    "too_many",
    "unauthorized",
]


def faults(*usual: str) -> pytest.MarkDecorator:
    """Try each fault; those named are in the README's line (over all kinds of a push: each), the rest are slow."""
    return pytest.mark.parametrize(
        "fault", [pytest.param(fault, marks=() if fault in usual else pytest.mark.slow) for fault in FAULTS]
    )


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with quiet_world(database_url) as made:
        yield made


def settled(world: World) -> bool:
    return not world.view("v_outbox", state=["held", "ready", "sending", "unknown", "dead"])


def settle(world: World) -> None:
    for _ in range(8):
        world.cycle()
        if settled(world):
            break
    world.cycle()


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
@faults("lost_answer", "unauthorized")
def test_a_receipt_has_one_effect(world: World, fault: str, times: int) -> None:
    world.sandbox.faults.add(endpoint="mpw.post_receipt", kind=fault, times=times, retry_after=0)
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")

    settle(world)

    assert world.sandbox.mpw.stock("P-1", MAIN) == 107
    assert world.sandbox.mpservices.stock("P-1") == 107
    assert settled(world)


@faults("error_after", "cut_body")
def test_an_issuance_has_one_effect(world: World, fault: str) -> None:
    world.sandbox.faults.add(endpoint="mpw.post_issuance", kind=fault, times=2, retry_after=0)
    world.sandbox.mpservices.person_moves("Outbound", "P-1", 7, "10")

    settle(world)

    assert world.sandbox.mpw.stock("P-1", MAIN) == 93
    assert world.sandbox.mpservices.stock("P-1") == 93
    assert settled(world)


@faults("lost_request", "html")
def test_a_split_issuance_arrives_whole_and_once(world: World, fault: str) -> None:
    mpw = world.sandbox.mpw
    mpw.add_part("SPLIT", MAIN)
    for quantity in (4, 3, 5):
        mpw.person_receives("SPLIT", MAIN, quantity, "50", mpw.today())
    world.sandbox.mpservices.add_product("SPLIT", stock=12, cost="50")
    world.sandbox.faults.add(endpoint="mpw.post_issuance", kind=fault, times=2, after=1, retry_after=0)
    world.sandbox.mpservices.person_moves("Outbound", "SPLIT", 10, "50")

    settle(world)

    assert mpw.stock("SPLIT", MAIN) == 2
    assert settled(world)


@faults("html_after", "error_before")
def test_an_approval_has_one_effect(world: World, fault: str) -> None:
    for number in (1000, 1001, 1002):
        world.sandbox.mpw.add_order(number, vendor_name="Bosch", warehouse_name=MAIN, lines=[("P-1", 5, "7")])
        world.erp_inserts("po_approval", f"A-{number}", purchase_order_number=number, approved_by="ann")
    world.sandbox.faults.add(endpoint="mpw.approve", kind=fault, times=2, retry_after=0)

    settle(world)

    assert {order.status.casefold() for order in world.sandbox.mpw.orders.values()} == {"ordered"}
    assert settled(world)
    assert {row["approval"] for row in world.view("v_purchase_orders")} == {"done"}


@faults("too_many", "refused_before")
def test_a_stock_patch_has_one_effect(world: World, fault: str) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 1, "10")
    settle(world)
    world.sandbox.faults.add(endpoint="mpservices.patch_stock", kind=fault, times=2, retry_after=0)
    world.sandbox.mpw.person_receives("P-1", MAIN, 20, "10", world.sandbox.mpw.today())

    settle(world)
    world.sandbox.mpservices.person_moves("Outbound", "P-1", 5, "10")
    settle(world)

    if fault == "unauthorized":  # MPservices' token is its only credential: a refusal pauses it
        assert ("credentials", "mpservices") in world.open_exceptions()
        return
    assert world.sandbox.mpw.stock("P-1", MAIN) == Decimal(116)
    assert world.sandbox.mpservices.stock("P-1") == Decimal(116)
    assert settled(world)


def test_a_burst_of_429_settles(world: World) -> None:
    world.sandbox.faults.add(endpoint="mpw.post_receipt", kind="too_many", times=5, retry_after=0)
    world.sandbox.faults.add(endpoint="mpw.receipts", kind="too_many", times=3, retry_after=0)
    for part in ("P-1", "P-2", "P-3"):
        world.sandbox.mpservices.person_moves("Inbound", part, 5, "10")

    settle(world)

    assert [world.sandbox.mpw.stock(part, MAIN) for part in ("P-1", "P-2", "P-3")] == [105, 105, 105]
    assert {row["attempts"] for row in world.view("v_outbox", operation="post_receipt")} == {1}


def test_a_login_page_in_place_of_json_changes_nothing_and_is_named(world: World) -> None:
    world.cycle()
    before = world.query("select count(*) as n from v_ledger")
    world.sandbox.faults.add(endpoint="mpw.receipts", kind="html", times=500)
    world.sandbox.mpw.person_receives("P-1", MAIN, 5, "10", world.sandbox.mpw.today())

    world.cycle()

    assert world.query("select count(*) as n from v_ledger") == before
    assert any(row["source"] == "mpw.receipts" and row["error"] for row in world.view("v_coverage"))


def test_a_wrong_password_is_tried_once_and_never_shown(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = "a-wrong-secret-77"
    for _ in range(3):
        world.cycle(MPW_PASSWORD=wrong)

    assert len(world.sandbox.requests.of("mpw.login")) == 1
    assert ("credentials", "mpw") in world.open_exceptions()
    assert wrong not in "".join(capfd.readouterr())
    world.cycle()
    assert len(world.sandbox.requests.of("mpw.login")) == 2
    assert world.open_exceptions() == []


def test_a_token_that_expires_in_mid_run_is_renewed(world: World) -> None:
    world.sandbox.mpservices.person_moves("Inbound", "P-1", 7, "11.5")
    with world.app() as app, app.leading() as leadership:
        from sync.jobs.cycle import cycle_once

        context = app.context(leadership)
        cycle_once(context)
        world.sandbox.mpw.expire_tokens()
        world.sandbox.mpservices.person_moves("Inbound", "P-2", 3, "10")
        cycle_once(context)

    assert world.sandbox.mpw.stock("P-2", MAIN) == 103
    assert len(world.sandbox.requests.of("mpw.login")) == 2
    assert world.open_exceptions() == []

"""Does MPservices differ from MPW, and may we say so now? Pure rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.stock.rules import (
    FOLLOW_UPS_MAX,
    Blocked,
    Equal,
    ItemFacts,
    Kept,
    Ledger,
    MpwStock,
    Patch,
    PatchRow,
    Question,
    Target,
    Wait,
    decide,
    follow_up,
    readiness,
)
from sync.values.factors import in_mpservices

NOTHING_KNOWN = Ledger(Decimal(0), Decimal(0), None)

ITEM = ItemFacts(
    external_id="P-1",
    target=Target("P-1", ("Warehouse #1",), Decimal(1)),
    dirty_at=datetime(2024, 3, 15, tzinfo=UTC),
    believed=Decimal(10),
    cost=Decimal(9),
    seen="stock 10",
    pushes=(),
    products=(),
    unreconciled=False,
    parked=None,
    route_off=None,
    undecided=False,
    doubtful=False,
    echo_open=False,
    patch=None,
    patches=0,
    line_cost=None,
    read_quantity=None,
    read_unit_cost=None,
    lines_after_base=False,
)
PATCHED = PatchRow(1, "done", 1, False, Decimal(15), Decimal(9), "stock 10")

QUESTION = Question(7, Decimal(12), Decimal(9), 0)


def mpw(quantity: str, unit_cost: str | None = "9") -> MpwStock:
    return MpwStock(Decimal(quantity), None if unit_cost is None else Decimal(unit_cost))


def test_an_item_that_is_equal_on_both_sides_is_left_alone() -> None:
    assert decide(ITEM, mpw("10"), NOTHING_KNOWN) == Equal()


def test_a_stock_that_differs_is_told_in_absolute_values() -> None:
    decision = decide(ITEM, mpw("15"), NOTHING_KNOWN)

    assert isinstance(decision, Patch)
    assert (decision.new_stock, decision.new_cost) == (Decimal(15), Decimal(9))
    assert decision.reason == "MPservices has 10, MPW has 15 of P-1"


def test_an_unknown_stock_is_patched_even_if_nothing_is_known_to_differ() -> None:
    decision = decide(replace(ITEM, believed=None, cost=None), mpw("0"), NOTHING_KNOWN)

    assert isinstance(decision, Patch)
    assert decision.new_stock == 0


def test_the_factor_divides_the_stock_and_multiplies_the_cost() -> None:
    boxes = replace(ITEM, target=Target("P-1", ("W",), Decimal(12)))

    decision = decide(boxes, mpw("30", "0.5"), NOTHING_KNOWN)

    assert isinstance(decision, Patch)
    assert (decision.new_stock, decision.new_cost) == (Decimal("2.5"), Decimal(6))
    assert "rounded" not in decision.reason


def test_a_box_of_twelve_is_twelve_pieces_and_equal_again() -> None:
    pieces = replace(ITEM, target=Target("P-1", ("W",), Decimal("0.083333")), cost=Decimal(2))

    decision = decide(pieces, mpw("3", "30"), NOTHING_KNOWN)

    assert isinstance(decision, Patch)
    assert (decision.new_stock, decision.new_cost) == (Decimal(36), Decimal("2.5"))
    assert "rounded" not in decision.reason
    assert decide(replace(pieces, believed=Decimal(36), cost=Decimal("2.5")), mpw("3", "30"), NOTHING_KNOWN) == Equal()


def test_a_stock_that_six_decimals_cannot_hold_is_rounded_and_says_so() -> None:
    thirds = replace(ITEM, target=Target("P-1", ("W",), Decimal(3)))

    decision = decide(thirds, mpw("10", "3"), NOTHING_KNOWN)

    assert isinstance(decision, Patch)
    assert decision.new_stock == Decimal("3.333333")
    assert "rounded: 10 ÷ 3" in decision.reason
    assert decide(replace(thirds, believed=Decimal("3.333333")), mpw("10", "3"), NOTHING_KNOWN) == Equal()


@given(st.decimals("0", "1000000", places=6), st.decimals("0.000001", "1000", places=6))
def test_a_rounded_stock_is_stable_and_within_what_rounding_allows(quantity: Decimal, factor: Decimal) -> None:
    units = in_mpservices(quantity, factor)

    assert in_mpservices(quantity, factor) == units
    last = Decimal(1).scaleb(min(0, int(factor.normalize().as_tuple().exponent)))
    within = 2 * units * last / factor if units == units.to_integral_value() else Decimal(0)
    assert abs(units - quantity / factor) <= Decimal("0.0000005") + Decimal("1e-18") + within


def test_a_negative_stock_is_never_told() -> None:
    decision = decide(ITEM, mpw("-1"), NOTHING_KNOWN)

    assert isinstance(decision, Blocked)
    assert decision.kind == "negative_stock"


def test_a_part_that_one_warehouse_does_not_know_is_never_told() -> None:
    decision = decide(ITEM, MpwStock(Decimal(4), Decimal(9), ("WH2",)), NOTHING_KNOWN)

    assert isinstance(decision, Blocked)
    assert decision.kind == "unknown_part"
    assert "WH2" in decision.reason


@pytest.mark.parametrize(
    ("ledger", "unit_cost", "cost"),
    [
        (Ledger(Decimal(15), Decimal(100), Decimal(7)), "8", "6.66666"),
        (Ledger(Decimal(14), Decimal(100), Decimal(7)), "8", "8"),
        (Ledger(Decimal(14), Decimal(100), Decimal(7)), "0", "7"),
        (Ledger(Decimal(14), Decimal(100), Decimal(7)), None, "7"),
        (Ledger(Decimal(15), Decimal(-1), None), "8", "8"),
        (NOTHING_KNOWN, "0", "9"),
    ],
    ids=["ledger", "ledger lags", "baseline is zero", "no baseline", "negative value", "MPservices' own stays"],
)
def test_the_cost_comes_from_the_best_source_there_is(ledger: Ledger, unit_cost: str | None, cost: str) -> None:
    decision = decide(ITEM, mpw("15", unit_cost), ledger)

    assert isinstance(decision, Patch)
    assert decision.new_cost == Decimal(cost)


def test_without_any_cost_nothing_is_told() -> None:
    nameless = replace(ITEM, cost=None, line_cost=None)

    decision = decide(nameless, mpw("15", "0"), NOTHING_KNOWN)

    assert isinstance(decision, Blocked)
    assert decision.kind == "unknown_cost"


def test_a_cost_alone_waits_until_mpw_s_own_record_of_our_pushes_is_read() -> None:
    lagging = replace(NOTHING_KNOWN, unread=(("receipt", date(2024, 3, 15)),))

    assert isinstance(decide(ITEM, mpw("10", "12"), lagging), Wait)
    assert isinstance(decide(ITEM, mpw("11", "12"), lagging), Patch)
    assert isinstance(decide(ITEM, mpw("10", "12"), NOTHING_KNOWN), Patch)


@pytest.mark.parametrize("state", ["dead", "discarded"])
def test_a_patch_that_was_refused_or_discarded_is_not_derived_again_while_nothing_moves(state: str) -> None:
    item = replace(ITEM, patch=replace(PATCHED, state=state))

    assert isinstance(decide(item, mpw("15"), NOTHING_KNOWN), Blocked)
    assert isinstance(decide(item, mpw("16"), NOTHING_KNOWN), Patch)
    assert isinstance(decide(replace(item, seen="stock 11"), mpw("15"), NOTHING_KNOWN), Patch)


def test_a_refused_patch_is_derived_again_once_its_product_was_created() -> None:
    item = replace(ITEM, patch=replace(PATCHED, state="dead", after_product=True))

    assert isinstance(decide(item, mpw("15"), NOTHING_KNOWN), Patch)


def test_what_the_erp_set_stands_until_something_moves() -> None:
    erp = replace(PATCHED, erp=True, new_stock=Decimal(99))
    item = replace(ITEM, patch=erp, believed=Decimal(99), read_quantity=Decimal(15), read_unit_cost=Decimal(9))

    assert decide(item, mpw("15"), NOTHING_KNOWN) == Equal()
    assert isinstance(decide(item, mpw("16"), NOTHING_KNOWN), Patch)
    assert isinstance(decide(replace(item, lines_after_base=True), mpw("15"), NOTHING_KNOWN), Patch)


def test_nothing_stands_against_a_quiet_item() -> None:
    assert readiness(ITEM) is None
    assert readiness(replace(ITEM, patch=PATCHED)) is None
    assert readiness(replace(ITEM, patch=replace(PATCHED, state="held", tries=0))) is None


@pytest.mark.parametrize(
    "item",
    [
        replace(ITEM, pushes=(("held", "post_receipt", "k"),)),
        replace(ITEM, pushes=(("unknown", "delete_issuance", "k"),)),
        replace(ITEM, unreconciled=True),
        replace(ITEM, parked="unknown_part"),
        replace(ITEM, undecided=True),
        replace(ITEM, echo_open=True),
        replace(ITEM, products=("ready",)),
        replace(ITEM, patch=replace(PATCHED, state="unknown")),
        replace(ITEM, patch=replace(PATCHED, state="ready", tries=1)),
        replace(ITEM, patch=replace(PATCHED, state="held", tries=0, erp=True)),
    ],
    ids=["held", "unknown", "unreconciled", "parked", "undecided", "echo", "product", "patch", "retry", "erp"],
)
def test_an_item_waits_while_what_people_did_is_not_in_mpw_or_its_patch_is_out(item: ItemFacts) -> None:
    assert isinstance(readiness(item), Wait)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (replace(ITEM, target=None), None),
        (replace(ITEM, doubtful=True), None),
        (replace(ITEM, products=("dead",)), None),
        (replace(ITEM, pushes=(("ready", "post_receipt", "a"), ("dead", "post_receipt", "b"))), "stock_blocked"),
        (replace(ITEM, route_off="receipts"), "stock_blocked"),
    ],
    ids=["unmapped", "doubtful", "product", "dead push", "route off"],
)
def test_an_item_is_blocked_where_a_patch_would_erase_what_people_did(item: ItemFacts, kind: str | None) -> None:
    against = readiness(item)

    assert isinstance(against, Blocked)
    assert against.kind == kind


@pytest.mark.parametrize(("unfit", "blows"), [(1, False), (2, True), (3, True)])
def test_the_fuse_blows_after_two_patches_that_made_unexpected_movements(unfit: int, blows: bool) -> None:
    found = readiness(replace(ITEM, unfit=unfit))

    assert (isinstance(found, Blocked) and found.kind == "patch_fuse") is blows


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (replace(ITEM, nameless=True), "without an external id, which"),
        (replace(ITEM, nameless=True, part_missing=True), "MPW has no part of its own id"),
        (replace(ITEM, cost_contradicted=True), "MPSERVICES_COST_IS"),
        (replace(ITEM, blocker="why"), "why"),
        (replace(ITEM, question=QUESTION), "is not known yet"),
    ],
)
def test_what_else_stands_against_a_comparison_is_said(item: ItemFacts, says: str) -> None:
    found = readiness(item)

    assert isinstance(found, Blocked | Wait)
    assert says in found.reason


def test_a_part_that_is_mapped_may_be_missing_and_its_item_is_still_named_by_nobody() -> None:
    mapped = replace(ITEM, nameless=True, part_missing=True, target=Target("P-1", ("W",), Decimal(1), mapped=True))

    assert isinstance(found := readiness(mapped), Blocked)
    assert found.kind == "stock_blocked"


@pytest.mark.parametrize(
    ("kept", "other", "same"),
    [
        (Kept(), "10.000001", False),
        (Kept(), "10", True),
        (Kept(stock_decimals=2), "10.005", True),
        (Kept(stock_decimals=2), "9.995", True),
        (Kept(stock_decimals=2), "10.0051", False),
        (Kept(stock_decimals=2), "9.9949", False),
        (Kept(stock_decimals=2, stock_cut=True), "10.0099", True),
        (Kept(stock_decimals=2, stock_cut=True), "10.01", False),
    ],
)
def test_stocks_are_the_same_where_the_decimals_that_are_kept_cannot_tell_them(
    kept: Kept, other: str, same: bool
) -> None:
    assert kept.same_stock(Decimal(10), Decimal(other)) is same
    turned = Kept(cost_decimals=kept.stock_decimals, cost_cut=kept.stock_cut)
    assert turned.same_cost(Decimal(10), Decimal(other)) is same
    assert decide(replace(ITEM, kept=kept), mpw(other), NOTHING_KNOWN) == Equal() or not same


def test_a_question_is_asked_with_the_same_stock_until_it_was_asked_often_enough() -> None:
    asked = replace(ITEM, question=QUESTION)

    assert follow_up(ITEM) is None
    assert isinstance(patch := follow_up(asked), Patch)
    assert (patch.new_stock, patch.new_cost) == (QUESTION.stock, QUESTION.cost)
    assert follow_up(replace(asked, question=replace(QUESTION, follow_ups=FOLLOW_UPS_MAX - 1))) is not None
    assert follow_up(replace(asked, question=replace(QUESTION, follow_ups=FOLLOW_UPS_MAX))) is None
    assert follow_up(replace(asked, question=replace(QUESTION, stock=Decimal(-3)))) == replace(
        patch, new_stock=Decimal(0)
    )
    for held in (replace(asked, doubtful=True), replace(asked, echo_open=True), replace(asked, target=None)):
        assert follow_up(held) is None


@pytest.mark.parametrize(
    ("patch", "asks"),
    [
        (replace(PATCHED, state="sending"), False),
        (replace(PATCHED, state="unknown"), False),
        (replace(PATCHED, state="done"), True),
        (replace(PATCHED, state="dead", follows=7), False),
        (replace(PATCHED, state="dead", follows=6), True),
        (replace(PATCHED, state="dead", follows=7, after_product=True), True),
    ],
)
def test_a_question_waits_for_a_patch_that_is_out_and_for_a_person_where_it_was_refused(
    patch: PatchRow, asks: bool
) -> None:
    assert (follow_up(replace(ITEM, question=QUESTION, patch=patch)) is not None) is asks

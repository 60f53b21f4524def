"""The rules towards MPW, without a database: whatever is known of an event, it is pushed once or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.reconcile.item_map import ItemMapping
from sync.reconcile.rules import (
    Decision,
    Derive,
    Event,
    Leave,
    MpwRow,
    NeedsPart,
    Origin,
    Park,
    Part,
    PushRow,
    Supersede,
    Taken,
    decide,
    standing,
)
from sync.values.policy import ROUTES, Policy

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
POLICY = Policy(routes=dict.fromkeys(ROUTES, "push"), push_from=NOW - timedelta(days=1))
MAPPINGS = {"E": ItemMapping("E", "P", ("W", "W2"), Decimal(2))}
FOUND = {("W", "P"): Part("found")}
ORIGIN = Origin("mpservices", 7, "E", None, Decimal(3), Decimal(10), date(2024, 3, 15), NOW)
EVENT = Event("receipt", "mps-1-1", ORIGIN, had_origin=True, mpw_ever=False, mpw_live=False, role="event")
ROW = PushRow(1, "post_receipt", "ready", 0, 0, 0, "{}", "item:P", "P")


def ask(event: Event, policy: Policy = POLICY, parts: dict[tuple[str, str], Part] = FOUND) -> Decision:
    return decide(event, policy=policy, now=NOW, mappings=MAPPINGS, parts=parts)


def test_the_factor_keeps_the_amount() -> None:
    decision = ask(EVENT)

    assert isinstance(decision, Derive)
    assert '"quantity_received":6,"unit_cost":5,' in decision.push.payload
    assert decision.push.facts == {"seq": 7, "origin": "mpservices", "external_id": "E", "factor": "2"}


def test_mpw_is_asked_for_the_part_before_anything_is_said() -> None:
    assert ask(EVENT, parts={}) == NeedsPart("W", "P")


def test_the_cut_is_an_instant_for_movements_and_a_day_for_documents() -> None:
    cut = POLICY.push_from
    document = replace(ORIGIN, system="erp", item="P", warehouse="W", occurred_at=None, occurred_on=cut.date())

    assert isinstance(ask(replace(EVENT, origin=replace(ORIGIN, occurred_at=cut))), Derive)
    assert isinstance(ask(replace(EVENT, origin=replace(ORIGIN, occurred_at=cut - timedelta(seconds=1)))), Leave)
    assert isinstance(ask(replace(EVENT, origin=document)), Derive)
    assert isinstance(ask(replace(EVENT, origin=replace(document, occurred_on=date(2024, 3, 13)))), Leave)


def test_an_amount_of_the_wrong_sign_is_a_persons_business() -> None:
    decision = ask(replace(EVENT, origin=replace(ORIGIN, quantity=Decimal(-3))))

    assert isinstance(decision, Park)
    assert decision.kind == "odd_quantity"


@pytest.mark.parametrize(("state", "tries"), [("sending", 1), ("unknown", 1), ("done", 1), ("ready", 1)])
def test_what_was_sent_and_is_voided_is_deleted_once(state: str, tries: int) -> None:
    sent = replace(ROW, state=state, tries=tries, attempts=tries)
    voided = replace(EVENT, origin=None, pushes=(sent,))

    decision = ask(voided)
    again = ask(replace(voided, pushes=(sent, replace(ROW, operation="delete_receipt"))))

    assert isinstance(decision, Derive)
    assert (decision.push.operation, decision.push.entity_key) == ("delete_receipt", "item:P")
    assert isinstance(again, Leave)


def test_what_stands_in_mpw_is_the_first_that_may_be_there_and_that_nothing_takes_back() -> None:
    sent = replace(ROW, state="done", tries=1, attempts=1)
    corrected = replace(sent, id=2, api_key="mps-1-1_c2")
    delete = replace(ROW, id=3, operation="delete_receipt")
    event = replace(EVENT, corrections=("mps-1-1_c2",))

    assert standing(replace(event, pushes=(sent,))) == sent
    assert standing(replace(event, pushes=(corrected,))) == corrected
    assert standing(replace(event, pushes=(sent, delete))) is None
    assert standing(replace(event, pushes=(sent, delete, corrected))) == corrected
    assert standing(replace(event, pushes=(ROW,))) is None
    assert standing(replace(event, pushes=(replace(sent, state="dead"),))) is None
    assert standing(replace(event, pushes=(replace(sent, state="discarded", attempts=0),))) is None
    assert standing(replace(event, pushes=(replace(sent, state="discarded"),))) is not None


@given(
    kind=st.sampled_from(["receipt", "issuance"]),
    rows=st.lists(
        st.builds(
            replace,
            st.just(ROW),
            operation=st.sampled_from(["post_receipt", "post_issuance", "delete_receipt", "delete_issuance"]),
            state=st.sampled_from(["held", "ready", "sending", "unknown", "done", "dead", "superseded", "discarded"]),
            tries=st.integers(0, 2),
        ),
        max_size=3,
    ),
    mpw_ever=st.booleans(),
    void_wanted=st.booleans(),
    live=st.booleans(),
)
def test_nothing_that_a_vendor_may_have_seen_is_posted_again(
    kind: str, rows: list[PushRow], mpw_ever: bool, void_wanted: bool, live: bool
) -> None:
    quantity = Decimal(3) if kind == "receipt" else Decimal(-3)
    event = Event(
        kind,
        "k",
        replace(ORIGIN, quantity=quantity) if live else None,
        had_origin=True,
        mpw_ever=mpw_ever,
        mpw_live=mpw_ever,
        pushes=tuple(rows),
        void_wanted=void_wanted,
    )

    decision = ask(event)

    if isinstance(decision, Derive) and decision.push.operation.startswith("post"):
        assert live
        assert not mpw_ever
        assert not void_wanted
        assert all(row.tries == 0 and row.state in ("held", "ready", "superseded") for row in rows)
        assert not any(row.operation.startswith("delete") for row in rows)
    if isinstance(decision, Derive) and decision.push.operation.startswith("delete"):
        assert void_wanted or not live
    if isinstance(decision, Supersede):
        assert decision.row.tries == 0
        assert decision.row.state in ("held", "ready")


@given(st.decimals(min_value="0.000001", max_value=10**6, places=6), st.booleans())
def test_no_fraction_is_sent_as_an_issuance_unless_that_is_allowed(quantity: Decimal, allowed: bool) -> None:
    event = replace(EVENT, kind="issuance", origin=replace(ORIGIN, quantity=-quantity))
    whole = quantity * 2 == (quantity * 2).to_integral_value()

    decision = ask(event, replace(POLICY, fractional_issuances=allowed))

    assert isinstance(decision, Derive if allowed or whole else Park)


def test_without_a_push_only_a_void_that_is_wanted_deletes_what_mpw_has() -> None:
    there = replace(EVENT, mpw_ever=True, mpw_live=True, pushes=())

    wanted, unwanted = (ask(replace(there, void_wanted=one)) for one in (True, False))

    assert isinstance(wanted, Derive)
    assert wanted.push.operation == "delete_receipt"
    assert isinstance(unwanted, Leave)


@pytest.mark.parametrize(
    ("kind", "quantities", "taken"),
    [
        ("issuance", ("1", "2"), False),  # a split's rows are the document together
        ("issuance", ("3",), False),
        ("issuance", ("3", "3"), True),
        ("receipt", ("3", "3"), False),  # each is the document
        ("receipt", ("1", "2"), True),
    ],
)
def test_the_rows_of_an_issuance_are_compared_in_sum_and_those_of_a_receipt_each(
    kind: str, quantities: tuple[str, ...], taken: bool
) -> None:
    signed = Decimal(-3 if kind == "issuance" else 3)
    origin = replace(ORIGIN, system="erp", item="P", warehouse="W", occurred_at=None, quantity=signed)
    rows = tuple(
        MpwRow(str(n), "P", "W", Decimal(one), Decimal(10), origin.occurred_on, True)
        for n, one in enumerate(quantities)
    )
    there = Event(kind, "GR-1", origin, had_origin=True, mpw_ever=True, mpw_live=True, role="event", mpw_rows=rows)

    decision = ask(there, parts={("W", "P"): Part("found")})

    assert isinstance(decision, Taken) is taken


def test_an_issuance_is_posted_as_one() -> None:
    issued = replace(EVENT, kind="issuance", origin=replace(ORIGIN, quantity=Decimal(-3)))

    decision = ask(issued)

    assert isinstance(decision, Derive)
    assert decision.push.operation == "post_issuance"
    assert '"quantity":6,' in decision.push.payload
    assert '"description":"[mps-1-1]"' in decision.push.payload


@pytest.mark.parametrize(
    ("taken", "refused", "parked"), [(True, False, False), (True, True, True), (False, False, True)]
)
@pytest.mark.parametrize("kind", ["issuance", "receipt"])
def test_a_fraction_is_issued_only_where_mpw_takes_fractions_and_received_always(
    kind: str, taken: bool, refused: bool, parked: bool
) -> None:
    policy = replace(POLICY, fractional_issuances=taken, fractions_refused=refused)
    quantity = Decimal("-1.25") if kind == "issuance" else Decimal("1.25")

    decision = ask(replace(EVENT, kind=kind, origin=replace(ORIGIN, quantity=quantity)), policy)

    assert (getattr(decision, "kind", None) == "fractional_issuance") is (parked and kind == "issuance")

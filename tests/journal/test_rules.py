"""The journal's table, branch by branch, without a database; and rounding, shares and what a description names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sync.journal.rules import (
    ERP,
    EXPENSED,
    HANDOVER,
    ISSUANCE,
    LATE,
    MPSYNC,
    MPW,
    RECEIPT,
    TRANSFER,
    TRANSFER_PENDING,
    TWIN,
    UNMAPPED,
    WITH_ORIGINAL,
    Account,
    Desk,
    Entry,
    Facts,
    LedgerRow,
    Position,
    arrivals,
    minor,
    told_in,
)

CENT = 10_000
ONE = 1_000_000
ACCOUNTS = {"inventory": "1410", "grni": "2150", "expense": "6200", "rounding": "6990"}


@dataclass
class Chart:
    """One account a use; what is not named is to wait."""

    accounts: dict[str, str] = field(default_factory=lambda: dict(ACCOUNTS))
    version: int = 3

    def find(self, use: str, facts: Facts, day: str) -> Account | None:
        account = self.accounts.get(use)
        return None if account is None else Account(account, "CC-1" if use == "expense" else None)

    def has(self, use: str) -> bool:
        return use in self.accounts


def desk(chart: Chart | None = None, **more: object) -> Desk:
    made = Desk(chart=chart or Chart(), unit=CENT, starts_on="2026-11-01", next_id=1)
    return replace(made, **more)  # type: ignore[arg-type]


def row(id_: int, quantity: str = "4", cost: str = "2.5", **more: object) -> LedgerRow:
    count = round(float(quantity) * ONE)
    amount = round(float(quantity) * float(cost) * ONE)
    made = LedgerRow(
        id_, MPW, RECEIPT, f"K-{id_}", str(id_), "original", None, "P-1", "Main", count, amount, *["2026-11-20"] * 2
    )
    return made._replace(**more)


def reversal(id_: int, of: LedgerRow, **more: object) -> LedgerRow:
    made = of._replace(id=id_, entry_type="reversal", reverses_id=of.id, quantity=-of.quantity, amount=-of.amount)
    return made._replace(**more)


def said(entry: Entry) -> tuple[str, int, str, int]:
    return entry.account, entry.amount // CENT, entry.counter_account, entry.counter_amount // CENT


# --- the branches ------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"system": "mpservices"}, {"kind": TRANSFER}, {"kind": "adjustment"}])
def test_1_what_another_system_or_kind_shows_is_nothing(other: dict[str, object]) -> None:
    books = desk()
    books.take(row(1, **other))
    assert (books.entries, books.held) == ([], {})


def test_2_what_the_erp_claims_later_is_handed_over_once() -> None:
    books = desk(erp_books=frozenset({RECEIPT}), erp_first={(RECEIPT, "K"): 2})
    books.take(row(1, api_key="K"))
    books.take(row(2, api_key="K", system=ERP, posted_on="2026-11-25"))
    books.take(row(3, api_key="K", system=ERP))

    given, back, kept = books.entries
    assert [(one.origin, one.booked_by, one.amount // CENT) for one in (back, kept)] == [
        (HANDOVER, MPSYNC, -1000),
        (HANDOVER, ERP, 1000),
    ]
    assert [(one.counter_amount // CENT, one.quantity // ONE) for one in (back, kept)] == [(1000, -4), (-1000, 4)]
    assert {one.reverses_id for one in (back, kept)} == {given.id}
    assert {one.posted_on for one in (back, kept)} == {"2026-11-25"}  # the later of the two
    assert [one.id for one in books.entries] == [1, 2, 3]


def test_2_a_handover_is_never_dated_before_what_it_takes_back() -> None:
    books = desk(erp_books=frozenset({RECEIPT}), erp_first={(RECEIPT, "K"): 2})
    books.take(row(1, api_key="K", posted_on="2026-12-01"))
    books.take(row(2, api_key="K", system=ERP))
    assert [one.posted_on for one in books.entries] == ["2026-12-01"] * 3


@pytest.mark.parametrize("first", [1, 3])
def test_2_only_the_erp_s_first_entry_hands_over(first: int) -> None:
    books = desk(erp_books=frozenset({RECEIPT}), erp_first={(RECEIPT, "K"): first})
    books.given[(RECEIPT, "K")] = [entry_of(row(1, api_key="K"))]
    books.take(row(2, api_key="K", system=ERP))
    assert books.entries == []


def test_2_nor_does_what_takes_the_erp_s_entry_back() -> None:
    books = desk(erp_books=frozenset({RECEIPT}), erp_first={(RECEIPT, "K"): 2})
    books.given[(RECEIPT, "K")] = [entry_of(row(1, api_key="K"))]
    books.take(row(2, api_key="K", system=ERP, entry_type="reversal"))
    assert books.entries == []


def entry_of(one: LedgerRow) -> Entry:
    books = desk()
    books.take(one)
    return books.entries[0]


@pytest.mark.parametrize(
    ("erp_books", "first", "by"),
    [({RECEIPT}, 1, ERP), ({RECEIPT}, 2, MPSYNC), ({RECEIPT}, 9, MPSYNC), ({ISSUANCE}, 1, MPSYNC), (set(), 1, MPSYNC)],
)
def test_what_the_erp_showed_first_is_booked_by_it(erp_books: set[str], first: int, by: str) -> None:
    books = desk(erp_books=frozenset(erp_books), erp_first={(RECEIPT, "K"): first})
    books.take(row(2, api_key="K"))
    assert [one.booked_by for one in books.entries] == [by]


@pytest.mark.parametrize(("erp_books", "by"), [({RECEIPT}, ERP), (set(), MPSYNC)])
def test_a_reversal_is_booked_by_the_erp_where_that_showed_the_event_before_it(erp_books: set[str], by: str) -> None:
    original = row(1, api_key="K")
    books = desk(erp_books=frozenset(erp_books), erp_first={(RECEIPT, "K"): 2})
    books.take(original)
    books.by_ledger[1] = books.entries[0]
    books.take(reversal(3, original))
    assert [one.booked_by for one in books.entries] == [MPSYNC, by]


def test_3_the_erp_s_transfer_waits_for_its_push_and_only_its_giving_leg_does() -> None:
    books = desk()
    books.take(row(1, "-4", system=ERP, kind=TRANSFER))
    books.take(row(2, "4", system=ERP, kind=TRANSFER))
    assert {id_: reason for id_, (reason, _) in books.held.items()} == {1: TRANSFER_PENDING}


@pytest.mark.parametrize("quantity", [0, 4])
def test_3_a_leg_that_gives_nothing_is_not_held(quantity: int) -> None:
    books = desk()
    books.take(row(1, str(quantity), system=ERP, kind=TRANSFER))
    assert books.held == {}


def test_4_a_reversal_bears_the_original_s_accounts_and_its_counter_amount_negated() -> None:
    original = row(1, "3", "3.333333")
    books = desk(facts={1: Facts(part="P-1", vendor="V", purchase_order="PO-1", invoice="I-1")})
    books.take(original)
    assert books.by_ledger[1] == books.entries[0]
    books.chart.accounts["grni"] = "9999"  # type: ignore[attr-defined]

    books.take(reversal(2, original, amount=-row(1, "3", "3.4").amount))

    back = books.entries[1]
    assert (back.counter_account, back.counter_amount) == ("2150", 1000 * CENT)
    assert (back.vendor, back.purchase_order, back.invoice) == ("V", "PO-1", "I-1")
    assert back.reverses_id == books.entries[0].id
    assert back.amount + back.counter_amount + back.rounding_amount == 0


def test_4_what_a_person_booked_elsewhere_is_taken_back_from_there() -> None:
    original = row(1)
    books = desk(moved_to={1: "1999"})
    books.take(original)
    books.take(reversal(2, original))
    assert [one.counter_account for one in books.entries] == ["2150", "1999"]


def test_5_a_reversal_of_what_is_held_is_held_with_it() -> None:
    original = row(1)
    books = desk(held={1: (LATE, "late")})
    books.take(reversal(2, original))
    assert books.held[2][0] == WITH_ORIGINAL
    assert books.entries == []


@pytest.mark.parametrize(("counted_to", "posted"), [(1, True), (0, False), (2, False)])
def test_6_and_7_only_a_reversal_of_what_the_opening_counted_is_an_entry(counted_to: int, posted: bool) -> None:
    books = desk(counted_to=counted_to)
    books.take(reversal(2, row(1)))
    assert [said(one) for one in books.entries] == ([("1410", -1000, "2150", 1000)] if posted else [])
    assert books.held == {}


@pytest.mark.parametrize("nothing", [None, 0])
def test_7_a_reversal_of_nothing_known_is_nothing(nothing: int | None) -> None:
    books = desk(counted_to=1)
    books.take(reversal(2, row(1), reverses_id=nothing))
    assert books.entries == []


@pytest.mark.parametrize(("day", "count"), [("2026-10-31", 0), ("2026-11-01", 1)])
def test_7_an_original_before_the_first_day_is_nothing_unless_a_person_releases_it(day: str, count: int) -> None:
    books = desk()
    books.take(row(1, occurred_on=day))
    assert len(books.entries) == count
    books.take(row(2, occurred_on=day), released=True)
    assert len(books.entries) == count + 1


@pytest.mark.parametrize(
    ("holds_late", "posted_on", "held"),
    [(True, "2026-12-01", True), (True, "2026-11-20", False), (False, "2026-12-01", False)],
)
def test_8_what_is_dated_in_a_closed_period_waits_where_it_is_to(holds_late: bool, posted_on: str, held: bool) -> None:
    books = desk(holds_late=holds_late)
    late = row(1, posted_on=posted_on)
    books.take(late)
    assert ({1: LATE} if held else {}) == {id_: reason for id_, (reason, _) in books.held.items()}
    books.take(late._replace(id=2), released=True)
    assert len(books.entries) == (1 if held else 2)


def test_9_what_may_be_the_arrival_of_a_transfer_waits_until_it_is_released() -> None:
    books = desk(twins=frozenset({1}))
    books.take(row(1))
    assert books.held[1][0] == TWIN
    books.take(row(1), released=True)
    assert len(books.entries) == 1


@pytest.mark.parametrize(("missing", "kind"), [("inventory", RECEIPT), ("grni", RECEIPT), ("expense", ISSUANCE)])
def test_10_what_no_rule_names_an_account_for_waits(missing: str, kind: str) -> None:
    books = desk(Chart({use: account for use, account in ACCOUNTS.items() if use != missing}))
    books.take(row(1, kind=kind))
    assert books.entries == []
    assert books.held[1] == (UNMAPPED, f"no rule of accounts says where its {missing} goes")


@pytest.mark.parametrize(
    ("facts", "account"),
    [
        (Facts(), "3999"),
        (Facts(vendor="V"), "2150"),
        (Facts(purchase_order="PO-1"), "2150"),
        (Facts(invoice="I-1"), "2150"),
    ],
)
def test_11_a_receipt_that_names_no_purchase_is_found_stock_where_rules_know_that(facts: Facts, account: str) -> None:
    found = desk(Chart({**ACCOUNTS, "found": "3999"}), facts={1: facts})
    found.take(row(1))
    assert found.entries[0].counter_account == account
    without = desk(facts={1: facts})
    without.take(row(1))
    assert without.entries[0].counter_account == "2150"


def test_11_an_issuance_is_an_expense_with_its_cost_center() -> None:
    books = desk()
    books.take(row(1, "-2", kind=ISSUANCE))
    [entry] = books.entries
    assert said(entry) == ("1410", -500, "6200", 500)
    assert (entry.cost_center, entry.rules_version, entry.booked_by) == ("CC-1", 3, MPSYNC)


# --- what goes through no stock ------------------------------------------------------------


def test_what_is_expensed_is_an_expense_when_it_is_received_and_nothing_when_it_is_issued() -> None:
    books = desk(Chart({**ACCOUNTS, "inventory": EXPENSED}))
    received, issued = row(1), row(2, "-2", kind=ISSUANCE)
    for one in (received, issued, reversal(3, received)):
        books.take(one)
        books.by_ledger.setdefault(one.id, books.entries[-1])
    assert [said(one) for one in books.entries] == [
        ("6200", 1000, "2150", -1000),
        (EXPENSED, 0, "6200", 0),
        ("6200", -1000, "2150", 1000),
    ]
    assert {one.rounding_amount for one in books.entries} == {0}


# --- rounding ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("millionths", "cents"),
    [(4_999, 0), (5_000, 1), (14_999, 1), (15_000, 2), (-4_999, 0), (-5_000, -1), (-15_000, -2), (0, 0)],
)
def test_a_half_cent_goes_away_from_nought(millionths: int, cents: int) -> None:
    assert minor(millionths, CENT) == cents * CENT


def test_what_an_account_and_its_counter_differ_by_goes_to_rounding() -> None:
    books = desk()
    for n in range(1, 4):
        books.take(row(n, "1", "3.335"))
    # the account holds 3.34 (3.335), 6.67, 10.01 (10.005); each counter amount is 3.34
    assert [one.amount // CENT for one in books.entries] == [334, 333, 334]
    assert {one.counter_amount // CENT for one in books.entries} == {-334}
    assert [(one.rounding_amount // CENT, one.rounding_account) for one in books.entries] == [
        (0, None),
        (1, "6990"),
        (0, None),
    ]
    assert books.touched == {("P-1", "Main")}


@pytest.mark.parametrize(
    ("held", "value", "moved", "share"),
    [
        (4, 10, 4, 10),  # all of it
        (3, 10, 1, 3_333_333),
        (3, 11, 1, 3_666_667),
        (0, 5, 1, 0),
        (0, 5, 0, 5),
        (-2, 5, 1, 0),
    ],
)
def test_a_share_is_the_average_s_and_all_of_it_with_the_last_unit(
    held: int, value: int, moved: int, share: int
) -> None:
    exact = share if share > 1_000 else share * ONE
    assert Position("1", held * ONE, value * ONE).share(moved * ONE) == exact


@pytest.mark.parametrize(("value", "share"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_a_share_of_a_half_goes_to_the_even_number(value: int, share: int) -> None:
    assert Position("1", 2, value).share(1) == share


# --- transfers -----------------------------------------------------------------------------


def test_a_transfer_moves_the_average_between_two_positions() -> None:
    books = desk(erp_books=frozenset({TRANSFER}))
    books.take(row(1, "3", "3.333333"))
    giving = row(2, "-1", kind=TRANSFER, system=ERP, api_key="T")
    books.transfer(giving, giving._replace(id=3, quantity=ONE, warehouse="Depot"))
    entry = books.entries[1]
    assert said(entry) == ("1410", 333, "1410", -333)
    assert (entry.warehouse, entry.counter_warehouse) == ("Depot", "Main")
    assert (entry.quantity, entry.counter_quantity, entry.booked_by) == (ONE, -ONE, ERP)
    assert (entry.rounding_amount, entry.rounding_account) == (0, None)
    assert [books.positions["P-1", place].quantity // ONE for place in ("Main", "Depot")] == [2, 1]
    assert books.touched == {("P-1", "Main"), ("P-1", "Depot")}


def test_a_transfer_whose_rounding_differs_says_so() -> None:
    books = desk()
    books.take(row(1, "2", "0.0075"))  # 0.015 in two pieces: the account holds 0.02
    giving = row(2, "-1", kind=TRANSFER, system=ERP, api_key="T")
    books.transfer(giving, giving._replace(id=3, quantity=ONE, warehouse="Depot"))
    entry = books.entries[1]
    # 0.0075 go: Main falls from 0.02 to 0.01, Depot rises to 0.01
    assert (entry.amount // CENT, entry.counter_amount // CENT, entry.rounding_amount) == (1, -1, 0)
    again = giving._replace(id=4, api_key="T2")
    books.transfer(again, again._replace(id=5, quantity=ONE, warehouse="Depot"))
    last = books.entries[2]
    assert (last.amount // CENT, last.counter_amount // CENT, last.rounding_amount) == (1, -1, 0)
    assert books.positions["P-1", "Main"].booked == 0
    assert last.booked_by == MPSYNC


def test_a_transfer_between_positions_without_accounts_waits() -> None:
    books = desk(Chart({}))
    giving = row(2, "-1", kind=TRANSFER, system=ERP)
    books.transfer(giving, giving._replace(id=3, quantity=ONE, warehouse=None))
    assert books.held[2][0] == UNMAPPED
    assert books.entries == []


# --- texts and twins -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "named"),
    [
        (None, (None, None)),
        ("", (None, None)),
        ("wo:4711 eq:TRK-12", ("4711", "TRK-12")),
        ("WO:4711", ("4711", None)),
        ("EQ:TRK-12 Folio-198", ("Folio-198", "TRK-12")),
        ("wo:4711 Folio-198", ("4711", None)),
        ("for Folio-198.", ("Folio-198", None)),
        ("two: pieces", (None, None)),
    ],
)
def test_a_description_names_work_order_and_equipment(
    description: str | None, named: tuple[str | None, str | None]
) -> None:
    assert told_in(description) == named


@pytest.mark.parametrize(
    ("more", "twin"),
    [
        ({}, True),
        ({"occurred_on": "2026-11-21"}, True),
        ({"occurred_on": "2026-11-19"}, True),
        ({"occurred_on": "2026-11-22"}, False),
        ({"occurred_on": "2026-11-18"}, False),
        ({"item": "P-2"}, False),
        ({"warehouse": "Depot"}, False),
        ({"quantity": 5 * ONE}, False),
    ],
)
def test_a_receipt_like_the_arrival_of_a_transfer_within_a_day_is_its_twin(more: dict[str, object], twin: bool) -> None:
    moved = row(1, "4", kind=TRANSFER)
    assert arrivals([row(2, "4")._replace(**more)], [moved]) == (frozenset({2}) if twin else frozenset())

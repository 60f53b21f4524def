from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from sync.ledger.rules import posted_on
from sync.poll.days.void_rules import Presence, suspicion
from sync.reconcile.order_rules import is_final, is_known_status, terms_digest
from sync.values.dates import DayState, due_days, grouped, is_due, month_ranges
from sync.values.policy import Policy

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
TODAY = NOW.date()
POLICY = Policy(start_date=date(2024, 3, 1))


def _state(age: timedelta, *, complete: bool = True, unclean: bool = False) -> DayState:
    return DayState(complete, NOW - age, unclean)


def test_at_first_every_day_since_the_start_date_and_tomorrow_is_due_newest_first() -> None:
    days = due_days({}, POLICY, NOW)

    assert days[0] == date(2024, 3, 16)
    assert days[-1] == date(2024, 3, 1)
    assert len(days) == 16


def test_the_older_a_day_the_more_rarely_it_is_read_again() -> None:
    def due(days_ago: int, read: timedelta) -> bool:
        return is_due(TODAY - timedelta(days=days_ago), _state(read), POLICY, NOW)

    assert due(0, timedelta(minutes=5))
    assert not due(0, timedelta(minutes=4))
    assert due(1, timedelta(minutes=5))
    assert not due(2, timedelta(minutes=59))
    assert due(7, timedelta(hours=1))
    assert due(-1, timedelta(hours=1))
    assert not due(8, timedelta(hours=23))
    assert due(45, timedelta(days=1))
    assert not due(46, timedelta(days=29))
    assert due(365, timedelta(days=30))
    assert not due(366, timedelta(days=3000))


def test_an_incomplete_day_is_due_however_recently_it_was_read() -> None:
    assert is_due(TODAY - timedelta(days=300), _state(timedelta(seconds=1), complete=False), POLICY, NOW)
    assert not is_due(TODAY, _state(timedelta(seconds=1), complete=False), POLICY, NOW)


def test_days_before_the_start_date_count_only_where_they_were_read() -> None:
    read = date(2023, 12, 1)

    days = due_days({read: _state(timedelta(days=31))}, POLICY, NOW)

    assert read in days
    assert date(2023, 12, 2) not in days


def test_a_day_with_something_open_is_read_again_soon() -> None:
    day = TODAY - timedelta(days=400)

    assert is_due(day, _state(timedelta(hours=1), unclean=True), POLICY, NOW)
    assert not is_due(day, _state(timedelta(minutes=30), unclean=True), POLICY, NOW)


def test_today_is_the_organisation_s() -> None:
    policy = Policy(start_date=date(2024, 3, 14), timezone=ZoneInfo("Pacific/Auckland"))

    assert due_days({}, policy, NOW)[0] == date(2024, 3, 17)


def test_months_are_cut_at_their_ends() -> None:
    assert month_ranges(date(2023, 12, 30), date(2024, 2, 1)) == [
        (date(2023, 12, 30), date(2023, 12, 31)),
        (date(2024, 1, 1), date(2024, 1, 31)),
        (date(2024, 2, 1), date(2024, 2, 1)),
    ]
    assert month_ranges(date(2024, 2, 2), date(2024, 2, 1)) == []


@given(st.sets(st.dates(date(2024, 1, 1), date(2024, 12, 31))), st.integers(1, 10), st.integers(1, 40))
def test_grouped_days_all_lie_in_ranges_that_are_not_too_long(days: set[date], apart: int, length: int) -> None:
    ranges = grouped(days, apart_max=apart, length_max=length)

    assert all(any(first <= day <= last for first, last in ranges) for day in days)
    assert all((last - first).days < length for first, last in ranges)
    assert all(first in days and last in days for first, last in ranges)


# deletes


def test_fewer_than_five_rows_gone_are_never_suspicious() -> None:
    assert suspicion({"A": Presence(4, 4)}, Decimal("0.5")) is None


def test_five_rows_and_more_than_the_ratio_are() -> None:
    assert suspicion({"A": Presence(10, 5)}, Decimal("0.5")) is None
    assert suspicion({"A": Presence(9, 5)}, Decimal("0.5")) == "5 of 9 rows are gone"


def test_one_warehouse_gone_among_many_is() -> None:
    found = suspicion({"A": Presence(100, 0), "B": Presence(5, 5)}, Decimal("0.5"))

    assert found == "5 of 5 rows of B are gone"


def test_a_ratio_of_one_never_suspends() -> None:
    assert suspicion({"A": Presence(50, 50)}, Decimal(1)) is None


# the books


def test_what_occurred_in_a_closed_period_is_posted_on_the_first_open_day() -> None:
    assert posted_on(date(2024, 2, 29), date(2024, 2, 29)) == date(2024, 3, 1)
    assert posted_on(date(2024, 3, 1), date(2024, 2, 29)) == date(2024, 3, 1)
    assert posted_on(date(2024, 2, 1), None) == date(2024, 2, 1)


# orders


def test_terms_do_not_depend_on_the_order_of_lines_or_on_trailing_zeros() -> None:
    one = terms_digest(Decimal("35.0"), [("a", Decimal("5.00"), Decimal(7)), ("b", Decimal(1), Decimal(0))])
    other = terms_digest(Decimal(35), [("b", Decimal(1), Decimal(0)), ("a", Decimal(5), Decimal("7.000000"))])

    assert one == other
    assert one != terms_digest(Decimal(36), [("a", Decimal(5), Decimal(7)), ("b", Decimal(1), Decimal(0))])
    assert one != terms_digest(Decimal(35), [("a", Decimal(6), Decimal(7)), ("b", Decimal(1), Decimal(0))])


def test_statuses_are_compared_without_regard_to_case_and_an_unknown_one_is_open() -> None:
    assert is_final("Received")
    assert is_final("CANCELLED")
    assert not is_final("Ordered")
    assert not is_final("requisition")
    assert not is_final("Galactic")
    assert not is_known_status("Galactic")
    assert is_known_status("partially_received")

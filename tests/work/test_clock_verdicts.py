"""Whose clock is wrong: the numbered ways out of `judge`, and what of a skew is written down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.work.clock_rules import DATABASE, NOTHING, Verdict, judge, noticed, told

BOTH = ("mpservices", "mpw")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def ahead(mpw: float | None = None, mpservices: float | None = None) -> dict[str, timedelta]:
    given = {"mpw": mpw, "mpservices": mpservices}
    return {name: minutes(count) for name, count in given.items() if count is not None}


def test_1_a_server_whose_clock_differs_says_that_ours_is_wrong() -> None:
    for off in (3.0, -3.0):
        told_ = judge(ahead(0, 0), {}, vendors=BOTH, server=minutes(off))
        assert told_ == Verdict(behind=minutes(off), by=(DATABASE,))

    assert judge(ahead(0, 0), {}, vendors=BOTH, server=minutes(2)).behind == NOTHING


def test_where_no_vendor_has_told_its_time_nothing_is_said() -> None:
    assert judge({}, {}, vendors=BOTH) == Verdict()


@pytest.mark.parametrize("off", [30, -30])
def test_2_where_both_vendors_differ_alike_ours_is_wrong(off: int) -> None:
    assert judge(ahead(off, off + 2), {}, vendors=BOTH) == Verdict(
        behind=minutes(off + 1), by=BOTH, ahead=ahead(off, off + 2)
    )
    assert judge(ahead(off, off), ahead(off, 0), vendors=BOTH).behind == minutes(off)


def test_3_where_one_does_not_differ_ours_is_right_and_the_other_has_a_skew() -> None:
    assert judge(ahead(2, 30), {}, vendors=BOTH) == Verdict(by=BOTH, skews=ahead(2, 30))
    assert judge(ahead(30, 5), ahead(29, 0), vendors=BOTH).skews == ahead(30, 5), "as it is known to be"
    assert judge(ahead(1, 2), {}, vendors=BOTH).skews == ahead(1, 2)


def test_4_where_both_changed_alike_from_what_is_known_ours_is_wrong() -> None:
    assert judge(ahead(10, 40), ahead(0, 30), vendors=BOTH) == Verdict(behind=minutes(10), by=BOTH, ahead=ahead(10, 40))


def test_5_one_that_alone_can_be_asked_or_beside_a_server_that_agrees_has_a_skew() -> None:
    skewed = Verdict(by=("mpw",), skews=ahead(30))

    assert judge(ahead(30), {}, vendors=("mpw",)) == skewed
    assert judge(ahead(30), {}, vendors=BOTH, server=minutes(1)) == skewed
    assert judge(ahead(30, 10), {}, vendors=BOTH, server=NOTHING).skews == ahead(30, 10)


def test_6_where_one_was_not_asked_or_they_disagree_nobody_can_tell() -> None:
    silent = judge(ahead(30), {}, vendors=BOTH)
    assert silent == Verdict(behind=minutes(30), certain=False, by=("mpw",), silent=("mpservices",), ahead=ahead(30))

    apart = judge(ahead(30, -10), {}, vendors=BOTH)
    assert apart == Verdict(behind=minutes(-10), certain=False, by=BOTH, ahead=ahead(30, -10))
    assert judge(ahead(30, 33), {}, vendors=BOTH).certain is False, "three minutes apart is not alike"


@pytest.mark.parametrize(
    ("behind", "silent", "wrong", "halts"),
    [
        (2, (), False, False),
        (3, (), True, False),
        (-3, (), True, False),
        (3, ("mpw",), False, False),
        (10, ("mpw",), False, False),
        (11, ("mpw",), True, True),
        (-11, (), True, True),
    ],
)
def test_a_person_is_told_of_minutes_and_the_work_halts_beyond_ten(
    behind: int, silent: tuple[str, ...], wrong: bool, halts: bool
) -> None:
    verdict = Verdict(behind=minutes(behind), silent=silent)

    assert (verdict.certain, verdict.asked, verdict.wrong, verdict.halts) == (True, not silent, wrong, halts)


def seconds(mpw: float, mpservices: float | None = None) -> dict[str, timedelta]:
    given = {"mpw": mpw, "mpservices": mpservices}
    return {name: timedelta(seconds=count) for name, count in given.items() if count is not None}


def test_a_skew_is_written_down_where_it_changed_by_more_than_a_quarter_of_a_minute() -> None:
    assert noticed(Verdict(), {}) == {}
    assert noticed(Verdict(skews=seconds(15)), {}) == {}
    assert noticed(Verdict(skews=seconds(15.6)), {}) == seconds(16)
    assert noticed(Verdict(skews=seconds(60.4, 0)), seconds(40)) == seconds(60)
    assert noticed(Verdict(skews=seconds(-60)), seconds(-50)) == {}


def test_nothing_is_learnt_where_all_differ_alike_if_only_a_little() -> None:
    assert noticed(Verdict(skews=seconds(40, 55)), {}) == {}
    assert noticed(Verdict(skews=seconds(40, 56)), {}) == seconds(40, 56)
    assert noticed(Verdict(skews=seconds(5, 6)), seconds(60)) == seconds(5), "one that has gone is"
    assert noticed(Verdict(skews=seconds(15, 15)), seconds(60)) == seconds(15)


@pytest.mark.parametrize(
    ("behind", "says"),
    [
        (timedelta(days=-2), "2 d ahead"),
        (timedelta(hours=47), "47 h behind"),
        (timedelta(hours=2), "2 h behind"),
        (timedelta(minutes=119), "119 min behind"),
        (timedelta(seconds=-119), "119 s ahead"),
        (timedelta(seconds=1), "1 s behind"),
    ],
)
def test_how_far_is_said_in_a_unit_that_people_use(behind: timedelta, says: str) -> None:
    assert told(behind) == says


def test_2_what_a_person_said_of_each_stands() -> None:
    both, known = ahead(120, 121), ahead(120, 120)
    assert judge(both, known, vendors=BOTH, words=BOTH) == Verdict(by=BOTH, skews=both)
    assert judge(both, known, vendors=BOTH, words=("mpw",)).halts, "the other's may have been learnt of a wrong clock"
    assert judge(ahead(180, 181), known, vendors=BOTH, words=BOTH).halts, "both have changed since"

"""Whose clock is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.work.clock_rules import judge, noticed, told

H = timedelta(hours=1)
M = timedelta(minutes=1)
S = timedelta(seconds=1)
BOTH = ("mpw", "mpservices")


def test_clocks_that_agree_are_right() -> None:
    verdict = judge({"mpw": 3 * S, "mpservices": -40 * S}, {}, vendors=BOTH)

    assert (verdict.wrong, verdict.halts, verdict.certain) == (False, False, True)


@pytest.mark.parametrize(("off", "halts"), [(3 * M, False), (-3 * M, False), (2 * H, True), (-10 * 24 * H, True)])
def test_where_both_vendors_differ_alike_ours_is_wrong(off: timedelta, halts: bool) -> None:
    verdict = judge({"mpw": off, "mpservices": off + 5 * S}, {}, vendors=BOTH)

    assert (verdict.wrong, verdict.halts) == (True, halts)
    assert abs(verdict.behind - off) < 5 * S
    assert verdict.skews == {}


def test_one_vendor_alone_that_differs_has_a_skew_and_ours_is_right() -> None:
    verdict = judge({"mpw": 30 * M, "mpservices": S}, {}, vendors=BOTH)

    assert (verdict.wrong, verdict.halts) == (False, False)
    assert noticed(verdict, {}) == {"mpw": 30 * M}


def test_a_known_skew_does_not_hide_that_ours_is_wrong() -> None:
    verdict = judge({"mpw": 30 * M - 2 * H, "mpservices": -2 * H}, {"mpw": 30 * M}, vendors=BOTH)

    assert (verdict.wrong, verdict.halts, verdict.behind) == (True, True, -2 * H)


def test_a_skew_that_was_learnt_while_ours_was_wrong_does_not_make_it_right() -> None:
    verdict = judge({"mpw": -2 * H, "mpservices": -2 * H}, {"mpw": -2 * H}, vendors=BOTH)

    assert verdict.halts


def test_skews_that_were_learnt_while_ours_was_wrong_do_not_make_it_wrong_once_it_is_right() -> None:
    ours_ahead = judge({"mpw": -200 * S, "mpservices": -120 * S}, {}, vendors=BOTH)
    learnt = noticed(ours_ahead, {})
    assert learnt == {"mpw": -200 * S, "mpservices": -120 * S}

    verdict = judge({"mpw": 40 * S, "mpservices": 120 * S}, learnt, vendors=BOTH)

    assert (verdict.wrong, verdict.behind) == (False, 0 * S)
    assert noticed(verdict, learnt) == {"mpw": 40 * S, "mpservices": 120 * S}
    alike = judge({"mpw": 60 * S, "mpservices": 70 * S}, learnt, vendors=BOTH)
    assert not alike.wrong
    assert noticed(alike, learnt) == {"mpw": 0 * S, "mpservices": 0 * S}


def test_before_the_second_has_answered_nothing_is_decided_and_a_halt_is_told() -> None:
    verdict = judge({"mpw": -2 * H}, {}, vendors=BOTH)

    assert (verdict.certain, verdict.wrong, verdict.halts) == (False, True, True)
    assert verdict.silent == ("mpservices",)
    assert noticed(verdict, {}) == {}


def test_a_few_minutes_that_one_alone_shows_halt_nothing_and_are_not_told_before_the_second_has_answered() -> None:
    verdict = judge({"mpw": -5 * M}, {}, vendors=BOTH)

    assert (verdict.certain, verdict.wrong, verdict.halts) == (False, False, False)


def test_a_vendor_that_differs_as_it_is_known_to_needs_no_second_witness() -> None:
    verdict = judge({"mpw": 30 * M}, {"mpw": 30 * M}, vendors=BOTH)

    assert (verdict.certain, verdict.halts) == (True, False)


def test_one_vendor_alone_on_sqlite_has_a_skew() -> None:
    verdict = judge({"mpw": 2 * H}, {}, vendors=("mpw",))

    assert (verdict.wrong, verdict.halts, noticed(verdict, {})) == (False, False, {"mpw": 2 * H})


def test_clocks_that_all_disagree_decide_nothing_and_are_told() -> None:
    verdict = judge({"mpw": 2 * H, "mpservices": -3 * H}, {}, vendors=BOTH)

    assert (verdict.certain, verdict.wrong, verdict.halts) == (False, True, True)


def test_the_database_server_alone_shows_that_ours_is_wrong() -> None:
    assert judge({}, {}, vendors=BOTH, server=-H).halts
    assert judge({"mpw": 20 * M, "mpservices": -20 * M}, {}, vendors=BOTH, server=S).skews
    assert judge({"mpw": H, "mpservices": H}, {}, vendors=BOTH, server=S).wrong


def test_a_skew_is_learnt_once_and_not_anew_with_every_reading() -> None:
    known = {"mpw": 30 * M}

    assert noticed(judge({"mpw": 30 * M + 9 * S, "mpservices": S}, known, vendors=BOTH), known) == {}
    assert noticed(judge({"mpw": 30 * M + 20 * S, "mpservices": S}, known, vendors=BOTH), known) == {
        "mpw": 30 * M + 20 * S
    }


def test_a_minute_by_which_both_differ_is_ours_and_no_skew() -> None:
    assert noticed(judge({"mpw": M, "mpservices": M + 3 * S}, {}, vendors=BOTH), {}) == {}


def test_a_difference_is_said_in_a_unit_that_people_use() -> None:
    assert [told(-2 * H), told(10 * 24 * H), told(3 * M), told(S)] == [
        "2 h ahead",
        "10 d behind",
        "3 min behind",
        "1 s behind",
    ]

"""The outbox's decisions, each alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.errors import (
    AuthError,
    MalformedResponseError,
    OutcomeUnknownError,
    RejectedError,
    RemoteError,
    RetryableError,
)
from sync.outbox.machine import (
    LEGAL,
    TOO_OLD,
    Absent,
    BatchRefused,
    Conflict,
    Delivered,
    Landed,
    Later,
    More,
    NoStock,
    NotSent,
    Obsolete,
    Outcome,
    Refused,
    Retrying,
    Standing,
    Unclear,
    Undecidable,
    Verdict,
    absence_counts_at,
    after_answer,
    after_lease_ran_out,
    after_verification,
    check_again_at,
    is_legal,
    outcome_of,
    rank_of,
    stock_wait,
)
from sync.values.backoff import BACKOFF_MAX, backoff

NOW = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)
RETRYING = Retrying(timedelta(seconds=15), 0.5)


def standing(*, ambiguous: bool = False, failures: int = 1, failing_since: datetime | None = None) -> Standing:
    return Standing(ambiguous, failures, failing_since, NOW - timedelta(minutes=1), NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("outcome", "state", "counts"),
    [
        (Delivered("answered 200"), "done", True),
        (Refused("no such warehouse"), "dead", True),
        (Conflict("5 instead of 3"), "dead", True),
        (Unclear("timed out"), "unknown", True),
        (More("4 of 10"), "ready", True),
        (NoStock("maximum 0"), "ready", True),
        (BatchRefused("one is wrong"), "ready", True),
        (NotSent("refused connection"), "ready", False),
        (NotSent("slow down", status=429), "ready", False),
        (NotSent("expired", status=401, at_once=True), "ready", False),
    ],
)
def test_each_answer_leads_to_one_state(outcome: Outcome, state: str, counts: bool) -> None:
    to = after_answer(standing(), outcome, now=NOW, retrying=RETRYING)

    assert (to.state, to.counts) == (state, counts)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Delivered("read"), "done"),
        (Conflict("different"), "dead"),
        (Absent(), "ready"),
        (More("a part is there"), "ready"),
        (Later(NOW, "not yet"), "unknown"),
        (Undecidable("no key", "look"), "unknown"),
        (Obsolete("nobody wants it"), "discarded"),
    ],
)
def test_each_look_leads_to_one_state(verdict: Verdict, state: str) -> None:
    assert after_verification(standing(), verdict, now=NOW, retrying=RETRYING).state == state


@pytest.mark.parametrize("outcome", [NotSent("x"), NotSent("x", status=429), NotSent("x", status=401, at_once=True)])
def test_a_row_that_was_ever_ambiguous_goes_back_to_unknown_not_to_ready(outcome: Outcome) -> None:
    to = after_answer(standing(ambiguous=True), outcome, now=NOW, retrying=RETRYING)

    assert to.state == "unknown"
    assert not to.counts


def test_proven_absence_does_not_clear_what_a_row_has_been_through() -> None:
    assert after_verification(standing(ambiguous=True), Absent(), now=NOW, retrying=RETRYING).ambiguous is None


def test_a_lease_that_ran_out_is_unknown_and_ambiguous() -> None:
    to = after_lease_ran_out(now=NOW)

    assert (to.state, to.ambiguous, to.counts) == ("unknown", True, True)


def test_a_refusal_of_a_whole_call_clears_no_ambiguity() -> None:
    outcome = BatchRefused("one of them is not an order")

    clear = after_answer(standing(), outcome, now=NOW, retrying=RETRYING)
    ambiguous = after_answer(standing(ambiguous=True), outcome, now=NOW, retrying=RETRYING)

    assert (clear.state, ambiguous.state) == ("ready", "unknown")
    assert ambiguous.ambiguous is None


def test_an_expired_token_is_tried_again_at_once_but_not_twice() -> None:
    outcome = NotSent("expired", status=401, at_once=True)

    first = after_answer(standing(failures=1), outcome, now=NOW, retrying=RETRYING)
    second = after_answer(standing(failures=2), outcome, now=NOW, retrying=RETRYING)

    assert first.due_at == NOW
    assert second.due_at is not None
    assert second.due_at > NOW


@pytest.mark.parametrize(
    ("outcome", "wait"),
    [
        (Unclear("timed out"), timedelta(seconds=30)),
        (NotSent("refused connection"), timedelta(seconds=30)),
        (NotSent("slow down", status=429), timedelta(seconds=30)),
        (NotSent("expired", status=401, at_once=True), timedelta(seconds=30)),
        (NoStock("maximum 0"), timedelta(hours=1)),
        (More("4 of 10"), timedelta()),
        (BatchRefused("one is wrong"), timedelta()),
        (Landed("answered 500, and it is there"), timedelta()),
    ],
)
def test_each_answer_says_when_the_row_is_due_again(outcome: Outcome, wait: timedelta) -> None:
    to = after_answer(standing(failures=3), outcome, now=NOW, retrying=RETRYING)

    assert to.due_at == NOW + wait


@pytest.mark.parametrize(
    ("verdict", "due_at"),
    [
        (Absent(), NOW),
        (More("a part is there"), NOW),
        (Undecidable("no key", "look"), NOW + timedelta(hours=1)),
        (Later(NOW + timedelta(minutes=3), "not yet"), NOW + timedelta(minutes=3)),
        (Later(NOW - timedelta(minutes=3), "not yet"), NOW),
    ],
)
def test_each_look_says_when_the_row_is_due_again(verdict: Verdict, due_at: datetime) -> None:
    assert after_verification(standing(failures=3), verdict, now=NOW, retrying=RETRYING).due_at == due_at


def test_stock_is_waited_for_a_quarter_of_an_hour_then_longer_and_hourly_at_last() -> None:
    waits = [stock_wait(failures).total_seconds() / 60 for failures in (0, 1, 2, 3, 4, 5_000)]

    assert waits == [15, 15, 30, 60, 60, 60]


def test_a_check_comes_after_half_the_wait_at_the_soonest() -> None:
    row = Standing(True, 1, None, NOW - timedelta(minutes=2), NOW - timedelta(days=1))
    unsent = Standing(True, 1, None, None, NOW - timedelta(minutes=10))
    soon = Retrying(timedelta(seconds=15), 0.0)

    assert check_again_at(row, now=NOW, retrying=soon) == NOW + timedelta(minutes=1)
    assert check_again_at(row, now=NOW, retrying=RETRYING) == NOW + timedelta(minutes=1.5)
    assert check_again_at(unsent, now=NOW, retrying=soon) == NOW + timedelta(minutes=5)
    assert absence_counts_at(NOW, timedelta(minutes=2)) == NOW + timedelta(minutes=2)


def test_no_retry_comes_before_retry_after() -> None:
    outcome = NotSent("slow down", status=429, retry_after=timedelta(hours=2))

    to = after_answer(standing(), outcome, now=NOW, retrying=Retrying(timedelta(seconds=15), 0.0))

    assert to.due_at == NOW + timedelta(hours=2)


def test_after_a_week_without_an_effect_a_person_looks() -> None:
    old = standing(failing_since=NOW - TOO_OLD - timedelta(seconds=1))
    young = standing(failing_since=NOW - TOO_OLD + timedelta(seconds=1))

    assert after_verification(old, Absent(), now=NOW, retrying=RETRYING).state == "dead"
    assert after_verification(young, Absent(), now=NOW, retrying=RETRYING).state == "ready"


def test_what_was_never_unclear_grows_never_too_old() -> None:
    waiting = standing(failing_since=None, failures=10_000)

    assert after_answer(waiting, NotSent("unreachable"), now=NOW, retrying=RETRYING).state == "ready"
    assert after_verification(waiting, Absent(), now=NOW, retrying=RETRYING).state == "ready"


def test_back_off_doubles_up_to_an_hour_with_full_jitter() -> None:
    base = timedelta(seconds=15)

    assert backoff(1, base=base, random=1.0) == timedelta(seconds=15)
    assert backoff(4, base=base, random=1.0) == timedelta(seconds=120)
    assert backoff(4, base=base, random=0.0) == timedelta()
    assert backoff(5_000, base=base, random=1.0) == BACKOFF_MAX
    assert backoff(5_000, base=timedelta(), random=1.0) == timedelta()
    assert backoff(5_000, base=base, random=0.0, retry_after=timedelta(hours=3)) == timedelta(hours=3)


def test_a_check_that_failed_is_repeated_ever_later_and_hourly_at_last() -> None:
    young = Standing(True, 1, None, NOW - timedelta(minutes=2), NOW)
    old = Standing(True, 1, None, NOW - timedelta(days=30), NOW)

    retrying = Retrying(timedelta(seconds=15), 1.0)
    assert check_again_at(young, now=NOW, retrying=retrying) == NOW + timedelta(minutes=2)
    assert check_again_at(old, now=NOW, retrying=retrying) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RejectedError("no", status=422), Refused),
        (RetryableError("refused"), NotSent),
        (RetryableError("slow down", status=429), NotSent),
        (AuthError("wrong password"), NotSent),
        (OutcomeUnknownError("timed out"), Unclear),
        (OutcomeUnknownError("timed out", status=408), Unclear),
        (MalformedResponseError("a login page"), Unclear),
    ],
)
def test_only_what_provably_did_nothing_is_not_sent(error: RemoteError, expected: type) -> None:
    assert isinstance(outcome_of(error), expected)


def test_final_states_are_left_by_nobody_but_dead_by_an_operator_and_done_where_it_is_not_there() -> None:
    assert not any(LEGAL[state] for state in ("superseded", "discarded"))
    assert LEGAL["done"] == {"dead"}, "an answer that MPW's own lists disprove"
    assert not is_legal("sending", "discarded")
    assert not is_legal("unknown", "superseded")
    assert not is_legal("held", "sending")
    assert not is_legal("unknown", "sending")


def test_what_brings_stock_goes_before_what_takes_it() -> None:
    assert rank_of("post_receipt") == rank_of("delete_issuance") < rank_of("post_issuance") < rank_of("post_transfer")


def test_what_a_vendor_said_yes_to_is_looked_for_as_a_call_that_may_have_taken_effect() -> None:
    to = after_answer(standing(), Landed("answered 200, empty"), now=NOW, retrying=RETRYING)

    assert (to.state, to.outcome, to.ambiguous, to.counts, to.due_at) == ("unknown", "landed", True, True, NOW)


@pytest.mark.parametrize(("status", "name"), [(401, "401"), (429, "429"), (503, "not_sent"), (None, "not_sent")])
def test_only_a_refused_login_and_a_full_quota_are_named_by_their_status(status: int | None, name: str) -> None:
    to = after_answer(standing(), NotSent("not sent", status=status), now=NOW, retrying=RETRYING)

    assert to.outcome == name

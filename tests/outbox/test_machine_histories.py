"""The machine under any order of events: a model of one row, and what must never happen to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sync.outbox.machine import (
    Absent,
    BatchRefused,
    Conflict,
    Delivered,
    Later,
    More,
    NoStock,
    NotSent,
    Obsolete,
    Outcome,
    Refused,
    Retrying,
    Standing,
    Transition,
    Unclear,
    Undecidable,
    Verdict,
    after_answer,
    after_lease_ran_out,
    after_verification,
    is_legal,
)

START = datetime(2024, 3, 15, 12, 0, tzinfo=UTC)
OUTCOMES: list[Outcome] = [
    Delivered("answered"),
    Refused("no"),
    Conflict("other"),
    NotSent("refused"),
    NotSent("slow", status=429, retry_after=timedelta(seconds=90)),
    NotSent("expired", status=401, at_once=True),
    Unclear("timed out"),
    More("a part"),
    NoStock("none"),
    BatchRefused("together"),
]
VERDICTS: list[Verdict] = [
    Delivered("read"),
    Conflict("other"),
    Absent(),
    Later(START, "not yet"),
    Undecidable("?", "look"),
    Obsolete("unwanted"),
    More("a part"),
]


class OneRow(RuleBasedStateMachine):
    """One row of the outbox, its decisions made by the rules."""

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.state = "ready"
        self.ambiguous = False
        self.was_unclear = False
        self.evidence_since_unclear = True
        self.attempts = self.tries = 0
        self.due_at = START
        self.failing_since: datetime | None = None
        self.last: Transition | None = None

    def standing(self) -> Standing:
        return Standing(self.ambiguous, max(1, self.tries), self.failing_since, self.now, START)

    def retrying(self, random: float) -> Retrying:
        return Retrying(timedelta(seconds=15), random)

    def move(self, to: Transition) -> None:
        assert is_legal(self.state, to.state), (self.state, to)
        self.last, self.state = to, to.state
        self.attempts += to.counts
        if to.ambiguous is not None:
            self.ambiguous = to.ambiguous
        if to.due_at is not None:
            self.due_at = to.due_at

    @rule(seconds=st.integers(1, 200_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.state == "ready" and self.due_at <= self.now)
    @rule()
    def claimed(self) -> None:
        assert self.evidence_since_unclear, "sent again without evidence on the unclear call"
        self.state, self.tries = "sending", self.tries + 1

    @precondition(lambda self: self.state == "sending")
    @rule(outcome=st.sampled_from(OUTCOMES), random=st.floats(0, 0.999))
    def answered(self, outcome: Outcome, random: float) -> None:
        before = self.attempts
        self.move(after_answer(self.standing(), outcome, now=self.now, retrying=self.retrying(random)))
        if isinstance(outcome, Unclear):
            self.was_unclear, self.evidence_since_unclear = True, False
            self.failing_since = self.failing_since or self.now
        if isinstance(outcome, NotSent):
            assert self.attempts == before
            assert outcome.retry_after is None or self.due_at >= self.now + outcome.retry_after

    @precondition(lambda self: self.state == "sending")
    @rule()
    def worker_dies(self) -> None:
        self.move(after_lease_ran_out(now=self.now))
        assert self.state == "unknown"
        self.was_unclear, self.evidence_since_unclear = True, False
        self.failing_since = self.failing_since or self.now

    @precondition(lambda self: self.state == "unknown")
    @rule(verdict=st.sampled_from(VERDICTS), random=st.floats(0, 0.999))
    def looked_at(self, verdict: Verdict, random: float) -> None:
        self.move(after_verification(self.standing(), verdict, now=self.now, retrying=self.retrying(random)))
        if isinstance(verdict, (Later, Undecidable)):
            assert self.state == "unknown"
        else:
            self.evidence_since_unclear = True

    @invariant()
    def ambiguity_is_sticky(self) -> None:
        assert self.ambiguous or not self.was_unclear

    @invariant()
    def done_carries_evidence(self) -> None:
        assert self.state != "done" or (self.last is not None and self.last.evidence)

    @invariant()
    def an_unclear_call_leaves_the_row_unknown_until_there_is_evidence(self) -> None:
        assert self.evidence_since_unclear or self.state == "unknown"

    @invariant()
    def what_waits_has_a_time(self) -> None:
        assert self.state not in ("ready", "unknown") or self.last is None or self.last.due_at is not None


OneRow.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOneRow = OneRow.TestCase


class TestOneRowAtLength(OneRow.TestCase):
    """The same, five times as long."""

    settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
    pytestmark = pytest.mark.usual

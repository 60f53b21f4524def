"""A person's word on an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from sync.database.engine import Store
from sync.database.exceptions import blocking, open_exceptions
from sync.database.pauses import pause_reason, pause_system
from sync.database.schema import exceptions
from sync.errors import ConfigError
from sync.jobs.due import an_agenda
from sync.jobs.reports import view
from sync.jobs.resolve import Choice, resolve_by_person
from sync.ledger.books import Books
from sync.ledger.coverage import open_gap, open_gaps
from sync.ledger.parked import due_parked, park
from sync.values.exception_kinds import APPLY, ECHO, KEEP, KINDS, NONE, STAY_RESOLVED, VOID
from sync.values.policy import Policy
from sync.values.subjects import Subject
from sync.values.systems import MPW
from sync.work.context import CREDENTIALS, Context
from tests.clocks import FakeClock


@pytest.fixture
def ctx(store: Store, clock: FakeClock) -> Context:
    return Context(store=store, clock=clock, policy=Policy(), agenda=an_agenda())


def opened(ctx: Context, kind: str, subject: str, **facts: object) -> None:
    with ctx.store.write() as conn:
        Books(conn, now=ctx.clock.now()).open_exception(
            kind,
            about=Subject(KINDS[kind].subjects[0], subject),
            detail="d",
            hint="h",
            facts=facts,
        )


def resolve(ctx: Context, **chosen: object) -> int:
    return resolve_by_person(ctx, why="looked at it", by="ann", **chosen)  # type: ignore[arg-type]


def test_a_gap_is_closed_with_the_persons_words(ctx: Context, clock: FakeClock) -> None:
    with ctx.store.write() as conn:
        start = clock.now()
        clock.advance(3600)
        gap_id = open_gap(Books(conn, now=clock.now()), "mpservices.movements", start, clock.now())
    opened(ctx, "gap", "mpservices.movements x", gap_id=gap_id)

    assert resolve(ctx, kind="gap") == 1

    with ctx.read() as conn:
        assert open_gaps(conn) == []
        assert view(conn, "v_gaps")[0]["note"] == "looked at it"
        [row] = view(conn, "v_exceptions")
        assert (row["resolved_by"], row["resolution"]) == ("ann", "looked at it")


def test_a_dry_run_counts_and_changes_nothing(ctx: Context) -> None:
    opened(ctx, "unknown_value", "a")
    opened(ctx, "unknown_value", "b")

    assert resolve(ctx, kind="unknown_value", dry_run=True) == 2

    with ctx.read() as conn:
        assert len(open_exceptions(conn)) == 2


def test_void_is_refused_for_anything_but_rows_that_disappeared(ctx: Context) -> None:
    opened(ctx, "unknown_value", "a")

    with pytest.raises(ConfigError, match="--void"):
        resolve(ctx, subject="a", choice=Choice(VOID))

    with ctx.read() as conn:
        assert len(open_exceptions(conn)) == 1


def test_a_pause_for_refused_credentials_is_lifted(ctx: Context, clock: FakeClock) -> None:
    with ctx.store.write() as conn:
        pause_system(conn, MPW, fingerprint="f", reason="refused", now=clock.now())
    opened(ctx, CREDENTIALS, MPW)

    resolve(ctx, kind=CREDENTIALS)

    with ctx.read() as conn:
        assert pause_reason(conn, MPW, fingerprint="f") is None


def test_an_event_whose_cause_still_holds_is_looked_at_again(ctx: Context, clock: FakeClock) -> None:
    with ctx.store.write() as conn:
        park(conn, ("receipt", "k"), reason="unmapped_item: X", due_at=None)
    opened(ctx, "unmapped_item", "X")

    resolve(ctx, kind="unmapped_item")

    with ctx.read() as conn:
        assert list(due_parked(conn, now=clock.now(), limit=10)) == [("receipt", "k")]


@pytest.mark.parametrize("kind", ["movement_changed", "movement_deleted", "echo_undecided"])
def test_what_needs_a_choice_is_not_resolved_by_a_word_alone(ctx: Context, kind: str) -> None:
    opened(ctx, kind, "a", movements=["m-1"], external_id="E")

    with pytest.raises(ConfigError, match="has to be told what to do") as raised:
        resolve(ctx, subject="a")

    assert raised.value.hint is not None
    for option in KINDS[kind].choices:
        assert option in raised.value.hint
    with ctx.read() as conn:
        assert len(open_exceptions(conn)) == 1
        assert set(blocking(conn, ["E"])) == {"E"}


@pytest.mark.parametrize("option", [VOID, APPLY, KEEP, ECHO, NONE])
def test_a_choice_that_a_kind_does_not_have_is_refused_and_nothing_is_resolved(ctx: Context, option: str) -> None:
    opened(ctx, "unknown_value", "a")

    with pytest.raises(ConfigError, match=option):
        resolve(ctx, kind="unknown_value", choice=Choice(option, "m-1" if option == ECHO else None))

    with ctx.read() as conn:
        assert len(open_exceptions(conn)) == 1


@pytest.mark.parametrize(("choice", "echo"), [(Choice(ECHO, "m-2"), "m-2"), (Choice(NONE), None)])
def test_which_movement_is_the_echo_is_kept_as_data_whatever_the_text_says(
    ctx: Context, choice: Choice, echo: str | None
) -> None:
    opened(ctx, "echo_undecided", "a", movements=["m-1", "m-2"], external_id="E", outbox_id=7)

    assert resolve_by_person(ctx, subject="a", why="m-1 is NOT ours", by="ann", choice=choice) == 1

    with ctx.read() as conn:
        facts = json.loads(conn.execute(select(exceptions.c.facts)).scalar_one())
    assert facts["decision"] == {"echo": echo}
    assert facts["movements"] == ["m-1", "m-2"]


def test_an_echo_that_the_doubt_is_not_about_is_refused(ctx: Context) -> None:
    opened(ctx, "echo_undecided", "a", movements=["m-1", "m-2"], external_id="E")

    with pytest.raises(ConfigError, match="m-3") as raised:
        resolve(ctx, subject="a", choice=Choice(ECHO, "m-3"))

    assert raised.value.hint is not None
    assert "m-1, m-2" in raised.value.hint
    with ctx.read() as conn:
        assert len(open_exceptions(conn)) == 1


@pytest.mark.parametrize("kind", STAY_RESOLVED)
def test_what_a_person_resolved_of_a_stock_stays_so_while_it_would_say_the_same(kind: str, store: Store) -> None:
    now = datetime(2024, 3, 15, 12, tzinfo=UTC)
    about = Subject.stock_of("X")

    def opens(detail: str) -> bool:
        with store.write() as conn:
            return Books(conn, now=now).open_exception(kind, about=about, detail=detail, hint="h")

    def resolved(by: str) -> None:
        with store.write() as conn:
            Books(conn, now=now).resolve_exceptions(kind, about, resolution="seen", by=by)

    assert opens("MPW has -3 of it")
    resolved("ann")
    assert not opens("MPW has -3 of it")
    assert opens("MPW has -4 of it"), "something new happened to it"
    resolved("mpsync")
    assert opens("MPW has -4 of it"), "its cause was gone in between"

"""Echoes in the flow: doubts and how people end them, echoes that come late, feeds that fall silent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update

from sync.clients.mpservices.client import MpservicesClient
from sync.database.engine import Store
from sync.database.exceptions import open_exceptions
from sync.database.schema import exceptions
from sync.jobs.compare_stock import stock_once
from sync.jobs.resolve import Choice, resolve_by_person
from sync.push.operator import resolve_push
from sync.push.round import push_once
from sync.push.verify import verify_once
from sync.stock.echo.rules import Ask, Attempt, Finding, Found, Line, NoMovement, Silent, Told
from sync.stock.rules import FOLLOW_UPS_MAX
from sync.values.exception_kinds import APPLY, NONE
from tests.worlds.stock_world import PART, StockWorld, stock_world


@pytest.fixture
def met(store: Store) -> Iterator[StockWorld]:
    """A world whose item is managed, its MPservices stock proved by an echo: 105 on both sides."""
    with stock_world(store) as world:
        world.moves(3)
        world.cycle()
        world.clock.advance(minutes=10)
        world.receives(2)
        world.cycle()
        assert world.state().base_verified
        world.clock.advance(minutes=10)
        yield world


def patch_now(world: StockWorld) -> None:
    """Patch, and let the reading of the feed right after it fail: what follows is seen by a later one."""
    world.poll()
    world.reconcile()
    assert stock_once(world.ctx).added == 1
    world.sandbox.faults.add(endpoint="mpservices.movements", kind="error_before", times=1, after=1)
    assert push_once(world.ctx).unknown == 1  # it landed; its echo is to prove it


@pytest.fixture
def doubtful(met: StockWorld) -> StockWorld:
    """Two movements that fit a patch without a mark: its echo, and a return of what was taken just after.

    A follow-up moves nothing, whichever of the two the echo was.
    """
    met.policy(cost_mark=False)
    met.receives(10)
    patch_now(met)
    met.moves(-3)
    met.moves(3)
    met.cycle()
    return met


def resolve(world: StockWorld, echo: str | None) -> None:
    """Let a person say which movement is the echo (`--echo`), or that people made all of them (`--none`)."""
    chosen = exceptions.c.kind == "echo_undecided"
    with world.store.write() as conn:
        facts = json.loads(conn.execute(select(exceptions.c.facts).where(chosen)).scalar_one())
        facts["decision"] = {"echo": echo}
        values = {"resolved_at": exceptions.c.opened_at, "resolved_by": "ann", "resolution": "it was looked up"}
        conn.execute(update(exceptions).where(chosen).values(facts=json.dumps(facts), **values))


def test_of_two_movements_that_fit_neither_is_forwarded_and_a_person_is_asked(doubtful: StockWorld) -> None:
    row = doubtful.rows()[-2]  # the last one is its follow-up, which moved nothing

    assert doubtful.exceptions() == [("echo_undecided", row.api_key)]
    assert doubtful.writes().count("mpw.post_receipt") == 1  # the very first movement's
    assert [line.role for line in doubtful.lines()[-3:]] == ["undecided"] * 3  # held back until the person has spoken
    assert [echo.outcome for echo in doubtful.echoes()[-2:]] == ["several", "none"]
    assert doubtful.state().blocked_reason is not None


@pytest.mark.parametrize("theirs", [None, "Folio-1", "API"])
def test_of_two_movements_that_fit_the_one_with_the_reference_of_all_proven_echoes_is_the_patch_s_own(
    store: Store, monkeypatch: pytest.MonkeyPatch, theirs: str | None
) -> None:
    with stock_world(store) as world:
        vendor = world.sandbox.mpservices
        record = vendor._record

        def referring(type: str, lines: Any, reference: Any, created_at: Any, *, by_patch: bool = False) -> Any:
            return record(type, lines, "API" if by_patch else theirs, created_at, by_patch=by_patch)

        monkeypatch.setattr(vendor, "_record", referring)
        world.moves(3)
        world.cycle()
        world.clock.advance(minutes=10)
        world.receives(2)
        world.cycle()
        world.clock.advance(minutes=10)
        world.policy(cost_mark=False)
        world.receives(10)
        patch_now(world)
        world.moves(-3)
        world.moves(3)
        world.cycle()

        asked = [kind for kind, _ in world.exceptions()]
        assert asked == (["echo_undecided"] if theirs == "API" else [])
        if not asked:
            assert [line.role for line in world.lines()[-3:]] == ["echo", "event", "event"]
            assert world.stocks() == (115, 115)


def test_the_read_right_after_a_patch_tells_its_echo_from_what_people_do_next(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    assert stock_once(met.ctx).added == 1
    assert push_once(met.ctx).unknown == 1
    assert verify_once(met.ctx).settled == 1  # by the read right after it
    met.moves(-3)
    met.moves(3)
    met.cycle()

    assert [line.role for line in met.lines()[-3:]] == ["echo", "event", "event"]
    assert met.exceptions() == []


@pytest.mark.parametrize("skew_seconds", [-120, -3, 3, 120])
@pytest.mark.parametrize("agreed_before", [True, False])
def test_an_echo_is_known_though_the_vendor_s_two_clocks_differ(
    store: Store, skew_seconds: float, agreed_before: bool
) -> None:
    with stock_world(store) as world:
        world.moves(5)
        if agreed_before:  # the first patch changes nothing and leaves no echo: the stock is believed, not proved
            world.cycle()
            world.settle()
        world.clock.advance(minutes=10)
        world.receives(7)
        world.sandbox.mpservices.options.stamp_skew_seconds = skew_seconds

        for _ in range(3):
            world.cycle()

        assert world.writes().count("mpw.post_receipt") == 1
        assert world.stocks() == (112, 112)


def patch_unknown(world: StockWorld, *, off_by: int) -> None:
    """Send an item's first patch: what MPservices has was never proved, and is `off_by` more than we think."""
    world.sandbox.mpservices.product(PART).stock += off_by
    world.moves(2)
    world.poll()
    world.work_but_patch()
    push_once(world.ctx)


@pytest.mark.parametrize("off_by", [0, 50])
@pytest.mark.parametrize("fault", [None, "error_after", "cut_body", "html", "html_after"])
def test_a_movement_at_the_very_cost_of_a_first_patch_is_forwarded_if_the_read_right_after_lacked_it(
    store: Store, fault: str | None, off_by: int
) -> None:
    with stock_world(store, tick=0.001) as world:
        if fault:
            world.sandbox.faults.add("mpservices.patch_stock", fault)
        patch_unknown(world, off_by=off_by)
        world.clock.advance(2)
        world.moves(4)

        world.settle()
        world.settle()

        assert world.stocks() == (106, 106)
        assert world.writes().count("mpw.post_receipt") == 2
        assert "mpw.post_issuance" not in world.writes()
        assert world.exceptions() == []


@pytest.mark.parametrize("off_by", [0, 50])
@pytest.mark.parametrize("fault", ["lost_request", "error_before", "lost_answer"])
def test_where_no_answer_came_such_a_movement_is_forwarded_and_nobody_is_asked(
    store: Store, fault: str, off_by: int
) -> None:
    with stock_world(store, tick=0.001) as world:
        world.sandbox.faults.add("mpservices.patch_stock", fault)
        patch_unknown(world, off_by=off_by)
        world.clock.advance(2)
        world.moves(4)

        world.settle()
        world.settle()

        assert {row.state for row in world.rows()} <= {"done", "discarded"}
        assert world.stocks() == (106, 106)
        assert world.writes().count("mpw.post_receipt") == 2
        assert "mpw.post_issuance" not in world.writes()
        assert world.exceptions() == []


def test_an_item_in_doubt_is_not_patched(doubtful: StockWorld) -> None:
    patched = len(doubtful.patches())
    doubtful.receives(4)

    doubtful.settle()

    assert len(doubtful.patches()) == patched


def test_a_person_names_the_echo_and_the_other_movement_reaches_mpw(doubtful: StockWorld) -> None:
    echo = doubtful.lines()[-3]

    resolve(doubtful, echo.movement_id)
    doubtful.settle()

    assert [line.role for line in doubtful.lines()[-3:]] == ["echo", "event", "event"]
    assert doubtful.stocks() == (115, 115)
    assert doubtful.writes().count("mpw.post_receipt") == 2
    assert doubtful.exceptions() == []


def test_a_person_who_names_no_movement_says_that_all_are_people_s(doubtful: StockWorld) -> None:
    resolve(doubtful, None)

    doubtful.settle()

    assert "undecided" not in {line.role for line in doubtful.lines()}
    assert doubtful.writes().count("mpw.post_receipt") == 3
    assert doubtful.stocks()[0] == doubtful.stocks()[1]


@pytest.mark.parametrize("echo", ["STRANGE-1", None])
def test_a_person_s_word_ends_a_doubt_whose_movements_are_all_of_unknown_types(
    doubtful: StockWorld, echo: str | None
) -> None:
    doubtful.execute("update movement_lines set role = 'event' where role = 'undecided'")
    with doubtful.store.write() as conn:
        chosen = exceptions.c.kind == "echo_undecided"
        facts = json.loads(conn.execute(select(exceptions.c.facts).where(chosen)).scalar_one())
        values = {"facts": json.dumps(facts | {"movements": ["STRANGE-1"]})}
        conn.execute(update(exceptions).where(chosen).values(**values))

    resolve(doubtful, echo)
    doubtful.settle()
    doubtful.settle()

    assert "several" not in [each.outcome for each in doubtful.echoes()]
    assert {row.state for row in doubtful.rows()} <= {"done"}
    assert doubtful.exceptions() == []


def test_a_movement_in_doubt_that_people_delete_keeps_nothing_waiting_in_silence(doubtful: StockWorld) -> None:
    movements = doubtful.sandbox.mpservices.all_movements
    deleted = doubtful.lines()[-2].movement_id
    del movements[next(n for n, one in enumerate(movements) if one.id == deleted)]
    doubtful.moves(1)
    doubtful.clock.advance(minutes=6)
    doubtful.poll()
    assert "movement_deleted" in dict(doubtful.exceptions())
    resolve_by_person(doubtful.ctx, kind="movement_deleted", why="not ours", by="ann", choice=Choice(APPLY))
    resolve(doubtful, None)
    doubtful.settle()

    assert "undecided" not in {line.role for line in doubtful.lines()}
    assert doubtful.stocks()[0] == doubtful.stocks()[1]
    assert doubtful.exceptions() == []


def test_an_echo_that_the_feed_shows_late_is_not_forwarded(met: StockWorld) -> None:
    met.receives(10)
    patch_now(met)
    hidden = met.sandbox.mpservices.all_movements.pop()
    met.poll()
    met.work()
    assert met.echoes()[-1].outcome is None
    patched = len(met.patches())

    met.sandbox.mpservices.all_movements.append(hidden)
    met.cycle()

    assert met.lines()[-1].role == "echo"
    assert met.echoes()[-1].outcome == "found"
    assert met.stocks() == (115, 115)
    assert met.state().base_verified
    assert len(met.patches()) == patched
    assert met.exceptions() == []


def test_an_echo_that_the_feed_shows_after_the_patch_was_sent_again_is_not_forwarded(met: StockWorld) -> None:
    met.receives(10)
    patch_now(met)
    hidden = met.sandbox.mpservices.all_movements.pop()
    patched = len(met.patches())
    while len(met.patches()) == patched:
        met.poll()
        met.work()

    met.sandbox.mpservices.all_movements.append(hidden)
    met.settle()

    assert met.lines()[-1].role == "echo"
    assert met.stocks() == (115, 115)
    assert met.writes().count("mpw.post_receipt") == 1  # the very first movement's
    assert met.rows()[-1].state == "done"
    assert met.exceptions() == []


def test_a_patch_that_had_to_move_stock_and_shows_no_movement_is_sent_once_more_and_then_a_person_is_asked(
    met: StockWorld,
) -> None:
    patched = len(met.patches())
    met.receives(10)
    patch_now(met)
    met.sandbox.mpservices.all_movements.pop()

    met.settle()
    met.clock.advance(hours=30)
    met.cycle()

    assert met.exceptions() == [("patch_without_echo", str(met.rows()[-1].id))]
    assert met.state().base_quantity is None
    assert len(met.patches()) == patched + 2


def test_after_a_person_s_word_on_an_unproved_patch_the_next_echo_proves_the_stock_again(met: StockWorld) -> None:
    met.receives(10)
    patch_now(met)
    met.sandbox.mpservices.all_movements.pop()
    met.settle()
    assert resolve_push(met.ctx, met.rows()[-1].id, done=True, why="it has 115", by="ann")

    met.receives(1)
    met.settle()

    assert met.stocks() == (116, 116)
    assert met.state().base_verified
    assert met.writes().count("mpw.post_receipt") == 1
    assert met.exceptions() == []


def test_a_movement_of_several_lines_beside_a_patch_is_forwarded_whole(met: StockWorld) -> None:
    met.sandbox.mpw.add_part("P-2", "Warehouse #1")
    met.receives(10, 10, "P-2")
    met.sandbox.mpservices.add_product("P-2", stock=10, cost="10")
    met.receives(10)
    met.before_patch(
        lambda: met.sandbox.mpservices.person_moves_lines("Outbound", [(PART, 2, 10), ("P-2", 1, 10)], "Folio-198")
    )

    met.settle()

    assert met.stocks() == (113, 113)
    assert met.stocks("P-2") == (9, 9)
    assert met.writes().count("mpw.post_issuance") == 2
    assert met.exceptions() == []


def test_a_patch_that_leaves_a_movement_of_nothing_is_recognised(met: StockWorld) -> None:
    met.sandbox.mpservices.options.patch_zero_delta_movement = True
    met.execute("update item_states set mps_unit_cost = 9000000, dirty_at = mpw_read_at")

    met.settle()

    assert met.lines()[-1].role == "echo"
    assert met.lines()[-1].quantity == 0
    assert met.exceptions() == []


def test_the_expectation_is_there_before_the_patch_can_have_made_its_movement(met: StockWorld) -> None:
    met.receives(10)
    seen: list[object] = []
    met.before_patch(lambda: seen.append([(echo.new_stock, echo.closed_at) for echo in met.echoes()][-1]))

    met.cycle()

    assert seen == [(115, None)]


class DiesAfterwards:
    """A client whose process is killed when a patch has taken effect and nothing of it is recorded."""

    def __init__(self, real: MpservicesClient) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def update_stock_cost(self, fields: str) -> None:
        self.real.update_stock_cost(fields)
        raise KeyboardInterrupt


class DiesBefore(DiesAfterwards):
    """A client whose process ends just before the patch leaves."""

    def update_stock_cost(self, fields: str) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("read_meanwhile", [False, True])
def test_a_movement_made_minutes_after_a_first_patch_died_with_its_daemon_is_forwarded_and_nobody_is_asked(
    store: Store, read_meanwhile: bool
) -> None:
    with stock_world(store, tick=0.001) as world:
        world.moves(2)
        world.poll()
        world.work_but_patch()
        real = world.ctx.mpservices
        assert real is not None
        world.ctx.mpservices = DiesBefore(real)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            push_once(world.ctx)
        world.ctx.mpservices = real
        world.clock.advance(minutes=3)
        if read_meanwhile:
            world.poll()
        world.moves(4)
        world.clock.advance(minutes=20)

        world.settle()

        world.settle()

        assert world.stocks() == (106, 106)
        assert world.writes().count("mpw.post_receipt") == 2
        assert "mpw.post_issuance" not in world.writes()
        assert {row.state for row in world.rows()} <= {"done", "discarded"}
        assert world.exceptions() == []


@pytest.mark.parametrize("minutes", [0, 3, 12])
def test_a_first_patch_that_lands_minutes_after_its_call_is_not_forwarded_though_it_shows_the_old_cost(
    store: Store, minutes: int
) -> None:
    with stock_world(store, tick=0.001) as world:
        mpservices = world.sandbox.mpservices
        world.sandbox.faults.add("mpservices.patch_stock", "lost_request")
        patch_unknown(world, off_by=50)
        world.poll()
        world.clock.advance(minutes=minutes)
        mpservices.patch_stock({"external_id": PART, "new_stock": "102", "new_cost": "10.000001"})
        late = mpservices.all_movements[-1]
        late.lines[0] = replace(late.lines[0], cost=Decimal(9))  # what it cost before

        world.settle()
        world.settle()

        assert world.writes().count("mpw.post_receipt") == 1  # what people moved before it
        assert "mpw.post_issuance" not in world.writes()
        assert world.stocks() == (102, 102)


def test_a_crash_between_the_patch_and_its_record_leaves_one_effect(met: StockWorld) -> None:
    met.receives(10)
    met.poll()
    met.reconcile()
    stock_once(met.ctx)
    real = met.ctx.mpservices
    assert real is not None
    met.ctx.mpservices = DiesAfterwards(real)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        push_once(met.ctx)
    met.ctx.mpservices = real
    assert met.rows()[-1].state == "sending"

    met.settle()

    row = met.rows()[-1]
    assert row.state == "done"
    assert "is in the feed" in (row.evidence or "")
    assert met.stocks() == (115, 115)
    assert json.loads(row.payload)["new_stock"] == "115"
    assert [patch["new_stock"] for patch in met.patches()].count("115") == 1


def test_what_a_restart_finds_of_a_call_that_a_crash_left_open_was_not_read_right_after_it(store: Store) -> None:
    with stock_world(store, tick=0.001) as world:
        world.ctx.alone = True  # as on SQLite: the successor of a killed daemon starts at once
        world.moves(2)
        world.poll()
        world.work_but_patch()
        real = world.ctx.mpservices
        assert real is not None
        world.ctx.mpservices = DiesAfterwards(real)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            push_once(world.ctx)
        world.ctx.mpservices, world.ctx.owner = real, "the successor"
        world.clock.advance(1)
        world.moves(4)

        world.poll()
        world.work()

        assert [echo.outcome for echo in world.echoes()] == [None]
        assert "undecided" in {line.role for line in world.lines()}


# --- the bound on follow-ups -----------------------------------------------------------------


Rule = Callable[[Attempt, tuple[Line, ...]], Finding | None]


def always(finding: Callable[[tuple[Line, ...], Attempt], Finding | None]) -> Rule:
    """Rules that say the same of every follow-up."""
    return lambda attempt, lines: finding(lines, attempt)


def by_chance(seed: int) -> Rule:
    """Rules that say anything of a follow-up."""
    dice = Random(seed)

    def rule(attempt: Attempt, lines: tuple[Line, ...]) -> Finding | None:
        echo = [Found(one, one.quantity, attempt.new_stock, None, explained=True) for one in lines[-1:]]
        any_of: list[Finding | None] = [Ask(lines, attempt.new_stock), Ask((), attempt.new_stock), NoMovement(), *echo]
        return dice.choice([*any_of, Silent(), Silent(attempt.new_stock), None])

    return rule


def rules(follow_up: Rule) -> Callable[..., Told]:
    """Return rules of the echo that leave the first patch in question, and say that of its follow-ups."""

    def tell(attempts: Sequence[Attempt], base: Any, lines: Iterable[Line], knows: Any) -> Told:
        told, undecided = Told(), tuple(line for line in lines if line.undecided and line.single)
        told.held.update(line.api_key for line in undecided)
        asking = [one for one in attempts if one.asks]
        for one in attempts:
            if one.asks or one.closed:
                continue
            finding = follow_up(one, undecided) if asking else Ask(undecided, one.new_stock)
            if finding is not None:
                told.findings[one.id] = finding
        return told

    return tell


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(always(lambda lines, one: Ask(lines, one.new_stock)), id="all are in question"),
        pytest.param(always(lambda lines, one: Ask((), one.new_stock)), id="nothing is in question"),
        pytest.param(always(lambda lines, one: NoMovement()), id="none has made a movement"),
        pytest.param(always(lambda lines, one: Silent(one.new_stock)), id="all have changed nothing"),
        *(pytest.param(by_chance(seed), id=f"chance {seed}", marks=pytest.mark.slow) for seed in range(2)),
    ],
)
def test_whatever_the_rules_say_a_question_ends_within_so_many_follow_ups_and_by_a_person(
    met: StockWorld, monkeypatch: pytest.MonkeyPatch, rule: Rule
) -> None:
    before = len(met.patches())
    with monkeypatch.context() as patched:
        patched.setattr("sync.stock.echo.tell.tell", rules(rule))
        met.receives(2)
        met.cycle()
        met.cycle()
        met.cycle()
    follow_ups = len(met.patches()) - before - 1
    told = [kind for kind, _ in met.exceptions()]

    assert 1 <= follow_ups <= FOLLOW_UPS_MAX
    assert told == ["echo_undecided"] * len(told)
    assert told or follow_ups < FOLLOW_UPS_MAX
    resolve_all(met)
    met.settle()
    assert met.exceptions() == []
    assert met.stocks()[0] == met.stocks()[1]


def resolve_all(world: StockWorld) -> None:
    """Let a person follow the hint of each open exception."""
    with world.store.read() as conn:
        found = open_exceptions(conn)
    for row in found:
        resolve_by_person(world.ctx, ids=[row.id], why="people made all of them", by="ann", choice=Choice(NONE))

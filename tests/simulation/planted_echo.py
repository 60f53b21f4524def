"""Bugs to plant (see `planted`) in how our own movements are told from people's, and in what is believed of a stock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sync.clients.rows import BadRow
from sync.jobs import compare_stock
from sync.ledger import movement_rules
from sync.poll.feed import lines as movement_lines
from sync.push.operations import stock as stock_operation
from sync.stock import rules as stock_rules
from sync.stock.echo import rules as echo_rules
from sync.stock.echo import tell as echoes
from sync.stock.echo.rules import Attempt, Line, NoMovement, Silent, Told
from sync.values import marks
from sync.values.policy import Policy
from tests.simulation.planted import swapped


def no_echo_rule() -> Any:
    """Whatever the feed shows, people did."""
    return swapped(
        (movement_lines, "items_patched", lambda *args, **kwargs: set()),
        (movement_lines, "settle_echoes", lambda *args, **kwargs: {}),
        (compare_stock, "settle_all", lambda *args, **kwargs: None),
        (echoes, "_settle_item", lambda *args, **kwargs: {}),
    )


def echo_by_delta() -> Any:
    """The echo is the movement whose quantity leads to the patched stock: who needs a mark?"""

    def candidates(case: Any, attempt: Attempt, **_: Any) -> list[Line]:
        fresh = [line for line in case.lines if line.undecided and line.single and line.seen > attempt.claimed]
        return [line for line, _ in echo_rules._fitting(case, attempt, fresh)]

    return swapped((echo_rules, "_candidates", candidates))


def first_at_the_mark_is_ours() -> Any:
    """A movement at the mark is ours: nobody else knows it."""
    real = echo_rules._judge

    def judge(case: Any, attempt: Attempt, asking: Any, candidates: list[Line]) -> Any:
        ours = [line for line in candidates if echo_rules._shows_mark(case, attempt, line)]
        if ours:
            return echo_rules._found(case, attempt, ours[0], ours[0].quantity, believed=False)
        return real(case, attempt, asking, candidates)

    return swapped((echo_rules, "_judge", judge))


def mark_left_on() -> Any:
    """A movement costs what it says."""
    return swapped((movement_rules, "without_mark", lambda cost: cost))


def cost_rounded() -> Any:
    """Who makes room for a digit rounds, as everywhere."""

    def rounded(cost: Decimal) -> Decimal:
        return cost if abs(cost) < marks.MARKED_FROM else cost.quantize(Decimal("0.00001"), ROUND_HALF_UP)

    return swapped(
        *((owner, "without_mark", rounded) for owner in (marks, movement_rules, stock_rules, stock_operation))
    )


def no_follow_up() -> Any:
    """What is not clear is settled when more is known."""
    return swapped((compare_stock, "follow_up", lambda item: None))


def no_fuse() -> Any:
    """A surprise is a surprise; the next patch puts it right."""
    return swapped((stock_rules, "UNFIT_MAX", 10**6))


def no_op_believed() -> Any:
    """It was answered with success: if there is no movement, there was nothing to move."""
    real = echoes.tell

    def tell(attempts: Sequence[Attempt], *args: Any, **kwargs: Any) -> Told:
        told, stocks = real(attempts, *args, **kwargs), {one.id: one.new_stock for one in attempts}
        for name, finding in told.findings.items():
            if isinstance(finding, NoMovement):
                told.findings[name] = Silent(stocks[name])
        return told

    return swapped((echoes, "tell", tell))


def belief_outranks_evidence() -> Any:
    """What there was is known; what an echo moved comes on top of it."""
    real = echo_rules._stock_now

    def stock_now(case: Any, attempt: Attempt, line: Line, before: Sequence[Line]) -> Decimal:
        (balance,) = echo_rules._balances(case, attempt) or [None]
        if balance is None:
            return real(case, attempt, line, before)
        return balance if line in echo_rules._before(case, attempt, None) else balance + line.quantity

    return swapped((echo_rules, "_stock_now", stock_now))


def mark_always_survives() -> Any:
    """A vendor shows the cost that it was sent."""
    real = echoes.knows
    return swapped((echoes, "knows", lambda conn: replace(real(conn), mark_survives=True)))


def strange_type_is_unreadable() -> Any:
    """A movement is Inbound or Outbound; anything else is a bad row."""
    real = movement_lines._file_all

    def file_all(movements: Any, policy: Policy, done: Any) -> Any:
        filed, strange = real(movements, policy, done)
        done.bad.extend(BadRow(one.movement.raw, "of no type that we know", one.movement.id) for one in strange)
        return filed, []

    return swapped((movement_lines, "_file_all", file_all))


def closed_is_closed() -> Any:
    """An attempt that was given up is done with: nothing of it comes any more."""
    real = echoes._attempt

    def attempt(*args: Any, **kwargs: Any) -> Attempt | None:
        found = real(*args, **kwargs)
        return None if found is not None and found.closed else found

    return swapped((echoes, "_attempt", attempt))


def undecided_is_peoples() -> Any:
    """What is not ours for certain is people's, and goes to MPW."""
    real = echoes.tell

    def tell(*args: Any, **kwargs: Any) -> Told:
        told = real(*args, **kwargs)
        told.held.clear()
        return told

    return swapped((echoes, "tell", tell))

"""Planted bugs: an oracle that catches nothing proves nothing.

`python -m tests.simulation.mutants` plants each in turn and prints which rule caught it, and at which seed.
Each names the rule that must catch it: a bug that dies of something else is not caught.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sync.values.policy import ROUTES
from tests.simulation import planted, planted_clocks, planted_echo, planted_people, planted_seen, planted_told
from tests.simulation.kernel import Actor, Process, Violation
from tests.simulation.plan import Key
from tests.simulation.world import World

DRIFTS = {"mps_drifts": 2, "mpw_issues": 2, "mpw_receives": 2, "mps_out": 1}
DRIFT = {"mps_drifts": 1, "mpw_issues": 3, "mpw_receives": 3, "mps_out": 2}
LOST = {"lost_answer": 0.25, "lost_request": 0.1, "error_after": 0.1}


@dataclass(frozen=True, slots=True)
class Setting:
    """A world in which a bug soon shows: which faults at which rates, which acts, how many daemons.

    `strikes` is a pattern of the requests that faults strike ('': all writes), `slips` of those before which
    people slip in ('': all), `stalls` of those after which a transaction may stall ('': any transaction may).
    `void_after`, `late_arrival`: minutes, where they are not the world's own.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    acts: Mapping[str, int] = field(default_factory=lambda: {"mps_out": 3, "mps_in": 2, "mpw_issues": 2})
    count: int = 10
    hours: float = 1.0
    daemons: int = 1
    crash: float = 0.0
    stall: float = 0.0
    interrupts: float = 0.0
    strikes: str = ""
    slips: str = ""
    stalls: str = ""
    marker: bool = True
    threads: int = 1
    void_after: int | None = None
    late_arrival: int | None = None
    same_cost: float = 0.0
    habits: tuple[str, ...] = ()
    rest_minutes: int = 30

    def world(self, seed: int, given: Mapping[Key, Any] | None = None, *, trace: bool = False) -> World:
        """Return the world of a seed."""
        world = World(seed, given=given, trace=trace, busy_hours=self.hours, habits=self.habits)
        world.plan.rates = dict(self.rates)
        world.plan.crash, world.plan.stall = self.crash, self.stall
        self._aim(world)
        world.held, world.prunes = (), False
        world.rest_minutes = self.rest_minutes
        routes = dict.fromkeys(ROUTES, "push")
        world.policy = replace(world.policy, routes=routes, description_marker=self.marker)
        if self.void_after is not None:
            world.policy = replace(world.policy, void_after=timedelta(minutes=self.void_after))
        if self.late_arrival is not None:
            world.policy = replace(world.policy, late_arrival=timedelta(minutes=self.late_arrival))
        people = world.people
        people.same_cost = self.same_cost
        people.choices = {name: (people.every[name][0], weight) for name, weight in self.acts.items()}
        people.count, people.interrupts = self.count, self.interrupts
        world.threads = self.threads
        world.processes = [
            Process(world.kernel, name, world._start, reboot_after=world._reboot_after)
            for name in ("A", "B")[: self.daemons]
        ]
        return world

    def _aim(self, world: World) -> None:
        """Let faults and people hit where it tells: a seed's few are worth more there."""
        strike, may_act, chance = world.plan.fault, world.people.may_act, world.plan.chance
        asked: dict[Actor | None, str] = {}

        def fault(about: str, *, write: bool) -> str:
            asked[world.kernel.current] = about
            hit = re.match(self.strikes, about) if self.strikes else write
            return strike(about, write=True) if hit else ""

        def slip(about: str) -> None:
            if re.match(self.slips, about):
                may_act(about)

        def stall(what: str, about: str, rate: float) -> bool:
            last = asked.pop(world.kernel.current, "") if what == "stall" else ""
            return chance(what, about, rate if re.match(self.stalls, last) or what != "stall" else 0.0)

        world.plan.fault = fault  # type: ignore[method-assign]
        world.plan.chance = stall  # type: ignore[method-assign]
        world.people.may_act = slip  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: where it is planted, what must catch it (a pattern of the violation), and within how many seeds."""

    plant: planted.Plant
    where: str
    caught_by: str
    setting: Setting
    seed: int = 0
    within: int = 12

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.plant.__name__)

    @property
    def slip(self) -> str:
        """What was thought when it was written."""
        return str(self.plant.__doc__)


@dataclass(frozen=True, slots=True)
class Catch:
    """What became of a bug. `seed` is None where no seed caught it; `others` are violations of other rules."""

    seed: int | None
    tried: int
    violation: str
    others: tuple[str, ...] = ()


MUTANTS: tuple[Mutant, ...] = (
    Mutant(planted.blind_retry, "push/round.py", "rule 4: an unclear call became ready", Setting(LOST)),
    Mutant(planted.too_many_counts, "push/round.py", "rule 8", Setting({"too_many": 0.3})),
    Mutant(
        planted.refusal_clears_ambiguity,
        "push/round.py",
        "rule 5",
        Setting({"lost_request": 0.4, "refused": 0.2, "too_many": 0.3}, hours=2.0, rest_minutes=4),
    ),
    Mutant(planted.rescue_to_ready, "push/sweep.py", "rule 4", Setting({"dies_after": 0.3})),
    Mutant(planted.no_attempt_row, "push/round.py", "rule 1", Setting()),
    Mutant(
        planted.no_fence,
        "push/settle.py",
        "rule 3",
        Setting(daemons=2, stall=0.3, stalls="mpw.post|mpservices.patch", rest_minutes=4),
    ),
    Mutant(
        planted.supersede_in_flight,
        "jobs/compare_stock.py",
        "rule 7|superseded_was_never_sent",
        Setting({"lost_answer": 0.3, "lost_request": 0.3}, {"mpw_issues": 2, "mpw_receives": 2, "mps_out": 1}, 16),
        seed=0,
    ),
    Mutant(
        planted.exists_is_an_error,
        "operations/issuance.py",
        "exception without a cause: push_dead",
        Setting({"lost_answer": 0.5}, {"mps_out": 1, "mpw_receives": 1}, marker=False),
    ),
    Mutant(
        planted.exists_is_done,
        "operations/issuance.py",
        "rule 9: done, and its effect",
        Setting(acts={"key_taken": 2, "mpw_receives": 3}),
    ),
    Mutant(
        planted.batch_all_or_nothing,
        "operations/approval.py",
        "rule 9: done, and its effect",
        Setting(acts={"erp_approval": 2, "order_withdrawn": 1}, count=20, interrupts=0.8, slips="mpw.approve"),
        seed=1,
    ),
    Mutant(
        planted.transfer_sent_again,
        "operations/transfer.py",
        "rule 6",
        Setting(LOST, {"erp_transfer": 2, "mpw_receives": 1}),
    ),
    Mutant(
        planted.upsert_without_a_look,
        "operations/receipt.py",
        "correction of .* was overwritten",
        Setting({"lost_answer": 0.6}, {"mps_in": 1, "mpw_edits": 2}, 20),
        seed=1,
    ),
    Mutant(
        planted.late_calls_forgotten,
        "outbox/machine.py",
        "may still land|took effect twice",
        Setting({"late": 0.4}),
    ),
    Mutant(
        planted.gone_is_an_error,
        "operations/delete.py",
        "exception without a cause: push_dead",
        Setting({"lost_answer": 0.4, "error_after": 0.2}, {"erp_issuance": 2, "erp_void": 2}, 24, 2.0),
    ),
    Mutant(
        planted_echo.no_echo_rule,
        "stock/echo/tell.py",
        "an echo was forwarded",
        Setting(acts={"mpw_issues": 1}),
        seed=3,
    ),
    Mutant(
        planted_echo.echo_by_delta,
        "stock/echo/rules.py",
        "an echo was forwarded|is taken for an echo",
        Setting(acts={"mpw_issues": 2, "mps_out": 1, "mpw_receives": 1}, interrupts=0.2),
        seed=11,
    ),
    Mutant(
        planted_echo.first_at_the_mark_is_ours,
        "stock/echo/rules.py",
        "an echo was forwarded|is taken for an echo|is patched though|its effect is not there",
        Setting(
            {"dies_after": 0.3, "lost_answer": 0.3},
            {"mps_out": 2, "mpw_issues": 1, "mpw_receives": 1},
            16,
            strikes="mpservices.patch",
            interrupts=0.3,
            same_cost=1.0,
            rest_minutes=4,
        ),
        seed=15,
    ),
    Mutant(
        planted_echo.mark_left_on,
        "ledger/movement_rules.py",
        "a mark reached MPW",
        Setting(acts={"mpw_issues": 2, "mps_in": 2, "mpw_receives": 1}, same_cost=1.0, rest_minutes=4),
    ),
    Mutant(
        planted_echo.cost_rounded,
        "values/marks.py",
        "a mark reached MPW|its cost in MPservices|does not rest",
        Setting(acts={"mpw_issues": 2, "mps_in": 2, "mpw_receives": 1}, count=16, same_cost=1.0, rest_minutes=4),
    ),
    Mutant(
        planted_echo.no_follow_up,
        "jobs/compare_stock.py",
        "did not converge",
        Setting(acts=DRIFTS, count=16, habits=("drift",), rest_minutes=4),
    ),
    Mutant(
        planted_echo.no_fuse,
        "stock/rules.py",
        "patched though its fuse has blown",
        Setting(acts=DRIFTS | {"mps_drifts": 4}, count=24, habits=("drift",), rest_minutes=4),
        seed=1,
    ),
    Mutant(
        planted_echo.no_op_believed,
        "stock/echo/tell.py",
        "rule 9: done, and its effect is not there",
        Setting(acts={"mpw_issues": 2, "mps_out": 1, "mpw_receives": 1}, count=16, habits=("no_op",), rest_minutes=4),
    ),
    Mutant(
        planted_echo.belief_outranks_evidence,
        "stock/echo/rules.py",
        "without a cause: patch_fuse",
        Setting(acts=DRIFT, count=16, habits=("drift", "zero_echo"), rest_minutes=4),
    ),
    Mutant(
        planted_echo.mark_always_survives,
        "stock/echo/lessons.py",
        "an echo was forwarded|did not converge",
        Setting(
            acts={"mpw_issues": 2, "mpw_receives": 1, "mps_out": 1}, count=16, habits=("old_cost",), rest_minutes=4
        ),
    ),
    Mutant(
        planted_echo.strange_type_is_unreadable,
        "poll/feed/lines.py",
        "did not converge.* quarantined_row|feeds itself",
        Setting(acts={"mpw_issues": 2, "mps_out": 1}, habits=("odd_echo", "zero_echo"), rest_minutes=4),
    ),
    Mutant(
        planted_echo.closed_is_closed,
        "stock/echo/tell.py",
        "an echo was forwarded",
        Setting(
            {"late": 0.5},
            {"mpw_issues": 2, "mps_out": 1, "mpw_receives": 1},
            16,
            strikes="mpservices.patch",
            late_arrival=1,
            rest_minutes=4,
        ),
    ),
    Mutant(
        planted_echo.undecided_is_peoples,
        "stock/echo/tell.py",
        "an echo was forwarded",
        Setting(acts=DRIFTS, count=16, habits=("drift",), rest_minutes=4),
    ),
    Mutant(
        planted.patch_without_drain,
        "operations/stock.py",
        "patched without a drain",
        Setting(acts={"mpw_issues": 1, "mps_out": 1}),
    ),
    Mutant(
        planted.patch_whatever_moved,
        "operations/stock.py",
        "is patched though",
        Setting(acts={"mpw_issues": 2, "mps_out": 2, "mpw_receives": 1}, interrupts=0.2),
    ),
    Mutant(
        planted.equal_body_hides_an_absence,
        "poll/days/read.py",
        "did not converge.* ledger ",
        Setting(acts={"mpw_issues": 3, "mpw_receives": 1, "mpw_deletes": 3}),
        seed=2,
    ),
    Mutant(
        planted.posted_again,
        "poll/days/voids.py",
        "done -> ready is not in the drawing|took effect twice",
        Setting(acts={"mps_in": 2, "mps_out": 2, "mpw_deletes": 3}, hours=2.0),
    ),
    Mutant(
        planted.void_on_one_absence,
        "poll/days/filing.py",
        "voided on a single absence",
        Setting(acts={"mpw_issues": 2, "mpw_receives": 1, "mpw_deletes": 3}),
        seed=2,
    ),
    Mutant(
        planted.void_on_mass_absence,
        "poll/days/void_rules.py",
        "a mass disappearance was voided",
        Setting(acts={"mpw_issues": 8, "mpw_receives": 5, "permission": 1}, count=40, hours=5.0),
        seed=1,
        within=20,
    ),
    Mutant(
        planted.watermark_by_a_failed_window,
        "poll/days/read.py",
        "watermark moved without a whole answer",
        Setting({"html": 0.4, "cut_body": 0.4}, strikes="."),
    ),
    Mutant(
        planted.lease_trusted_after_its_end,
        "work/context.py",
        "wrote as leader",
        Setting({"freezes_after": 0.2, "freezes_before": 0.2}, daemons=2, stall=0.05, strikes="."),
    ),
    Mutant(
        planted_told.cost_of_last_receipt,
        "stock/rules.py",
        "did not converge.* its cost in MPservices",
        Setting(acts={"mpw_receives": 3, "mpw_issues": 1, "mps_in": 1}),
        seed=3,
    ),
    Mutant(
        planted_told.cost_is_no_difference,
        "stock/rules.py",
        "did not converge.* its cost in MPservices",
        Setting(acts={"mps_in": 2, "mps_out": 1}),
        seed=1,
    ),
    Mutant(
        planted_told.cost_of_parts_only,
        "stock/rules.py",
        "exception without a cause: unknown_cost",
        Setting(acts={"mpw_receives": 2, "mps_out": 1}),
    ),
    Mutant(
        planted_told.below_zero_is_told,
        "jobs/compare_stock.py",
        "told a stock below zero",
        Setting(acts={"mpw_overdraws": 1, "mpw_receives": 2, "mps_in": 1}),
        seed=1,
    ),
    Mutant(
        planted_told.reads_do_not_wait,
        "clients/retry_after.py",
        "before Retry-After, by",
        Setting({"too_many": 0.3}, strikes="mpw.issuances|mpw.receipts|mpservices.movements"),
    ),
    Mutant(
        planted_told.own_delete_forgotten,
        "poll/days/voids.py",
        "exception without a cause: deleted_in_mpw",
        Setting({"lost_answer": 0.3, "late": 0.3}, {"erp_receipt": 3, "erp_void": 3}, 20, 2.0, strikes="mpw.delete"),
    ),
    Mutant(
        planted_told.waiting_delete_forgotten,
        "outbox/pushed.py",
        "exception without a cause: deleted_in_mpw",
        Setting(
            {"lost_answer": 0.4, "refused": 0.5},
            {"erp_issuance": 3, "erp_void": 3, "mpw_receives": 2},
            30,
            2.0,
            strikes="mpw.delete",
            void_after=0,
            rest_minutes=4,
        ),
    ),
    Mutant(
        planted_told.every_absence_is_an_alarm,
        "poll/days/void_rules.py",
        "exception without a cause: mass_disappearance",
        Setting(acts={"mpw_issues": 3, "mpw_receives": 1, "mpw_deletes": 3}),
        seed=2,
    ),
    Mutant(
        planted_told.server_error_is_a_refusal,
        "push/answers.py",
        "exception without a cause: push_dead",
        Setting({"error_before": 0.2, "error_after": 0.2}),
    ),
    Mutant(
        planted_told.dead_in_silence,
        "push/settle.py",
        "is dead, and nobody is told",
        Setting(acts={"erp_transfer": 2, "mpw_issues": 1}),
    ),
    Mutant(
        planted_seen.unclear_is_never_due,
        "jobs/due.py",
        "did not converge .* is unknown",
        Setting({"lost_answer": 0.4}, threads=2),
    ),
    Mutant(
        planted_seen.hollow_is_done,
        "outbox/evidence.py",
        "rule 9: done, and its effect is not there",
        Setting(acts={"mps_in": 2, "mps_out": 1, "mpw_receives": 1}, habits=("hollow",), rest_minutes=4),
        seed=6,
    ),
    Mutant(
        planted_seen.no_look_before_an_upsert,
        "operations/receipt.py",
        "correction of .* was overwritten",
        Setting(acts={"receipt_key_taken": 1}, count=4, habits=("taken",), rest_minutes=4),
    ),
    Mutant(
        planted_seen.taken_key_is_done,
        "operations/receipt.py",
        "rule 9: done, and its effect is not there",
        Setting(acts={"receipt_key_taken": 1}, count=4, habits=("taken",), rest_minutes=4),
    ),
    Mutant(
        planted_seen.own_polls_ignored,
        "push/proofs.py",
        "took effect twice|reached MPW",
        Setting(
            {"dies_after": 0.6},
            {"mps_in": 2, "erp_receipt": 2},
            20,
            strikes="mpw.post",
            habits=("undo",),
            rest_minutes=4,
        ),
    ),
    Mutant(
        planted_seen.done_is_never_looked_for,
        "push/proofs.py",
        "reached MPW|is patched though",
        Setting(acts={"mps_in": 2, "mps_out": 1, "mpw_receives": 1}, count=16, habits=("vanish",), rest_minutes=4),
    ),
    Mutant(
        planted_people.correction_blocks_nothing,
        "stock/facts.py",
        "is patched though movement_(changed|deleted)|is patched though quarantined_row",
        Setting(acts={"mps_in": 3, "mps_corrects": 2, "mpw_issues": 2}, count=20, habits=("corrects",), rest_minutes=4),
    ),
    Mutant(
        planted_people.correction_is_silent,
        "reconcile/corrections.py",
        "of .* reached MPW|is patched though|without a cause: books_differ",
        Setting(acts={"mps_in": 3, "mps_corrects": 2}, count=16, habits=("corrects",), rest_minutes=4),
    ),
    Mutant(
        planted_people.deletion_is_silent,
        "poll/feed/window.py",
        "was deleted at MPservices, and is in MPW",
        Setting(acts={"mps_in": 3, "mps_withdraws": 1}, count=16, habits=("withdraws",), rest_minutes=4),
    ),
    Mutant(
        planted_people.applied_without_a_delete,
        "jobs/resolve.py",
        "was deleted at MPservices, and is in MPW",
        Setting(acts={"mps_in": 3, "mps_withdraws": 1}, count=16, habits=("withdraws",), rest_minutes=4),
    ),
    Mutant(
        planted_clocks.reads_ordered_by_clock,
        "ledger/coverage.py",
        "did not converge.* ledger ",
        Setting(acts={"mpw_issues": 2, "mpw_receives": 2}, count=12, habits=("ahead",), rest_minutes=4),
    ),
    Mutant(
        planted_clocks.lease_by_local_clock,
        "database/engine.py",
        "nobody can lead|wrote as leader",
        Setting({"dies_before": 0.2}, daemons=2, habits=("off",), rest_minutes=4),
    ),
    Mutant(
        planted_clocks.wrong_clock_still_pushes,
        "work/context.py",
        "whose clock is off by",
        Setting(hours=2.0, count=20, habits=("off",), rest_minutes=4),
    ),
    Mutant(
        planted_clocks.any_skew_is_ours,
        "work/clock_rules.py",
        "did not converge",
        Setting(acts={"mps_in": 2, "mpw_issues": 1}, habits=("skewed",), rest_minutes=4),
    ),
)


def catch(mutant: Mutant) -> Catch:
    """Plant a bug and run seeds until its rule catches it: the one that is known to, then the others in turn."""
    seeds = [mutant.seed, *(seed for seed in range(mutant.within) if seed != mutant.seed)]
    others: list[str] = []
    for tried, seed in enumerate(seeds[: mutant.within], start=1):
        violation = violated(mutant, seed)
        if violation is not None and re.search(mutant.caught_by, violation):
            return Catch(seed, tried, violation, tuple(others))
        if violation is not None:
            others.append(f"seed {seed}: {violation}")
    return Catch(None, len(seeds), "", tuple(others))


def violated(mutant: Mutant, seed: int, given: Mapping[Key, Any] | None = None) -> str | None:
    """Return what a seed breaks with the bug planted; None: nothing. Any other error is the plant's own, and raised."""
    with mutant.plant():
        return broken(mutant.setting.world(seed, given))


def broken(world: World) -> str | None:
    """Run a world; return the violation, if there is one."""
    try:
        world.run()
    except Violation as violation:
        return str(violation)
    return None


def main(arguments: list[str] | None = None) -> int:
    """Plant all, or those that are named; 1 when one was not caught, or when a seed fails without its bug too."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    wanted = parser.parse_args(arguments).names
    missed = 0
    for mutant in MUTANTS:
        if wanted and mutant.id not in wanted:
            continue
        began = time.process_time()
        found = catch(mutant)
        alone = broken(mutant.setting.world(found.seed)) if found.seed is not None else None
        missed += found.seed is None or alone is not None
        print(f"{mutant.id:30} {mutant.where:24} {_outcome(mutant, found, alone)}  "
              f"[{time.process_time() - began:.1f} s]", flush=True)  # fmt: skip
    print(f"{len(wanted) or len(MUTANTS)} planted bugs, {missed} not caught")
    return 1 if missed else 0


def _outcome(mutant: Mutant, found: Catch, alone: str | None) -> str:
    if found.seed is None:
        return f"NOT CAUGHT within {mutant.within} seeds; {'; '.join(found.others) or 'nothing else broke'}"
    if alone is not None:
        return f"seed {found.seed} fails WITHOUT it too: {alone}"
    return f"seed {found.seed}, {found.tried} of at most {mutant.within}: {found.violation[:150]}"


if __name__ == "__main__":
    sys.exit(main())

"""`mpsync probe`: finds out what the vendors do that their documents do not say, on an item set aside for it."""

from __future__ import annotations

import logging
import sys
import textwrap
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import opened
from sync.cli.output import Output, attention, emit, json_option
from sync.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.jobs.probe import Plan, Report, StepTold
    from sync.jobs.probe_facts import FactRow

COLUMNS = 80


class Cost(click.ParamType):  # type: ignore[type-arg]
    """A cost above zero."""

    name = "cost"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return it, or fail as click does."""
        try:
            cost = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number such as 12.50", param, ctx)
        if not cost.is_finite() or not Decimal(0) < cost < Decimal(10) ** 9:
            self.fail(f"{value} is not a cost above zero", param, ctx)
        return cost


@click.command()
@click.option("--item", "external_id", required=True, help="MPservices' external id of an item set aside for it.")
@click.option("--part", "part_number", required=True, help="The MPW part that the item is.")
@click.option("--warehouse", help="Where MPW has the part; else as the item map or MPW_WAREHOUSE says.")
@click.option("--cost", type=Cost(), help="What one of it costs in MPW, where nothing says so.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(
    external_id: str, part_number: str, warehouse: str | None, cost: Decimal | None, yes: bool, as_json: bool
) -> None:
    """Try out both vendors before the go-live, on an item that is set aside for it.

    Says what it will write and asks. Sets the item's stock and cost in MPservices to what MPW has, twice, to an uneven
    number and back; in MPW it posts a receipt and issuances and deletes each of them. What that shows is learnt
    (mpsync learned list) and printed beside what is assumed. The routes' settings do not matter, since you ask for it
    by hand. What a probe that was killed has left is taken back by the next one, or by the daemon. Exit code 1 when a
    step failed or is not taken back yet, 75 when a daemon is running on this database.
    """
    from sync.cli.examination import assumed_of
    from sync.jobs.probe import plan_probe, probe_once
    from sync.jobs.probe_facts import facts_beside
    from sync.values.systems import name_of

    with opened() as app:
        _log_less()
        with app.leading() as leadership:
            context = app.context(leadership, begins=False)
            began = app.clock.now()
            plan = plan_probe(context, external_id, part_number, warehouse=warehouse, cost=cost)
            if not _agreed(plan, yes=yes, quiet=as_json):
                click.echo("nothing was written", err=as_json)
                return
            report = probe_once(context, plan, (lambda step: None) if as_json else _show_step)
        facts = facts_beside(app.store, since=began, assumed=lambda fact: assumed_of(fact, app.settings))
    data = {
        "item": external_id,
        "part": part_number,
        "warehouse": plan.warehouse,
        "steps": report.steps,
        "left": report.open,
        "facts": facts,
    }
    emit(data, as_json, lambda out: _show_facts(out, facts, report, name_of))
    attention(_reasons(report))


def _log_less() -> None:
    """Let the steps be read on a terminal: the log says what is amiss, unless more was asked for."""
    root = logging.getLogger()
    if root.level == logging.INFO and sys.stderr.isatty():
        root.setLevel(logging.WARNING)


def _reasons(report: Report) -> list[str]:
    failed = [f"{step.what}: {step.answer}" for step in report.steps if not step.ok]
    left = [f"{one}; the next `mpsync probe`, `mpsync once` or the daemon takes it back" for one in report.open]
    return failed + left


def _agreed(plan: Plan, *, yes: bool, quiet: bool) -> bool:
    """Say what will be written, and ask; raises ConfigError where nobody can be asked."""
    from sync.values.money import plain

    if not quiet:
        click.echo(
            _folded(f"MPW has {plain(plan.there)} of {plan.part_number} in {plan.warehouse}. mpsync probe will:")
        )
        for line in plan.writes():
            click.echo(_folded(line, first="  - ", rest="    "))
    if yes:
        return True
    if quiet or not sys.stdin.isatty():
        raise ConfigError(
            "a probe writes to both systems, and there is no terminal to ask at", hint="add --yes if that is meant"
        )
    return click.confirm("Go on?", default=False)


def _show_step(step: StepTold) -> None:
    click.echo(_folded(f"{step.what}: {step.answer}", first="ok    " if step.ok else "FAILED  ", rest="      "))


def _show_facts(out: Output, facts: Sequence[FactRow], report: Report, name_of: Any) -> None:
    from sync.values.money import plain

    if report.stock_after is not None:
        click.echo(_folded(f"MPW has {plain(report.stock_after)} of the part afterwards"))
    system = None
    for row in facts:
        if row.system != system:
            system = row.system
            out.heading(f"{name_of(system)}: what it does, and what docs/assumptions.md assumes")
        value = row.value if row.value is not None else "not told"
        note = f" ({row.note})" if row.note else ""
        click.echo(_folded(f"{value}{note}", first=f"{'* ' if row.differs else '  '}{row.fact:<19} ", rest=" " * 22))
        click.echo(_folded(row.assumed, first=f"{'':<12}assumed   ", rest=" " * 22))
    out.line()
    out.line("* differs from what is assumed; what is learnt is used from now on")


def _folded(text: str, *, first: str = "", rest: str = "") -> str:
    """Return prose in lines of 80 columns, whatever the terminal, with what a vendor said made printable."""
    told = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.fill(told, COLUMNS, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)

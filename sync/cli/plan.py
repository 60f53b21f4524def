"""`mpsync plan`: what would be pushed, and why."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, cell, emit, json_option
from sync.values.money import plain

if TYPE_CHECKING:
    from sync.jobs.plan_values import Worth


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show what would be pushed and why, each with its event; write nothing.

    First what is in the outbox, held or ready, then what the next pass would derive, and what
    waits for something; what each changes, and the sums by route. MPW is master of stock and cost
    of a mapped part: a patch sets MPservices to it. Reads MPW to see whether it knows the parts.
    """
    from sync.jobs.plan import plan_once
    from sync.jobs.plan_values import change_most, is_first_release, sums, worths
    from sync.jobs.reports import worth_saying

    with looked_at() as app:
        planned = plan_once(app.context())
        with app.store.read() as conn:
            found = worths(conn, planned, app.policy)
            notes = worth_saying(conn, app.policy)
            first = is_first_release(conn)
    by_route = sums(planned, found)
    pushes = [{**push.as_dict(), **asdict(worth)} for push, worth in zip(planned, found, strict=True)]

    def render(out: Output) -> None:
        if not planned:
            out.line("nothing would be pushed")
        for row in pushes:
            _show(out, row)
        if by_route:
            out.heading("Sums by route, of what is held or ready")
            out.table(
                ["route", "pushes", "value", "of unknown value"],
                [[one.route, one.pushes, one.value, one.unknown] for one in by_route],
            )
        most = change_most(planned, found)
        if most:
            out.heading("Stock and cost: MPW is master")
            out.prose(
                "MPservices' count and cost of a mapped part are set to MPW's."
                + (" Nothing was patched yet: the first patch overwrites what MPservices has." if first else "")
                + " The items whose value changes most:"
            )
            out.table(
                ["item", "stock", "to", "cost", "to", "value then", "change"],
                [_changes(item, one) for item, one in most],
            )
        for note in notes:
            out.line()
            out.prose(note)
        if planned:
            new = sum(1 for push in planned if push.new)
            out.line()
            out.line(f"{len(planned)} in all, {new} of them not in the outbox yet; nothing was written")

    emit({"planned": pushes, "sums": by_route, "notes": notes}, as_json, render)


def _show(out: Output, row: dict[str, Any]) -> None:
    out.prose(" ".join(str(row[name]) for name in ("state", "operation", "api_key") if row[name]) or row["state"])
    if row["operation"] == "patch_stock":
        out.prose(
            f"    {row['item']}: stock {cell(row['stock_before'])} to {cell(row['stock_after'])}, cost"
            f" {cell(row['cost_before'])} to {cell(row['cost_after'])}, value {_change(row['value'])}"
        )
    elif row["value"] is not None:
        out.prose(f"    {row['item'] or ''} value {_change(row['value'])}")
    elif row["item"]:
        out.prose(f"    {row['item']}")
    out.facts({"    why": row["why"], **({"    dates": row["dates"]} if row["dates"] else {})})


def _changes(item: str, one: Worth) -> list[object]:
    before_and_after = (one.stock_before, one.stock_after, one.cost_before, one.cost_after)
    return [item, *before_and_after, one.value_after, _change(one.value)]


def _change(value: Decimal | None) -> str:
    return "not known" if value is None else f"{'+' if value > 0 else ''}{plain(value)}"

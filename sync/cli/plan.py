"""`mpsync plan`: what would be pushed, and why."""

from __future__ import annotations

import click

from sync.cli.opened import looked_at
from sync.cli.output import Output, emit, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show what would be pushed and why, each with its event; write nothing.

    First what is in the outbox, held or ready, then what the next pass would derive, and what
    waits for something. Reads MPW to see whether it knows the parts.
    """
    from sync.jobs.plan import plan_once

    with looked_at() as app:
        planned = [push.as_dict() for push in plan_once(app.context())]

    def render(out: Output) -> None:
        out.table(
            ["state", "operation", "api key", "item", "why"],
            [[row["state"], row["operation"], row["api_key"], row["item"], row["why"]] for row in planned],
            empty="nothing would be pushed",
        )
        new = sum(1 for row in planned if row["new"])
        if planned:
            out.line(f"{len(planned)} in all, {new} of them not in the outbox yet; nothing was written")

    emit({"planned": planned}, as_json, render)

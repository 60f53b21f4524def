"""`mpsync events`: a person's word on single events."""

from __future__ import annotations

import click

from sync.cli.opened import opened, person
from sync.cli.output import Output, emit, json_option


@click.group()
def command() -> None:
    """Settle events that a person has dealt with by hand."""


@command.command()
@click.argument("key")
@click.option("--kind", type=click.Choice(["receipt", "issuance", "transfer"]), help="Where KEY names two events.")
@click.option("--why", required=True, help="What was done by hand: kept with the event.")
@click.option("--mpw-id", metavar="N", help="The id of the row in MPW that it was keyed in as.")
@json_option
def settle(key: str, kind: str | None, why: str, mpw_id: str | None, as_json: bool) -> None:
    """Say that the event KEY was keyed in by hand, or is not wanted: it is never pushed, and no longer open.

    What waited to be sent of it is dropped, and what was asked about it ends. Refused where a push
    of it is on its way or done: MPW may have it then.
    """
    from sync.jobs.settle import settle_event

    with opened() as app:
        settled = settle_event(app.context(), key, kind=kind, why=why, by=person(), mpw_id=mpw_id)
    data = {"kind": settled.kind, "api_key": settled.api_key, "mpw_id": mpw_id, "dropped": list(settled.dropped)}

    def render(out: Output) -> None:
        out.line(f"{settled.kind} {settled.api_key} is settled: it is never pushed")
        if settled.dropped:
            out.line(f"dropped: push {', '.join(map(str, settled.dropped))}")

    emit(data, as_json, render)

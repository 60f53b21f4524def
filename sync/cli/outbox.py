"""`mpsync outbox`: the pushes, and what an operator may do with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, attention, emit, json_option
from sync.values.policy import OPEN_STATES, ROUTES

if TYPE_CHECKING:
    from sync.app import App
    from sync.outbox.rows import Which

F = TypeVar("F", bound=Callable[..., Any])
STATES = ["held", "ready", "sending", "unknown", "done", "dead", "superseded", "discarded"]
OPEN = list(OPEN_STATES)
COLUMNS = ["id", "state", "operation", "item", "api_key", "waits_for"]


@click.group()
def command() -> None:
    """List, release, retry, resolve or discard pushes."""


def filters(function: F) -> F:
    """Give a command ids and filters that name pushes."""
    for option in reversed(
        (
            click.argument("ids", nargs=-1, type=int),
            click.option(
                "--route",
                "routes",
                type=click.Choice(ROUTES),
                metavar="ROUTE",
                multiple=True,
                help="Only this route, such as receipts; may be said again for another.",
            ),
            click.option("--operation", help="Only this operation, such as post_receipt."),
            click.option("--item", help="Only this item."),
            click.option("--key", "api_key", help="Only this event's api_key."),
            click.option("--state", type=click.Choice(STATES), help="Only in this state."),
            click.option("--older-than-hours", type=click.FloatRange(min=0), help="Only those made longer ago."),
        )
    ):
        function = option(function)
    return function


def changes(function: F) -> F:
    """Give a command that changes pushes its filters, --all, --dry-run and --json."""
    function = json_option(function)
    function = click.option("--dry-run", is_flag=True, help="Only count.")(function)
    function = click.option("--all", "everything", is_flag=True, help="Every push that it can be done to.")(function)
    return filters(function)


@command.command("list")
@filters
@click.option("--all", "everything", is_flag=True, help="Those that are done or dropped, too.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show at most this many, newest first."
)
@json_option
def list_(limit: int, everything: bool, as_json: bool, **chosen: Any) -> None:
    """List pushes, newest first: those that are not over, unless --all, ids, --key or --state say otherwise.

    One line each; `mpsync outbox show ID` tells the rest.
    """
    from sync.jobs.reports import view

    named = {
        "id": list(chosen["ids"]) or None,
        "route": list(chosen["routes"]) or None,
        "operation": chosen["operation"],
        "api_key": chosen["api_key"],
        "state": chosen["state"],
    }
    where = {name: value for name, value in named.items() if value is not None}
    only_open = not everything and not {"id", "api_key", "state"} & set(where)
    if only_open:
        where["state"] = OPEN
    with looked_at() as app, app.store.read() as conn:
        if chosen["item"] is not None or chosen["older_than_hours"] is not None:
            from sync.outbox.rows import find_pushes

            where["id"] = [push.id for push in find_pushes(conn, _which(app, **chosen))]
        rows = view(conn, "v_outbox", where=where, order="id desc", limit=limit)

    def render(out: Output) -> None:
        out.one_a_line(
            [name.replace("_", " ") for name in COLUMNS],
            [[row[name] for name in COLUMNS] for row in rows],
            cut=["waits for", "api key", "item"],
            empty="no open pushes (--all shows those that are over)" if only_open else "no such pushes",
        )
        if len(rows) == limit:
            out.line(f"the newest {limit}: --limit shows more")

    emit({"pushes": rows}, as_json, render)


@command.command()
@click.argument("outbox_id", metavar="ID", type=int)
@json_option
def show(outbox_id: int, as_json: bool) -> None:
    """Show one push with its payload and every attempt."""
    from sync.jobs.reports import label, view

    with looked_at() as app, app.store.read() as conn:
        found = view(conn, "v_outbox", where={"id": outbox_id})
        attempts = view(conn, "v_attempts", where={"outbox_id": outbox_id}, order="n")
    if not found:
        attention([f"there is no push {outbox_id}: `mpsync outbox list` shows them"])
    push = found[0]

    def render(out: Output) -> None:
        out.facts({label(name, push): value for name, value in push.items() if value is not None})
        out.heading("Attempts")
        names = ["n", "started_at", "ended_at", "http_status", "outcome", "error"]
        out.table(
            ["n", "started at", "ended at", "http status", "outcome", "note"],
            [[row[name] for name in names] for row in attempts],
            empty="none yet",
        )

    emit({"push": push, "attempts": attempts}, as_json, render)


@command.command()
@changes
def release(dry_run: bool, everything: bool, as_json: bool, **chosen: Any) -> None:
    """Let held pushes go, by id or filter: they are sent in the next cycle, also while their route is on hold."""
    from sync.outbox import rows as outbox

    _require_choice(everything, chosen)
    with opened() as app:
        which = _which(app, **chosen)
        if dry_run:
            with app.store.read() as conn:
                count = outbox.count_for(conn, which, "release")
        else:
            with app.context().anyone_writes() as books:
                count = outbox.release(books, which)
        why = _why_none(app, which, "only held ones are released") if not count else ""
    _report("released", count, chosen["ids"], dry_run, as_json, why)


@command.command()
@changes
def retry(dry_run: bool, everything: bool, as_json: bool, **chosen: Any) -> None:
    """Give dead pushes another chance, and have unknown ones verified now.

    A push that may have reached the vendor is verified before it is sent again.
    """
    from sync.push.operator import retry_pushes

    _require_choice(everything, chosen)
    with opened() as app:
        which = _which(app, **chosen)
        count = retry_pushes(app.context(), which, by=person(), dry_run=dry_run)
        why = _why_none(app, which, "only dead and unknown ones are tried again") if not count else ""
    _report("set to be tried again", count, chosen["ids"], dry_run, as_json, why)


@command.command()
@changes
@click.option("--why", default="", help="Kept with the push.")
def discard(dry_run: bool, everything: bool, as_json: bool, why: str, **chosen: Any) -> None:
    """Drop pushes that no vendor ever saw, and dead ones. Nothing of them is sent any more.

    A stock patch that is discarded means "not these values": another is derived once the item moves, or MPW's stock
    or cost is another one.
    """
    from sync.push.operator import discard_pushes

    _require_choice(everything, chosen)
    with opened() as app:
        which = _which(app, **chosen)
        count = discard_pushes(app.context(), which, by=person(), why=why, dry_run=dry_run)
        only = "only what no vendor ever saw, and what is dead, is discarded"
        none = _why_none(app, which, only) if not count else ""
    _report("discarded", count, chosen["ids"], dry_run, as_json, none)


@command.command()
@click.argument("outbox_id", metavar="ID", type=int)
@click.option("--done/--not-done", default=None, help="It took effect / it did not, and is to be sent.")
@click.option("--why", required=True, help="How you know: kept as evidence.")
@json_option
def resolve(outbox_id: int, done: bool | None, why: str, as_json: bool) -> None:
    """Settle an unknown or dead push by your own evidence: look at the vendor's screens first."""
    from sync.push.operator import resolve_push

    if done is None:
        raise click.UsageError("say --done or --not-done")
    with opened() as app:
        settled = resolve_push(app.context(), outbox_id, done=done, why=why, by=person())
    if not settled:
        attention([f"push {outbox_id} is neither unknown nor dead: `mpsync outbox show {outbox_id}` tells its state"])
    state = "done" if done else "ready to be sent"
    emit({"id": outbox_id, "done": done}, as_json, lambda out: out.line(f"push {outbox_id}: {state}"))


def _which(app: App, **chosen: Any) -> Which:
    from sync.outbox.rows import Which

    hours = chosen["older_than_hours"]
    return Which(
        ids=list(chosen["ids"]) or None,
        routes=list(chosen["routes"]),
        operation=chosen["operation"],
        item=chosen["item"],
        state=chosen["state"],
        api_key=chosen["api_key"],
        created_before=None if hours is None else app.clock.now() - timedelta(hours=hours),
    )


def _require_choice(everything: bool, chosen: dict[str, Any]) -> None:
    if not everything and all(value is None or value == () for value in chosen.values()):
        raise click.UsageError("name pushes by id or filter, or say --all")


def _why_none(app: App, which: Which, only: str) -> str:
    """Say why nothing was done: nothing fits, or what fits is in other states."""
    from sync.outbox.rows import find_pushes

    with app.store.read() as conn:
        states = Counter(push.state for push in find_pushes(conn, which))
    if not states:
        return "no push fits what was named (mpsync outbox list --all)"
    found = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return f"of what was named {found}; {only}"


def _report(verb: str, count: int, ids: Sequence[int], dry_run: bool, as_json: bool, why: str = "") -> None:
    said = f"{count} would be {verb}" if dry_run else f"{count} {verb}"
    said += f": {why}" if why else ""
    emit({"count": count, "dry_run": dry_run}, as_json, lambda out: out.prose(said))
    if count < len(set(ids)):
        left = len(set(ids)) - count
        attention([f"{left} of these ids cannot be {verb} as they stand: `mpsync outbox show ID` tells the state"])

"""`mpsync exceptions`: what needs a person."""

from __future__ import annotations

import click

from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, attention, emit, json_option


@click.group()
def command() -> None:
    """List or resolve what needs a person."""


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Resolved ones too.")
@click.option("--kind", help="Only this kind.")
@json_option
def list_(everything: bool, kind: str | None, as_json: bool) -> None:
    """List open exceptions with what to do about each."""
    from sync.jobs.reports import to_type, view

    where: dict[str, object] = {} if everything else {"resolved_at": None}
    if kind is not None:
        where["kind"] = kind
    with looked_at() as app, app.store.read() as conn:
        found = [to_type(row) for row in view(conn, "v_exceptions", where=where)]

    def render(out: Output) -> None:
        if not found:
            out.line("nothing needs a person")
        for row in found:
            out.heading(f"{row['id']}  {row['kind']}: {row['subject']}")
            out.facts(
                {
                    "opened": row["opened_at"],
                    "what": row["detail"],
                    "do": row["hint"],
                    **({"resolved": f"{row['resolution']}"} if row["resolved_at"] else {}),
                }
            )

    emit({"exceptions": found}, as_json, render)


@command.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--kind", help="All open ones of this kind.")
@click.option("--subject", help="The open one of this subject.")
@click.option("--why", required=True, help="What was found or done: kept with the exception.")
@click.option("--void", is_flag=True, help="mass_disappearance: the rows really are gone, reverse them.")
@click.option(
    "--apply",
    is_flag=True,
    help="movement_changed, movement_deleted, cost_restated: have MPW corrected. odd_date: the date is right.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="The same kinds, and what waits for a part, a quantity or stock: leave MPW as it is and go on.",
)
@click.option("--available", is_flag=True, help="not_enough_stock: post what is there, drop the rest.")
@click.option("--from", "warehouse", metavar="WAREHOUSE", help="not_enough_stock: take the rest from that warehouse.")
@click.option("--wait", is_flag=True, help="not_enough_stock: let it wait until there is enough.")
@click.option("--echo", metavar="MOVEMENT_ID", help="echo_undecided: this one is our patch's.")
@click.option("--none", is_flag=True, help="echo_undecided: none of the movements is our patch's.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@json_option
def resolve(
    ids: tuple[int, ...],
    kind: str | None,
    subject: str | None,
    why: str,
    void: bool,
    apply: bool,
    keep: bool,
    available: bool,
    warehouse: str | None,
    wait: bool,
    echo: str | None,
    none: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Resolve exceptions by id, --kind or --subject. A cause that still holds opens it again."""
    from sync.jobs.resolve import Choice, resolve_by_person

    options = {"--void": void, "--apply": apply, "--keep": keep, "--echo": echo is not None, "--none": none}
    options |= {"--available": available, "--from": warehouse is not None, "--wait": wait}
    given = [option for option, is_given in options.items() if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other: say one")
    choice = Choice(given[0], warehouse if warehouse is not None else echo) if given else None
    if not ids and kind is None and subject is None:
        raise click.UsageError("name exceptions by id, --kind or --subject")
    with opened() as app:
        count = resolve_by_person(
            app.context(), ids=ids, kind=kind, subject=subject, why=why, choice=choice, by=person(), dry_run=dry_run
        )
    if count < len(set(ids)):
        open_ids = "`mpsync exceptions list` shows those that are open"
        attention([f"{len(set(ids)) - count} of these ids are not open exceptions: {open_ids}"])
    verb = "would be resolved" if dry_run else "resolved"
    emit({"resolved": count, "dry_run": dry_run}, as_json, lambda out: out.line(f"{count} {verb}"))

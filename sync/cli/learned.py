"""`mpsync learned`: what the vendors do that their documents do not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sync.cli.opened import looked_at, opened, person
from sync.cli.output import Output, emit, json_option
from sync.errors import ConfigError

if TYPE_CHECKING:
    from sync.learned.rules import Fact

SYSTEMS = ["mpw", "mpservices"]


class FactName(click.ParamType):  # type: ignore[type-arg]
    """A fact's name, which the shell can complete."""

    name = "fact"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the names that begin so."""
        from click.shell_completion import CompletionItem

        from sync.learned.rules import FACTS

        names = sorted({fact.name for fact in FACTS.values() if fact.name.startswith(incomplete)})
        return [CompletionItem(name) for name in names]


system_option = click.option("--system", type=click.Choice(SYSTEMS), help="Whose fact, where both systems have it.")


@click.group()
def command() -> None:
    """List, set or forget what the vendors do that their documents do not say."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List every fact: what is known, by which row or person, and what is assumed where nothing is."""
    from sync.jobs.reports import view
    from sync.learned.rules import FACTS

    with looked_at() as app, app.store.read() as conn:
        known = {(row["system"], row["fact"]): row for row in view(conn, "v_learned", order="system, fact")}
    nothing = {"value": None, "evidence": None, "seen_at": None, "set_by": None}
    facts = [
        {
            "system": fact.system,
            "fact": fact.name,
            **{name: known.get(key, nothing)[name] for name in nothing},
            "assumed": fact.assumed,
            "meaning": fact.meaning,
            "takes": fact.takes.what,
            "used": fact.used,
            "setting": fact.setting,
        }
        for key, fact in FACTS.items()
    ]

    def render(out: Output) -> None:
        for row in facts:
            out.heading(
                f"{row['system']} {row['fact']}: {row['value'] if row['value'] is not None else 'not known yet'}"
            )
            told: dict[str, Any] = {"is": row["meaning"]}
            if row["value"] is None:
                told["assumed"] = row["assumed"]
            else:
                whose = f"{row['set_by']} set it: " if row["set_by"] else ""
                told |= {"since": row["seen_at"], "by": f"{whose}{row['evidence']}", "assumed": row["assumed"]}
            out.facts({**told, "decides": row["used"], "takes": row["takes"]})

    emit({"facts": facts}, as_json, render)


@command.command("set", context_settings={"ignore_unknown_options": True})  # a skew may be -90
@click.argument("fact", type=FactName())
@click.argument("value")
@system_option
@click.option("--why", required=True, help="How you know: kept with the fact.")
@json_option
def set_(fact: str, value: str, system: str | None, why: str, as_json: bool) -> None:
    """Set FACT to VALUE. Your word stands, whatever rows show later; what contradicts it is said."""
    from sync.learned.rows import set_learned

    meant = _meant(fact, system)
    try:
        read = meant.read(value)
    except ValueError as error:
        raise click.UsageError(f"{error}; `mpsync learned list` says what each fact takes") from None
    if not why.strip():
        raise click.UsageError("--why is empty: say how you know")
    with opened() as app, app.store.write() as conn:
        set_learned(conn, meant, read, why=why, by=person(), now=app.clock.now())
    emit(
        {"system": meant.system, "fact": meant.name, "value": read},
        as_json,
        lambda out: out.line(f"{meant.system} {meant.name} is {read}, on your word"),
    )


@command.command()
@click.argument("fact", type=FactName())
@system_option
@json_option
def forget(fact: str, system: str | None, as_json: bool) -> None:
    """Forget what is known of FACT: what is assumed holds until ordinary work shows it again."""
    from sync.learned.rows import forget_learned

    meant = _meant(fact, system)
    with opened() as app, app.store.write() as conn:
        known = forget_learned(conn, meant, by=person(), now=app.clock.now())
    emit(
        {"system": meant.system, "fact": meant.name, "forgotten": known},
        as_json,
        lambda out: out.line(
            f"{meant.system} {meant.name} is forgotten: {meant.assumed} is assumed"
            if known
            else f"nothing was known of {meant.system} {meant.name}"
        ),
    )


def _meant(name: str, system: str | None) -> Fact:
    """Return the fact that is meant; raises ConfigError where none is, or two are."""
    from sync.learned.rules import facts_named

    found = [fact for fact in facts_named(name) if system in (None, fact.system)]
    if not found:
        whose = f" of {system}" if system is not None else ""
        raise ConfigError(f"{name} is not a fact{whose}", hint="`mpsync learned list` shows them all")
    if len(found) > 1:
        raise ConfigError(f"both systems have {name}", hint="add --system mpw or --system mpservices")
    return found[0]

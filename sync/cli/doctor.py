"""`mpsync doctor`: is everything set up? Reads only, and every finding ends with what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sync.cli.output import Output, attention, emit, json_option
from sync.cli.start import start

if TYPE_CHECKING:
    from sync.cli.examination import Finding

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Check settings, unknown variables, database, both logins, clock skew, time zone and what is undocumented.

    Only reads. Every finding ends with what to do. Exit code 1 where something is wrong, 2 where
    both systems are off.
    """
    from sync.cli.examination import BOTH_OFF

    findings = list(_findings())
    data = {"findings": findings, "wrong": sum(finding.level == "wrong" for finding in findings)}
    emit(data, as_json, lambda out: _render(out, data))
    wrong = [f"{finding.check}: {finding.what}" for finding in findings if finding.level == "wrong"]
    attention(wrong, code=2 if any(finding.check == BOTH_OFF for finding in findings) else 1)


def _findings() -> Iterator[Finding]:
    """Yield what is found, the settings first: with a wrong one nothing else is tried (exit 2)."""
    from sync.cli import examination
    from sync.clock import SystemClock

    settings = start()
    clock = SystemClock()
    yield from examination.of_settings(settings)
    yield from examination.of_database(settings, clock)
    yield from examination.of_vendors(settings, clock)


def _render(out: Output, data: dict[str, Any]) -> None:
    for finding in data["findings"]:
        _wrapped(out, f"{MARKS[finding.level]:<5}  {finding.check}: {finding.what}")
        if finding.level != "ok":
            _wrapped(out, f"       do: {finding.do}")
    out.line()
    out.line("nothing is wrong" if not data["wrong"] else f"{data['wrong']} wrong")


def _wrapped(out: Output, text: str) -> None:
    for line in textwrap.wrap(text, 79, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False):
        out.line(line)

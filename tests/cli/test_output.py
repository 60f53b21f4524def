"""Reports: readable on a terminal and in a pipe, exact in JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import click
import pytest

from sync.cli.output import Output, as_json_object, attention, cell, emit, folded, json_option

COLUMNS = ["item", "quantity", "seen"]
ROWS = [("091843", Decimal("2.500000"), date(2024, 3, 15)), ("000global", Decimal("-10"), None)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on_terminal(monkeypatch: pytest.MonkeyPatch, write: Callable[[Output], None], **env: str) -> str:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for name, value in {"COLUMNS": "80", "TERM": "xterm", **env}.items():
        monkeypatch.setenv(name, value)
    write(Output())
    return terminal.getvalue()


def test_in_a_pipe_a_table_is_aligned_text_with_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(COLUMNS, ROWS)

    assert capsys.readouterr().out == (
        "item       quantity  seen\n091843          2.5  2024-03-15\n000global       -10  –\n"
    )


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(COLUMNS, [], empty="nothing is held")

    assert capsys.readouterr().out == "nothing is held\n"


def test_on_a_terminal_no_line_is_wider_than_it_and_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["abcdefghij" * 5] * 6

    text = shown_on_terminal(monkeypatch, lambda out: out.table(["1", "2", "3", "4", "5", "6"], [row]), NO_COLOR="1")

    assert max(len(line) for line in text.splitlines()) <= 80
    assert [text.count(letter) for letter in "abcdefghij"] == [30] * 10


def test_a_terminal_gets_colour_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)

    coloured = shown_on_terminal(monkeypatch, lambda out: out.heading("Coverage"))
    plain = shown_on_terminal(monkeypatch, lambda out: out.heading("Coverage"), NO_COLOR="1")

    assert "\x1b[1m" in coloured
    assert "\x1b" not in plain


def test_a_pipe_never_gets_colour(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.heading("Coverage")
    out.table(COLUMNS, ROWS)

    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["\x1b[31mred\x1b[0m", "[bold]x[/bold]", "a\nb", "\x07bell", "a\u202eb"])
def test_what_a_vendor_sent_cannot_steer_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown_on_terminal(monkeypatch, lambda out: out.table(["item"], [(name,)]), NO_COLOR="1")

    lines = text.splitlines()
    assert len(lines) == 3
    assert all(character.isprintable() for line in lines for character in line)
    assert name.startswith("[bold]") == ("[bold]x[/bold]" in text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        (True, "yes"),
        (False, "no"),
        (Decimal("1E+3"), "1000"),
        (datetime(2024, 3, 15, 12, tzinfo=timezone(timedelta(hours=-6))), "2024-03-15 18:00:00Z"),
        (date(2024, 3, 15), "2024-03-15"),
        (("A", "B"), "A, B"),
    ],
)
def test_a_value_reads_as_people_write_it(value: object, text: str) -> None:
    assert cell(value) == text


def test_json_is_one_object_with_exact_numbers_days_and_instants(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass
    class Lag:
        source: str
        seconds: int

    data = {
        "amount": Decimal("63791994.838000"),
        "tiny": Decimal("0.000001"),
        "day": date(2024, 3, 15),
        "at": datetime(2024, 3, 15, 12, tzinfo=UTC),
        "lag": [Lag("mpw.receipts", 7)],
        "names": ("b", "a"),
        "none": None,
    }

    emit(data, True, lambda out: out.line("never shown"))

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert '"amount":63791994.838000,' in out
    assert json.loads(out, parse_float=Decimal) == {
        "amount": Decimal("63791994.838000"),
        "tiny": Decimal("0.000001"),
        "day": "2024-03-15",
        "at": "2024-03-15T12:00:00Z",
        "lag": [{"source": "mpw.receipts", "seconds": 7}],
        "names": ["b", "a"],
        "none": None,
    }


def test_a_row_of_the_database_becomes_an_object() -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        row = connection.execute(text("select 1 as id, 'held' as state")).one()
    engine.dispose()

    assert as_json_object({"rows": [row, row._mapping]}) == '{"rows":[{"id":1,"state":"held"},{"id":1,"state":"held"}]}'


@pytest.mark.parametrize("data", [[], [1], "text", None, 1])
def test_a_report_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(TypeError):
        as_json_object(data)


def test_what_json_cannot_hold_is_refused_rather_than_guessed() -> None:
    with pytest.raises(TypeError, match="object"):
        as_json_object({"x": object()})


def test_without_json_the_report_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"state": "held"}, False, lambda out: out.facts({"state": "held", "due": None}))

    assert capsys.readouterr().out == "state  held\ndue    –\n"


def test_the_json_option_reaches_the_command_as_as_json() -> None:
    @click.command
    @json_option
    def command(as_json: bool) -> None:
        click.echo(as_json)

    assert isinstance(command, click.Command)
    with command.make_context("x", ["--json"]) as context:
        assert context.params == {"as_json": True}


def test_what_needs_a_person_is_named_on_stderr_and_ends_with_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as ending:
        attention(["1 row is dead", "2 exceptions are open"])

    assert ending.value.exit_code == 1
    assert capsys.readouterr() == ("", "attention: 1 row is dead\nattention: 2 exceptions are open\n")


def test_nothing_that_needs_a_person_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    attention([])

    assert capsys.readouterr() == ("", "")


def test_on_a_narrow_terminal_keys_stay_whole_and_sentences_go_below_their_row(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "mps-6a8ac4ba05804975ad2f89d94a2f20aa-1"
    reason = f"MPservices has receipt {key} (12 BRG-6204, 2026-11-21), MPW has not"
    columns = ["id", "operation", "api key", "state", "reason", "last error"]
    row = [27, "post_receipt", key, "done", reason, None]

    text = shown_on_terminal(monkeypatch, lambda out: out.table(columns, [row]), NO_COLOR="1", COLUMNS="80")

    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["id", "operation", "api", "key", "state"]
    assert lines[2].split() == ["27", "post_receipt", key, "done"]
    assert " ".join(" ".join(lines[3:]).split()) == f"reason: {reason}"
    assert "last error" not in text


def test_on_a_terminal_a_long_sentence_and_a_payload_go_on_below_their_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = {"do": "create the part " * 8, "payload": '{"part_number": "51503", ' + '"bin": "A", ' * 8 + "}"}
    lines = shown_on_terminal(monkeypatch, lambda out: out.facts(facts), NO_COLOR="1", COLUMNS="80").splitlines()

    begins = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in begins] == ["do", "payload"]
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * len("payload  ")) for line in lines if line not in begins)
    assert " ".join(" ".join(lines).split()) == f"do {facts['do'].strip()} payload {facts['payload']}"


def test_on_a_narrow_terminal_an_instant_is_no_sentence_and_stays_in_its_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = [
        1,
        datetime(2026, 11, 21, 5, 11, 14, tzinfo=UTC),
        422,
        "rejected",
        "Something went wrong with this one " * 2,
    ]
    columns = ["n", "started at", "http status", "outcome", "error"]

    shown = shown_on_terminal(monkeypatch, lambda out: out.table(columns, [tried])).splitlines()

    assert any(line.split() == ["1", "2026-11-21", "05:11:14Z", "422", "rejected"] for line in shown), shown
    assert not any("started at:" in line for line in shown)


@pytest.mark.parametrize("name", ["hint", "attention", "note"])
def test_a_long_line_to_stderr_folds_below_its_beginning(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    lines = folded(f"{name}: ", "correct the credentials in the settings " * 5, terminal=True)

    assert len(lines) > 2
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * (len(name) + 2)) for line in lines[1:])
    assert len(folded(f"{name}: ", "correct the credentials in the settings " * 5, terminal=False)) == 1

"""The runbook has an entry for each alert and each kind of exception, and every query in it runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest

from sync.app import App
from sync.cli import COMMANDS, cli
from sync.database.engine import Store
from sync.ledger.books import Books
from sync.settings import variable_names
from sync.values.exception_kinds import KINDS
from sync.web.metrics import Metrics
from tests.clocks import FakeClock
from tests.views.story import tell
from tests.views.test_columns import PROMISED
from tests.web.conftest import opened

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
SQL_DOC = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "mpsync.json"
QUERIES = re.findall(r"```sql\n(.*?)```", RUNBOOK, flags=re.DOTALL)
TEXTS = {"runbook.md": RUNBOOK, "metrics.md": METRICS, "sql.md": SQL_DOC, "README.md": README}

PLACES = {"open_exception": 1, "open_about": 2, "GiveUp": 1, "Blocked": 1, "Park": 2, "Refused": 1}
"""Where a call of this name says the kind of an exception, beside `kind=`."""


@cache
def kinds() -> set[str]:
    """Return every kind of exception that the program can open, from its source."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "sync").rglob("*.py"))]
    words: dict[str, str] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                words.update({name: node.value.value for name in names if isinstance(node.value.value, str)})
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            for said in _said(node):
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    found.add(said.value)
                elif isinstance(said, ast.Name) and said.id.isupper():
                    found.add(words[said.id])
    return found


def _said(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.ClassDef) and node.name in ("Refused", "Conflict"):  # their default
        fields = [field for field in node.body if isinstance(field, ast.AnnAssign) and field.value is not None]
        return [field.value for field in fields if ast.unparse(field.target) == "kind" and field.value is not None]
    if not isinstance(node, ast.Call):
        return []
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name not in (*PLACES, "Conflict"):
        return []
    place = PLACES.get(name)
    given = [node.args[place]] if place is not None and len(node.args) > place else []
    return given + [keyword.value for keyword in node.keywords if keyword.arg == "kind"]


def entries(part: str) -> dict[str, str]:
    """Return the entries of a part of the runbook by name."""
    text = RUNBOOK.split(f"\n## {part}\n")[1].split("\n## ")[0]
    names_and_texts = re.split(r"^### (\S+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(names_and_texts[::2], names_and_texts[1::2], strict=True))


def alert_names() -> list[str]:
    return re.findall(r"- alert: (\w+)", ALERTS.read_text())


def families(app: App) -> set[str]:
    names = re.findall(r"^# TYPE (\w+)", Metrics(app).text().decode(), flags=re.MULTILINE)
    return set(names)


def test_every_kind_that_the_code_opens_is_registered_and_has_its_entry() -> None:
    assert kinds() <= set(KINDS)
    assert kinds() <= set(entries("Exceptions"))
    assert len(kinds()) > 20


def test_no_entry_explains_a_kind_that_is_not_registered() -> None:
    assert set(entries("Exceptions")) <= set(KINDS)


def test_every_choice_that_a_kind_takes_is_an_option_and_stands_in_its_entry() -> None:
    told = entries("Exceptions")
    group = cli.get_command(click.Context(cli), "exceptions")
    assert isinstance(group, click.Group)
    options = {option for parameter in group.commands["resolve"].params for option in parameter.opts}
    for kind in KINDS.values():
        for choice in kind.choices if kind.name in told else ():
            assert (choice in told[kind.name]) == (choice in options), (kind.name, choice)


def test_every_alert_has_its_entry_in_the_same_order() -> None:
    assert list(entries("Alerts")) == alert_names()


def test_every_entry_says_what_it_means_how_to_look_and_what_to_do() -> None:
    for part in ("Alerts", "Exceptions"):
        for name, text in entries(part).items():
            assert [text.count(f"**{word}**") for word in ("Means", "Look", "Do")] == [1, 1, 1], name


def test_every_query_runs_on_both_databases(store: Store) -> None:
    with store.write() as conn:
        tell(conn)
    assert len(QUERIES) > 30
    with store.read() as conn:
        for query in QUERIES:
            try:
                conn.exec_driver_sql(query, execution_options={"no_parameters": True}).all()  # a % is a %, as in psql
            except Exception as error:
                pytest.fail(f"{query}: {error}")


def test_queries_ask_the_views_only() -> None:
    for query in QUERIES:
        assert set(re.findall(r"\b(?:from|join) (\w+)", query)) <= set(PROMISED), query


def test_every_metric_is_explained_and_none_that_is_not_there(
    store: Store, clock: FakeClock, database_url: str
) -> None:
    with opened(database_url, clock) as app:
        from sync.database.facts import HEARTBEAT_AT

        with app.store.write() as conn:
            Books(conn, now=clock.now()).note_fact(HEARTBEAT_AT, clock.now().isoformat())
        told = families(app)

    assert set(re.findall(r"^\| `(mpsync_\w+)`", METRICS, flags=re.MULTILINE)) == told


def test_alerts_and_dashboard_use_metrics_that_are_there(sqlite_app: App) -> None:
    from sync.database.facts import HEARTBEAT_AT

    with sqlite_app.store.write() as conn:
        now = sqlite_app.clock.now()
        Books(conn, now=now).note_fact(HEARTBEAT_AT, now.isoformat())
    known = families(sqlite_app)
    known |= {f"{name}_bucket" for name in known if name.endswith("_seconds")}
    queries = re.findall(r"expr: \|-\n((?:          .*\n)+)", ALERTS.read_text())
    dashboard = json.loads(DASHBOARD.read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]

    used = {name for query in (*queries, *shown) for name in re.findall(r"\bmpsync_\w+", query)}

    assert used <= known
    assert len(queries) == len(alert_names())
    on_the_board = {name.removesuffix("_bucket") for query in shown for name in re.findall(r"\bmpsync_\w+", query)}
    assert on_the_board == families(sqlite_app)


def test_no_panel_of_the_dashboard_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("arguments", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]])
def test_promtool_agrees_with_the_alerts(arguments: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI"):
            pytest.fail("no promtool here: .ci/browser_setup installs it")
        pytest.skip("no promtool here: .ci/browser_setup installs it")

    done = subprocess.run([promtool, *arguments], cwd=ALERTS.parent, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_command_and_none_that_is_not_there() -> None:
    table = README.split("| command | does |")[1].split("\n\n")[0]

    named = re.findall(r"`mpsync (\S+?)[ `]", table)

    assert sorted(set(named)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", TEXTS)
def test_commands_that_a_document_names_can_be_given(name: str) -> None:
    for words in re.findall(r"`mpsync ([a-z][^`\n]*)`", TEXTS[name]):
        given = [word for word in re.split(r"[ ]", words) if word]
        command = cli.get_command(click.Context(cli), given[0])
        assert command is not None, words
        if isinstance(command, click.Group) and len(given) > 1:
            for sub in given[1].split("/"):
                assert sub in command.commands, words
            command = command.commands[given[1].split("/")[0]]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in re.findall(r"(--[a-z][a-z-]*)", words):
            assert word in options | {"--help", "--json"}, words


@pytest.mark.parametrize("name", TEXTS)
def test_settings_that_a_document_names_are_settings(name: str) -> None:
    named = set(re.findall(r"\b((?:MPW|MPSERVICES|SYNC)_[A-Z_]+[A-Z])\b", TEXTS[name]))

    assert {one for one in named if one not in variable_names() and not one.startswith("SYNC_TEST_")} == set()


@pytest.mark.parametrize("name", TEXTS)
def test_views_that_a_document_names_are_views(name: str) -> None:
    assert set(re.findall(r"\bv_[a-z_]+\b", TEXTS[name])) <= set(PROMISED)


def test_every_view_has_its_section_in_the_sql_document() -> None:
    assert set(re.findall(r"^### (v_\w+)$", SQL_DOC, flags=re.MULTILINE)) == set(PROMISED)

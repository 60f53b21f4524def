"""Upgrading: once, again, at the same time, half way, and never backwards."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sync.database import migrate
from sync.database.engine import Store
from sync.database.exceptions import blocking
from sync.database.migrate import SchemaState, check, migrations_folder, upgrade
from sync.errors import SchemaOutdatedError, StoreError

ROOT = Path(__file__).parents[2]
HEAD = "0021"
VERSIONS = sorted(path.name[:4] for path in migrations_folder().glob("versions/[0-9]*.py"))


def _execute(url: str, *statements: str) -> None:
    store = Store(url)
    try:
        with store.write() as conn:
            for statement in statements:
                conn.exec_driver_sql(statement)
    finally:
        store.close()


def _tables(url: str) -> set[str]:
    store = Store(url)
    with store.read() as conn:
        names = set(inspect(conn).get_table_names())
    store.close()
    return names


def _all_of(url: str, table: str) -> list[tuple[object, ...]]:
    store = Store(url)
    with store.read() as conn:
        rows = [tuple(row) for row in conn.exec_driver_sql(f"select * from {table}")]
    store.close()
    return rows


def _upgrade_to(url: str, revision: str) -> None:
    store = Store(url)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with store.write() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, revision)
    store.close()


def test_an_empty_database_gets_every_migration_in_order(empty_database_url: str) -> None:
    steps: list[str] = []

    upgrade(empty_database_url, progress=steps.append)

    assert [step[:4] for step in steps] == VERSIONS
    assert check(empty_database_url).up_to_date


def test_a_second_upgrade_changes_nothing(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    steps: list[str] = []

    upgrade(empty_database_url, progress=steps.append)

    assert steps == []


def test_an_upgrade_with_nothing_to_do_never_loads_alembic(sqlite_url: str) -> None:
    program = (
        "import sys; from sync.database.migrate import upgrade, check;"
        f"upgrade({sqlite_url!r}); check({sqlite_url!r}); print('alembic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_an_older_database_keeps_its_rows(empty_database_url: str) -> None:
    _upgrade_to(empty_database_url, "0001")
    _execute(empty_database_url, "insert into inbox (document_type, api_key, payload) values ('void', 'k', '{}')")

    before = check(empty_database_url)
    upgrade(empty_database_url)

    assert before == SchemaState("0001", HEAD)
    store = Store(empty_database_url)
    with store.read() as conn:
        assert conn.execute(text("select api_key, state from v_inbox")).all() == [("k", "received")]
    store.close()


def test_a_ledger_written_under_older_rules_keeps_its_rows_its_rules_and_its_refusals(empty_database_url: str) -> None:
    _upgrade_to(empty_database_url, "0005")
    columns = "id, system, kind, api_key, remote_id, entry_type, reverses_id, item, quantity, unit_cost, amount"
    dates = "'2024-03-14', '2024-03-15', '2024-03-15T08:00:00.000000Z'"
    entry = f"insert into ledger_entries ({columns}, occurred_on, posted_on, recorded_at) values"
    original = f"{entry} (7, 'mpw', 'receipt', 'k', '007', 'original', null, 'P', 2000000, 5, 10, {dates})"
    reversal = f"{entry} (%s, 'mpw', 'receipt', 'k', '007', 'reversal', 7, 'P', -2000000, 5, -10, {dates})"
    document = (
        "insert into documents (id, system, type, remote_id, source, day, raw, digest, first_seen_at, last_seen_at,"
        " entry_id) values (3, 'mpw', 'receipt', '007', 'mpw.receipts', '2024-03-14', '{}', 'd',"
        " '2024-03-15T08:00:00.000000Z', '2024-03-15T08:00:00.000000Z', 7)"
    )
    for statement in (original, reversal % 9, document):
        _execute(empty_database_url, statement)
    tables = ("ledger_entries", "documents")
    before = [_all_of(empty_database_url, table) for table in tables]

    upgrade(empty_database_url)

    before[1] = [(*row, None) for row in before[1]]  # its provider, since 0016
    assert [_all_of(empty_database_url, table) for table in tables] == before
    for refused in (
        reversal % 11,
        "delete from ledger_entries",
        "update ledger_entries set item = 'Q'",
        document.replace("(3,", "(4,"),
        document.replace("'mpw', 'receipt'", "'cmms', 'receipt'"),
        original.replace("(7, 'mpw'", "(12, 'cmms'"),
        original.replace("(7, 'mpw', 'receipt'", "(12, 'mpw', 'count'"),
        (reversal % 12).replace("'reversal', 7", "'reversal', 99"),
    ):
        with pytest.raises(IntegrityError):
            _execute(empty_database_url, refused)
    if empty_database_url.startswith("sqlite"):
        with pytest.raises(IntegrityError, match="append-only"):
            _execute(empty_database_url, original.replace("insert into", "insert or replace into"))
        assert _all_of(empty_database_url, "pragma_integrity_check") == [("ok",)]


def test_old_exceptions_get_the_type_of_what_they_are_about_and_name_what_they_stop(empty_database_url: str) -> None:
    _upgrade_to(empty_database_url, "0005")
    at = "'2024-03-15T08:00:00.000000Z'"
    old = [
        ("order_changed", "1005", '{"api_key": "po-1005", "operation": "approve", "outbox_id": 1005}', "push"),
        ("order_changed", "1006", "{}", "order"),
        ("push_dead", "7", '{"outbox_id": 7}', "push"),
        ("unmapped_item", "EXT-9", "{}", "item"),
        ("stock_blocked", "mps:EXT-9", '{"external_id": "EXT-9"}', "item"),
        ("deleted_in_mpw", "receipt k", "{}", "event"),
        ("echo_undecided", "mpsync-stock-1", '{"external_id": "E-1", "outbox_id": 3}', "event"),
        ("short_window", "mpservices.movements", "{}", "source"),
        ("setting_missing", "MPSERVICES_CREATE_PRODUCT_PATH", "{}", "setting"),
        ("movement_changed", "m-1", "{}", "row"),
        ("quarantined_row", "mpw.receipts 9", "{}", "row"),
    ]
    insert = "insert into exceptions (kind, subject, facts, detail, hint, opened_at) values"
    line = (
        "insert into movement_lines (movement_id, n, api_key, digest, external_id, quantity, unit_cost, created_at,"
        f" place, single, role) values ('m-1', 1, 'mps-m1-1', 'd', 'E-2', 1, 1, {at}, 0, {{single}}, 'event')"
    )
    single = "1" if empty_database_url.startswith("sqlite") else "true"
    _execute(
        empty_database_url,
        *(f"{insert} ('{kind}', '{subject}', '{facts}', 'd', 'h', {at})" for kind, subject, facts, _ in old),
        line.format(single=single),
    )

    upgrade(empty_database_url)

    store = Store(empty_database_url)
    with store.read() as conn:
        shown = conn.execute(text("select kind, subject, subject_type from v_exceptions order by id")).all()
        assert [tuple(row) for row in shown] == [(kind, subject, type_) for kind, subject, _, type_ in old]
        assert {item: by.kind for item, by in blocking(conn, ["E-1", "E-2", "EXT-9"]).items()} == {
            "E-1": "echo_undecided",
            "E-2": "movement_changed",
        }
    store.close()
    columns = "kind, subject, subject_type, detail, hint, opened_at"
    again = f"insert into exceptions ({columns}) values ('order_changed', '1005', '{{}}', 'd', 'h', {at})"
    _execute(empty_database_url, again.format("order"))
    for refused in (again.format("push"), again.format("outbox")):
        with pytest.raises(IntegrityError):
            _execute(empty_database_url, refused)


def test_what_somebody_else_built_on_our_tables_outlives_their_being_written_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mpsync.db'}"
    _upgrade_to(url, "0005")
    entry = (
        "insert into ledger_entries (id, system, kind, api_key, remote_id, entry_type, item, quantity, unit_cost,"
        " amount, occurred_on, posted_on, recorded_at) values (7, 'mpw', 'receipt', 'k', '7', 'original', 'P', 1, 1, 1,"
        " '2024-03-14', '2024-03-14', '2024-03-14T08:00:00.000000Z')"
    )
    _execute(
        url,
        entry,
        "create table audited (entry integer references ledger_entries (id) on delete cascade, note text)",
        "insert into audited values (7, 'seen')",
        "alter table ledger_entries add column ours text as (system || ':' || kind)",
        "create index ix_theirs on ledger_entries (remote_id) where remote_id <> ':hello'",
        "create trigger theirs after insert on ledger_entries begin insert into audited values (new.id, ':new'); end",
        "create view v_theirs as select item, ours from ledger_entries",
    )

    upgrade(url)
    _execute(url, entry.replace("(7, 'mpw'", "(8, 'mpw'").replace("'k', '7'", "'k', '8'"))

    assert _all_of(url, "audited") == [(7, "seen"), (8, ":new")]
    assert _all_of(url, "v_theirs") == [("P", "mpw:receipt"), ("P", "mpw:receipt")]
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        _execute(url, "insert into audited values (9, 'none')")


def test_a_newer_schema_is_refused_and_left_alone(database_url: str) -> None:
    _execute(database_url, "update alembic_version set version_num = '9999'")

    for refused in (upgrade, check):
        with pytest.raises(SchemaOutdatedError, match=rf"9999.*{HEAD}") as raised:
            refused(database_url)
        assert raised.value.hint is not None
        assert "newer" in raised.value.hint

    store = Store(database_url)
    with store.read() as conn:
        assert conn.execute(text("select version_num from alembic_version")).scalars().all() == ["9999"]
    store.close()


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    _execute(empty_database_url, "create table runs (somebody_elses integer)")

    with pytest.raises(SQLAlchemyError):
        upgrade(empty_database_url)

    assert _tables(empty_database_url) == {"runs"}
    assert check(empty_database_url).current is None


def test_processes_that_upgrade_at_once_all_succeed(empty_database_url: str) -> None:
    program = f"from sync.database.migrate import upgrade; upgrade({empty_database_url!r}, progress=print)"
    command_line = [sys.executable, "-W", "error", "-c", program]

    processes = [
        subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sorted(len(stdout.splitlines()) for stdout, _ in outputs) == [0, 0, len(VERSIONS)]
    assert check(empty_database_url).up_to_date


def test_threads_that_upgrade_different_databases_do_not_mix_them_up(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two", "three")]
    threads = [threading.Thread(target=upgrade, args=(url,)) for url in urls]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [check(url).up_to_date for url in urls] == [True, True, True]


def test_looking_at_a_database_that_does_not_exist_does_not_create_it(tmp_path: Path) -> None:
    state = check(f"sqlite:///{tmp_path / 'absent.db'}")

    assert state == SchemaState(None, HEAD)
    assert not state.up_to_date
    assert list(tmp_path.iterdir()) == []


def test_a_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'new.db'}")

    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_the_revisions_read_from_file_names_are_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    scripts = ScriptDirectory.from_config(config)

    assert [script.revision for script in scripts.walk_revisions()][::-1] == migrate._revisions()
    assert scripts.get_current_head() == migrate._revisions()[-1]


def test_every_migration_says_why_and_imports_nothing_of_the_program() -> None:
    for path in (ROOT / "migrations").rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

        assert ast.get_docstring(tree), path
        assert not any(name == "sync" or name.startswith("sync.") for name in imported), path


def test_the_wheel_carries_the_migrations_inside_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"migrations": "sync/_migrations"}


def test_an_installed_program_prefers_its_own_migrations_to_a_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sync"
    for folder in (package / "_migrations", tmp_path / "migrations"):
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").touch()
    monkeypatch.setattr("importlib.resources.files", lambda _name: package)

    assert migrations_folder() == package / "_migrations"


def test_an_installation_without_migrations_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migrations").mkdir()  # some other package's
    monkeypatch.setattr("importlib.resources.files", lambda _name: tmp_path / "sync")

    with pytest.raises(StoreError, match="missing"):
        migrations_folder()

"""What the schema lacks is seen in the database itself, and the advice, followed to the letter, mends it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from sync.__main__ import main
from sync.database.engine import Store
from sync.database.migrate import check, missing_of, upgrade
from sync.database.shape import POSTGRESQL_TRIGGERS, Missing
from sync.errors import SchemaOutdatedError, StoreError

TRIGGER = {"sqlite": "ledger_entries_no_delete", "postgresql": "ledger_entries_no_change"}


@pytest.fixture(autouse=True)
def _settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def run(url: str, *statements: str) -> None:
    store = Store(url)
    try:
        with store.write() as conn:
            for statement in statements:
                conn.exec_driver_sql(statement)
    finally:
        store.close()


def kind(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql"


def drop_trigger(url: str) -> str:
    name = TRIGGER[kind(url)]
    run(url, f"drop trigger {name}" + ("" if kind(url) == "sqlite" else " on ledger_entries"))
    return name


def checked(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = main(["db", "check", "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def doctor(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    capsys.readouterr()
    main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return [(one["what"], one["do"]) for one in findings if one["check"] == "database" and one["level"] == "wrong"]


def test_a_migrated_database_lacks_nothing(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert missing_of(database_url) == []
    assert checked(capsys)[0] == 0
    assert doctor(capsys) == []


def test_a_dropped_view_is_named_and_db_upgrade_makes_it_again(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(database_url, "drop view v_stock")

    code, data, err = checked(capsys)
    [(what, do)] = doctor(capsys)

    assert (code, data["missing"]) == (1, ["view v_stock"])
    assert "view v_stock is missing: run `mpsync db upgrade`" in err
    assert what == "view v_stock is missing"
    assert "`mpsync db upgrade`" in do
    assert main(["db", "upgrade"]) == 0
    assert "made again: view v_stock" in capsys.readouterr().err
    assert checked(capsys)[0] == 0
    assert doctor(capsys) == []
    run(database_url, "select item, difference from v_stock")


def test_a_dropped_trigger_is_made_again_and_refuses_again(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = drop_trigger(database_url)
    assert missing_of(database_url) == [Missing("trigger", name, "ledger_entries")]

    assert main(["db", "upgrade"]) == 0

    assert missing_of(database_url) == []
    columns = (
        "system, kind, api_key, entry_type, item, quantity, unit_cost, amount, occurred_on, posted_on, recorded_at"
    )
    dates = "'2024-03-14', '2024-03-15', '2024-03-15T08:00:00.000000Z'"
    run(
        database_url,
        f"insert into ledger_entries ({columns}, remote_id) values"
        f" ('mpw', 'receipt', 'k', 'original', 'P', 2000000, 5, 10, {dates}, '7')",
    )
    with pytest.raises(IntegrityError):
        run(database_url, "delete from ledger_entries")


@pytest.mark.parametrize("index", ["ix_ledger_entries_event", "uq_outbox_in_flight"])
def test_a_dropped_index_is_made_again_and_so_is_one_that_became_another(
    database_url: str, capsys: pytest.CaptureFixture[str], index: str
) -> None:
    run(database_url, f"drop index {index}")
    assert [one.name for one in missing_of(database_url)] == [index]
    assert main(["db", "upgrade"]) == 0
    assert missing_of(database_url) == []

    table = "outbox" if "outbox" in index else "ledger_entries"
    run(database_url, f"drop index {index}", f"create index {index} on {table} (item)")
    assert [(one.name, one.wrong) for one in missing_of(database_url)] == [(index, "it is another one")]
    assert main(["db", "upgrade"]) == 0

    assert missing_of(database_url) == []


def test_a_view_that_was_replaced_by_another_is_made_again(database_url: str) -> None:
    run(database_url, "drop view v_runs", "create view v_runs as select id, flow from runs")
    [found] = missing_of(database_url)
    assert found.wrong.startswith("it lacks started_at")

    assert main(["db", "upgrade"]) == 0

    assert missing_of(database_url) == []


def test_a_dropped_table_is_not_made_again_empty_and_a_backup_is_named(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(database_url, "drop table learned" + ("" if kind(database_url) == "sqlite" else " cascade"))

    _, data, err = checked(capsys)
    assert "table learned" in data["missing"]
    assert "from a backup" in err
    assert main(["db", "upgrade"]) == 1

    said = capsys.readouterr().err
    assert "table learned" in said
    assert "from a backup" in said
    assert any(one.holds_rows for one in missing_of(database_url))


def test_an_empty_alembic_version_is_wrong_and_db_upgrade_finds_the_schema_again(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head = check(database_url).head
    run(
        database_url,
        "delete from alembic_version",
        "insert into items (external_id, part_number, factor) values ('E', 'P', 1)",
    )

    code, data, err = checked(capsys)
    [(what, do)] = doctor(capsys)
    with pytest.raises(SchemaOutdatedError, match="alembic_version") as raised:
        upgrade(database_url)

    assert (code, data["current"], data["up_to_date"]) == (1, None, False)
    assert "`mpsync db upgrade`" in err
    assert "alembic_version does not say" in what
    assert "`mpsync db upgrade`" in do
    assert "`mpsync db upgrade`" in (raised.value.hint or "")
    assert main(["status"]) == 2
    assert main(["db", "upgrade"]) == 0
    assert check(database_url).current == head
    assert doctor(capsys) == []
    store = Store(database_url)
    with store.read() as conn:
        assert conn.execute(text("select part_number from items")).scalar_one() == "P"
    store.close()


def test_without_alembic_version_and_with_a_view_less_one_upgrade_mends_both(database_url: str) -> None:
    run(database_url, "drop table alembic_version", "drop view v_gaps")

    assert main(["db", "upgrade"]) == 0

    assert check(database_url).up_to_date
    assert missing_of(database_url) == []


def test_tables_of_an_older_schema_are_not_taken_for_this_one(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(database_url, "drop view v_learned", "alter table learned drop column contrary", "delete from alembic_version")

    with pytest.raises(SchemaOutdatedError, match="column contrary of learned"):
        upgrade(database_url, mends=True)

    assert check(database_url).lost


def test_mending_leaves_what_others_built_on_our_tables(database_url: str) -> None:
    run(database_url, "create view our_own as select id from runs", "drop view v_runs")

    upgrade(database_url, mends=True)

    run(database_url, "select id from our_own")


def test_mending_leaves_nothing_of_its_pattern_behind(postgres_url: str) -> None:
    run(postgres_url, "drop view v_runs")

    upgrade(postgres_url, mends=True)

    store = Store(postgres_url)
    with store.read() as conn:
        schemas = set(conn.execute(text("select nspname from pg_namespace")).scalars())
        made = conn.execute(text("select to_regclass('public.v_runs')")).scalar_one()
        triggers = conn.execute(text("select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal"))
        assert {tuple(row) for row in triggers} == set(POSTGRESQL_TRIGGERS)
    store.close()
    assert "mpsync_pattern" not in schemas
    assert made is not None


def test_a_trigger_that_was_switched_off_is_seen_and_made_again(postgres_url: str) -> None:
    run(postgres_url, "alter table ledger_entries disable trigger ledger_entries_no_change")
    [found] = missing_of(postgres_url)

    upgrade(postgres_url, mends=True)

    assert found.wrong == "it is switched off"
    assert missing_of(postgres_url) == []


def test_what_held_rows_is_named_when_it_cannot_be_mended(database_url: str) -> None:
    run(database_url, "drop table unpushed")

    with pytest.raises(StoreError, match="table unpushed"):
        upgrade(database_url, mends=True)

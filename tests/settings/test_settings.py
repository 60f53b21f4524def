"""Settings: defaults as the public interface promises them, and every wrong value named before anything starts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import make_url

from sync.database.engine import shown
from sync.errors import ConfigError
from sync.settings import ROUTES, Settings, load_settings, unknown_variables, variable_names

# interface.md's table, word for word.
PROMISED = {
    "DATABASE_URL": "sqlite:///mpsync.db",
    "MPW_BASE_URL": "https://www.mtcproweb.com/api/v1/mpw",
    "MPW_EMAIL": "",
    "MPW_PASSWORD": "",
    "MPW_TIMEZONE": "UTC",
    "MPW_WAREHOUSE": "",
    "MPW_GPS_PROVIDERS": "",
    "MPW_CREATE_PARTS": "false",
    "MPW_FRACTIONAL_ISSUANCES": "false",
    "MPW_DESCRIPTION_MARKER": "true",
    "MPW_MAX_REQUESTS_PER_SECOND": "10",
    "MPW_CONCURRENCY": "4",
    "MPSERVICES_BASE_URL": "https://integrations.mpservices.app",
    "MPSERVICES_TOKEN": "",
    "MPSERVICES_WORK_ORDERS_PATH": "",
    "MPSERVICES_CREATE_PRODUCT_PATH": "",
    "MPSERVICES_COST_IS": "unit",
    "MPSERVICES_WINDOW_HOURS": "48",
    "MPSERVICES_MAX_REQUESTS_PER_SECOND": "5",
    "SYNC_START_DATE": "",
    "SYNC_PUSH_FROM": "",
    "SYNC_LOCK_DATE": "",
    "SYNC_ROUTE_RECEIPTS": "hold",
    "SYNC_ROUTE_ISSUANCES": "hold",
    "SYNC_ROUTE_STOCK_COST": "hold",
    "SYNC_ROUTE_APPROVALS": "hold",
    "SYNC_ROUTE_PRODUCTS": "hold",
    "SYNC_ROUTE_VOIDS": "hold",
    "SYNC_ROUTE_TRANSFERS": "hold",
    "SYNC_ROUTE_INVENTORIES": "hold",
    "SYNC_APPROVE_UP_TO": "",
    "SYNC_APPROVE_AFTER_MINUTES": "30",
    "SYNC_VOID_AFTER_MINUTES": "60",
    "SYNC_VOID_MAX_RATIO": "0.5",
    "SYNC_POLL_RECENT_SECONDS": "300",
    "SYNC_POLL_WEEK_SECONDS": "3600",
    "SYNC_POLL_DEEP_SECONDS": "86400",
    "SYNC_POLL_MOVEMENTS_SECONDS": "300",
    "SYNC_POLL_ORDERS_SECONDS": "900",
    "SYNC_REQUEST_TIMEOUT_SECONDS": "30",
    "SYNC_RETRY_BASE_SECONDS": "15",
    "SYNC_LATE_ARRIVAL_SECONDS": "900",
    "MPSERVICES_COST_MARK": "true",
    "SYNC_AUDIT_SECONDS": "3600",
    "SYNC_HTTP_ADDRESS": "",
    "SYNC_LOG_LEVEL": "info",
    "SYNC_LOG_FORMAT": "auto",
}
ADDED = {
    "SYNC_TELL_SHORTAGE_MINUTES": "60",
    "SYNC_COST_JUMP_RATIO": "3",
    "SYNC_KEEP_RUNS_DAYS": "90",
    "SYNC_KEEP_DONE_DAYS": "400",
    "SYNC_KEEP_RAW_DAYS": "400",
    "SYNC_ALLOW_PLAIN_HTTP": "false",
    "SYNC_JOURNAL_FROM": "",
    "SYNC_JOURNAL_DECIMALS": "2",
    "SYNC_CURRENCY": "USD",
    "SYNC_JOURNAL_ERP_BOOKS": "receipt,issuance,transfer",
    "SYNC_JOURNAL_LATE": "next_open",
    "SYNC_JOURNAL_AT": "",
    "SYNC_JOURNAL_DIR": "",
    "SYNC_JOURNAL_FORMAT": "csv",
    "SYNC_JOURNAL_MODE": "summary",
    "SYNC_JOURNAL_OPTIONS": "",
}


def load(**env: str) -> Settings:
    return load_settings(env, None)


def load_beside(folder: Path, dotenv: str, **env: str) -> Settings:
    path = folder / ".env"
    path.write_text(dotenv)
    return load_settings(env, path)


def refusal(**env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**env)
    return str(caught.value)


def test_names_and_defaults_are_those_of_the_public_interface() -> None:
    assert {name.upper(): field.default for name, field in Settings.model_fields.items()} == PROMISED | ADDED


def test_each_secret_and_the_database_may_come_from_a_file() -> None:
    assert {name for name in variable_names() if name.endswith("_FILE")} == {
        "DATABASE_URL_FILE",
        "MPW_PASSWORD_FILE",
        "MPSERVICES_TOKEN_FILE",
    }


def test_with_nothing_set_both_systems_are_off_and_every_route_holds() -> None:
    settings = load()

    assert not settings.mpw_on
    assert not settings.mpservices_on
    assert settings.routes == dict.fromkeys(ROUTES, "hold")
    assert settings.sync_start_date is None
    assert settings.sync_push_from is None
    assert settings.sync_approve_up_to is None


def test_every_setting_reads_into_its_type() -> None:
    settings = load(
        MPW_EMAIL="erp@example.com",
        MPW_PASSWORD=" two words ",
        MPW_TIMEZONE="america/chicago",
        MPW_GPS_PROVIDERS="Geotab, Samsara,,Geotab",
        MPW_CREATE_PARTS="YES",
        MPSERVICES_TOKEN="tok",
        MPSERVICES_WORK_ORDERS_PATH="FetchWorkOrders",
        SYNC_START_DATE="2011-04-30",
        SYNC_LOCK_DATE="2024-02-29",
        SYNC_ROUTE_STOCK_COST="Push",
        SYNC_APPROVE_UP_TO="2500.50",
        SYNC_RETRY_BASE_SECONDS="0.25",
        SYNC_POLL_RECENT_SECONDS="0",
        SYNC_HTTP_ADDRESS="[::1]:9090",
    )

    assert settings.mpw_on
    assert settings.mpservices_on
    assert settings.mpw_password is not None
    assert settings.mpw_password.get_secret_value() == " two words "
    assert settings.mpw_timezone == ZoneInfo("America/Chicago")
    assert settings.mpw_gps_providers == ("Geotab", "Samsara")
    assert settings.mpw_create_parts is True
    assert settings.mpservices_work_orders_path == "/FetchWorkOrders"
    assert settings.sync_start_date == date(2011, 4, 30)
    assert settings.sync_lock_date == date(2024, 2, 29)
    assert settings.routes["stock_cost"] == "push"
    assert settings.sync_approve_up_to == Decimal("2500.50")
    assert settings.sync_retry_base_seconds == 0.25
    assert settings.sync_poll_recent_seconds == 0
    assert settings.sync_http_address == ("::1", 9090)


def test_an_empty_value_is_the_default() -> None:
    assert load(**dict.fromkeys(PROMISED | ADDED, "")) == load()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-03-15T08:00:00Z", datetime(2024, 3, 15, 8, tzinfo=UTC)),
        ("2024-03-15T08:00:00-06:00", datetime(2024, 3, 15, 14, tzinfo=UTC)),
        ("2024-03-15", datetime(2024, 3, 15, 5, tzinfo=UTC)),
    ],
)
def test_the_cut_is_an_instant_and_a_plain_day_begins_at_midnight_in_mpws_zone(text: str, instant: datetime) -> None:
    assert load(SYNC_PUSH_FROM=text, MPW_TIMEZONE="America/Chicago").sync_push_from == instant


@pytest.mark.parametrize(
    ("name", "text", "wrong", "right"),
    [
        ("SYNC_ROUTE_VOIDS", "on", "'on'", "off, hold or push"),
        ("SYNC_PUSH_FROM", "2024-03-15T08:00:00", "no offset", "2024-01-31T08:00:00Z"),
        ("SYNC_PUSH_FROM", "soon", "'soon'", "2024-01-31T08:00:00Z"),
        ("SYNC_PUSH_FROM", "0001-01-01T00:00:00+10:00", "outside the calendar", "this century"),
        ("SYNC_START_DATE", "2023-02-29", "'2023-02-29'", "YYYY-MM-DD"),
        ("SYNC_LOCK_DATE", "20240131", "'20240131'", "YYYY-MM-DD"),
        ("MPW_TIMEZONE", "America/Chicgo", "'America/Chicgo'", "America/Chicago"),
        ("MPW_TIMEZONE", "../../etc/passwd", "not a time zone", "America/Chicago"),
        ("MPW_CREATE_PARTS", "maybe", "'maybe'", "true or false"),
        ("MPW_CONCURRENCY", "1.5", "'1.5'", "whole number"),
        ("MPW_MAX_REQUESTS_PER_SECOND", "-1", "'-1'", "from 0"),
        ("SYNC_RETRY_BASE_SECONDS", "nan", "'nan'", "from 0"),
        ("SYNC_RETRY_BASE_SECONDS", "1e99", "'1e99'", "from 0"),
        ("SYNC_VOID_MAX_RATIO", "1.01", "'1.01'", "from 0 to 1"),
        ("SYNC_APPROVE_UP_TO", "2,500", "'2,500'", "from 0"),
        ("SYNC_HTTP_ADDRESS", "9090", "'9090'", "host:port"),
        ("SYNC_HTTP_ADDRESS", "127.0.0.1:99999", "99999", "host:port"),
        ("SYNC_LOG_LEVEL", "loud", "'loud'", "debug, info, warning or error"),
        ("MPSERVICES_COST_IS", "each", "'each'", "unit or total"),
        ("MPSERVICES_WORK_ORDERS_PATH", "https://x.example/a", "path", "/FetchWorkOrders"),
        ("MPSERVICES_TOKEN", "a b", "blanks", "copy it again"),
        ("MPW_BASE_URL", "www.mtcproweb.com", "not the address", "https://"),
        ("MPW_BASE_URL", "ftp://host.example", "not the address", "https://"),
        ("MPW_BASE_URL", "https://host.example:port/x", "not the address", "https://"),
        ("MPW_BASE_URL", "https://user:hunter2@host.example", "user names", "https://host/path"),
        ("MPW_BASE_URL", "http://host.example", "http://", "SYNC_ALLOW_PLAIN_HTTP=true"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "'mysql'", "postgresql+psycopg://"),
        ("DATABASE_URL", "hunter2", "not a database address", "sqlite:///mpsync.db"),
        ("DATABASE_URL", "postgres://u:hunter2@h:port/d", "not a database address", "postgresql+psycopg://"),
        ("DATABASE_URL", "sqlite://", "memory", "sqlite:///mpsync.db"),
        ("DATABASE_URL", "sqlite:///file:/tmp/x.db?uri=true", "file:", "sqlite:////a/b.db"),
        ("DATABASE_URL", "sqlite://relative.db", "no host", "sqlite:///mpsync.db"),
        ("DATABASE_URL", "sqlite:////no/such/folder/x.db", "'/no/such/folder'", "make it"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wrong_and_what_would_be_right(
    name: str, text: str, wrong: str, right: str
) -> None:
    message = refusal(**{name: text})

    assert message.startswith(f"{name}: ")
    assert wrong in message
    assert right in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_all_wrong_values_are_named_at_once_in_the_order_of_the_documentation() -> None:
    message = refusal(SYNC_LOG_LEVEL="x", MPW_EMAIL="me@example.com", DATABASE_URL="x", SYNC_START_DATE="x")

    names = [line.split(":")[0].strip() for line in message.splitlines()[1:]]
    assert names == ["DATABASE_URL", "MPW_PASSWORD", "SYNC_START_DATE", "SYNC_LOG_LEVEL"]


@pytest.mark.parametrize(("given", "missing"), [("MPW_EMAIL", "MPW_PASSWORD"), ("MPW_PASSWORD", "MPW_EMAIL")])
def test_half_an_account_is_refused(given: str, missing: str) -> None:
    message = refusal(**{given: "hunter2"})

    assert message.startswith(f"{missing}: ")
    assert "hunter2" not in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "sandbox.localhost"])
def test_plain_http_is_fine_on_this_machine(host: str) -> None:
    assert load(MPW_BASE_URL=f"http://{host}:8080/api/").mpw_base_url == f"http://{host}:8080/api"


def test_plain_http_elsewhere_is_a_decision_that_must_be_written_down() -> None:
    url = "http://vendors.internal"

    assert load(MPW_BASE_URL=url, SYNC_ALLOW_PLAIN_HTTP="true").mpw_base_url == url
    assert "MPSERVICES_BASE_URL" in refusal(MPSERVICES_BASE_URL=url, SYNC_ALLOW_PLAIN_HTTP="false")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_gets_the_one_driver(scheme: str) -> None:
    settings = load(DATABASE_URL=f"{scheme}://u:p%40ss@host:5433/books")

    assert settings.database_url == "postgresql+psycopg://u:p%40ss@host:5433/books"


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert "pip install 'psycopg[binary]'" in refusal(DATABASE_URL="postgresql://host/books")


def test_a_real_variable_wins_over_the_file_and_an_empty_one_means_the_default(tmp_path: Path) -> None:
    file = "MPW_WAREHOUSE=Main\nSYNC_LOG_LEVEL=debug\nSYNC_LOCK_DATE=2024-01-31\n"

    settings = load_beside(tmp_path, file, SYNC_LOG_LEVEL="error", SYNC_LOCK_DATE="")

    assert settings.mpw_warehouse == "Main"
    assert settings.sync_log_level == "error"
    assert settings.sync_lock_date is None


def test_the_file_may_quote_export_and_comment_and_a_dollar_is_a_dollar(tmp_path: Path) -> None:
    file = (
        "# account\nexport MPW_EMAIL=me@example.com\nMPW_PASSWORD='pa$HOME #1'\nMPW_WAREHOUSE=\"Warehouse #1\" # main\n"
    )

    settings = load_beside(tmp_path, file)

    assert settings.mpw_password is not None
    assert settings.mpw_password.get_secret_value() == "pa$HOME #1"
    assert settings.mpw_warehouse == "Warehouse #1"


def test_an_unreadable_line_of_the_file_is_named_by_its_number_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_beside(tmp_path, "MPW_WAREHOUSE=Main\nMPW_PASSWORD='hunter2\n")

    assert "line 2" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_of_settings_is_no_error(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / ".env") == load()


def test_a_secret_may_come_from_a_file_whose_last_line_break_does_not_count(tmp_path: Path) -> None:
    secret, token = tmp_path / "password", tmp_path / "token"
    secret.write_text("hunter2 \r\n")
    token.write_text("tok\n")

    settings = load(MPW_EMAIL="me@example.com", MPW_PASSWORD_FILE=str(secret), MPSERVICES_TOKEN_FILE=str(token))

    assert settings.mpw_password is not None
    assert settings.mpw_password.get_secret_value() == "hunter2 "
    assert settings.mpservices_token is not None
    assert settings.mpservices_token.get_secret_value() == "tok"


def test_the_databases_address_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")

    assert load(DATABASE_URL_FILE=str(tmp_path / "url")).database_url == "postgresql+psycopg://u:p@h/d"


def test_a_secrets_file_that_is_missing_or_empty_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    assert "MPSERVICES_TOKEN_FILE: the file" in refusal(MPSERVICES_TOKEN_FILE=str(tmp_path / "empty"))
    assert "MPSERVICES_TOKEN_FILE: cannot read" in refusal(MPSERVICES_TOKEN_FILE=str(tmp_path / "missing"))


def test_a_secret_and_its_file_form_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tok")

    assert "set only one" in refusal(MPSERVICES_TOKEN="hunter2", MPSERVICES_TOKEN_FILE=str(tmp_path / "token"))


def test_a_real_file_form_wins_over_the_value_in_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("real")

    settings = load_beside(tmp_path, "MPSERVICES_TOKEN=from-dotenv\n", MPSERVICES_TOKEN_FILE=str(tmp_path / "token"))

    assert settings.mpservices_token is not None
    assert settings.mpservices_token.get_secret_value() == "real"


def test_no_secret_shows_when_settings_are_printed() -> None:
    settings = load(
        DATABASE_URL="postgresql://u:hunter2@h/d", MPW_EMAIL="e", MPW_PASSWORD="hunter2", MPSERVICES_TOKEN="hunter2"
    )

    assert "hunter2" not in repr(settings) + str(settings)
    assert set(settings.secrets()) == {"hunter2"}


def test_settings_do_not_read_the_machines_environment_behind_the_callers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPW_WAREHOUSE", "from the machine")

    assert load().mpw_warehouse is None
    assert load_settings(None, None).mpw_warehouse == "from the machine"


def test_a_misspelt_variable_is_found_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("SYNC_ROUTE_RECIEPTS=push\n")
    env = {"MPW_EMIAL": "x", "mpservices_token": "x", "SYNC_XYZZY": "x", "MPW_PASSWORD_FILE": "x", "PATH": "x"}

    assert unknown_variables(env, path) == [
        ("MPW_EMIAL", "MPW_EMAIL"),
        ("SYNC_ROUTE_RECIEPTS", "SYNC_ROUTE_RECEIPTS"),
        ("SYNC_XYZZY", None),
        ("mpservices_token", "MPSERVICES_TOKEN"),
    ]


@pytest.mark.parametrize(
    ("query", "secret"), [("?password=hunter2", "hunter2"), ("?sslpassword=hunter3&sslmode=require", "hunter3")]
)
def test_a_password_in_the_query_of_the_databases_address_is_a_secret_too(query: str, secret: str) -> None:
    settings = load_settings({"DATABASE_URL": f"postgresql://sync@db/books{query}"}, dotenv=None)

    assert secret in settings.secrets()
    assert secret not in shown(make_url(settings.database_url))
    assert "sync" in shown(make_url(settings.database_url))
    assert secret not in repr(settings)


def test_an_abbreviation_suggests_the_zone_that_it_stands_for_and_no_other() -> None:
    with pytest.raises(ConfigError, match="America/Chicago") as told:
        load(MPW_TIMEZONE="CST")
    assert "EST" not in str(told.value)
    with pytest.raises(ConfigError, match="abbreviation"):
        load(MPW_TIMEZONE="XYZT")

"""Every setting: its name, default and meaning, and how all of them are read.

A field's name in capitals is its environment variable; its default is the text that the variable would hold, so that
defaults pass through the same reading as what people write. Fields whose name is in `FILE_FORMS` may be given as
`NAME_FILE`, a file that holds the value.
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from dotenv.parser import parse_stream
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url

from sync import setting_values as read
from sync.errors import ConfigError
from sync.values.policy import ROUTES

FILE_FORMS = ("database_url", "mpw_password", "mpservices_token")
PREFIXES = ("MPW_", "MPSERVICES_", "SYNC_")
TESTS_PREFIX = "SYNC_TEST_"
"""What the test suite reads; no setting of the program."""

Route = Literal["off", "hold", "push"]

TextSetting = Annotated[str | None, BeforeValidator(read.optional(str))]
SecretSetting = Annotated[SecretStr | None, BeforeValidator(read.optional(str))]
TokenSetting = Annotated[SecretStr | None, BeforeValidator(read.optional(read.token))]
NamesSetting = Annotated[tuple[str, ...], BeforeValidator(read.names)]
SwitchSetting = Annotated[bool, BeforeValidator(read.truth)]
ZoneSetting = Annotated[ZoneInfo, BeforeValidator(read.zone)]
UrlSetting = Annotated[str, BeforeValidator(read.base_url)]
PathSetting = Annotated[str, BeforeValidator(read.url_path)]
DaySetting = Annotated[date | None, BeforeValidator(read.optional(read.day))]
RouteSetting = Annotated[Route, BeforeValidator(read.one_of("off", "hold", "push"))]
SecondsSetting = Annotated[float, BeforeValidator(read.duration(at_most=100_000_000))]
MinutesSetting = Annotated[float, BeforeValidator(read.duration(at_most=1_000_000))]
HoursSetting = Annotated[float, BeforeValidator(read.duration(at_most=100_000))]
DaysSetting = Annotated[int, BeforeValidator(read.whole(at_most=36_500))]
RateSetting = Annotated[float, BeforeValidator(read.duration(at_most=1_000_000))]
CountSetting = Annotated[int, BeforeValidator(read.whole(at_most=1_000))]
RatioSetting = Annotated[Decimal, BeforeValidator(read.number(at_most=1))]
FactorSetting = Annotated[Decimal, BeforeValidator(read.factor(at_most=1_000_000))]
MoneySetting = Annotated[Decimal | None, BeforeValidator(read.optional(read.number(at_most=1_000_000_000_000)))]
AddressSetting = Annotated[read.Address | None, BeforeValidator(read.optional(read.listening_address))]
CostSetting = Annotated[Literal["unit", "total"], BeforeValidator(read.one_of("unit", "total"))]
CurrencySetting = Annotated[str, BeforeValidator(read.currency)]
DecimalsSetting = Annotated[int, BeforeValidator(read.whole(at_most=4))]
BookedSetting = Annotated[tuple[str, ...], BeforeValidator(read.some_of("receipt", "issuance", "transfer"))]
TimeSetting = Annotated[time | None, BeforeValidator(read.optional(read.time_of_day))]
FolderSetting = Annotated[Path | None, BeforeValidator(read.optional(read.folder))]
ModeSetting = Annotated[Literal["summary", "detail"], BeforeValidator(read.one_of("summary", "detail"))]
OptionsSetting = Annotated[
    dict[str, str], BeforeValidator(read.pairs("tax_rate", "company", "journal", "tracking", "dates"))
]
JournalFormatSetting = Annotated[
    str,
    BeforeValidator(
        read.one_of("csv", "jsonl", "hledger", "ledger", "beancount", "qbo", "xero", "bc", "odoo", "erpnext")
    ),
]
LateSetting = Annotated[Literal["next_open", "hold"], BeforeValidator(read.one_of("next_open", "hold"))]
LevelSetting = Annotated[str, BeforeValidator(read.one_of("debug", "info", "warning", "error"))]
FormatSetting = Annotated[Literal["auto", "json", "console"], BeforeValidator(read.one_of("auto", "json", "console"))]


def _text(default: str, meaning: str, *, shown: bool = True) -> Any:
    """Declare a setting by the text of its default, and what it means in one line of settings.example.env."""
    return Field(default, description=meaning, repr=shown)


class Settings(BaseSettings):
    """What the program was told. Made by `load_settings`; unchangeable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    database_url: Annotated[str, BeforeValidator(read.database_url)] = _text(
        "sqlite:///mpsync.db",
        "SQLite (sqlite:///file.db) or PostgreSQL (postgresql+psycopg://user:password@host/name)",
        shown=False,
    )

    mpw_base_url: UrlSetting = _text("https://www.mtcproweb.com/api/v1/mpw", "Maintenance Pro Web's API")
    mpw_email: TextSetting = _text("", "the account it works as; empty: MPW is off")
    mpw_password: SecretSetting = _text("", "that account's password")
    mpw_timezone: ZoneSetting = _text("UTC", 'the organisation\'s zone: what "today" is, like America/Chicago')
    mpw_warehouse: TextSetting = _text("", "the warehouse of items that no mapping names")
    mpw_gps_providers: NamesSetting = _text("", "providers to read equipment of, commas between; empty: off")
    mpw_create_parts: SwitchSetting = _text("false", "let a receipt create a part that MPW does not know")
    mpw_fractional_issuances: SwitchSetting = _text("false", "send fractions to POST /issuances")
    mpw_description_marker: SwitchSetting = _text("true", "put [api_key] into the description of pushed issuances")
    mpw_max_requests_per_second: RateSetting = _text("10", "politeness; 0: no limit")
    mpw_concurrency: CountSetting = _text("4", "requests under way at once; 0: no limit")

    mpservices_base_url: UrlSetting = _text("https://integrations.mpservices.app", "MPservices' API")
    mpservices_token: TokenSetting = _text("", "the token it works with; empty: MPservices is off")
    mpservices_work_orders_path: PathSetting = _text(
        "", "path of 'Get work orders', which the document does not name; empty: off"
    )
    mpservices_create_product_path: PathSetting = _text(
        "", "path of 'Create product', which the document does not name; empty: off"
    )
    mpservices_cost_is: CostSetting = _text("unit", "what a movement's cost means: unit or total")
    mpservices_cost_mark: SwitchSetting = _text(
        "true", "give each stock patch a digit of its own in its cost's sixth decimal, to know its movement by"
    )
    mpservices_window_hours: HoursSetting = _text("48", "how far back its feeds reach")
    mpservices_max_requests_per_second: RateSetting = _text("5", "politeness; 0: no limit")

    sync_start_date: DaySetting = _text("", "the ledger's first day; empty: 30 days before the first run")
    sync_push_from: datetime | None = _text(
        "", "instant; older events are recorded, never pushed; empty: the first run"
    )
    sync_lock_date: DaySetting = _text(
        "", "last closed day of the books; what is dated earlier is posted the day after it"
    )
    sync_route_receipts: RouteSetting = _text("hold", "push receipts to MPW: off, hold or push")
    sync_route_issuances: RouteSetting = _text("hold", "push issuances to MPW: off, hold or push")
    sync_route_stock_cost: RouteSetting = _text("hold", "push stock and cost to MPservices: off, hold or push")
    sync_route_approvals: RouteSetting = _text("hold", "approve requisitions in MPW: off, hold or push")
    sync_route_products: RouteSetting = _text("hold", "create products in MPservices: off, hold or push")
    sync_route_voids: RouteSetting = _text("hold", "delete in MPW what was voided: off, hold or push")
    sync_route_transfers: RouteSetting = _text("hold", "push the ERP's transfers to MPW: off, hold or push")
    sync_route_inventories: RouteSetting = _text("hold", "push the ERP's parts to MPW: off, hold or push")
    sync_approve_up_to: MoneySetting = _text(
        "", "approve requisitions up to this total without an ERP document; empty: never"
    )
    sync_approve_after_minutes: MinutesSetting = _text("30", "once they were unchanged that long")
    sync_tell_shortage_minutes: MinutesSetting = _text(
        "60", "how long a movement may wait for stock in MPW before a person is told; an ERP document never does"
    )
    sync_void_after_minutes: MinutesSetting = _text(
        "60", "a row is voided when two reads at least so far apart lack it"
    )
    sync_void_max_ratio: RatioSetting = _text(
        "0.5", "more rows gone than this share of a read: nothing is voided, an exception opens"
    )
    sync_poll_recent_seconds: SecondsSetting = _text("300", "how often today and yesterday are read")
    sync_poll_week_seconds: SecondsSetting = _text("3600", "how often the last week and tomorrow are read")
    sync_poll_deep_seconds: SecondsSetting = _text("86400", "how often the last 45 days are read")
    sync_poll_movements_seconds: SecondsSetting = _text("300", "how often MPservices' movements are read")
    sync_poll_orders_seconds: SecondsSetting = _text("900", "how often orders are read")
    sync_audit_seconds: SecondsSetting = _text("3600", "how often the stock of every mapped item is compared")
    sync_cost_jump_ratio: FactorSetting = _text(
        "3", "a cost that changes by more than this factor, up or down, is sent once a person has confirmed it"
    )
    sync_request_timeout_seconds: SecondsSetting = _text("30", "for a request; a push takes up to four; 0: an hour")
    sync_retry_base_seconds: SecondsSetting = _text("15", "first back-off step")
    sync_late_arrival_seconds: SecondsSetting = _text("900", "how long a timed-out write may still land at the vendor")
    sync_http_address: AddressSetting = _text(
        "", "host:port for the status page, /metrics, /healthz and /readyz; empty: none"
    )
    sync_keep_runs_days: DaysSetting = _text("90", "how long runs are kept; 0: for ever")
    sync_keep_done_days: DaysSetting = _text(
        "400", "how long a done push keeps its payload and its attempts; 0: for ever; its key is never forgotten"
    )
    sync_keep_raw_days: DaysSetting = _text("400", "how long a document keeps its raw text; 0: for ever")
    sync_journal_from: DaySetting = _text("", "the journal's first day; empty: no journal is kept")
    sync_journal_decimals: DecimalsSetting = _text("2", "what entries are rounded to; fixed once there is an entry")
    sync_currency: CurrencySetting = _text("USD", "the currency of all amounts, as files name it")
    sync_journal_erp_books: BookedSetting = _text(
        "receipt,issuance,transfer", "what the ERP books itself where it sent it in, commas between, or none"
    )
    sync_journal_late: LateSetting = _text(
        "next_open", "what is dated in a closed period: next_open books it in the open one, hold lets it wait"
    )
    sync_journal_at: TimeSetting = _text(
        "", "when the journal up to yesterday is written for the ERP each day, HH:MM in MPW_TIMEZONE; empty: by hand"
    )
    sync_journal_dir: FolderSetting = _text("", "the folder that these files appear in")
    sync_journal_format: JournalFormatSetting = _text("csv", "their format, as mpsync export journal knows it")
    sync_journal_mode: ModeSetting = _text(
        "summary", "a document a day and cost center (summary), or an entry (detail)"
    )
    sync_journal_options: OptionsSetting = _text(
        "", "what the format needs, like tax_rate=Tax Exempt; semicolons between"
    )
    sync_log_level: LevelSetting = _text("info", "debug, info, warning or error")
    sync_log_format: FormatSetting = _text("auto", "json, console, or auto: console on a terminal")
    sync_allow_plain_http: SwitchSetting = _text(
        "false", "let vendors' addresses be http:// outside this machine: passwords travel readable"
    )

    @field_validator("sync_push_from", mode="before")
    @classmethod
    def _read_push_from(cls, text: str, info: ValidationInfo) -> datetime | None:
        """A plain day means its midnight in MPW_TIMEZONE, since that is the day people mean."""
        return read.instant(text, info.data.get("mpw_timezone", ZoneInfo("UTC"))) if text else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing but what `load_settings` gathered: a test's settings never depend on the machine."""
        return (init_settings,)

    @property
    def mpw_on(self) -> bool:
        """MPW has an account to work as."""
        return self.mpw_email is not None and self.mpw_password is not None

    @property
    def mpservices_on(self) -> bool:
        """MPservices has a token to work with."""
        return self.mpservices_token is not None

    @property
    def routes(self) -> dict[str, Route]:
        """Each route's name and mode."""
        return {route: getattr(self, f"sync_route_{route}") for route in ROUTES}

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be shown: for the log's redaction."""
        hidden = [secret.get_secret_value() for secret in (self.mpw_password, self.mpservices_token) if secret]
        url = make_url(self.database_url)
        of_database = [url.password, *(value for name, value in url.query.items() if "password" in name.lower())]
        return (*hidden, *(str(secret) for secret in of_database if secret))


def variable_names() -> tuple[str, ...]:
    """Return every variable in the order of the documentation, each `_FILE` form after its own."""
    found: list[str] = []
    for field in Settings.model_fields:
        found.append(field.upper())
        if field in FILE_FORMS:
            found.append(f"{field.upper()}_FILE")
    return tuple(found)


def load_settings(env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Read the settings from the environment, then from the `.env` file for what the environment does not name.

    An empty value is the default. Raises ConfigError that names every wrong variable, what is wrong and what would be
    right; its message holds no secret.
    """
    problems: list[str] = []
    texts = dict(_given(os.environ if env is None else env, _read_dotenv(dotenv, problems), problems))
    problems += _disagreements(texts)
    settings = _validated(texts, problems)
    if problems or settings is None:
        order = variable_names()
        problems.sort(key=lambda problem: order.index(name) if (name := problem.split(":")[0]) in order else -1)
        raise ConfigError(_message(problems), hint="settings.example.env lists every setting with its meaning")
    return settings


def unknown_variables(
    env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")
) -> list[tuple[str, str | None]]:
    """Return variables that look like settings and are none, each with the one that was probably meant."""
    known = variable_names()
    given = {**_read_dotenv(dotenv, []), **(os.environ if env is None else env)}
    return [
        (name, next(iter(difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.7)), None))
        for name in sorted(given)
        if name.upper().startswith(PREFIXES) and not name.startswith(TESTS_PREFIX) and name not in known
    ]


def _given(env: Mapping[str, str], file: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (field, text) of what was set to something; a variable of the environment, even empty, hides the file's."""
    for field in Settings.model_fields:
        name = field.upper()
        forms = (name, f"{name}_FILE") if field in FILE_FORMS else (name,)
        source = env if any(form in env for form in forms) else file
        text = source.get(name, "")
        # A password may begin or end with a blank; nothing else does.
        text = text if field == "mpw_password" else text.strip()
        path = source.get(forms[-1], "").strip() if len(forms) > 1 else ""
        if text and path:
            problems.append(f"{name}: {name}_FILE is set too, and which one counts is unclear; set only one of them")
        elif path:
            text = _read_secret(f"{name}_FILE", Path(path), problems)
        if text:
            yield field, text


def _read_secret(name: str, path: Path, problems: list[str]) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        problems.append(f"{name}: cannot read {read.quoted(str(path))}: {reason}; name a file that this user can read")
        return ""
    if not text.strip():
        problems.append(f"{name}: the file {read.quoted(str(path))} is empty; put the value into it")
        return ""
    return text


def _read_dotenv(path: Path | None, problems: list[str]) -> dict[str, str]:
    """Return the file's variables, without interpolation: a `$` in a password is a `$`."""
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        problems.append(f"{path}: cannot read it: {reason}; write NAME=value lines, readable for this user")
        return {}
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            problems.append(
                f"{path}: line {binding.original.line} is unreadable; write NAME=value, a # before a comment"
            )
        elif binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def _validated(texts: Mapping[str, str], problems: list[str]) -> Settings | None:
    values: dict[str, Any] = dict(texts)
    try:
        return Settings(**values)
    except ValidationError as error:
        for wrong in error.errors(include_url=False, include_context=True, include_input=False):
            cause = wrong.get("ctx", {}).get("error", wrong["msg"])
            problems.append(f"{str(wrong['loc'][0]).upper()}: {cause}")
        return None


def _disagreements(texts: Mapping[str, str]) -> list[str]:
    """Return what is wrong about settings that are right one by one."""
    problems: list[str] = []
    for one, other in (("mpw_email", "mpw_password"), ("mpw_password", "mpw_email")):
        if one in texts and other not in texts:
            problems.append(
                f"{other.upper()}: it is empty though {one.upper()} is set; set both, or neither: MPW is off"
            )
    if texts.get("sync_allow_plain_http", "").lower() not in read.TRUE:
        problems += [
            f"{name.upper()}: http:// would send the password readable to {parts.hostname}; write https://, "
            "or set SYNC_ALLOW_PLAIN_HTTP=true if that network is yours alone"
            for name in ("mpw_base_url", "mpservices_base_url")
            if (parts := read.split_url(texts.get(name, ""))) is not None
            and parts.scheme == "http"
            and parts.hostname
            and not read.is_loopback(parts.hostname)
        ]
    return problems


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} settings are wrong:", *(f"  {problem}" for problem in problems)])

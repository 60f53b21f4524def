"""What `mpsync doctor` looks at. Nothing here writes, and nothing tries a refused password again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from sync.app import mpservices_of, mpw_of
from sync.cli.start import env_told
from sync.clients.http import Answer
from sync.clients.mpservices.client import MpservicesClient
from sync.clients.mpservices.wire import read_movements
from sync.clients.mpw.client import MpwClient
from sync.clients.mpw.wire import read_issuances
from sync.clock import Clock, SharedClock
from sync.database.diagnosis import trouble_of
from sync.database.engine import Store, shown
from sync.database.facts import heartbeat_age
from sync.database.migrate import LOST, check, missing_of
from sync.database.pauses import pause_reason
from sync.errors import AuthError, RemoteError, SyncError
from sync.jobs.reports import needs_a_person, rows, view, warehouses_not_shown
from sync.learned.rules import FACTS, Fact, facts_named
from sync.settings import Settings, unknown_variables
from sync.values.systems import MPSERVICES, MPW, name_of
from sync.work.clock_rows import known_skews
from sync.work.clock_rules import DATABASE, WRONG, Verdict, judge, told
from sync.work.context import TRY_AGAIN

BOTH_OFF = "systems"
"""The check that fails where neither vendor is switched on."""

FREE_BYTES_MIN = 1 << 30
FRESH_SECONDS = 60.0
Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    check: str
    level: Level
    what: str
    do: str = "nothing"


# --- settings -----------------------------------------------------------------------------


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Look at what was set, and at what looks like a setting and is none."""
    unknown = unknown_variables()
    for name, meant in unknown:
        do = f"rename it to {meant}" if meant else "take it away, or look for its right name in settings.example.env"
        yield Finding("settings", "wrong", f"{name} is not a setting of mpsync: it has no effect", do)
    if not unknown:
        yield Finding("settings", "ok", f"all are readable, and none is unknown ({env_told()})")
    yield from _secrets_file(settings)
    yield from _routes(settings)
    yield _zone(settings)
    yield from _undocumented(settings)
    yield from _pace(settings)
    yield from _address(settings)


def _secrets_file(settings: Settings) -> Iterator[Finding]:
    path = Path(".env")
    if settings.secrets() and path.is_file() and path.stat().st_mode & 0o044:
        yield Finding("settings", "note", ".env may be read by other users, and may hold passwords", "chmod 600 .env")


def _routes(settings: Settings) -> Iterator[Finding]:
    by_mode = {mode: [name for name, is_ in settings.routes.items() if is_ == mode] for mode in ("push", "hold", "off")}
    said = "; ".join(f"{mode}: {', '.join(names)}" for mode, names in by_mode.items() if names)
    if by_mode["push"]:
        yield Finding("routes", "ok", said)
    else:
        do = "look at `mpsync plan`, then set the routes that you agree with to push"
        yield Finding("routes", "note", f"{said}; nothing is written to anyone's system", do)
    if "products" in by_mode["push"] and not settings.mpservices_create_product_path:
        do = "ask MPservices for the path and set MPSERVICES_CREATE_PRODUCT_PATH, or set the route to hold"
        yield Finding("routes", "wrong", "products are to be pushed, and the path to create them is not set", do)


def _zone(settings: Settings) -> Finding:
    key = settings.mpw_timezone.key
    if key == "UTC":
        do = "set MPW_TIMEZONE to the organisation's zone in MPW, such as America/Chicago, unless it really is UTC"
        return Finding("time zone", "note", "MPW_TIMEZONE is UTC: days begin and end at midnight there", do)
    return Finding("time zone", "ok", f"days begin and end at midnight in {key}")


def _undocumented(settings: Settings) -> Iterator[Finding]:
    if not settings.mpservices_on:
        return
    for name, value, lacking in (
        ("MPSERVICES_WORK_ORDERS_PATH", settings.mpservices_work_orders_path, "its work orders are not read"),
        ("MPSERVICES_CREATE_PRODUCT_PATH", settings.mpservices_create_product_path, "no product is created there"),
    ):
        if value:
            yield Finding("undocumented", "ok", f"{name} is set")
        else:
            do = f"ask MPservices for the path and set {name}, or leave it if you do not need it"
            yield Finding("undocumented", "note", f"{name} is empty, as its document names none: {lacking}", do)
    yield Finding(
        "undocumented",
        "note",
        f"a movement's cost is taken for the cost of {'one piece' if settings.mpservices_cost_is == 'unit' else 'all'}:"
        " the document does not say which it is",
        "compare one movement with MPservices' screen; if it is wrong, set MPSERVICES_COST_IS",
    )


def _pace(settings: Settings) -> Iterator[Finding]:
    window = settings.mpservices_window_hours * 3600
    if settings.mpservices_on and settings.sync_poll_movements_seconds * 4 > window:
        do = "lower SYNC_POLL_MOVEMENTS_SECONDS: 300 is usual"
        yield Finding("schedule", "wrong", "movements are read so rarely that one failed read loses some for good", do)


def _address(settings: Settings) -> Iterator[Finding]:
    from sync.web.server import is_loopback

    address = settings.sync_http_address
    if address is not None and not is_loopback(address.host):
        do = "let a firewall or a proxy with a login stand before it, or listen on 127.0.0.1"
        yield Finding("status page", "note", f"{address.host}:{address.port} asks nobody for a password", do)


# --- database -----------------------------------------------------------------------------


def of_database(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Look at the database: is it there, of our schema, with room to grow, and is a daemon at work on it?"""
    url = make_url(settings.database_url)
    address = shown(url)
    try:
        state = check(settings.database_url)
    except SQLAlchemyError as error:
        trouble = trouble_of(error)
        hint = trouble.hint or "correct DATABASE_URL, or start the database"
        yield Finding("database", "wrong", f"{address}: {trouble.what}", hint)
        return
    except SyncError as error:
        yield Finding("database", "wrong", error.message, error.hint or "install a newer mpsync")
        return
    if url.get_backend_name() == "sqlite":
        yield from _disk(Path(url.database or "").absolute())
    if state.lost:
        do = "run `mpsync db upgrade`: it looks which schema the tables have, and writes it down again"
        yield Finding("database", "wrong", f"{LOST}: nothing can start on it", do)
        return
    if state.current is None:
        yield Finding("database", "note", f"{address} holds nothing yet", "`mpsync once` or `mpsync run` prepares it")
        return
    if not state.up_to_date:
        yield Finding(
            "database", "wrong", f"its schema is {state.current}, not {state.head}", "run `mpsync db upgrade`"
        )
        return
    if lacking := missing_of(settings.database_url):
        yield from (Finding("database", "wrong", f"{one} is missing", one.do) for one in lacking)
        return
    yield Finding("database", "ok", f"{address} has schema {state.current}, whole")
    with closing(Store(settings.database_url)) as store:
        yield from _inside(store, settings, clock)
        yield from _learnt(store, settings)


def _disk(path: Path) -> Iterator[Finding]:
    folder = path.parent
    if not folder.is_dir():
        yield Finding("database", "wrong", f"there is no folder {folder}", "make it, or correct DATABASE_URL")
    elif not os.access(path if path.exists() else folder, os.W_OK):
        yield Finding(
            "database", "wrong", f"this user may not write to {path}", "give it to this user, or run as its owner"
        )
    elif (free := shutil.disk_usage(folder).free) < FREE_BYTES_MIN:
        do = "make room: a full disk stops everything"
        yield Finding("database", "wrong", f"only {free >> 20} MiB are free in {folder}", do)


def _inside(store: Store, settings: Settings, clock: Clock) -> Iterator[Finding]:
    shared = store.clock_for(clock)
    if isinstance(shared, SharedClock):
        yield _server(shared.ahead() or timedelta(0))
    with store.read() as conn:
        age = heartbeat_age(conn, shared.now())
        mapped = rows(conn, "select count(*) as n from items")[0]["n"]
        reasons = needs_a_person(conn)
        strange = warehouses_not_shown(conn, settings.mpw_warehouse)
    for one in strange:
        do = (
            "if it is new and nothing was received, issued or ordered there yet, leave it: MPW has no list of "
            "warehouses to ask. Else correct its name"
        )
        yield Finding("warehouses", "note", one, do)
    if age is not None and -FRESH_SECONDS <= age <= FRESH_SECONDS:
        yield Finding("daemon", "ok", f"its heartbeat is {max(age, 0):.0f} s old")
    else:
        said = "none has worked on this database" if age is None else f"its last heartbeat is {age:.0f} s old"
        yield Finding("daemon", "note", said, "start `mpsync run`, unless `mpsync once` runs by a timer")
    if settings.mpservices_on and settings.mpw_on and not mapped and settings.mpw_warehouse is None:
        do = "set MPW_WAREHOUSE where item numbers are the same in both, or `mpsync items import FILE`"
        yield Finding("items", "wrong", "no item is mapped and MPW_WAREHOUSE is empty: nothing can be pushed", do)
    if reasons:
        yield Finding(
            "work",
            "note",
            "1 thing needs a person" if len(reasons) == 1 else f"{len(reasons)} things need a person",
            "`mpsync status` names them",
        )


def _server(ahead: timedelta) -> Finding:
    if abs(ahead) <= WRONG:
        return Finding("clock", "ok", f"the clocks of {DATABASE} and this machine agree")
    do = "set both by NTP (timedatectl set-ntp true); beyond ten minutes nothing is pushed from here"
    return Finding("clock", "wrong", f"this machine's clock is {told(ahead)}, as {DATABASE} shows", do)


def _learnt(store: Store, settings: Settings) -> Iterator[Finding]:
    """Lay what was learnt of the vendors beside what docs/assumptions.md and the settings assume of them."""
    with store.read() as conn:
        known = {(row["system"], row["fact"]): row for row in view(conn, "v_learned", order="system, fact")}
    for key, fact in FACTS.items():
        if key not in known:
            continue
        row = known[key]
        assumed = assumed_of(fact, settings)
        differs = assumed is not None and (assumed == "all" or not fact.same(row["value"], assumed))
        whose = f"{row['set_by']} set it: " if row["set_by"] else ""
        what = (
            f"{fact.system} {fact.name}: {row['value']} ({whose}{row['evidence'][:300]}); "
            f"{'differs from what is assumed' if differs else 'assumed'}: {fact.assumed}"
        )
        system = f" --system {fact.system}" if len(facts_named(fact.name)) > 1 else ""
        setting = f" {fact.setting} may say so, too." if fact.setting is not None and differs else ""
        do = (
            f"nothing if it is so: {row['value']} decides {fact.used}.{setting} If it is not so: `mpsync learned set "
            f"{fact.name} VALUE --why TEXT{system}`"
        )
        yield Finding("learnt", "note" if differs else "ok", what, do)
    if unknown := [f"{fact.system} {fact.name}" for key, fact in FACTS.items() if key not in known]:
        yield Finding("learnt", "ok", f"not known yet, so as docs/assumptions.md assumes: {', '.join(unknown)}")


def assumed_of(fact: Fact, settings: Settings) -> str | None:
    """Return what is assumed as a value: what a setting says, else the fact's own; None: nothing to compare with."""
    of_settings = {
        "window_hours": f"{settings.mpservices_window_hours:g}",
        "cost_is": settings.mpservices_cost_is,
        "fractions_taken": "yes" if settings.mpw_fractional_issuances else "no",
    }
    return of_settings.get(fact.name, fact.assumed_value)


# --- vendors ------------------------------------------------------------------------------


def of_vendors(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Log in to MPW, read once from each vendor, and compare their clocks with ours."""
    ahead: dict[str, timedelta | None] = {}
    if not settings.mpw_on and not settings.mpservices_on:
        do = "start mpsync in the folder of its .env, or set MPW_EMAIL, MPW_PASSWORD and MPSERVICES_TOKEN"
        yield Finding(BOTH_OFF, "wrong", f"both are off: there is nothing to work on ({env_told()})", do)
        return
    if settings.mpw_on:
        yield from _mpw(settings, clock, ahead)
    else:
        yield Finding("MPW", "note", "it is off", "set MPW_EMAIL and MPW_PASSWORD to switch it on")
    if settings.mpservices_on:
        yield from _mpservices(settings, clock, ahead)
    else:
        yield Finding("MPservices", "note", "it is off", "set MPSERVICES_TOKEN to switch it on")
    yield from _clocks(settings, ahead)


def _mpw(settings: Settings, clock: Clock, ahead: dict[str, timedelta | None]) -> Iterator[Finding]:
    client = mpw_of(settings, clock)
    assert client is not None
    today = clock.now().astimezone(settings.mpw_timezone).date()

    def read() -> tuple[Answer, str]:
        client.log_in()
        answer = client.issuances(today)
        parsed = read_issuances(answer.body)
        return answer, f"the login works, and today has {len(parsed.rows)} issuances"

    with closing(client):
        yield from _asked(MPW, client, settings, read, ahead)


def _mpservices(settings: Settings, clock: Clock, ahead: dict[str, timedelta | None]) -> Iterator[Finding]:
    client = mpservices_of(settings, clock)
    assert client is not None

    def read() -> tuple[Answer, str]:
        answer = client.movements()
        parsed = read_movements(answer.body)
        return answer, f"the token works, and the feed shows {len(parsed.rows)} movements"

    with closing(client):
        yield from _asked(MPSERVICES, client, settings, read, ahead)


def _asked(
    system: str,
    client: MpwClient | MpservicesClient,
    settings: Settings,
    read: Callable[[], tuple[Answer, str]],
    ahead: dict[str, timedelta | None],
) -> Iterator[Finding]:
    """Read once from a vendor; `ahead` takes how far its clock is ahead of ours."""
    name = name_of(system)
    variables = "MPW_EMAIL and MPW_PASSWORD" if system == MPW else "MPSERVICES_TOKEN"
    refused = _refused_before(settings, system, client.fingerprint)
    if refused is not None:
        what = f"these credentials were refused before ({refused}); they are not tried again, since that locks accounts"
        yield Finding(name, "wrong", what, f"correct {variables}, then restart the daemon")
        return
    try:
        answer, said = read()
    except AuthError as error:
        yield Finding(name, "wrong", error.message.removeprefix(f"{name} "), f"correct {variables}")
        return
    except RemoteError as error:
        do = f"look at {'MPW' if system == MPW else 'MPSERVICES'}_BASE_URL, the network, and the vendor's own status"
        yield Finding(name, "wrong", error.message, error.hint or do)
        return
    yield Finding(name, "ok", said)
    ahead[system] = client.clock_ahead() if answer.answered_at is not None else None


def _refused_before(settings: Settings, system: str, fingerprint: str) -> str | None:
    if system in TRY_AGAIN:  # no account is locked by asking once more
        return None
    try:
        if not check(settings.database_url).up_to_date:
            return None
        with closing(Store(settings.database_url)) as store, store.read() as conn:
            return pause_reason(conn, system, fingerprint=fingerprint)
    except (SQLAlchemyError, SyncError):
        return None  # of_database has said so


def _clocks(settings: Settings, ahead: Mapping[str, timedelta | None]) -> Iterator[Finding]:
    """Say of each vendor's clock how it is beside ours, and whose is wrong."""
    asked = {system: one for system, one in ahead.items() if one is not None}
    verdict = judge(asked, _known_skews(settings), vendors=[name for name, one in ahead.items() if one is not None])
    for system, one in ahead.items():
        yield _clock(name_of(system), one, verdict, alone=len(asked) == 1)


def _clock(name: str, ahead: timedelta | None, verdict: Verdict, *, alone: bool) -> Finding:
    if ahead is None:
        do = "nothing: its times are then not compared with ours"
        return Finding("clock", "note", f"{name} does not tell its time (no Date header)", do)
    seconds = abs(ahead).total_seconds()
    if seconds <= WRONG.total_seconds() and not verdict.wrong:
        return Finding("clock", "ok", f"the clocks of {name} and this machine agree within {max(seconds, 1):.0f} s")
    what = f"this machine is {seconds:.0f} s {'behind' if ahead > timedelta(0) else 'ahead of'} {name}"
    ntp = "set this machine's clock by NTP (timedatectl set-ntp true)"
    if verdict.wrong:
        return Finding("clock", "wrong", what, ntp)
    if alone:
        do = f"{ntp}; if it is right already, {name}'s is not, and is allowed for"
        return Finding("clock", "wrong", f"{what}, and no other clock tells which of the two is right", do)
    other = f"{name}'s clock is {told(-ahead)}, and others agree with this machine's: it is allowed for"
    return Finding("clock", "note", other, f"nothing, or tell {name}'s makers")


def _known_skews(settings: Settings) -> Mapping[str, timedelta]:
    try:
        if not check(settings.database_url).up_to_date:
            return {}
        with closing(Store(settings.database_url)) as store, store.read() as conn:
            return known_skews(conn)
    except (SQLAlchemyError, SyncError):
        return {}  # of_database has said so

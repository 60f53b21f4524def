"""The pages and the probes: what they say, and that they change nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from sync.app import App
from sync.database import schema
from sync.database.facts import HEARTBEAT_AT
from sync.ledger.books import Books
from sync.values.subjects import Subject
from sync.web.html import element, join
from sync.web.site import Response, Site
from tests.clocks import FakeClock
from tests.views.pinned import pin
from tests.views.story import NOON, tell
from tests.web.conftest import opened
from tests.web.picture import NASTY, NOW, paint

HOST = "127.0.0.1:9090"


def site(app: App, *, alive: Callable[[], bool] = lambda: True, loopback: bool = True) -> Site:
    return Site(app, alive=alive, loopback=loopback)


def got(app: App, target: str, **how: Any) -> Response:
    return site(app, **how).answer("GET", target, HOST)


def said(response: Response) -> str:
    """Return a page's text without its markup and style."""
    page = re.sub(r"<style>.*?</style>", "", response.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_an_empty_database_says_what_is_missing_and_nothing_fails(app: App) -> None:
    answer = got(app, "/")

    assert answer.status == 200
    assert "no daemon has ever worked here: start `mpsync run`" in said(answer)
    assert "Nothing waits to be pushed." in said(answer)


def test_a_good_day_is_green(app: App, clock: FakeClock) -> None:
    with app.store.write() as conn:
        paint(conn, clock.now(), trouble=False)
    pin(app.store, clock.now())

    page = said(got(app, "/"))

    assert "All is well" in page
    assert "159 days complete last read well 2 min ago" in page
    assert "Finished: 40 done · 0 superseded · 0 discarded" in page


def test_a_bad_night_names_every_trouble_with_what_to_do(app: App, clock: FakeClock) -> None:
    clock.current = NOW
    with app.store.write() as conn:
        paint(conn, NOW)
    pin(app.store, NOW)

    page = said(got(app, "/"))

    for told in (
        "7 things to look at",
        "push_dead: 45 Receipt mps-9f31-1 of P-1: Part number was not found It is not sent any more",
        "Do: see `mpsync outbox show ID`",
        "try it again: mpsync outbox retry 45",
        "Receipt erp-4720 of P-1 is held for review",
        "45 post_receipt mps-9f31-1 dead Part number was not found",
        "157 days complete, 2 failing 2024-02-11, 2024-03-12: mpw answered 503: Service Unavailable",
        "1 mpservices.movements 2024-03-13 12:00:00Z 2024-03-15 12:00:00Z",
        "EXT-2 EXT-2 5 2 3 – a push died",
        "push 2024-03-15 12:00:00Z failed",
    ):
        assert told in page, told


def test_an_exception_of_a_push_leads_to_its_events_story(sqlite_app: App) -> None:
    with sqlite_app.store.write() as conn:
        paint(conn, NOW)

    assert 'event <a href="/event?key=mps-9f31-1">mps-9f31-1</a>' in got(sqlite_app, "/").body.decode()


def test_an_exception_of_an_order_does_not_lead_to_the_push_of_its_number(sqlite_app: App) -> None:
    with sqlite_app.store.write() as conn:
        tell(conn)
        [push] = conn.execute(select(schema.outbox.c.id).where(schema.outbox.c.api_key == "mps-abc-1")).scalars()
        Books(conn, now=NOW).open_exception("order_changed", about=Subject.order(str(push)), detail="d", hint="h")

    page = got(sqlite_app, "/").body.decode()

    assert f"order_changed: {push}" in page
    assert "event?key=mps-abc-1" not in page
    story = said(got(sqlite_app, "/event?key=mps-abc-1"))
    assert "order_changed" not in story


def test_an_events_story_is_told_by_its_key(app: App) -> None:
    with app.store.write() as conn:
        tell(conn)

    answer = got(app, "/event?key=mps-abc-1")

    page = said(answer)
    assert answer.status == 200
    for told in ("receipt mps-abc-1", "in MPW 4 in MPservices 4", "state matched", "Push 1: post_receipt, done"):
        assert told in page
    assert "mps-def-1" not in page


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/event?key=nobody-knows", 404),
        ("/event?key=%3Cscript%3Ealert(1)%3C/script%3E", 404),
        ("/event?key=", 400),
        ("/event", 400),
        (f"/event?key={'k' * 201}", 400),
        ("/event?key=%00%ff", 400),
        ("/nowhere", 404),
        ("/../etc/passwd", 404),
        ("//[", 404),
        ("/metrics/", 404),
    ],
)
def test_what_is_not_there_is_answered_politely(app: App, target: str, status: int) -> None:
    answer = got(app, target)

    assert answer.status == status
    assert b"<script" not in answer.body
    assert b"Traceback" not in answer.body


def test_whatever_a_vendor_sent_is_text(sqlite_app: App) -> None:
    with sqlite_app.store.write() as conn:
        paint(conn, NOW)
        for table, column in (
            ("outbox", "last_error"),
            ("exceptions", "hint"),
            ("coverage", "error"),
            ("runs", "error"),
        ):
            conn.execute(text(f"update {table} set {column} = :nasty"), {"nasty": NASTY + '" onload="x'})

    for target in ("/", "/event?key=mps-abc-1"):
        page = got(sqlite_app, target).body.decode()
        assert "<script" not in page
        assert '" onload' not in page
        assert "&lt;script&gt;" in page


def test_markup_is_escaped_unless_it_was_made_here() -> None:
    assert join(["<b>", element("i", "a & b", title='"x"')]) == '&lt;b&gt;<i title="&quot;x&quot;">a &amp; b</i>'
    assert element("p", "\x1b[31mred", None, class_=None) == "<p>\N{REPLACEMENT CHARACTER}[31mred</p>"


def test_no_page_needs_a_script_a_file_or_another_host(sqlite_app: App) -> None:
    with sqlite_app.store.write() as conn:
        paint(conn, NOW)

    page = got(sqlite_app, "/").body.decode()

    assert "http://" not in page
    assert "https://" not in page
    assert "style=" not in page
    assert re.search(r"\bon\w+=", page) is None


def test_the_status_page_refreshes_itself_and_a_story_does_not(sqlite_app: App) -> None:
    assert b'http-equiv="refresh" content="60"' in got(sqlite_app, "/").body
    assert b"http-equiv" not in got(sqlite_app, "/event?key=x").body


def test_no_secret_is_on_any_page(app: App) -> None:
    for target in ("/", "/event?key=x", "/metrics", "/healthz", "/readyz"):
        assert b"secret-of" not in got(app, target).body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed_here(app: App, method: str) -> None:
    answer = site(app).answer(method, "/", HOST)

    assert (answer.status, answer.headers) == (405, {"Allow": "GET, HEAD"})


def test_no_page_writes_to_the_database(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with app.store.write() as conn:
        tell(conn)
    monkeypatch.setattr(app.store, "write", lambda: pytest.fail("a page wrote"))

    for target in ("/", "/event?key=mps-abc-1", "/metrics", "/healthz", "/readyz"):
        assert got(app, target).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "", None, "[", "localhost.evil.example"])
def test_on_loopback_a_name_from_elsewhere_is_turned_away(sqlite_app: App, host: str | None) -> None:
    assert site(sqlite_app).answer("GET", "/", host).status == 421
    assert site(sqlite_app, loopback=False).answer("GET", "/", host).status == 200


@pytest.mark.parametrize("host", ["localhost:9090", "127.0.0.1", "[::1]:9090"])
def test_on_loopback_its_own_names_are_served(sqlite_app: App, host: str) -> None:
    assert site(sqlite_app).answer("GET", "/", host).status == 200


def away() -> Any:
    raise OperationalError("select 1", {}, Exception("password=secret-of-postgres"))


def test_without_a_database_it_is_alive_but_not_ready(sqlite_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_app.store, "read", away)

    answers = {target: got(sqlite_app, target) for target in ("/healthz", "/readyz", "/", "/event?key=x", "/metrics")}

    assert {target: answer.status for target, answer in answers.items()} == {
        "/healthz": 200,
        "/readyz": 503,
        "/": 503,
        "/event?key=x": 503,
        "/metrics": 200,
    }
    assert not any(b"secret" in answer.body for answer in answers.values())


def test_a_daemon_whose_work_hangs_is_not_alive(sqlite_app: App) -> None:
    answer = got(sqlite_app, "/healthz", alive=lambda: False)

    assert answer.status == 503
    assert json.loads(answer.body)["status"] == "hung"


def test_it_is_ready_with_its_own_schema_and_not_with_another(sqlite_app: App) -> None:
    assert got(sqlite_app, "/readyz").status == 200

    for other in ("0001", "9999"):
        with sqlite_app.store.write() as conn:
            conn.execute(text("update alembic_version set version_num = :other"), {"other": other})
        answer = got(sqlite_app, "/readyz")
        assert answer.status == 503
        assert other in json.loads(answer.body)["status"]


def test_a_page_that_fails_is_an_answer_and_no_end(sqlite_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_app: App) -> bytes:
        raise RuntimeError("our bug, with secret-of-mpw")

    monkeypatch.setattr("sync.web.site.status_page", broken)

    answer = got(sqlite_app, "/")

    assert answer.status == 500
    assert b"secret" not in answer.body


def test_an_old_heartbeat_is_said_first(sqlite_url: str, clock: FakeClock) -> None:
    with opened(sqlite_url, clock) as app:
        with app.store.write() as conn:
            Books(conn, now=NOON).note_fact(HEARTBEAT_AT, NOON.isoformat())
        pin(app.store, NOON)
        assert "no daemon is at work" not in said(got(app, "/"))
        clock.advance(minutes=5)
        pin(app.store, clock.now())

        page = said(got(app, "/"))

    assert "daemon's heartbeat: 5 min ago" in page
    assert "no daemon is at work" in page
    assert page.startswith("mpsync: needs a person")

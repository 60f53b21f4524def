"""The pages in a real browser: readable on a phone and in the dark, without a script, without a complaint.

With SYNC_TEST_SCREENSHOTS=1 the pictures of docs/screenshots/ are taken anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.app import App
from sync.web.server import served
from tests.clocks import FakeClock
from tests.web.browser import Browser
from tests.web.conftest import opened
from tests.web.picture import NOW, paint

PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
IN_THE_DOCS = {"status-desk-light", "status-phone-dark", "event-phone-light"}
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1200, "height": 900}


@pytest.fixture
def painted(sqlite_url: str) -> Iterator[App]:
    with opened(sqlite_url, FakeClock(NOW), SYNC_HTTP_ADDRESS="127.0.0.1:0") as app:
        with app.store.write() as conn:
            paint(conn, NOW)
        yield app


@pytest.fixture
def at(painted: App) -> Iterator[str]:
    with served(painted, alive=lambda: True) as address:
        assert address is not None
        yield f"http://{address[0]}:{address[1]}"


def keep(browser: Browser, name: str, tmp_path: Path) -> None:
    folder = PICTURES if os.environ.get("SYNC_TEST_SCREENSHOTS") and name in IN_THE_DOCS else tmp_path
    browser.picture(folder / f"{name}.png")
    assert (folder / f"{name}.png").stat().st_size > 10_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
def test_the_status_page_fits_its_screen_and_the_browser_has_no_complaint(
    browser: Browser, at: str, screen: dict[str, int], dark: bool, tmp_path: Path
) -> None:
    browser.open(f"{at}/", **screen, dark=dark)

    assert browser.run("return document.documentElement.scrollWidth") <= screen["width"]
    assert browser.run("return document.scripts.length") == 0
    assert browser.complaints() == []
    keep(browser, f"status-{'phone' if screen is PHONE else 'desk'}-{'dark' if dark else 'light'}", tmp_path)


def test_an_events_story_fits_a_phone(browser: Browser, at: str, tmp_path: Path) -> None:
    browser.open(f"{at}/event?key=mps-abc-1", **PHONE)

    assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert browser.complaints() == []
    keep(browser, "event-phone-light", tmp_path)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, at: str, dark: bool) -> None:
    browser.open(f"{at}/", **DESK, dark=dark)
    pairs = browser.run(
        """
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
          if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
        return [...document.querySelectorAll('main *, header *')]
          .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.tagName !== 'STYLE')
          .map(e => [getComputedStyle(e).color, ground(e), e.textContent.trim().slice(0, 30)]);
        """
    )

    weak = []
    for ink, ground, said in pairs:
        light, less = sorted((luminance(ink), luminance(ground)), reverse=True)
        if (light + 0.05) / (less + 0.05) < 4.5:
            weak.append((said, ink, ground))
    assert len(pairs) > 100
    assert weak == []


def test_what_a_vendor_sent_is_shown_as_text(browser: Browser, at: str) -> None:
    browser.open(f"{at}/", **DESK)

    assert "<script>alert('x')</script>" in browser.run("return document.body.innerText")


def test_the_page_loads_itself_again(browser: Browser, painted: App, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.web.page.REFRESH_SECONDS", 1)
    browser.open(f"{at}/", **DESK)
    browser.run("window.before = true")

    deadline = time.monotonic() + 20
    while browser.run("return window.before === true") and time.monotonic() < deadline:
        time.sleep(0.2)

    assert browser.run("return window.before === undefined")
    assert browser.run("return document.title") == "mpsync: needs a person"


def test_an_event_is_found_by_typing_its_key(browser: Browser, at: str) -> None:
    browser.open(f"{at}/", **PHONE)
    browser.run("document.querySelector('input').value = 'mps-abc-1'; document.querySelector('form').submit()")

    deadline = time.monotonic() + 20
    while "/event" not in browser.run("return location.pathname") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert browser.run("return location.search") == "?key=mps-abc-1"
    assert "receipt mps-abc-1" in browser.run("return document.body.innerText")

"""The frame of every page, and what all of them say the same way."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from sync.web.html import Html, element, join
from sync.web.style import STYLE

REFRESH_SECONDS = 60
"""How often the status page loads itself again: as fresh as the polls are, and no burden."""


def page(title: str, content: Iterable[object], *, refresh: bool, key: str = "") -> bytes:
    """Return a whole page. It needs no script; with `refresh` the browser loads it again by itself."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="refresh", content=REFRESH_SECONDS) if refresh else None,
        element("title", title),
        element("link", rel="icon", href="data:,"),
        Html(f"<style>{STYLE}</style>"),
    )
    body = element("body", _header(key), element("main", content))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n".encode()


def section(title: str, *content: object) -> Html:
    """Return a part of a page below its heading, which can be linked to."""
    name = title.lower().replace(" ", "-")
    return element("section", element("h2", title, id=name), content, aria_labelledby=name)


def key_link(api_key: object) -> Html:
    """Return a link to an event's story."""
    return element("a", api_key, href=f"/event?key={quote(str(api_key), safe='')}")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return names and values below each other."""
    return element("dl", [[element("dt", name), element("dd", value)] for name, value in pairs])


def plain_page(title: str, message: str) -> bytes:
    """Return a page that says one thing."""
    return page(title, [join([element("h2", title), element("p", message)])], refresh=False)


def _header(key: str) -> Html:
    search = element(
        "form",
        element(
            "input",
            name="key",
            value=key,
            placeholder="api_key of an event",
            aria_label="api_key of an event",
            required=True,
        ),
        element("button", "Tell its story"),
        action="/event",
        method="get",
        role="search",
    )
    return element("header", element("h1", element("a", "mpsync", href="/")), search)

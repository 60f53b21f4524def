"""What is answered to which path. Reads only: there is no path that changes anything."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from sync.app import App
from sync.clients.http import RequestSeen
from sync.database.migrate import LOST, state_of
from sync.errors import SchemaOutdatedError
from sync.web.event import event_page
from sync.web.metrics import CONTENT_TYPE, Metrics
from sync.web.page import plain_page
from sync.web.status import status_page
from sync.web.style import STYLE_HASH

log = structlog.get_logger()

HTML = "text/html; charset=utf-8"
KEY_MAX = 200
"""The longest key. Anything longer is not one of ours."""

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""No script at all, one style sheet known by its hash, nothing from elsewhere, nothing kept."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    body: bytes
    content_type: str = HTML
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Answers requests, from any thread. `alive` tells whether this process's work goes on; it must not block."""

    def __init__(self, app: App, *, alive: Callable[[], bool], loopback: bool) -> None:
        self._app = app
        self._alive = alive
        self._loopback = loopback
        self._metrics = Metrics(app)
        self._paths: dict[str, Callable[[dict[str, list[str]]], Response]] = {
            "/": self._status,
            "/event": self._event,
            "/metrics": self._figures,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    def observe(self, seen: RequestSeen) -> None:
        """Count a request to a vendor."""
        self._metrics.observe(seen)

    def answer(self, method: str, target: str, host: str | None) -> Response:
        """Answer a request; nothing leaves as an exception."""
        if method not in ("GET", "HEAD"):
            return Response(405, plain_page("Only GET", "Nothing can be changed here."), headers={"Allow": "GET, HEAD"})
        if self._loopback and not _names_this_machine(host):
            return Response(
                421,
                plain_page("Another host", "Open this page as http://localhost, with its port."),
            )
        path, _, query = target.partition("?")
        answer = self._paths.get(path)
        if answer is None:
            return Response(404, plain_page("Not here", "There is no such page."))
        try:
            asked = parse_qs(query, max_num_fields=10)
        except ValueError:
            return Response(400, plain_page("Too many questions", "An address names one event and nothing else."))
        try:
            return answer(asked)
        except SQLAlchemyError as error:
            log.warning("web.database_away", path=path, error=type(error).__name__)
            return Response(503, plain_page("The database does not answer", "Look at it, and at the daemon's log."))
        except Exception:  # the top of a request: a page that fails must not take the daemon along
            log.exception("web.failed", path=path)
            return Response(500, plain_page("This page failed", "The daemon goes on; its log says why."))

    def _status(self, _query: dict[str, list[str]]) -> Response:
        return Response(200, status_page(self._app))

    def _event(self, query: dict[str, list[str]]) -> Response:
        key = query.get("key", [""])[0].strip()
        if not key or len(key) > KEY_MAX or not key.isprintable():
            return Response(400, plain_page("Which event?", "Give its api_key, as the views show it."))
        body, known = event_page(self._app, key)
        return Response(200 if known else 404, body)

    def _figures(self, _query: dict[str, list[str]]) -> Response:
        return Response(200, self._metrics.text(), CONTENT_TYPE)

    def _healthz(self, _query: dict[str, list[str]]) -> Response:
        """Alive while the work goes on, with the database or without: a restart does not bring that back."""
        if self._alive():
            return _json(200, {"status": "ok"})
        return _json(503, {"status": "hung", "hint": "restart it; what was under way is verified, not sent again"})

    def _readyz(self, _query: dict[str, list[str]]) -> Response:
        try:
            with self._app.store.read() as conn:
                schema = state_of(conn)
        except SQLAlchemyError:
            return _json(503, {"status": "the database does not answer"})
        except SchemaOutdatedError as error:
            return _json(503, {"status": error.message})
        if schema.lost:
            return _json(503, {"status": LOST, "hint": "run `mpsync db upgrade`"})
        if not schema.up_to_date:
            return _json(503, {"status": f"the schema is {schema.current}, this program wants {schema.head}"})
        return _json(200, {"status": "ready"})


def _json(status: int, data: dict[str, str]) -> Response:
    return Response(status, json.dumps(data).encode(), "application/json")


def _names_this_machine(host: str | None) -> bool:
    """Tell whether a Host header is an address or localhost: a page elsewhere that resolves to us is turned away."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False

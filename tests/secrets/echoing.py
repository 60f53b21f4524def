"""A vendor that gives back whatever it was sent, in every way that a page or an error message may hold it."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus, urlsplit

WAYS = ["html_500", "html_200", "html_escaped", "json_400", "json_200", "refused_401", "redirect", "cut", "refused_407"]

ACCESS_TOKEN = "acc-canary-opaque-77d1"
"""What MPW's login answers: no JSON Web Token, so that nothing but our own knowledge of it hides it."""


@dataclass
class Echoing:
    """How it answers: `way` of WAYS to what is in `to` (login, read, write), as it should to the rest."""

    way: str
    to: str
    served: int = 0
    echoed: int = 0
    followed: list[str] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    state: Echoing

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        self.state.served += 1
        if path.startswith("/elsewhere"):
            self.state.followed.append(f"{self.headers}{sent}")
        login = path.endswith("/authentication")
        what = "login" if login else "read" if self.command == "GET" else "write"
        if what == self.state.to:
            self.state.echoed += 1
            read = unquote_plus(sent) if "urlencoded" in self.headers.get("Content-Type", "") else ""
            self._echo(f"{self.command} {self.path}\n{self.headers}\n{sent}\n{read}")
        elif login:
            self._answer(200, json.dumps({"access_token": ACCESS_TOKEN}))
        else:
            self._answer(200, json.dumps(_read(path)))

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server asks for

    def _echo(self, text: str) -> None:
        match self.state.way:
            case "html_500":
                self._answer(500, f"<html><pre>{text}</pre></html>", "text/html")
            case "html_200":
                self._answer(200, f"<html><pre>{text}</pre></html>", "text/html")
            case "html_escaped":
                self._answer(502, f"<html><pre>{html.escape(text)}</pre></html>", "text/html")
            case "json_400":
                self._answer(400, json.dumps({"message": f"not understood: {text}"}))
            case "json_200":
                self._answer(200, json.dumps({"message": text, "errors": [text]}))
            case "refused_401":
                self._answer(401, json.dumps({"message": f"Unauthorized: {text}"}))
            case "refused_407":
                self._answer(407, text, "text/plain")
            case "redirect":
                self._answer(302, text, location=f"{self.state.url}/elsewhere?{text.split()[-1]}")
            case "cut":
                self._answer(200, f'{{"message": {json.dumps(text)}}}', length=1_000_000)

    def _answer(
        self, status: int, body: str, kind: str = "application/json", *, location: str = "", length: int | None = None
    ) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True


def _read(path: str) -> object:
    if path.endswith("/inventories"):
        return [{"id": 1, "part_number": "P-1", "warehouse_name": "Main", "quantity": 5, "unit_cost": 1}]
    if "ovement" in path:
        moved_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"cost": "2", "quantity": 3, "item": "Bolt", "unit": "Pieces", "item_id": "1", "item_external_id": "P-1"}
        return [{"id": "m-1", "reference": "Folio-1", "type": "Inbound", "createdAt": moved_at, "movements": [line]}]
    return []


@contextmanager
def echoing(way: str, to: str) -> Iterator[Echoing]:
    """Serve on loopback while the block runs."""
    state = Echoing(way, to)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

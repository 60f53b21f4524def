"""MPW's lists of receipts and issuances from memory, in a process of their own: a server that costs next to nothing.

    python -m bench.vendor --rows 500 --first 2023-01-01 --days 365 --latency-ms 0

Bodies are made before the first request and sent as they are, so that what is measured is the reader. Days beyond
`--days` are made when they are asked for (two replacements in a template): ten years need no memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FIRST = date(2023, 1, 1)
VARIANTS = 32
"""So many different days; each is filed under its own date and ids."""

PARTS = 2000
_AUTHENTICATION = b'{"access_token":"bench-token"}'


@dataclass(frozen=True, slots=True)
class Vendor:
    """A running server: its base URL, and the settings that point mpsync at it."""

    url: str
    pid: int

    def settings(self, database_url: str, **more: str) -> dict[str, str]:
        """Return settings for `load_settings`: no pace, 8 requests at once, only MPW on."""
        return {
            "DATABASE_URL": database_url,
            "MPW_BASE_URL": self.url,
            "MPW_EMAIL": "bench@example.com",
            "MPW_PASSWORD": "bench",
            "MPW_MAX_REQUESTS_PER_SECOND": "0",
            "MPW_CONCURRENCY": "8",
            "SYNC_START_DATE": FIRST.isoformat(),
        } | more


@contextmanager
def vendor(*, rows: int = 500, days: int = 365, latency_ms: float = 0) -> Iterator[Vendor]:
    """Run the server in its own process while the block runs."""
    command = [sys.executable, "-m", "bench.vendor", "--rows", str(rows), "--days", str(days)]
    command += ["--latency-ms", str(latency_ms)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Vendor(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(10)


def day_bodies(rows: int, first: date, days: int) -> Iterator[tuple[date, bytes]]:
    """Yield the body of each day."""
    templates = _templates(rows)
    for n in range(days):
        day = first + timedelta(days=n)
        yield day, filled(templates, day)


def filled(templates: list[bytes], day: date) -> bytes:
    """Return a day's body: the ids begin with the day's number, so that no two days share one."""
    template = templates[day.toordinal() % len(templates)]
    return template.replace(b"@DAY@", day.isoformat().encode()).replace(b"@ID@", str(day.toordinal()).encode())


def _templates(rows: int) -> list[bytes]:
    chance = random.Random(5)
    prices = [f"{chance.uniform(0.2, 900):.2f}" for _ in range(PARTS)]
    return [_template(rows, prices, chance) for _ in range(VARIANTS)]


def _template(rows: int, prices: list[str], chance: random.Random) -> bytes:
    width = len(str(rows))
    lines = []
    for n in range(rows):
        part = chance.randrange(PARTS)
        quantity = float(chance.choice((1, 1, 2, 4, 5, 10, 12, 24, 0.5, 2.25)))
        order = chance.randrange(1000, 9000)
        vendor_number = chance.randrange(100)
        fields = {
            "id": "@ID@",
            "part_number": f"{50000 + part}",
            "inventory_name": f"Part name {part}",
            "created_on": "@DAY@",
            "invoice_number": None if n % 3 else f"INV-{order}",
            "quantity_received": quantity,
            "quantity_remaining": quantity if n % 2 else 0.0,
            "unit_cost": "@COST@",
            "description": f"Delivered to bay {n % 12}",
            "vendor_name": f"Vendor {vendor_number} Ltd",
            "vendor_number": f"V{vendor_number:04}",
            "api_key": None,
            "purchase_order_number": order,
            "purchase_order_prefix_number": str(order),
            "warehouse_name": f"Warehouse #{part % 3 + 1}",
        }
        text = json.dumps(fields, separators=(",", ":"))
        lines.append(text.replace('"@ID@"', f"@ID@{n:0{width}}").replace('"@COST@"', prices[part]))
    return ("[" + ",".join(lines) + "]").encode()


class _Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other, which is how httpx sends them."""

    bodies: dict[str, bytes]
    templates: list[bytes]
    latency: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode("latin-1")
            length = next((int(x[15:]) for x in head.lower().split("\r\n") if x.startswith("content-length:")), 0)
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._answer(head.split(" ", 2)[1])

    def _answer(self, target: str) -> None:
        parts = urlsplit(target)
        body = _AUTHENTICATION if parts.path == "/authentication" else self._body(parts.path, parts.query)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        if self.latency and parts.path != "/authentication":
            asyncio.get_running_loop().call_later(self.latency, self._send, head, body)
        else:
            self._send(head, body)

    def _send(self, head: bytes, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.writelines((head, body))

    def _body(self, path: str, query: str) -> bytes:
        day = parse_qs(query).get("date", [""])[0]
        if path != "/receipts" or not day:
            return b"[]"
        return self.bodies.get(day) or filled(self.templates, date.fromisoformat(day))


async def _serve(rows: int, first: date, days: int, latency: float) -> None:
    _Connection.templates = _templates(rows)
    _Connection.bodies = {day.isoformat(): body for day, body in day_bodies(rows, first, days)}
    _Connection.latency = latency
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--latency-ms", type=float, default=0)
    given = parser.parse_args()
    asyncio.run(_serve(given.rows, given.first, given.days, given.latency_ms / 1000))


if __name__ == "__main__":
    main()

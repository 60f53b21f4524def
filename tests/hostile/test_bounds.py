"""An answer without end, or a thousand times larger than it looks, ends with an error and not with memory gone.

Each request is made by a process of its own, which tells the most memory that it took.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sync.clients.http import VALUES_MAX
from sync.clients.inflate import Inflater, UndecodableError
from tests.clients.loopback import Script, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MEGABYTE = 1024 * 1024
LIMIT = 8 * MEGABYTE
GROWTH_MAX = 4 * LIMIT + 24 * MEGABYTE
"""The body, the piece of it that is being opened, a copy of each, and what the libraries take at first use."""


def forever(start: bytes, piece: bytes) -> Script:
    """Send a beginning and then the same piece until the client goes away."""

    def script(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(start)
        while not stop.is_set():
            connection.sendall(piece)

    return script


def once(answer: bytes) -> Script:
    """Send an answer and close."""
    return lambda connection, stop: connection.sendall(answer)


def chunked(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


@cache
def bomb() -> bytes:
    """Return gzip of 200 MB of one sign, made without having them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([*(squeeze.compress(b"0" * MEGABYTE) for _ in range(200)), squeeze.flush()])


GZIP = HEAD + b"Content-Encoding: gzip\r\n"
ENDLESS: dict[str, Callable[[], Script]] = {
    "a body without end": lambda: forever(HEAD + b"Connection: close\r\n\r\n", b"x" * 65536),
    "1 GB that it announces": lambda: forever(HEAD + b"Content-Length: 1073741824\r\n\r\n", b"[" * 65536),
    "1 GB in chunks": lambda: forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunked(b"[" * 65536)),
    "chunks of two bytes": lambda: forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunked(b"[[") * 4096),
    "200 MB in 200 kB": lambda: once(GZIP + b"Content-Length: %d\r\n\r\n" % len(bomb()) + bomb()),
    "compressed twice": lambda: once(
        HEAD + b"Content-Encoding: gzip, gzip\r\nConnection: close\r\n\r\n" + gzip.compress(bomb())
    ),
    "more and more after its compressed end": lambda: forever(
        GZIP + b"Connection: close\r\n\r\n" + gzip.compress(b"[]"), b"x" * 65536
    ),
    "millions of values in 6 MB": lambda: once(
        HEAD + b"Content-Length: 6000003\r\n\r\n" + b"[0" + b",0" * 3_000_000 + b"]"
    ),
    "a header without end": lambda: forever(HEAD + b"X-Long: ", b"x" * 65536),
    "headers without end": lambda: forever(HEAD, b"X-One: more\r\n" * 4096),
    "answers before the answer": lambda: forever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 512),
    "an error without end": lambda: forever(
        b"HTTP/1.1 500 Oops\r\nContent-Length: 1073741824\r\n\r\n", b'{"message":"' + b"x" * 65536
    ),
    "a redirect to itself": lambda: once(b"HTTP/1.1 302 Found\r\nLocation: /receipts\r\nContent-Length: 0\r\n\r\n"),
}


def ended(script: Script, *, write: bool, timeout: float = 2.0) -> dict[str, Any]:
    """Make the request in a process of its own and return what it reports."""
    with serving(script) as url:
        command = [sys.executable, "-m", "tests.hostile.one_request", url, str(timeout), str(LIMIT)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        run = subprocess.run(
            [*command, "write" if write else "read"], capture_output=True, text=True, timeout=120, env=environment
        )
    assert run.returncode == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    return report


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end_ends_with_an_error_and_little_memory(name: str) -> None:
    report = ended(ENDLESS[name](), write=True)

    assert report["ending"] == "OutcomeUnknownError", "it may have taken effect"
    assert report["grown"] < GROWTH_MAX


@pytest.mark.parametrize(
    "name", ["1 GB in chunks", "200 MB in 200 kB", "millions of values in 6 MB", "headers without end"]
)
def test_a_read_without_end_is_no_answer_either(name: str) -> None:
    report = ended(ENDLESS[name](), write=False)

    assert report["ending"] in ("MalformedResponseError", "RetryableError")
    assert report["grown"] < GROWTH_MAX


def test_a_large_answer_of_ordinary_values_is_read() -> None:
    body = b"[" + b",".join(b'"%d"' % n for n in range(600_000)) + b"]"

    report = ended(once(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body), write=False)

    assert (report["ending"], report["message"]) == ("answer", str(len(body)))
    assert len(body) > 2 * VALUES_MAX, "so that they were counted"


def test_a_compressed_answer_of_ordinary_size_is_read() -> None:
    body = gzip.compress(b"[" + b" " * 100_000 + b"]")

    report = ended(once(GZIP + b"Content-Length: %d\r\n\r\n" % len(body) + body), write=False)

    assert (report["ending"], report["message"]) == ("answer", "100002")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(b"[" + b" " * 100_000 + b"]")[:-20]),
        (b"gzip", b"[]"),
        (b"br", b"[]"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"[]"))),
    ],
    ids=["cut off", "not packed", "brotli", "twice"],  # not the bytes: gzip writes the time into them
)
def test_a_compressed_answer_that_is_not_what_it_says_is_not_whole(encoding: bytes, body: bytes) -> None:
    head = HEAD + b"Content-Encoding: " + encoding + b"\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert ended(once(head + body), write=False)["ending"] == "RetryableError"
    assert ended(once(head + body), write=True)["ending"] == "OutcomeUnknownError"


def test_what_follows_a_compressed_end_is_passed_over_for_a_while_and_never_kept() -> None:
    inflater = Inflater("gzip")

    assert inflater.feed(gzip.compress(b"[]"), 100) == b"[]"
    assert [inflater.feed(b"x" * 1024, 100) for _ in range(64)] == [b""] * 64
    inflater.end()
    with pytest.raises(UndecodableError, match="goes on after the end"):
        inflater.feed(b"x", 100)


def test_a_piece_is_opened_no_further_than_asked() -> None:
    inflater = Inflater("gzip")

    assert len(inflater.feed(bomb(), 1000)) == 1000
    with pytest.raises(UndecodableError):
        inflater.end()


@pytest.mark.parametrize("name", ["deflate", "x-gzip", " GZIP "])
def test_what_servers_send_unasked_is_opened_all_the_same(name: str) -> None:
    body = zlib.compress(b"[]") if name == "deflate" else gzip.compress(b"[]")
    inflater = Inflater(name)

    assert inflater.feed(body, 100) == b"[]"
    inflater.end()

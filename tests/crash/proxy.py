"""A TCP proxy between mpsync and PostgreSQL that cuts connections at chosen messages, COMMIT's answer among them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 65536
STARTUP = 196608
"""The protocol version in a StartupMessage, the last message without a type (PostgreSQL: Message Formats)."""

PASS, CUT, COMMIT_LOST_BEFORE, COMMIT_ANSWER_LOST = "pass", "cut", "commit lost", "commit's answer lost"
"""What may become of a message: passed on; the session cut before it; before a COMMIT; after a COMMIT took effect and
before its answer."""


class Messages:
    """Frames what a client sends: (type, content) of every whole message, the bytes themselves untouched."""

    def __init__(self) -> None:
        self._held = b""
        self._started = False

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Take in bytes; return the messages that are whole now, with b"" as type until the session has started."""
        self._held += data
        found = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        head = 1 if self._started else 0
        if len(self._held) < head + 4:
            return None
        (length,) = struct.unpack("!I", self._held[head : head + 4])
        if len(self._held) < head + length:
            return None
        kind, content = self._held[:head], self._held[head + 4 : head + length]
        self._held = self._held[head + length :]
        if not self._started and content[:4] == struct.pack("!I", STARTUP):
            self._started = True
        return kind, content


def is_commit(kind: bytes, content: bytes) -> bool:
    """Tell whether a message is the driver's COMMIT."""
    return kind == b"Q" and content.rstrip(b"\0").upper() == b"COMMIT"


class Proxy:
    """Listens on loopback and passes on to a server's socket.

    `decide` is asked about every message of every session, with True for a COMMIT, from several threads;
    `cuts` counts what was done.
    """

    def __init__(self, server: Path, decide: Callable[[bool], str] = lambda _commit: PASS) -> None:
        self._server = server
        self.decide = decide
        self.cuts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def cut_all(self) -> None:
        """Cut every session."""
        with self._lock:
            sessions = list(self._open)
        for one in sessions:
            _shut(one)

    def close(self) -> None:
        """Listen no more, and cut what is left."""
        _shut(self._listener)
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="proxy-session", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with client, server:
            try:
                server.connect(str(self._server))
            except OSError:
                return  # the server is away: the client sees its connection closed
            with self._lock:
                self._open |= {client, server}
            mute = threading.Event()
            back = threading.Thread(target=_answers, args=(server, client, mute), name="proxy-answers", daemon=True)
            back.start()
            try:
                self._requests(client, server, mute)
            except OSError:
                pass  # one of the two went away
            finally:
                with self._lock:
                    self._open -= {client, server}
                _shut(client)
                _shut(server)
                back.join()

    def _requests(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        messages = Messages()
        while data := client.recv(CHUNK):
            fate = PASS
            for kind, content in messages.feed(data):
                fate = self.decide(is_commit(kind, content))
                if fate != PASS:
                    break
            if fate == COMMIT_ANSWER_LOST:
                mute.set()
                server.sendall(data)
                server.shutdown(socket.SHUT_WR)  # the server does what it was sent, then sees the end
                while server.recv(CHUNK):
                    pass
            if fate != PASS:
                with self._lock:
                    self.cuts[fate] += 1
                return
            server.sendall(data)


def _answers(server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
    """Pass answers on until either side ends; once muted, leave them to whoever waits for them."""
    try:
        while not mute.is_set() and (data := server.recv(CHUNK)):
            if mute.is_set():
                return
            client.sendall(data)
    except OSError:
        pass
    if not mute.is_set():
        _shut(client)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        one.shutdown(socket.SHUT_RDWR)

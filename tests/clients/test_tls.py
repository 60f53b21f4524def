"""Whoever cannot prove to be the vendor is told nothing, whatever the environment says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from sync.clients import http as http_client
from sync.clients.http import Http
from sync.clock import SystemClock
from sync.errors import RetryableError

CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLOGgoD9OJkpFNs7H
++mKPW1FdIYZyHlEoRwyuKB0xbehRANCAASaHqmSD8K+TQBgoVtNDiU6oedCs5s/
4c1VWI9sjL1p9P/AflwOPL31YQkfzjVS4JeofBdjJ1SgeWsgX0BSzJDG
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBjzCCATagAwIBAgIULUdH0GxqamSXO2H3W2WM+AU/RQkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMTA5MDg0NVoYDzIxMjYxMDI4
MDkwODQ1WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASaHqmSD8K+TQBgoVtNDiU6oedCs5s/4c1VWI9sjL1p9P/AflwOPL31
YQkfzjVS4JeofBdjJ1SgeWsgX0BSzJDGo2QwYjAdBgNVHQ4EFgQUVYOYZXQgIKAL
D76noM3BiUyMVb4wHwYDVR0jBBgwFoAUVYOYZXQgIKALD76noM3BiUyMVb4wDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0cAMEQC
IFeqpZ2qpqD92VvD1pLrcxIdahnStik2H4DG6wZhQQH0AiByA6WSnXckb2L9mhoW
wsLAfjHV3JhxmnL0DrnIt01aTw==
-----END CERTIFICATE-----
"""
"""Of 127.0.0.1, signed by itself, for a hundred years; its key guards nothing."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"


@dataclass
class Impostor:
    """A server that speaks TLS with a certificate of its own; `told` is what it was sent."""

    url: str
    told: list[bytes] = field(default_factory=list)


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Impostor]:
    (tmp_path / "own.pem").write_text(CERTIFICATE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Impostor(f"https://127.0.0.1:{listener.getsockname()[1]}")
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        with context.wrap_socket(connection, server_side=True) as spoken:
                            running.told.append(spoken.recv(65536))
                            spoken.sendall(ANSWER)

        server = threading.Thread(target=serve)
        listener.settimeout(0.05)
        server.start()
        try:
            yield running
        finally:
            stop.set()
            server.join()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    "environment", [{}, {"PYTHONHTTPSVERIFY": "0", "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "SSL_CERT_FILE": ""}]
)
def test_a_server_whose_certificate_nobody_vouches_for_is_told_nothing(
    impostor: Impostor, environment: dict[str, str], write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "_is_loopback", lambda _host: False)  # as a vendor's host: the environment counts
    for name, value in {"NO_PROXY": "*", **environment}.items():
        monkeypatch.setenv(name, value)
    http = Http(impostor.url, system="mpw", clock=SystemClock(), timeout_seconds=5)

    with pytest.raises(RetryableError, match="CERTIFICATE_VERIFY_FAILED"):
        http.send("POST", "/receipts", write=write, endpoint="receipts", content=b"{}", headers={"token": "secret"})

    http.close()
    assert impostor.told == []


def test_that_server_answers_whoever_does_not_look(impostor: Impostor) -> None:
    with httpx.Client(verify=False, trust_env=False) as careless:
        answer = careless.get(f"{impostor.url}/receipts", headers={"token": "secret"})

    assert answer.json() == []
    assert b"secret" in impostor.told[0]

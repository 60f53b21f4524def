"""What systemd is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        listener.settimeout(5)
        yield listener


def test_pairs_travel_as_lines_of_one_datagram(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})

    assert notifier.say("READY=1", "STATUS=running")

    assert manager.recv(4096) == b"READY=1\nSTATUS=running"


def test_without_a_manager_nothing_is_said_and_nothing_fails() -> None:
    assert Notifier({}).say("READY=1") is False
    assert Notifier({"NOTIFY_SOCKET": "/nonexistent/socket"}).say("READY=1") is False


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 1.5
    assert Notifier({}).watchdog_seconds is None

"""Tells systemd how the daemon is: its notification protocol, a datagram of NAME=value lines.

Twenty lines of our own: the libraries for it are no longer kept, and all of it is one sendall.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the service manager, or to nobody where there is none. Never raises."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog = _watchdog_seconds(environ)

    def say(self, *pairs: str) -> bool:
        """Send pairs such as READY=1; True when somebody listens."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                channel.sendall("\n".join(pairs).encode())
        except OSError:
            return False
        return True

    @property
    def watchdog_seconds(self) -> float | None:
        """How often WATCHDOG=1 must be said at least, or None where nobody waits for it."""
        return self._watchdog


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    limit, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not limit.isdigit() or (pid.isdigit() and int(pid) != os.getpid()):
        return None
    return int(limit) / 2_000_000

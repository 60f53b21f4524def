"""Closing a connection in the middle: what an application server would not let us do."""

from __future__ import annotations

import asyncio
import socket
from asyncio import Transport
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_transports: dict[tuple[str, int, int], Transport] = {}


class TrackedProtocol(H11Protocol):
    """uvicorn's protocol, its transport to be found by the request's client and server address."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio passes a Transport
        super().connection_made(transport)
        self._place = _place(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _transports[self._place] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        _transports.pop(self._place, None)
        super().connection_lost(exc)


def _place(client: Any, server: Any) -> tuple[str, int, int]:
    return client[0], client[1], server[1]


async def close_connection(scope: Any) -> None:
    """Close the connection of a request; what was written before still goes out."""
    place = _place(scope["client"], scope["server"])
    transport = _transports.get(place)
    if transport is None:
        return
    transport.close()
    while place in _transports:  # until uvicorn knows, else it would try to answer 500
        await asyncio.sleep(0)


class PromptServer(uvicorn.Server):
    """uvicorn's server, ended at once by `end()`: the tests start hundreds, and uvicorn's own way takes 0.2 s each."""

    async def main_loop(self) -> None:
        """Wait for `end()`."""
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        if not self.should_exit:
            await self._ended.wait()

    def end(self) -> None:
        """Stop serving, from any thread."""
        self.should_exit = True
        if hasattr(self, "_ended"):
            self._loop.call_soon_threadsafe(self._ended.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener and every connection; requests under way are cut off."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for server in self.servers:
            await server.wait_closed()

"""The stand-in without a socket, for tests that ask it thousands of times and are not about the network."""

from __future__ import annotations

import httpx

from tests.standin.server import Request, Vendor


def transport_to(vendor: Vendor, prefix: str = "") -> httpx.MockTransport:
    """Return a transport whose requests a vendor answers in this process; it sends no Date header."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(prefix).strip("/").split("/")
        asked = Request(
            request.method,
            tuple(path),
            dict(request.url.params),
            {name.lower(): value for name, value in request.headers.items()},
            request.content,
            vendor.clock.now(),
        )
        reply = vendor.respond(asked)
        if reply is None:
            raise httpx.ReadError("the connection was cut", request=request)
        return httpx.Response(reply.status, content=reply.body, headers={"content-type": "application/json"})

    return httpx.MockTransport(answer)

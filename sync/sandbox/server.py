"""Both vendors' services as one real HTTP server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.applications import Starlette

from sync.clock import Clock, SystemClock
from sync.errors import ConfigError, InvariantError
from sync.sandbox.activity import Activity
from sync.sandbox.app import MPW_PREFIX, mpservices_endpoints, mpw_endpoints, vendor_routes
from sync.sandbox.connections import PromptServer, TrackedProtocol
from sync.sandbox.control import Control
from sync.sandbox.faults import Faults
from sync.sandbox.history import load_adventureworks
from sync.sandbox.mpservices import MpservicesModel
from sync.sandbox.mpw import MpwModel, MpwOptions
from sync.sandbox.quirks import QUIRKS, Quirks
from sync.sandbox.requests import RequestLog
from sync.sandbox.seed import GPS_PROVIDER, MAIN, populate

HOST = "127.0.0.1"
START_SECONDS = 10.0
STOP_SECONDS = 10.0


class Sandbox:
    """A running pair of vendors, to be used as a context manager or with start() and stop().

    After stop() the state remains, and start() serves it again on the same port: in between, connections
    are refused. `mpw` and `mpservices` may be used from any thread, with or without the server.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        days: int = 30,
        port: int = 0,
        activity_per_minute: float = 0,
        clock: Clock | None = None,
        populate: bool = True,
        token_hours: float = 24,
        page_parameter: bool = True,
        work_orders_path: str = "/FetchTenantsWorkOrders",
        create_product_path: str = "/CreateProduct",
        quirks: Collection[str] = (),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.email = "sandbox@example.com"
        self.password = f"pw-of-sandbox-{seed}"
        self.token = f"MPSANDBOX_{seed}_0f8e2c"
        self.work_orders_path = work_orders_path
        self.create_product_path = create_product_path
        self.quirks = Quirks(quirks)
        self._clocks = {name: self.quirks.clock_of(name, self.clock) for name in ("mpw", "mpservices")}
        self.mpw = MpwModel(
            self._clocks["mpw"],
            email=self.email,
            password=self.password,
            token_hours=token_hours,
            options=MpwOptions(page_parameter=page_parameter),
        )
        self.mpservices = MpservicesModel(self._clocks["mpservices"], token=self.token, seed=seed)
        self.quirks.set_options(self.mpw, self.mpservices)
        self.faults = Faults()
        self.requests = RequestLog()
        self.activity = Activity(self.mpw, self.mpservices, seed)
        self.port = port
        self._per_minute = activity_per_minute
        self._server: PromptServer | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        if populate:
            _populate(self, seed=seed, days=days)

    @property
    def mpw_url(self) -> str:
        """MPW's base URL, as MPW_BASE_URL takes it."""
        return f"{self.mpservices_url}{MPW_PREFIX}"

    @property
    def mpservices_url(self) -> str:
        """MPservices' base URL, as MPSERVICES_BASE_URL takes it."""
        return f"http://{HOST}:{self.port}"

    def settings(self) -> dict[str, str]:
        """Return the environment variables that point mpsync at this sandbox, politeness off."""
        return {
            "MPW_BASE_URL": self.mpw_url,
            "MPW_EMAIL": self.email,
            "MPW_PASSWORD": self.password,
            "MPW_TIMEZONE": "UTC",
            "MPW_WAREHOUSE": MAIN,
            "MPW_GPS_PROVIDERS": GPS_PROVIDER,
            "MPW_MAX_REQUESTS_PER_SECOND": "0",
            "MPSERVICES_BASE_URL": self.mpservices_url,
            "MPSERVICES_TOKEN": self.token,
            "MPSERVICES_WORK_ORDERS_PATH": self.work_orders_path,
            "MPSERVICES_CREATE_PRODUCT_PATH": self.create_product_path,
            "MPSERVICES_MAX_REQUESTS_PER_SECOND": "0",
        }

    def app(self) -> Starlette:
        """Return the whole as an ASGI application."""
        mpw = self.quirks.around(mpw_endpoints(self.mpw), self.mpw, self.mpservices)
        mpservices = self.quirks.around(
            mpservices_endpoints(self.mpservices, self.work_orders_path, self.create_product_path),
            self.mpw,
            self.mpservices,
        )
        control = Control(self.mpw, self.mpservices, self.faults, self.requests, self.clock)
        shared = (self.requests, self.faults)
        return Starlette(
            routes=[
                *vendor_routes(mpw, MPW_PREFIX, *shared, self._clocks["mpw"]),
                *vendor_routes(mpservices, "", *shared, self._clocks["mpservices"]),
                *control.routes(),
            ]
        )

    def start(self) -> Sandbox:
        """Listen and serve in a thread; returns once it answers. ConfigError when the port is taken."""
        if self._server is not None:
            return self
        listener = self._bind()
        self._stopping.clear()
        self._server = PromptServer(_config(self.app()))
        serving = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
        self._threads = [serving]
        if self._per_minute > 0:
            self._threads.append(threading.Thread(target=self._act, name="sandbox-people", daemon=True))
        for thread in self._threads:
            thread.start()
        self._wait_until_started(serving)
        return self

    def _bind(self) -> socket.socket:
        # The protocol is named because asyncio sets TCP_NODELAY only then; without it each answer waits 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, self.port))
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"the sandbox cannot listen on {HOST}:{self.port}: {error.strerror}", hint="choose another --port"
            ) from error
        self.port = listener.getsockname()[1]
        return listener

    def _wait_until_started(self, serving: threading.Thread) -> None:
        deadline = SystemClock().monotonic() + START_SECONDS
        while self._server is not None and not self._server.started:
            if not serving.is_alive() or SystemClock().monotonic() > deadline:
                raise InvariantError("the sandbox's server did not start")
            self._stopping.wait(0.005)

    def _act(self) -> None:
        while not self._stopping.wait(60 / self._per_minute):
            self.activity.step()

    def stop(self) -> None:
        """Close every connection and stop; requests that hang are cut off. Safe to repeat."""
        if self._server is None:
            return
        self._stopping.set()
        self._server.end()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        self._server = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _populate(sandbox: Sandbox, *, seed: int, days: int) -> None:
    populate(sandbox.mpw, sandbox.mpservices, seed=seed, days=days)


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=HOST,
        http=TrackedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=60,
    )


def serve(
    port: int = 0,
    seed: int = 1,
    days: int = 30,
    activity_per_minute: float = 20,
    history: Path | None = None,
    quirks: Collection[str] = (),
) -> None:
    """Run in the foreground until Ctrl-C, with people at work; prints URLs, credentials and a settings block.

    `history`: a folder with the AdventureWorks CSV files, loaded in place of the seeded data.
    """
    sandbox = Sandbox(
        seed=seed,
        days=days,
        port=port,
        activity_per_minute=activity_per_minute,
        populate=history is None,
        quirks=quirks,
    )
    if history is not None:
        counts = load_adventureworks(sandbox.mpw, history)
        _say(f"loaded {counts.receipts:,} receipts and {counts.orders:,} orders from {history}")
    with sandbox:
        _say(introduction(sandbox))
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _say("sandbox stopped")


def run_sandbox(port: int, seed: int, days: int, quirks: Collection[str] = ()) -> None:
    """Run `mpsync sandbox`."""
    serve(port, seed, days, quirks=quirks)


def introduction(sandbox: Sandbox) -> str:
    """Return what `mpsync sandbox` prints: where it is, and settings to paste into a `.env` file."""
    block = "\n".join(f"{name}={_quoted(value)}" for name, value in sandbox.settings().items())
    return (
        f"Both vendors' services are at {sandbox.mpservices_url} (status page; Ctrl-C ends it).\n"
        f"  MPW         {sandbox.mpw_url}  {sandbox.email} / {sandbox.password}\n"
        f"  MPservices  {sandbox.mpservices_url}  token {sandbox.token}\n"
        f"{_habits(sandbox.quirks)}"
        f"People receive and issue parts while you watch. Paste into .env to point mpsync here:\n\n{block}\n"
    )


def _habits(quirks: Quirks) -> str:
    return "".join(f"  quirk       {name}: {QUIRKS[name]}\n" for name in quirks.names)


def _quoted(value: str) -> str:
    return f'"{value}"' if any(sign in value for sign in " #") else value


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this command's output

"""Headless Chromium, driven through chromedriver by the WebDriver protocol itself: four requests need no library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 60


class NoBrowserError(Exception):
    """There is no Chromium here."""


class Browser:
    """One session of a headless browser."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
        wanted = {
            "goog:chromeOptions": options | {"binary": _found("chromium", "google-chrome")},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def open(self, url: str, *, width: int, height: int, dark: bool = False) -> None:
        """Load a page as on a screen of that size."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})
        self._send("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what a script returns."""
        return self._send("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def complaints(self) -> list[str]:
        """Return what the browser's console was told since last asked: blocked styles, errors, missing files."""
        return [entry["message"] for entry in self._send("POST", f"{self._session}/se/log", {"type": "browser"})]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what is shown, down to the page's end."""
        answer = self._devtools("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the session."""
        self._send("DELETE", self._session)

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._send("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method == "DELETE" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=START_SECONDS_MAX) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')}") from None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; raises NoBrowserError where there is none."""
    driver = _found("chromedriver")
    _found("chromium", "google-chrome")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"HOME": home}
        process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        try:
            _wait(port, process)
            browser = Browser(port)
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()
            process.wait(20)


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise NoBrowserError(f"no {names[0]} here: .ci/browser_setup installs it")


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("chromedriver did not start")

"""Chromium without a window, spoken to over a pair of pipes in its DevTools protocol.

Enough of it to open a page at some width, to hear its console, and to ask it things; a package
for this would weigh more than the suite.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    # a container's /dev/shm is too small for a page
    "--disable-dev-shm-usage",
    # WebGL in software, where there is no graphics card
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--remote-debugging-pipe",
)
PATIENCE_SECONDS = 180.0


class Browser:
    """One browser with one page."""

    def __init__(self, orders: int, answers: int):
        self._orders, self._answers = orders, answers
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One order, and the answer to it; what is told in between goes to `events`."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._rest:
            ready = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, "the browser does not answer"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser has gone"
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def attach(self) -> None:
        """To a page of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, page: Path | str, width: int, height: int = 900, scheme: str = "light") -> float:
        """Load a page, a file or an address, as a screen of this width shows it; seconds until it
        is complete."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        began = time.monotonic()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while self.ask("document.readyState") != "complete":
            time.sleep(0.01)
        return time.monotonic() - began

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions, since the page was opened."""
        self.call("Runtime.evaluate", expression="0")
        found = []
        for event in self.events:
            told = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif event.get("method") == "Runtime.consoleAPICalled" and told["type"] != "log":
                found.append(str(told["args"]))
            elif event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(told["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses asked for since the page was opened, but for those that are data."""
        sent = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        found = [event["params"]["request"]["url"] for event in sent]
        return [address for address in found if not address.startswith("data:")]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, ended when the block ends."""
    assert BINARY is not None
    to_read, orders = os.pipe()
    answers, to_write = os.pipe()
    # far from 3 and 4, which one of them may be
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in (to_read, to_write)]

    def take_ends() -> None:
        """It reads orders from file 3 and answers on file 4."""
        for end, file in zip(ends, (3, 4), strict=True):
            os.dup2(end, file)

    process = subprocess.Popen(
        [BINARY, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=take_ends,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (to_read, to_write, *ends):
        os.close(end)
    try:
        driver = Browser(orders, answers)
        driver.attach()
        yield driver
    finally:
        os.close(orders)
        os.close(answers)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""The pages in a real browser whose JavaScript is switched off, used by keyboard."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """Drives headless Chromium over a pair of pipes (the DevTools protocol, no web socket)."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        flags = [
            "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        if os.geteuid() == 0:
            flags.insert(0, "--no-sandbox")
        pipes = f"3<&{to_read} 4>&{to_write}"  # the descriptors that the protocol prescribes
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$0" "$@" {pipes}', program, *flags],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._count, self._session = b"", 0, ""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "DOM", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def go(self, address: str) -> str:
        """Open a page and return its document."""
        self.call("Page.navigate", url=address)
        return self.wait()

    def wait(self) -> str:
        """Wait until a page is loaded and return its document."""
        while self._next().get("method") != "Page.loadEventFired":
            pass
        return self.html()

    def html(self) -> str:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        return self.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]

    def find(self, selector: str) -> int:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert found, selector
        return found

    def press(self, selector: str, key: str = "Enter", code: int = 13, text: str = "\r") -> None:
        """Focus an element and press a key, as somebody without a mouse does."""
        self.call("DOM.focus", nodeId=self.find(selector))
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text
            )

    def width_needed(self) -> float:
        """Return how wide the content of the page is."""
        return self.call("Page.getLayoutMetrics")["cssContentSize"]["width"]

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], 60)
            assert ready, "the browser does not answer"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser is gone"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        if decoded.get("method") == "Log.entryAdded":
            self.complaints.append(decoded["params"]["entry"]["text"])
        return decoded


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium here")
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the service as a user does, worker included, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    settings = {"CALIBRANT_PORT": str(port), "CALIBRANT_DATA_DIR": str(folder / "data")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "calibrant.cli", "serve"],
            env=os.environ | settings,
            stdout=log,
            stderr=log,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _await_ready(address, process, folder / "log")
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _await_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file whose two halves err in opposite directions."""
    rng = np.random.default_rng(11)
    side = np.arange(4_000) % 2
    y = rng.uniform(size=4_000) < np.where(side, 0.7, 0.3)
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    rows = [f"0.5,{int(one)},{'b' if s else 'a'}" for one, s in zip(y, side, strict=True)]
    path.write_text("\n".join(["p,y,side", *rows]), encoding="utf-8")
    return path


@pytest.fixture
def verdict(server: str, browser: Browser, table: Path) -> str:
    """Drop a file, confirm its columns, and give the page that comes."""
    browser.go(f"{server}/ui")
    browser.call("DOM.setFileInputFiles", files=[str(table)], nodeId=browser.find("#file"))
    browser.press(".drop button")
    form = browser.wait()
    assert "Which column is which?" in form
    browser.press("input[value=probabilities]", key=" ", code=32, text=" ")
    browser.press("form button")
    page = browser.wait()
    while 'http-equiv="refresh"' in page:
        page = browser.wait()
    return page


def test_a_dropped_file_becomes_a_verdict_by_keyboard_alone(verdict: str) -> None:
    assert "errors cancel" in verdict
    assert "side=a" in verdict
    assert "side=b" in verdict


@pytest.mark.usefixtures("verdict")
def test_the_finding_is_then_the_first_thing_on_the_start(server: str, browser: Browser) -> None:
    html = browser.go(f"{server}/ui")
    assert "errors cancel" in html[html.index("<h1>") : html.index("</h1>")]


@pytest.mark.usefixtures("verdict")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_pages_fit_every_screen_in_both_themes(
    server: str, browser: Browser, width: int, scheme: str
) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.call("Emulation.setEmulatedMedia", features=[feature])
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 500,
    )  # fmt: skip
    listed = httpx.get(f"{server}/v1/evaluations").json()["items"]
    seen = set()
    for path in ("", f"/evaluations/{listed[0]['id']}", "/calibrators", "/noise", "/nowhere"):
        browser.go(f"{server}/ui{path}")
        assert browser.width_needed() <= width, path
        seen.add(browser.picture())
    assert len(seen) == 5


@pytest.mark.usefixtures("verdict")
def test_the_browser_finds_nothing_to_refuse(server: str, browser: Browser) -> None:
    listed = httpx.get(f"{server}/v1/evaluations").json()["items"]
    base = f"{server}/v1/evaluations/{listed[0]['id']}"
    for address in (f"{server}/ui", f"{base}/report.html", f"{base}/reliability.svg"):
        browser.go(address)
    assert browser.complaints == []

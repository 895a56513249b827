"""A headless Chromium spoken to over the DevTools protocol, with the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = (
    "no Chromium found: install one (Debian and Ubuntu: `apt-get install chromium`) or name it in LUTHIER_CHROMIUM"
)


def find_chromium() -> str | None:
    """Path of a Chromium, None without one."""
    named = os.environ.get("LUTHIER_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class _Socket:
    """A WebSocket client for one long conversation: text frames only, as DevTools sends them."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        status = self._file.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"no WebSocket: {status!r}")
        while self._file.readline().strip():
            pass

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0xFE, size)
        if size > 0xFFFF:
            head = struct.pack("!BBQ", 0x81, 0xFF, size)
        self._socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self) -> str:
        whole = b""
        while True:
            first, second = struct.unpack("!BB", self._exactly(2))
            size = second & 0x7F
            if size > 125:
                size = struct.unpack("!H" if size == 126 else "!Q", self._exactly(2 if size == 126 else 8))[0]
            data = self._exactly(size)
            if first & 0x0F in (0, 1):
                whole += data
                if first & 0x80:
                    return whole.decode()

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the browser closed the connection")
        return data

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Browser:
    """One tab. `messages` collects what the console and the browser's log said since the last `open`.

    Args:
        program: The Chromium.
        size: Width and height of the window in pixels.
        timeout: Seconds to wait for anything.
    """

    def __init__(self, program: str, *, size: tuple[int, int] = (1280, 1000), timeout: float = 20.0) -> None:
        self._timeout = timeout
        self._profile = tempfile.mkdtemp(prefix="luthier-chromium-")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        flags += ["--disable-sync", "--disable-component-update", "--disable-extensions", "--mute-audio"]
        flags += [f"--user-data-dir={self._profile}", "--remote-debugging-port=0", f"--window-size={size[0]},{size[1]}"]
        self._process = subprocess.Popen(
            [program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._count = 0
        try:
            self._socket = _Socket(self._address(), timeout)
            tabs = self._ask("Target.getTargets", whole=True)["targetInfos"]
            tab = next(one for one in tabs if one["type"] == "page")["targetId"]
            self._session: str | None = self._ask("Target.attachToTarget", whole=True, targetId=tab, flatten=True)[
                "sessionId"
            ]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._ask(f"{domain}.enable")
            self.emulate()
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        file, until = Path(self._profile, "DevToolsActivePort"), time.monotonic() + self._timeout
        while time.monotonic() < until:
            if file.exists() and len(lines := file.read_text().split()) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            if self._process.poll() is not None:
                raise RuntimeError(f"Chromium ended with {self._process.returncode}")
            time.sleep(0.02)
        raise TimeoutError("Chromium did not open its port")

    def _ask(self, method: str, *, whole: bool = False, **arguments: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": arguments}
        if not whole:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        kind, data = event.get("method"), event.get("params", {})
        if kind == "Runtime.consoleAPICalled":
            words = " ".join(str(one.get("value", one.get("description"))) for one in data["args"])
            self.messages.append(f"{data['type']}: {words}")
        elif kind == "Runtime.exceptionThrown":
            self.messages.append(f"exception: {data['exceptionDetails']}")
        elif kind == "Log.entryAdded":
            self.messages.append(f"{data['entry']['level']}: {data['entry']['text']}")
        elif kind == "Network.requestWillBeSent":
            self.requests.append(data["request"]["url"])

    def open(self, file: Path | str, *, drawn: bool = True) -> None:
        """Load a page; wait until all its pictures are drawn or something broke, or only for its words and table."""
        if isinstance(file, str):  # the page before may still be asking a server that has ended
            self._ask("Page.navigate", url="about:blank")
            self.wait("location.href === 'about:blank' && document.readyState === 'complete'")
        self.messages.clear()
        self.requests.clear()
        self._ask("Page.navigate", url=file if isinstance(file, str) else file.resolve().as_uri())
        done = "d?.ready || d?.errors" if drawn else "true"
        if file != "about:blank":
            done = f"location.href !== 'about:blank' && ({done})"
        self.wait(f"(d => document.readyState === 'complete' && !!({done}))(document.documentElement?.dataset)")

    def run(self, script: str) -> Any:
        """Value of an expression in the page; promises are awaited."""
        answer = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + self._timeout
        while not self.run(condition):
            if time.monotonic() > until:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """A real click of the mouse in the middle of an element."""
        self.drag(*self._middle(selector) * 2)

    def _middle(self, selector: str) -> tuple[float, float]:
        spot = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return spot[0], spot[1]

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Press the mouse at one place of the window and let it go at another."""
        for kind, x, y in (("mousePressed", x0, y0), ("mouseMoved", x1, y1), ("mouseReleased", x1, y1)):
            if kind != "mouseMoved" or (x0, y0) != (x1, y1):
                self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self._ask("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """A key of the keyboard, such as ("Enter", 13)."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def emulate(self, **features: str) -> None:
        """Media features such as `prefers_color_scheme="dark"`."""
        features = {"prefers_reduced_motion": "reduce", **features}  # nothing glides while the test points at it
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._ask("Emulation.setEmulatedMedia", features=wanted)

    def pdf(self) -> bytes:
        """The page printed on A4."""
        answer = self._ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End the browser."""
        if hasattr(self, "_socket"):
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

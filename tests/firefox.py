"""Debian's or anybody's Firefox, driven by Marionette, its own protocol: Playwright's is another program."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFERENCES = {
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.auto": False,
    "network.captive-portal-service.enabled": False,
}


class Firefox:
    """A connection; `script` runs an asynchronous function in the page and gives what it hands to `done`."""

    def __init__(self, connection: socket.socket):
        self.connection, self.file, self.number = connection, connection.makefile("rb"), 0
        self.read()  # its greeting
        self.ask("WebDriver:NewSession", capabilities={})
        self.ask("WebDriver:SetTimeouts", script=120_000, pageLoad=60_000)

    def read(self) -> Any:
        """One message: its length, a colon, JSON."""
        length = b""
        while (byte := self.file.read(1)) != b":":
            assert byte, "Firefox has gone"
            length += byte
        return json.loads(self.file.read(int(length)))

    def ask(self, name: str, **values: Any) -> Any:
        """A command's result; what the browser calls an error is raised."""
        self.number += 1
        message = json.dumps([0, self.number, name, values]).encode()
        self.connection.sendall(str(len(message)).encode() + b":" + message)
        _, _, error, result = self.read()
        assert not error, error
        return result

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.ask("WebDriver:Navigate", url=url)

    def script(self, text: str, *values: Any) -> Any:
        """Run text, the body of an async function of `values`, in the page."""
        body = f"const done = arguments[arguments.length - 1]; const values = [...arguments].slice(0, -1);\n(async () => {{ {text} }})().then(done, (error) => done(`failed: ${{error}}`));"
        return self.ask("WebDriver:ExecuteAsyncScript", script=body, args=list(values))["value"]


def program() -> str | None:
    """Where Firefox is, if it is."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


def connected(process: subprocess.Popen, port: int) -> socket.socket:
    """A connection, once Firefox listens; it has a minute."""
    for _ in range(240):
        assert process.poll() is None, "Firefox ended before it could be driven"
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=180)
        time.sleep(0.25)
    raise AssertionError(f"Firefox does not listen at port {port}")


@contextlib.contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """A headless Firefox with an empty profile in the folder `profile`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"marionette.port": port, **PREFERENCES}
    (profile / "user.js").write_text(
        "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in settings.items())
    )
    command = [program(), "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": {**os.environ, "HOME": str(profile)},
    }
    process = subprocess.Popen(command, **quiet)
    try:
        yield Firefox(connected(process, port))
    finally:
        process.kill()
        process.wait()

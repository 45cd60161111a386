"""Both pages in Firefox, by the protocol that it speaks itself (WebDriver BiDi), for what Chromium alone cannot show."""

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_serving_page import STROKES, Server

websocket = pytest.importorskip("tornado.websocket", reason="tornado, which speaks to Firefox, is not installed")

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
if FIREFOX is None:
    pytest.skip("there is no Firefox to look at the pages with", allow_module_level=True)

pytestmark = pytest.mark.browser
STARTING, PATIENCE = 120, 30  # seconds


class Firefox:
    """A Firefox without a window, and one tab of it."""

    def __init__(self, connection):
        self.connection = connection
        self.numbers = itertools.count(1)
        self.problems = []

    async def send(self, method, **parameters):
        """Send a command and return its result; what the page complains about meanwhile is kept."""
        number = next(self.numbers)
        await self.connection.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self.connection.read_message())
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.problems.append(message["params"]["text"])
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]

    async def open(self, url):
        """Open a page, once it has loaded."""
        await self.send("session.new", capabilities={})
        await self.send("session.subscribe", events=["log.entryAdded"])
        self.tab = (await self.send("browsingContext.create", type="tab"))["context"]
        await self.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    async def value_of(self, expression):
        """Return the value of an expression in the page."""
        target = {"context": self.tab}
        found = await self.send("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert found["type"] == "success", found
        return found["result"].get("value")

    async def draw(self, strokes):
        """Draw on the page with the mouse."""
        left, top, side = json.loads(
            await self.value_of(
                "(() => { const box = document.querySelector('#canvas').getBoundingClientRect();"
                " return JSON.stringify([box.left, box.top, box.width]); })()"
            )
        )
        moves = []
        for stroke in strokes:
            for number, (x, y) in enumerate(stroke):
                place = {"x": round(left + side * x), "y": round(top + side * y)}
                moves.append({"type": "pointerMove", **place, "duration": 10})
                if number == 0:
                    moves.append({"type": "pointerDown", "button": 0})
            moves.append({"type": "pointerUp", "button": 0})
        mouse = {"type": "pointer", "id": "mouse", "actions": moves}
        await self.send("input.performActions", context=self.tab, actions=[mouse])


@contextmanager
def browser():
    """Run Firefox while the block runs; yields where it listens."""
    with tempfile.TemporaryDirectory() as profile:
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield next(line.split()[-1] for line in process.stderr if "WebDriver BiDi listening on" in line)
            finally:
                process.kill()


async def read(address, url, digit):
    """Draw a digit on the page at `url` until it is recognized, and return what the page shows and complains about."""
    connection = await websocket.websocket_connect(f"{address}/session", connect_timeout=STARTING)
    firefox = Firefox(connection)
    await firefox.open(url)
    await firefox.draw(STROKES[digit])
    end = time.monotonic() + PATIENCE
    shown = ""
    while shown != str(digit) and time.monotonic() < end:  # half a drawing is recognized, too
        await asyncio.sleep(0.1)
        shown = await firefox.value_of("document.querySelector('#numeral').textContent.trim()")
    connection.close()
    while await connection.read_message() is not None:  # until Firefox has closed it, too
        pass
    return shown, firefox.problems


@pytest.mark.parametrize("digit", [2, 7])
def test_the_page_of_the_service_reads_a_drawing(tmp_path, digit):
    server = Server(tmp_path)
    server.start()
    try:
        with browser() as address:
            assert asyncio.run(read(address, server.url, digit)) == (str(digit), [])
    finally:
        server.stop()


def test_the_page_that_needs_no_server_reads_a_drawing(mnist):
    done = mnist("export", "pretrained", "--format", "html", "--output", "digits.html")
    assert done.exit_code == 0, done.output
    with browser() as address:
        assert asyncio.run(read(address, Path("digits.html").resolve().as_uri(), 3)) == ("3", [])

import builtins
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from conftest import SilentReport

import mnist_cli
from mnist_cli.config import TrainConfig
from mnist_cli.errors import ConfigError, MnistError
from mnist_cli.models import architectures
from mnist_cli.reporting.live import Feed
from mnist_cli.training import runs, session
from mnist_cli.training.loop import Trainer

pytest.importorskip("fastapi")
from mnist_cli.serving import watch

CONFIG = TrainConfig(model="linear", hidden=(), epochs=1, batch_size=64, augment="none")


class Service:
    """The service of a feed in a thread, and the commands that it was given."""

    def __init__(self):
        self.feed, self.commands = Feed(), []
        self.service = watch._Service(watch.build(self.feed, self.commands.append))
        self.url = self.service.start()
        for _ in range(100):
            if self.service.server.started:
                return
            time.sleep(0.1)

    def request(self, path, body=None, method=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib.request.urlopen(urllib.request.Request(self.url + path, body, names, method=method), timeout=30)

    def status(self, *given, **more):
        try:
            with self.request(*given, **more) as response:
                return response.status
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code


@pytest.fixture
def service():
    service = Service()
    yield service
    service.feed.is_over = True
    service.service.stop()
    assert not service.service.thread.is_alive()


def messages(text):
    """Return the number, if there is one, and the content of each server-sent event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "data" in fields:
            found.append((int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])))
    return found


def test_a_stream_begins_with_all_events_and_ends_with_the_run(service):
    service.feed.set("run", name="one")
    service.feed.add("point", step=1)
    service.feed.add("point", step=2)
    with service.request("events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        while service.feed.viewers == 0:
            time.sleep(0.01)
        assert service.feed.is_awaited
        service.feed.add("point", step=3)
        service.feed.set("run", name="one")  # the same again, which is no news
        service.feed.set("status", state="finished")
        service.feed.is_over = True
        seen = messages(stream.read().decode())
    assert [(number, it["step"]) for number, it in seen if it["kind"] == "point"] == [(0, 1), (1, 2), (2, 3)]
    assert [it for _, it in seen if it["kind"] != "point"] == [
        {"kind": "run", "name": "one"},
        {"kind": "status", "state": "finished"},
    ]


def test_a_client_that_comes_again_gets_the_events_that_it_lacks(service):
    for step in range(5):
        service.feed.add("point", step=step)
    service.feed.is_over = True
    with service.request("events", Last_Event_ID="2") as stream:
        assert [number for number, _ in messages(stream.read().decode())] == [3, 4]


def test_who_closes_the_page_does_not_look_any_more(service):
    with service.request("events"):
        while service.feed.viewers == 0:
            time.sleep(0.01)
    for _ in range(300):
        if service.feed.viewers == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the client is still counted")


def test_commands_are_checked(service):
    for body in (b'{"name": "pause"}', b'{"name": "rate", "factor": 0.5}'):
        assert service.status("command", body) == 204
    assert service.commands == [("pause", 1.0), ("rate", 0.5)]
    for body in (
        b"",
        b"[]",
        b"pause",
        b'{"name": "fly"}',
        b'{"name": []}',
        b'{"name": "draw"}',
        b'{"name": "rate", "factor": 0}',
        b'{"name": "rate", "factor": NaN}',
        b'{"name": "rate", "factor": "1e999"}',
        b" " * 2_000 + b'{"name": "pause"}',
    ):
        assert service.status("command", body) == 422
    assert len(service.commands) == 2


def test_a_drawing_is_passed_on_unless_it_is_too_large(service):
    assert service.status("drawing", b"PNG", method="PUT") == 204
    assert service.commands == [("draw", b"PNG")]
    assert service.status("drawing", b"x" * (watch.MAX_PICTURE + 1), method="PUT") == 413


def test_pages_of_other_origins_and_other_host_names_are_refused(service):
    assert service.status("command", b'{"name": "stop"}', Origin="https://example.org") == 403
    assert service.status("events", Host="example.org") == 403
    assert service.commands == []


def test_the_page_loads_from_this_service_alone(service):
    with service.request("") as page:
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        text = page.read().decode()
    assert "//" not in text.replace("<!doctype", "").split("<body>")[0]
    for path in (
        "watch.js",
        "charts.js",
        "strings.js",
        "watch.css",
        "page/style.css",
        "page/settings.js",
        "page/sheet.js",
        "page/icon.svg",
    ):
        assert service.status(path) == 200


def test_a_port_that_is_taken_is_replaced_by_a_free_one():
    with watch._listen() as first, watch._listen() as second:
        assert first.getsockname()[0] == second.getsockname()[0] == "127.0.0.1"
        assert first.getsockname()[1] != second.getsockname()[1] != watch.PORT


def test_a_run_is_watched_from_python_and_its_service_ends_with_it(tmp_path, monkeypatch, train, val, capsys):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(watch, "RunReport", SilentReport)
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    trainer = Trainer(architectures.build_from(CONFIG), train[:640], val[:100], CONFIG)
    session.train_and_save(trainer, runs.create("one", CONFIG), watch.watched)
    (url,) = opened
    assert capsys.readouterr().out == f"Watch it on {url}\n"
    port = int(url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_run_of_several_processes_is_refused():
    with pytest.raises(ConfigError, match="--watch shows a run of one process"):
        watch.Watched(None, None, SimpleNamespace(group=SimpleNamespace(size=2)), print)


def test_a_missing_package_is_named_with_what_to_type(monkeypatch):
    imported = builtins.__import__

    def without_starlette(name, *given):
        if name.startswith("starlette"):
            raise ModuleNotFoundError("", name="starlette")
        return imported(name, *given)

    assert mnist_cli.watched is watch.watched
    monkeypatch.delitem(sys.modules, "mnist_cli.serving.watch")
    monkeypatch.setattr(builtins, "__import__", without_starlette)
    with pytest.raises(MnistError, match=r'mnist_cli.watched needs starlette.*pip install "mnist-cli\[serve\]"'):
        mnist_cli.watched  # noqa: B018  (it is imported when it is used)

import logging
import socket
import threading
from contextlib import ExitStack

import pytest
from conftest import draw_seven

from mnist_cli.config import PRETRAINED
from mnist_cli.models import backends

pytest.importorskip("fastapi")

from mnist_cli.serving import app
from mnist_cli.serving.limits import Limits
from mnist_cli.serving.server import LogLimit, Server


def test_a_log_has_so_many_lines_a_second_and_the_number_of_the_others():
    limit = LogLimit(lines=2)
    written = [write(limit, second=1_000) for _ in range(5)]
    assert written == ["a line of 7", "a line of 7", None, None, None]
    assert write(limit, second=1_001) == "a line of 7  (3 lines before it were omitted)"
    assert write(limit, second=1_001) == "a line of 7"
    assert write(limit, second=1_001) is None


def write(limit, second):
    record = logging.LogRecord("name", logging.INFO, __file__, 1, "a line of %d", (7,), None)
    record.created = second + 0.5
    return record.getMessage() if limit.filter(record) else None


@pytest.mark.slow
def test_clients_that_announce_large_bodies_and_send_nothing_do_not_block_others(tmp_path):
    service = app.build(backends.load(PRETRAINED, "cpu"), limits=Limits(requests=2, memory_bytes=100_000))
    draw_seven().save(tmp_path / "seven.png")
    body = (tmp_path / "seven.png").read_bytes()
    head = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as open_:
        listener = open_.enter_context(socket.create_server(("127.0.0.1", 0)))
        running = Server(service)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        connect = lambda: open_.enter_context(socket.create_connection(listener.getsockname(), 60))
        for _ in range(4):
            connect().sendall(head % (b"multipart/form-data; boundary=b", 64_000_000))
        client = connect()
        client.sendall(head % (b"image/png", len(body)) + body)
        assert b'"digit":7' in client.makefile("rb").read()
        running.should_exit = True
        thread.join(60)
    assert not thread.is_alive()

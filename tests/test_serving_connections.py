import json
import re
import resource
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

from mnist_cli.serving import connections, uploads
from mnist_cli.serving.connections import Connections, group_of
from mnist_cli.serving.guard import Guard
from mnist_cli.serving.limits import Limits, SharedPool
from mnist_cli.serving.server import Server

SECONDS = 30  # in which what is asked for has to happen, also on a busy machine
SOON = 0.3  # seconds that a limit allows here
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"


def small_app(may_go, **limits):
    """Return an application whose /wait holds a slot until `may_go` is set."""
    app = FastAPI()
    slots = SharedPool(limits.get("requests", Limits.requests))
    app.state.service = SimpleNamespace(limits=Limits(**limits), slots=slots, engine=SimpleNamespace(stop=may_go.set))
    app.add_middleware(Guard, origins=(), only_local=False)

    @app.get("/")
    def get(request: Request):
        return PlainTextResponse(request.state.address)

    @app.get("/large")
    def large():
        return PlainTextResponse("x" * 50_000_000)

    @app.post("/")
    async def post(request: Request):
        return PlainTextResponse(str(len(await request.body())))

    @app.post("/wait")
    def wait():
        with slots.reserve("127.0.0.1") as take:
            take(1)
            may_go.wait(SECONDS)
        return PlainTextResponse("waited")

    return app


@contextmanager
def serving(**limits):
    """Serve `small_app` in a thread; yields a function that connects, which has the `server` and `may_go`."""
    may_go, clients = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(small_app(may_go, **limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()

        def connect(sent=b"", source="127.0.0.1"):
            clients.append(socket.create_connection(listener.getsockname(), SECONDS, (source, 0)))
            clients[-1].sendall(sent)
            return clients[-1]

        connect.server, connect.may_go, connect.thread = server, may_go, thread
        try:
            yield connect
        finally:
            may_go.set()
            for client in clients:
                client.close()
            server.should_exit = True
            thread.join(SECONDS)
    assert not thread.is_alive()


def response(client):
    """Return the status, the headers and the body of the next response, or None when the connection was ended."""
    file = client.makefile("rb", 0)  # without a buffer, which would take the beginning of the next response
    try:
        line = file.readline()
        if not line:
            return None
        headers = {}
        while (header := file.readline().strip()) != b"":
            name, _, value = header.decode().partition(": ")
            headers[name] = value
        body = b""
        while len(body) < int(headers["content-length"]):
            body += file.read(int(headers["content-length"]) - len(body))
        return int(line.split()[1]), headers, body
    except ConnectionError:
        return None


def is_ended(client):
    """Return whether the service ends a connection, after any bytes that it still sends."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_a_connection_is_used_for_several_requests():
    with serving() as connect:
        client = connect()
        for _ in range(3):
            client.sendall(GET + POST % (3, b"abc"))
            assert [response(client)[2] for _ in range(2)] == [b"127.0.0.1", b"3"]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET[:-2], GET + b"\r\n", GET + GET[:-2]])
def test_a_head_that_does_not_arrive_in_time_ends_the_connection(sent):
    with serving(head_seconds=SOON) as connect:
        assert is_ended(connect(sent))


def test_a_head_that_drips_ends_the_connection():
    with serving(head_seconds=SOON) as connect:
        client = connect(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(1_000):
                client.sendall(b"x")
                time.sleep(0.05)


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 1_000])
def test_a_body_that_does_not_arrive_in_time_ends_the_connection(body):
    with serving(body_seconds=SOON) as connect:
        assert is_ended(connect(POST % (10_000, body)))


def test_a_body_that_nobody_reads_ends_the_connection():
    with serving(head_seconds=SOON) as connect:
        client = connect(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1000000\r\n\r\n"))
        assert response(client)[0] == 200
        assert is_ended(client)


def test_a_client_that_does_not_read_its_response_is_ended():
    with serving(head_seconds=SOON) as connect:
        assert any(
            len(large_response(connect, wait)) < 50_000_000 for wait in (3 * SOON, 30 * SOON)
        )  # longer on a busy machine


def large_response(connect, wait):
    client = connect(GET.replace(b"/ ", b"/large "))
    time.sleep(wait)
    return drained(client)


def drained(client):
    content = bytearray()
    try:
        while received := client.recv(1 << 20):
            content += received
    except ConnectionError:
        pass
    return content


def test_a_connection_that_waits_for_a_response_is_not_ended():
    with serving(head_seconds=SOON, body_seconds=SOON) as connect:
        client = connect(b"POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        time.sleep(2 * SOON)
        connect.may_go.set()
        assert response(client)[2] == b"waited"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"x" * 5_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 5_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 5_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 30,
    ],
)
def test_a_head_that_is_too_large_is_refused(head):
    with serving(head_bytes=4_096, head_fields=20) as connect:
        client = connect(head)
        status, headers, body = response(client)
        assert (status, headers["connection"]) == (431, "close")
        assert json.loads(body)["reason"] == connections.HEAD_TOO_LARGE
        assert is_ended(client)


def test_a_head_without_an_end_is_not_kept():
    with serving() as connect:
        client = connect()
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(10_000):
                client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 65_536)


def test_thousands_of_requests_at_once_on_a_connection_are_refused():
    with serving() as connect:
        client = connect(GET * 1_000)
        assert is_ended(client)
        assert response(connect(GET))[0] == 200


def test_a_body_in_tiny_chunks_is_refused_and_one_in_small_chunks_is_read():
    with serving(chunks=100) as connect:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = connect(head + b"1\r\nx\r\n" * 1_000)
        assert response(client)[0] == 431
        assert is_ended(client)
        client = connect(head + (b"40\r\n" + b"x" * 64 + b"\r\n") * 1_000 + b"0\r\n\r\n")
        assert response(client)[2] == b"64000"


def test_a_connection_that_does_not_speak_http_is_refused():
    with serving() as connect:
        assert response(connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))[0] == 400


def test_a_new_connection_ends_the_one_that_has_waited_the_longest_of_the_busiest_address():
    with serving(connections=4) as connect:
        other = connect(GET, "127.0.0.3")
        assert response(other)[0] == 200
        first, second, third = (connect(GET[:10]) for _ in range(3))
        new = connect(GET, "127.0.0.2")
        assert response(new)[0] == 200
        assert is_ended(first)
        for client in (second, third):
            client.sendall(GET[10:])
            assert response(client)[0] == 200
        other.sendall(GET)
        assert response(other)[0] == 200


def test_when_all_connections_are_answered_a_new_one_is_refused():
    with serving(connections=1) as connect:
        first = connect(b"POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: not connect.server.table.slots.has_room("127.0.0.1", 64))
        status, headers, body = response(connect())
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert json.loads(body)["reason"] == connections.TOO_MANY
        connect.may_go.set()
        assert response(first)[0] == 200


def wait_until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_there_are_fewer_connections_than_files_that_may_be_open(monkeypatch):
    for soft, most in ((1_024, 512), (256, 176), (64, 1), (resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert Connections(SharedPool(1), Limits()).most == most


def test_without_a_free_slot_a_request_is_refused_before_it_is_read_and_the_connection_is_kept(monkeypatch):
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 0.1)
    with serving(requests=1) as connect:
        first = connect(b"POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: not connect.server.table.slots.has_room("127.0.0.1"))
        client = connect()
        for body in (b"abc", b"x" * 100_000):
            client.sendall(POST % (len(body), body))
            status, headers, content = response(client)
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(content)["reason"] == uploads.TOO_MANY
            assert headers["x-content-type-options"] == "nosniff"
            assert re.search("GMT$", headers["date"])
        begin = time.monotonic()
        client.sendall(POST % (1, b"a"))
        assert response(client)[0] == 503
        assert time.monotonic() - begin > 0.05  # who does not wait is made to
        client.sendall(GET)
        assert response(client)[0] == 200
        # For a page of another origin the response needs CORS headers, which only the application can add.
        page = connect(POST.replace(b"Host", b"Origin: http://localhost\r\nHost") % (1, b"a"))
        assert response(page)[0] == 200
        connect.may_go.set()
        assert response(first)[0] == 200


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_a_network_that_one_machine_may_have_counts_as_one(host, group):
    assert group_of(host) == group

import contextlib
import errno
import gzip
import hashlib
import io
import re
import socket
import sys
import threading
import urllib.request
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from torchvision_or_skip import import_torchvision

from mnist_cli.datasets import mirrors, mnist_files
from mnist_cli.files import lock


class Mirror(ThreadingHTTPServer):
    """A mirror on loopback that responds by calling its `answer`."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests = []
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/mnist/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        self.server.answer(self, len(self.server.requests))

    def send(self, body, status=200, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Stay silent."""


@pytest.fixture
def start():
    """Start mirrors, and stop them at the end."""
    started = []

    def start(answer):
        server = Mirror(answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.closing.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(mirrors, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(mirrors, "GRACE_SECONDS", 1)
    monkeypatch.setattr(mirrors, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def archive(data_dir):
    return gzip.compress(mnist_files.read(data_dir, mnist_files.VAL_LABELS))


@pytest.fixture
def file(archive):
    """The val labels, as if the archive packed here were the published one."""
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    return replace(mnist_files.VAL_LABELS, archive_size=len(archive), archive_md5=md5)


def download(file, data_dir, *servers):
    return mirrors.download([file], data_dir, [server.url for server in servers], lambda *received: None)


def test_a_good_mirror_delivers_and_progress_is_reported(start, archive, file, tmp_path, data_dir):
    seen = []
    server = start(lambda request, count: request.send(archive))
    missing, failures = mirrors.download([file], tmp_path, [server.url], lambda *received: seen.append(received))
    assert (missing, failures) == ([], {})
    assert server.requests == ["/mnist/t10k-labels-idx1-ubyte.gz"]
    assert mnist_files.read(tmp_path, file) == mnist_files.read(data_dir, mnist_files.VAL_LABELS)
    assert seen[-1] == (file.name, len(archive), len(archive))


def test_a_mirror_without_a_trailing_slash_is_meant_the_same(start, archive, file, tmp_path):
    server = start(lambda request, count: request.send(archive))
    assert mirrors.download([file], tmp_path, [server.url.rstrip("/")], lambda *received: None) == ([], {})


def hang(request, count):
    request.server.closing.wait(5)


def trickle_of_headers(request, count):
    while not request.server.closing.wait(0.05):
        request.wfile.write(b"x")


def hang_in_the_body(request, count):
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"first bytes")
    request.server.closing.wait(5)


def reset(request, count):
    request.connection.shutdown(socket.SHUT_RDWR)


def redirect_forever(request, count):
    request.send(b"", 302, Location=request.path)


def redirect_and_never_end(request, count):
    request.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\n\r\n")
    with contextlib.suppress(OSError):
        while not request.server.closing.is_set():
            request.wfile.write(bytes(1 << 16))


FAULTS = {
    "404": (lambda request, count: request.send(b"", 404), "responds with 404 Not Found", 1),
    "403": (lambda request, count: request.send(b"", 403), "responds with 403 Forbidden", 1),
    "503": (lambda request, count: request.send(b"", 503), r"responds with 503 .*\(3 attempts\)", 3),
    "hanging": (hang, "sends nothing for 0.3 s", 3),
    "hanging after a byte": (trickle_of_headers, "does not respond within", 1),
    "hanging in the body": (hang_in_the_body, "sends nothing for 0.3 s", 3),
    "reset": (reset, "interrupted the transfer", 3),
    "truncated": (lambda request, count: request.send(b"short"), r"sends 5 of the [\d,]+ bytes", 3),
    "wrong bytes": (lambda request, count: request.send(bytes(request.server.size)), "with MD5 .*, expected", 1),
    "captive portal": (lambda request, count: request.send(b"<html>" * 10_000), "sends more than", 1),
    "words in several lines": (
        lambda request, count: request.wfile.write(b"SSH-2.0\r\n"),
        r"interrupted the transfer: SSH-2\.0 \(",
        3,
    ),
    "redirect loop": (redirect_forever, "responds with 302", 1),
    "redirect to a file": (
        lambda request, count: request.send(b"", 302, Location="file:///etc/passwd"),
        "responds with 302 .*not allowed",
        1,
    ),
    "redirect to nonsense": (
        lambda request, count: request.send(b"", 302, Location="http://[::bad"),
        "is not a valid URL: Invalid IPv6 URL",
        1,
    ),
    "redirect with a body without an end": (redirect_and_never_end, "redirects from http to ftp", 1),
}


@pytest.mark.parametrize(("answer", "reason", "attempts"), FAULTS.values(), ids=FAULTS)
def test_a_bad_mirror_is_named_with_the_reason_and_the_next_one_used(
    start, archive, file, tmp_path, answer, reason, attempts
):
    bad, good = start(answer), start(lambda request, count: request.send(archive))
    bad.size = len(archive)
    missing, failures = download(file, tmp_path, bad, good)
    assert missing == []
    assert list(failures) == [bad.url]
    assert re.search(reason, failures[bad.url])
    if answer is not redirect_forever:
        assert len(bad.requests) == attempts


def ranged(request, archive, start):
    request.send(archive[start:], 206, Content_Range=f"bytes {start}-{len(archive) - 1}/{len(archive)}")


def test_a_download_is_resumed_also_by_another_process(start, archive, file, tmp_path, data_dir):
    stop = len(archive) // 2
    asked = []

    def answer(request, count):
        asked.append(request.headers["Range"])
        if count <= mirrors.ATTEMPTS:
            request.send(
                archive[:stop] if count == 1 else b"",
                206 if count > 1 else 200,
                **({"Content_Range": f"bytes {stop}-"} if count > 1 else {}),
            )
        else:
            ranged(request, archive, stop)

    server = start(answer)
    assert download(file, tmp_path, server)[0] == [file]
    assert mnist_files.part_path(tmp_path, file).read_bytes() == archive[:stop]
    assert download(file, tmp_path, server) == ([], {})
    assert asked == [None, *[f"bytes={stop}-"] * mirrors.ATTEMPTS]
    assert mnist_files.read(tmp_path, file) == mnist_files.read(data_dir, mnist_files.VAL_LABELS)
    assert [path.name for path in mnist_files.raw_dir(tmp_path).iterdir()] == [file.name]


WRONG_RANGES = {
    "ignored": lambda request, archive: request.send(archive),
    "wrong": lambda request, archive: ranged(request, archive, 7),
    "unnamed": lambda request, archive: request.send(archive[10:], 206),
    "not satisfiable": lambda request, archive: request.send(b"", 416),
    "wrong bytes": lambda request, archive: request.send(
        bytes(len(archive) - 10), 206, Content_Range=f"bytes 10-{len(archive) - 1}/{len(archive)}"
    ),
}


@pytest.mark.parametrize("resumed", WRONG_RANGES.values(), ids=WRONG_RANGES)
@pytest.mark.parametrize("had", ["the first ten", "ten wrong"])
def test_a_wrong_response_on_resume_costs_at_most_another_attempt(start, archive, file, tmp_path, resumed, had):
    part = mnist_files.part_path(tmp_path, file)
    part.parent.mkdir(parents=True)
    part.write_bytes(archive[:10] if had == "the first ten" else b"<html>----")
    server = start(
        lambda request, count: resumed(request, archive) if request.headers["Range"] else request.send(archive)
    )
    assert download(file, tmp_path, server) == ([], {})
    assert len(server.requests) <= 2


def test_a_part_that_is_whole_needs_no_mirror(archive, file, tmp_path):
    part = mnist_files.part_path(tmp_path, file)
    part.parent.mkdir(parents=True)
    part.write_bytes(archive)
    assert mirrors.download([file], tmp_path, ["http://127.0.0.1:9"], lambda *received: None) == ([], {})


def test_a_part_that_another_program_is_filling_is_left_to_it(start, archive, file, tmp_path):
    part = mnist_files.part_path(tmp_path, file)
    part.parent.mkdir(parents=True)
    server = start(lambda request, count: request.send(archive))
    with open(part, "a+b") as theirs:
        assert lock(theirs.fileno())
        theirs.write(archive[:10])
        theirs.flush()
        assert download(file, tmp_path, server) == ([], {})
        theirs.seek(0)
        assert theirs.read() == archive[:10]


class FullDisk(io.BytesIO):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_an_error_of_the_mirror(start, archive, file, tmp_path, monkeypatch):
    server = start(lambda request, count: request.send(archive))
    monkeypatch.setattr(mirrors, "open_part", lambda *_: FullDisk())
    with pytest.raises(OSError, match="No space left"):
        download(file, tmp_path, server)
    assert len(server.requests) == 1


def test_files_that_no_mirror_delivers_are_returned_as_missing(start, file, tmp_path):
    bad = start(lambda request, count: request.send(b"", 404))
    missing, failures = download(file, tmp_path, bad)
    assert missing == [file]
    assert list(failures) == [bad.url]
    assert not list(mnist_files.raw_dir(tmp_path).iterdir())


def test_a_refused_connection_is_a_reason(file, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        _, failures = mirrors.download([file], tmp_path, [url], lambda *received: None)
    assert "cannot be reached: " in failures[url]


def test_a_mirror_that_recovers_is_used(start, archive, file, tmp_path):
    server = start(lambda request, count: request.send(archive) if count == 3 else request.send(b"", 503))
    assert download(file, tmp_path, server) == ([], {})


def test_retry_after_is_heeded_up_to_a_limit(start, archive, file, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(mirrors.time, "sleep", pauses.append)
    waits = ["2", "3600", "Wed, 21 Oct 2026 07:28:00 GMT"]
    server = start(lambda request, count: request.send(b"", 429, Retry_After=waits[count - 1]))
    download(file, tmp_path, server)
    assert pauses == [2, mirrors.MAX_PAUSE_SECONDS]


def test_a_slow_download_is_aborted(start, file, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "GRACE_SECONDS", 0.2)

    def trickle(request, count):
        request.send_response(200)
        request.end_headers()
        while not request.server.closing.wait(0.05):
            request.wfile.write(b"x")

    server = start(trickle)
    _, failures = download(file, tmp_path, server)
    assert "bytes a second" in failures[server.url]
    assert len(server.requests) == 1


def chunked(request, body):
    request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def drip(request, byte):
    while not request.server.closing.wait(0.05):
        request.wfile.write(byte)


def test_slow_chunk_extensions_are_aborted(start, file, tmp_path):
    def answer(request, count):
        chunked(request, b"5;name=")
        drip(request, b"x")

    server = start(answer)
    _, failures = download(file, tmp_path, server)
    assert "sends only 0 bytes a second" in failures[server.url]
    assert len(server.requests) == 1


def test_trailers_are_not_waited_for(start, archive, file, tmp_path):
    def answer(request, count):
        chunked(request, b"%x\r\n%s\r\n0\r\nTrailer: " % (len(archive), archive))
        drip(request, b"x")

    assert download(file, tmp_path, start(answer)) == ([], {})


def test_slow_trailers_before_the_end_of_the_archive_are_aborted(start, archive, file, tmp_path):
    def answer(request, count):
        chunked(request, b"%x\r\n%s\r\n0\r\nTrailer: " % (100, archive[:100]))
        drip(request, b"x")

    server = start(answer)
    _, failures = download(file, tmp_path, server)
    assert re.search("sends only [0-9]+ bytes a second", failures[server.url])


def test_content_that_is_not_the_published_one_is_never_installed(start, tmp_path):
    archive = gzip.compress(bytes(mnist_files.VAL_LABELS.size))
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    file = replace(mnist_files.VAL_LABELS, archive_size=len(archive), archive_md5=md5)
    server = start(lambda request, count: request.send(archive))
    missing, failures = download(file, tmp_path, server)
    assert missing == [file]
    assert "has SHA-256" in failures[server.url]


def test_a_redirect_never_leaves_https():
    request = urllib.request.Request("https://mirror.example/file.gz")
    handler = mirrors.SecureRedirects()
    with pytest.raises(mirrors.MirrorError, match="redirects from https to http://elsewhere"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://elsewhere.example/file.gz")
    followed = handler.redirect_request(request, None, 302, "Found", {}, "https://elsewhere.example/file.gz")
    assert followed.full_url == "https://elsewhere.example/file.gz"


@pytest.mark.slow
def test_every_known_mirror_is_https_and_ours_are_among_them():
    known = mirrors.known_mirrors()
    assert all(url.startswith("https://") for url in known)
    assert set(mirrors.MIRRORS) <= set(known)
    assert len(known) == len(set(known))


def test_without_torchvision_our_own_mirrors_are_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert mirrors.known_mirrors() == list(mirrors.MIRRORS)


def test_the_archive_sums_are_torchvisions():
    torchvision = import_torchvision()
    assert {f"{file.name}.gz": file.archive_md5 for file in mnist_files.FILES} == dict(
        torchvision.datasets.MNIST.resources
    )

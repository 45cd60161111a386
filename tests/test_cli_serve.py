import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from conftest import draw_seven

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures, checkpoints

pytest.importorskip("fastapi")

from torture import clients


@contextmanager
def serving(folder, *options):
    """Run the service in a process of its own; yields it and its address."""
    command = [sys.executable, "-m", "mnist_cli", "serve", "--port", "0", "--checkpoint", "pretrained", *options]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ) as service:
        try:
            told = []
            while not (told and (address := re.search(r"Draw on (http://\S+)", told[-1]))):
                told.append(service.stderr.readline())
                assert told[-1], told
            yield service, address[1]
        finally:
            service.kill()


@pytest.mark.slow
def test_ctrl_c_stops_it_when_the_requests_in_flight_are_answered(tmp_path):
    draw_seven().save(tmp_path / "seven.png")
    body = (tmp_path / "seven.png").read_bytes()
    with serving(tmp_path, "--verbose") as (service, address):
        with urlopen(f"{address}/api/predict", body, timeout=60) as response:  # after which there is a worker
            assert response.status == 200
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            head = f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body[:100])
            time.sleep(0.5)  # the request has begun to be answered
            service.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert service.poll() is None
            client.sendall(body[100:])
            answer = client.makefile("rb").read()
        _, told = service.communicate(timeout=30)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"digit":7' in answer
    lines = told.splitlines()
    for line in lines[:2]:
        assert re.fullmatch(r"\d\d:\d\d:\d\d  POST /api/predict  200  \d+ ms", line)
    assert lines[2:] == ["Stopped."]
    assert service.returncode == 0


@pytest.mark.slow
def test_requests_are_logged_only_when_asked_for(tmp_path):
    with serving(tmp_path) as (service, address):
        with urlopen(f"{address}/healthz", timeout=30) as response:
            assert response.status == 200
        service.send_signal(signal.SIGINT)
        _, told = service.communicate(timeout=30)
    assert told == "Stopped.\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_stops_after_the_grace_period_with_a_client_that_is_still_sending(tmp_path, number, status):
    with serving(tmp_path) as (service, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n".encode())
            time.sleep(0.5)
            service.send_signal(number)
            _, told = service.communicate(timeout=25)  # of which 5 are the grace period
    assert service.returncode == status
    assert "Traceback" not in told


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_worker_longer_than_the_grace_period(tmp_path):
    body = clients.squares()  # which take a worker longer
    with serving(tmp_path) as (service, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            head = f"POST /api/predict?many=true HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            time.sleep(1)
            service.send_signal(signal.SIGINT)
            _, told = service.communicate(timeout=25)
            assert client.makefile("rb").read().startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
    assert service.returncode == 0
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_second_ctrl_c_stops_it_at_once(tmp_path):
    with serving(tmp_path) as (service, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n".encode())
            time.sleep(0.5)
            for _ in range(2):
                service.send_signal(signal.SIGINT)
                time.sleep(0.3)
            _, told = service.communicate(timeout=25)
    assert service.returncode == 0
    assert "Traceback" not in told


@pytest.mark.slow
def test_the_address_is_printed_and_the_page_opened_on_request(mnist, monkeypatch):
    import uvicorn

    opened, ran = [], []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: ran.append(sockets))
    result = mnist("serve", "--port", 0, "--checkpoint", "pretrained", "--open", "--collect", "mine")
    assert result.exit_code == 0
    assert len(ran) == 1
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", opened[0])
    assert f"Draw on {opened[0]} or read the API documentation at {opened[0]}/docs" in result.stderr
    assert "Corrected pictures are saved in mine." in result.stderr


def test_the_error_for_a_port_in_use_suggests_another(mnist):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = mnist("serve", "--port", port)
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"Error: cannot listen on 127.0.0.1 port {port}: another program listens there; type: "
    )
    assert result.stderr.strip().endswith(f"serve --port {port + 1}")


def test_an_address_of_another_machine_is_an_error(mnist):
    for host in ("192.0.2.1", "no such host"):
        result = mnist("serve", "--host", host)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert "127.0.0.1 is this machine" in result.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart"])
def test_the_error_for_a_missing_extra_says_what_to_type(mnist, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    result = mnist("serve")
    assert result.exit_code == 1
    assert (
        result.stderr
        == f'Error: `mnist serve` needs {package}, which is not installed; type: pip install "mnist-cli[serve]"\n'
    )


def test_a_folder_that_cannot_be_made_is_an_error(mnist, tmp_path):
    (tmp_path / "mine").write_text("a file")
    result = mnist("serve", "--port", 0, "--checkpoint", "pretrained", "--collect", "mine")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: mine: ")


def test_an_invalid_port_is_wrong_usage(mnist):
    assert mnist("serve", "--port", 70_000).exit_code == 2


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/page"])
def test_an_invalid_origin_is_an_error(mnist, origin):
    result = mnist("serve", "--allow-origin", origin)
    assert result.exit_code == 2
    assert result.stderr == f"Error: --allow-origin {origin}: an origin looks like https://example.org, or is *\n"


def test_an_origin_may_be_written_otherwise_than_browsers_do(mnist, monkeypatch):
    import uvicorn

    ran = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: ran.append(self.config.app))
    mnist("serve", "--port", 0, "--checkpoint", "pretrained", "--allow-origin", "HTTPS://Example.org/")
    assert ran[0].user_middleware[0].kwargs["origins"] == ["https://example.org"]


def test_models_with_other_classes_are_not_compared(mnist, tmp_path):
    letters = architectures.build("linear", 0, classes=("a", "b"))
    checkpoints.save(tmp_path / "letters.pt", letters, TrainConfig(), [], {})
    result = mnist("serve", "--port", 0, "--checkpoint", "pretrained", "--checkpoint", tmp_path / "letters.pt")
    assert result.exit_code == 2
    assert "have different classes, so they cannot be compared" in " ".join(result.stderr.split())

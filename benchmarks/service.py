"""Measure the throughput, the latency and the memory of `mnist serve`.

    python benchmarks/service.py [--requests 100000] [--seconds 10]

Server and load generator share the machine. The pictures are val digits drawn with sharp edges on 280x280 px, as PNG
files such as a browser makes of a canvas (RGBA). Each connection sends its next picture after the response to the last one.
"""

import argparse
import asyncio
import io
import itertools
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mnist_cli import cores
from mnist_cli.datasets import dataset, mnist_files

SIDE = 280  # px
PICTURES = 1_000
CONNECTIONS = (1, 8, 32, 320)


@dataclass
class Load:
    """The responses that a load generator received."""

    statuses: Counter[int] = field(default_factory=Counter)
    taken: list[float] = field(default_factory=list)  # seconds, of the pictures with a result

    def row(self, seconds: float) -> str:
        """Return the row of a table for a run of so many seconds."""
        refused = self.statuses[503]
        others = sum(count for status, count in self.statuses.items() if status not in (200, 503))
        half, almost_all = statistics.quantiles(self.taken, n=100)[49::49]
        return f"{len(self.taken) / seconds:9,.0f} {1e3 * half:8.1f} {1e3 * almost_all:8.1f} {refused:8,} {others:8,}"


def draw(folder: Path) -> list[bytes]:
    """Return drawings of val digits as PNG files."""
    mnist_files.repair(folder)
    pictures = []
    for digit in dataset.load(folder, "val").images[:PICTURES, 0].numpy():
        drawing = Image.fromarray(255 - digit).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        drawing.point(lambda level: 8 * (level - 128) + 128).convert("RGBA").save(file, "PNG")
        pictures.append(file.getvalue())
    return pictures


def request(png: bytes) -> bytes:
    """Return the HTTP request that sends a picture."""
    head = "POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: "
    return f"{head}{len(png)}\r\n\r\n".encode() + png


@contextmanager
def serving(log: Path) -> Iterator[tuple[int, int]]:
    """Run the service while the block runs; yields its process and its port."""
    command = [sys.executable, "-m", "mnist_cli", "serve", "--port", "0", "--checkpoint", "pretrained"]
    with log.open("wb") as file:
        server = subprocess.Popen(command, stderr=file, start_new_session=True)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            if server.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        yield server.pid, int(found[1])
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


async def send(port: int, requests: Iterator[bytes], load: Load, until: float) -> None:
    """Send one request after the other over one connection, until the time `until` or the end of the requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        start = time.perf_counter()
        if start > until:
            break
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        await reader.readexactly(length)
        status = int(head[9:12])
        load.statuses[status] += 1
        if status == 200:
            load.taken.append(time.perf_counter() - start)
        elif status == 503:
            await asyncio.sleep(0.1)  # less than the Retry-After of a second, to keep up the load
    writer.close()
    await writer.wait_closed()


async def run(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    """Keep `connections` busy for some seconds, or until there are no more requests."""
    load = Load()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(send(port, requests, load, until) for _ in range(connections)))
    return load


def processes(server: int) -> list[int]:
    """Return the process of the server and those that it started."""
    command = ["ps", "-o", "pid=", "-s", str(server)]
    return [int(number) for number in subprocess.run(command, capture_output=True, check=True).stdout.split()]


def memory(server: int) -> float:
    """Return the memory of all processes of the server in MB; shared pages are counted once."""
    rolls = [Path(f"/proc/{process}/smaps_rollup").read_text() for process in processes(server)]
    return sum(int(re.search(r"^Pss: +(\d+) kB", roll, re.MULTILINE)[1]) for roll in rolls) / 1024


def cpu_seconds(some: Sequence[int]) -> float:
    """Return the CPU time of processes until now."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in some]
    return sum(int(user) + int(system) for *_, user, system in (some[:13] for some in fields)) / os.sysconf(
        "SC_CLK_TCK"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--requests", type=int, default=100_000, help="number of requests after which the memory is measured again"
    )
    parser.add_argument("--seconds", type=float, default=10, help="time for each number of connections")
    parser.add_argument(
        "--connections", type=int, action="append", help="only this number of connections; can be repeated"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        requests = [request(png) for png in draw(Path(temporary) / "data")]
        with serving(Path(temporary) / "log") as (process, port):
            print(f"{platform.machine()}, {cores.available()} cores, load {os.getloadavg()[0]:.1f} before the start")
            print(
                "connections  results/s   p50 ms   p99 ms      503   errors   CPU ms per result: server, load generator"
            )
            asyncio.run(run(port, itertools.cycle(requests), 8, 2))  # to warm up
            for connections in arguments.connections or CONNECTIONS:
                start, before, before_us = time.perf_counter(), cpu_seconds(processes(process)), time.process_time()
                load = asyncio.run(run(port, itertools.cycle(requests), connections, arguments.seconds))
                taken, results = time.perf_counter() - start, len(load.taken)
                theirs, ours = cpu_seconds(processes(process)) - before, time.process_time() - before_us
                print(
                    f"{connections:11,} {load.row(taken)} {1e3 * theirs / results:26.2f} {1e3 * ours / results:15.2f}"
                )
            if arguments.requests:
                before = memory(process)
                many = itertools.islice(itertools.cycle(requests), arguments.requests)
                load = asyncio.run(run(port, many, 32, float("inf")))
                print(
                    f"memory: {before:,.0f} MB, {memory(process) - before:+,.0f} MB after {sum(load.statuses.values()):,} more"
                )


if __name__ == "__main__":
    main()

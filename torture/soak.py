"""Load the service with one hostile client after the other, and print the latency that well-behaved clients see meanwhile.

python -m torture.soak [--minutes 30] [--turn 20] [CLIENT...]

Eight well-behaved connections send a picture or a page every 50 ms. In a first round each hostile client has a short turn;
longer rounds follow. It fails when a well-behaved client gets an error or a 503, when more than one response in a hundred
takes longer than a second, when the service needs 50 MB more than after the first round, or when its log exceeds 1 MB.
"""

import argparse
import asyncio
import itertools
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from torture import Outcomes, spread
from torture.clients import CLIENTS, Client, digit, page, post, response
from torture.program import fork

CONNECTIONS = 8
PAUSE = 0.05  # seconds between two requests of a well-behaved client
OPEN_FILES = 1_024  # limit of the service
SLOWEST = 1.0  # seconds in which 99 of 100 requests are answered
FIRST_TURN = 3.0  # seconds, of the first round, which takes about a minute
START_SECONDS = 120  # in which the workers have to start
MORE_BYTES, LOG_BYTES = 50e6, 1e6
ADDRESS = "127.0.0.2"  # of the hostile client


@dataclass
class Seen:
    """The responses that well-behaved clients got."""

    statuses: Counter[object] = field(default_factory=Counter)  # or errors
    seconds: list[float] = field(default_factory=list)  # of the responses

    @property
    def almost_all(self) -> float:
        """The seconds in which 99 of 100 requests were answered."""
        return statistics.quantiles(self.seconds, n=100)[-1] if len(self.seconds) > 1 else float("inf")

    def row(self, name: str, memory: int) -> str:
        """Return a row of the table."""
        wrong = self.statuses.total() - self.statuses[200]
        seconds = statistics.median(self.seconds or [0]), self.almost_all, max(self.seconds, default=0)
        times = " | ".join(f"{1e3 * number:.0f}" for number in seconds)
        return f"| {name} | {len(self.seconds):,} | {wrong:,} | {times} | {memory / 1e6:.0f} |"

    def fault(self, slowest: float) -> str | None:
        """Return what is wrong with them, or None."""
        if set(self.statuses) != {200}:
            return f"well-behaved clients saw {dict(self.statuses)}"
        if self.almost_all > slowest:
            return f"99 of 100 responses took up to {self.almost_all:.1f} s"
        return None


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the service while the block runs; yields its process and its port."""
    command = [sys.executable, "-m", "mnist_cli", "serve", "--port", "0", "--checkpoint", "pretrained"]
    log = folder / "log"
    with log.open("wb") as file:
        limited = ["sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh", *command]
        service = subprocess.Popen(limited, stderr=file, start_new_session=True)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            if service.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield service.pid, int(found[1])
    finally:
        service.send_signal(signal.SIGINT)
        try:
            service.wait(60)
        except subprocess.TimeoutExpired:
            service.kill()
            raise


async def send(port: int, request: bytes, seen: Seen) -> None:
    """Send requests over one connection until cancelled; a connection that is lost is an error."""
    while True:
        begin = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                while True:
                    writer.write(request)
                    seen.statuses[await response(reader)] += 1
                    seen.seconds.append(time.perf_counter() - begin)
                    await asyncio.sleep(PAUSE)
                    begin = time.perf_counter()
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            seen.statuses[type(error).__name__] += 1
            await asyncio.sleep(PAUSE)
        except asyncio.CancelledError:
            if (waited := time.perf_counter() - begin) > SLOWEST:
                seen.seconds.append(waited)  # for an answer that has not come
            raise


def take_turn(port: int, client: Client | None, seconds: float) -> Seen:
    """Return what well-behaved clients see for some seconds, with a hostile client in another process."""
    if client is None:
        return asyncio.run(behave_well(port, seconds))
    hostile = fork(lambda: asyncio.run(client.run(port, ADDRESS)))
    try:
        return asyncio.run(behave_well(port, seconds))
    finally:
        hostile.kill()
        hostile.join()


async def behave_well(port: int, seconds: float) -> Seen:
    """Return what well-behaved clients see for some seconds."""
    seen = Seen()
    requests = [post(digit())] * (CONNECTIONS - 1) + [post(page(), "?many=true")]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(send(port, request, seen) for request in requests))
    return seen


def warm_up(port: int) -> None:
    """Send requests until the workers have started, which takes a while on a busy machine."""
    end = time.monotonic() + START_SECONDS
    while take_turn(port, None, FIRST_TURN).statuses[200] < 3 * CONNECTIONS:
        if time.monotonic() > end:
            raise RuntimeError(f"the service is not ready after {START_SECONDS} s")


def memory(service: int) -> int:
    """Return the memory that all processes of the service have, in bytes; shared pages are counted once."""
    processes = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(service)], capture_output=True, text=True, check=True
    ).stdout
    rolls = [Path(f"/proc/{process}/smaps_rollup") for process in processes.split()]
    sizes = [re.search(r"^Pss: +(\d+) kB", roll.read_text(), re.MULTILINE) for roll in rolls if roll.exists()]
    return 1024 * sum(int(size[1]) for size in sizes if size)


def hostile(count: int, seed: int, folder: Path) -> Outcomes:
    """Give each hostile client a turn, in which other clients get their results, only slower."""
    with serving(folder) as (_, port):
        warm_up(port)
        for _, client in spread(CLIENTS, count):
            fault = take_turn(port, client, FIRST_TURN).fault(10 * SLOWEST)
            yield fault and f"{client.name}: {fault}"


def main() -> None:
    """Print a row for each turn, and what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="; ".join(client.name for client in CLIENTS))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--turn", type=float, default=20, help="seconds of each client in each round but the first")
    arguments = parser.parse_args()
    clients: list[Client | None] = [one for one in CLIENTS if not arguments.clients or one.name in arguments.clients]
    faults, end = [], time.monotonic() + 60 * arguments.minutes
    print("| hostile client | responses | 503 and errors | p50, ms | p99, ms | slowest, ms | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as temporary, serving(Path(temporary)) as (service, port):
        warm_up(port)
        before = 0
        for number, client in enumerate(itertools.cycle([*clients, None])):
            if number > len(clients) and time.monotonic() > end:
                break
            seconds = arguments.turn if number > len(clients) else FIRST_TURN
            seen = take_turn(port, client, seconds)
            now = memory(service)
            before = now if number == len(clients) else before
            name = client.name if client else "none"
            if fault := seen.fault(SLOWEST):
                faults.append(f"{name}: {fault}")
            print(seen.row(name, now), flush=True)
        log = (Path(temporary) / "log").stat().st_size
    if now - before > MORE_BYTES:
        faults.append(f"the service has {now / 1e6:.0f} MB, after the first round it had {before / 1e6:.0f} MB")
    if log > LOG_BYTES:
        faults.append(f"its log has {log / 1e6:.0f} MB")
    print(f"\nlog: {log:,} bytes", *faults, sep="\n", file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

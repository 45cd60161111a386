"""Run trials in another process, so that a crash, a hang or too much memory is a failure of one trial only."""

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from torture import Outcomes
from torture.program import fork

WAITED = 600  # seconds of wall-clock time for one input, enough on a busy machine, too
RESERVE = 2 << 30  # bytes above `Limit.memory` at which allocations fail, which protects other processes


@dataclass(frozen=True)
class Limit:
    """The resources that one input may use."""

    seconds: int = 60  # of CPU time
    memory: int = 1 << 30  # bytes above what the process has before the first input


Check = Callable[[int, int, Path], str | None]  # of a seed and a number, in a folder: what failed

ORDINARY = Limit()


def check_all(check: Check, count: int, seed: int, folder: Path, limit: Limit = ORDINARY) -> Outcomes:
    """Yield the outcome of each number below `count`; one that ends the process is a failure."""
    number = 0
    while number < count:
        ours, theirs = multiprocessing.Pipe()
        process = fork(_work, check, range(number, count), seed, folder, limit, theirs)
        theirs.close()
        try:
            ours.recv()
        except EOFError:
            raise RuntimeError("the process did not even begin") from None
        try:
            while number < count:
                failure = ours.recv()
                yield failure and f"number {number} of seed {seed}: {failure}"
                number += 1
        except GeneratorExit:  # out of time
            process.kill()
            process.join()
            raise
        except EOFError:
            process.join()
            hung = {-signal.SIGPROF: f"it computed for {limit.seconds} s", -signal.SIGALRM: f"it hung for {WAITED} s"}
            why = hung.get(process.exitcode or 0, f"exit status {process.exitcode}")
            yield f"number {number} of seed {seed}: the process ended, {why}"
            number += 1
        process.join()


def _work(check: Check, numbers: range, seed: int, folder: Path, limit: Limit, outcomes: Connection) -> None:
    """Run the trials one after the other."""
    sys.settrace(None)  # the time of a tracer, such as that of coverage, is not the program's
    check(seed, 0, folder)  # imports and loads what all of them need
    for ending in (signal.SIGALRM, signal.SIGPROF):  # they end the process wherever it is, also inside a decoder
        signal.signal(ending, signal.SIG_DFL)
    before = _memory("VmRSS")
    return_freed_memory = ctypes.CDLL(None).malloc_trim
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + limit.memory + RESERVE, resource.RLIM_INFINITY))
    outcomes.send("ready")
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        for number in numbers:
            return_freed_memory(0)  # what an earlier input left is not counted for this one
            Path("/proc/self/clear_refs").write_text("5")  # reset the peak of the memory
            signal.alarm(WAITED)
            signal.setitimer(signal.ITIMER_PROF, limit.seconds)
            try:
                failure = check(seed, number, folder)
            except BaseException:
                failure = traceback.format_exc()
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            more = _memory("VmHWM") - before
            if more > limit.memory:
                failure = f"took {more / 1e6:,.0f} MB; {failure or 'it was correct otherwise'}"
            if said.seek(0, os.SEEK_END):
                said.seek(0)
                failure = failure or f"wrote to stderr: {said.read()[:300]!r}"
                said.seek(0)
                said.truncate()
            outcomes.send(failure)


def _memory(name: str) -> int:
    """Return a figure of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

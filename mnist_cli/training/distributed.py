"""Distributed training: the processes that torchrun starts, and their communication.

A single process is a group of one, for which nothing here takes time.
"""

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from mnist_cli.errors import ProcessError, ReportedElsewhereError

T = TypeVar("T")

# How long to wait for the other processes; what one process does alone (saving, drawing, compiling) takes less.
TIMEOUT = timedelta(minutes=5)
# How long to wait before Python handles signals, which it cannot do while waiting.
MOMENT = timedelta(seconds=1)


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is.

    Every method has to be called by all of them, in the same order. Each raises ProcessError when another process has
    ended, or does not respond within TIMEOUT.
    """

    rank: int = 0  # the process of rank 0 is the one that prints and writes
    size: int = 1

    def sum(self, value: Tensor) -> Tensor:
        """Replace `value` by its sum over the processes, and return it."""
        if self.size > 1:
            with self._connection_errors():
                _wait_for(distributed.all_reduce(value, async_op=True), is_on_cpu=not value.is_cuda)
        return value

    def sum_all(self, tensors: Sequence[Tensor]) -> None:
        """Replace each of several floating-point tensors on one device by its sum, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = self.sum(torch.cat([tensor.flatten() for tensor in tensors]))
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, value: bool) -> bool:
        """Return whether `value` is true in any process."""
        return value if self.size == 1 else bool(self.sum(torch.tensor(int(value))).item())

    def gather(self, value: T) -> list[T]:
        """Return the `value` of every process, by rank."""
        values = [value] * self.size
        self.any(False)  # waits for the others; unlike the next call, Ctrl-C can interrupt it
        if self.size > 1:
            with self._connection_errors():
                distributed.all_gather_object(values, value)
        return values

    def run_in_all(self, work: Callable[[], T]) -> T:
        """Run `work` in every process and return the result of this one, once all have finished.

        Raises what it raises here, or ReportedElsewhereError when it failed in another process only, or with the same error in
        one of a lower rank.
        """
        try:
            result = work()
        except Exception as error:
            if repr(error) in self.gather(repr(error))[: self.rank]:
                raise ReportedElsewhereError(str(error)) from error
            raise
        if set(self.gather("")) != {""}:
            raise ReportedElsewhereError("another process of this run could not start; it prints the reason")
        return result

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Raise a connection error of torch as a ProcessError."""
        try:
            yield
        except RuntimeError as error:
            # Its frames hold the process group, whose threads have to end before Python does; see `joined`.
            traceback.clear_frames(error.__traceback__)
            others = [rank for rank in range(self.size) if rank != self.rank]
            who = f"rank {others[0]}" if len(others) == 1 else "another process"
            minutes = TIMEOUT.total_seconds() / 60
            what = f"has not responded for {minutes:g} minutes" if "imed out" in str(error) else "ended"
            raise ProcessError(f"{who} of this run {what}") from error


ALONE = Group()


def _wait_for(exchange: distributed.Work, is_on_cpu: bool) -> None:
    """Wait until an exchange is done, on the CPU with pauses to handle signals; raises the error of a failed one.

    On CUDA this only orders it before the next operations; the CPU waits for the others elsewhere.
    """
    while is_on_cpu and not exchange.is_completed():
        with suppress(RuntimeError):  # not done yet
            exchange.wait(MOMENT)
    exchange.wait()


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Join the process group of torchrun, if there is one, in a `with` block.

    The backend is nccl on CUDA, else gloo. At the end each process waits for the others, unless an error ends the block,
    and the communication threads are stopped: one that releases a tensor while Python shuts down would abort the process.
    Nothing may keep the process group alive beyond the block, as DistributedDataParallel would. A Ctrl-C that ends the block
    ends the process: with an exchange under way, the threads could not be ended before TIMEOUT.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    # gloo in addition to nccl, for tensors on the CPU.
    backends = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backends, timeout=TIMEOUT)
    try:
        group = Group(distributed.get_rank(), size)
        yield group
        group.any(False)
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    finally:
        distributed.destroy_process_group()

"""Several processes that train one model, as torchrun starts them: what each has to know of the others.

Alone, a process is a group of one, and nothing here costs anything.
"""

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is."""

    rank: int = 0  # 0 is the one that prints and writes
    size: int = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return `model` with its gradients averaged over the processes at every step."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def sum(self, value: Tensor) -> Tensor:
        """Replace `value` by its sum over the processes, and return it."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def any(self, value: bool) -> bool:
        """Say whether `value` is true in any process."""
        return value if self.size == 1 else bool(self.sum(torch.tensor(int(value))).item())


def join(device: torch.device) -> Group:
    """Join the other processes that torchrun started, if it did: over nccl on CUDA, else over gloo."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Group()
    # gloo beside nccl, for what is on the CPU.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Group(distributed.get_rank(), size)


def leave() -> None:
    """Part from the other processes, if there were any."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()

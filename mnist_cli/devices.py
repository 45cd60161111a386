"""Where tensors live and are computed."""

import torch

from mnist_cli.errors import ConfigError


def choose(name: str | None) -> torch.device:
    """Return the device of that name, or the best there is: CUDA, else MPS, else the CPU.

    Raises ConfigError when there is no such device on this machine.
    """
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(best if name is None else name)
        torch.empty(1, device=device)
    # Which of these torch raises depends on the device and on how torch was built.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"there is no device {name!r} on this machine; the best here is {best!r}") from error
    return device

"""A training step as one CUDA graph: on a GPU a small network waits for its launches, not for its arithmetic.

After "Accelerating PyTorch with CUDA Graphs" (Nguyen et al. 2021): what is captured reads and writes the same memory
at every replay, so a batch is copied into the place that the captured step reads from.
"""

import warnings
from collections.abc import Callable

import torch

WARM_UP = 3  # steps before the capture, in which cuDNN chooses its kernels and the optimizer makes its state


class GraphedStep:
    """Takes a step as it is at first, then captures it and replays what was captured."""

    def __init__(self, step: Callable[[], None]) -> None:
        """Prepare to run `step`, which must use the same tensors each time and ask for no value on the CPU."""
        self.step = step
        self.taken = 0
        self.replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Take one step."""
        self.taken += 1
        if self.taken == WARM_UP + 1:
            self.replay = self._captured()
        (self.replay or self.step)()

    def _captured(self) -> Callable[[], None]:
        """Return the step as a graph, or as it is where the GPU's driver or a layer does not allow a capture."""
        try:
            return capture(self.step)
        except RuntimeError as error:
            warnings.warn(
                f"the step could not be captured, so training is slower than it could be: {error}", stacklevel=2
            )
            return self.step


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Return a replay of all that `step` launches on the current CUDA device; nothing is computed meanwhile."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay

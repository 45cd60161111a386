"""A training step as one CUDA graph: for a small network on a GPU, kernel launches take longer than the computation.

After "Accelerating PyTorch with CUDA Graphs" (Nguyen et al. 2021): what is captured reads and writes the same memory
at every replay, so a batch is copied into the place that the captured step reads from.
"""

import warnings
from collections.abc import Callable

import torch

WARM_UP = 3  # steps before the capture, in which cuDNN chooses its kernels and the optimizer creates its state


class GraphedStep:
    """Runs a step eagerly at first, then captures it as a CUDA graph and replays that."""

    def __init__(self, step: Callable[[], None]) -> None:
        """Prepare to run `step`, which must use the same tensors each time and transfer no value to the CPU."""
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
        """Return the step as a graph, or unchanged where the driver or a layer does not support capture."""
        try:
            return capture(self.step)
        except RuntimeError as error:
            warnings.warn(
                f"the step could not be captured, so training is slower than it could be: {error}", stacklevel=2
            )
            return self.step


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Capture the kernels that `step` launches on the current CUDA device, without running them; return their replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay

"""The loss functions."""

from torch import Tensor
from torch.nn import functional


def loss_of(logits: Tensor, labels: Tensor, kind: str, label_smoothing: float = 0.0) -> Tensor:
    """Return the summed loss of logits (N, classes) against labels (N,).

    `mse` is the squared distance of the probabilities from the target, the Brier score.
    """
    if kind == "cross_entropy":
        return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)
    classes = logits.shape[1]
    target = functional.one_hot(labels, classes).to(logits.dtype) * (1 - label_smoothing) + label_smoothing / classes
    return functional.mse_loss(logits.softmax(dim=1), target, reduction="sum")

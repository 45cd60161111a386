"""Early stopping: the best epoch of a run on held-out images, and when to stop the run."""

from collections.abc import Sequence

from mnist_cli.results import EpochResult


def best_of(results: Sequence[EpochResult]) -> EpochResult | None:
    """Return the first epoch with the lowest held-out loss; without held-out images none is best."""
    losses = [result.held_out_loss for result in results if result.held_out_loss is not None]
    return results[losses.index(min(losses))] if losses else None


def is_due(results: Sequence[EpochResult], patience: int) -> bool:
    """Return whether the last `patience` epochs had no lower held-out loss than an earlier one; 0 never stops."""
    best = best_of(results)
    return bool(patience and best and results[-1].epoch - best.epoch >= patience)

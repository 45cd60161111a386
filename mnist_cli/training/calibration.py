"""Temperature scaling and the rejection threshold, fitted to a trained model on images that are new to it, or nearly."""

from dataclasses import replace

import torch
from torch import Tensor

from mnist_cli.datasets.dataset import Digits
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.interface import logits_of
from mnist_cli.training.augmentation import Augmenter
from mnist_cli.training.losses import loss_of

MOVED = 2_000  # training images from which a model without negative examples learns what digits look like
KEPT_OF_MOVED = 0.995  # fraction of them that is accepted: of the val images it is about the same


@torch.inference_mode()
def fit_temperature(model: Classifier, digits: Digits) -> None:
    """Calibrate the probabilities: set the temperature that minimizes the cross-entropy on `digits`.

    The model must not have been trained on them (Guo et al. 2017, "On calibration of modern neural networks").
    """
    model.temperature.fill_(1.0)
    logits = _logits(model, digits)
    temperatures = torch.logspace(-1, 1, 201, device=logits.device)
    losses = torch.stack([loss_of(logits / value, digits.labels, "cross_entropy") for value in temperatures])
    model.temperature.copy_(temperatures[losses.argmin()])


def moved(train: Digits, seed: int) -> Digits:
    """Return some training images, turned, scaled and shifted a little: to the model they are nearly as new as others are."""
    device = train.labels.device
    generator = torch.Generator(device).manual_seed(seed)
    some = train[torch.randperm(len(train), generator=generator, device=device)[:MOVED]]
    return replace(some, images=Augmenter("affine", device)(some.images, generator))


@torch.inference_mode()
def fit_rejection_threshold(model: Classifier, digits: Digits, kept: float = 0.998) -> None:
    """Set the rejection threshold so that the fraction `kept` of `digits` is accepted."""
    model.least_score.copy_(_logits(model, digits).logsumexp(dim=1).quantile(1 - kept))


def _logits(model: Classifier, digits: Digits) -> Tensor:
    """Return the logits of the model for each image, (N, classes), on the device of the digits."""
    return torch.from_numpy(logits_of(model, digits.arrays()[0])).to(digits.labels.device)

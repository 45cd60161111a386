"""Train the model that ships: python -m pretraining (or `make model`), in less than an hour.

The training set has MNIST's training images, without 5,000 that are held out, pictures simulated from many of them, and
digits drawn by program. Letters, halves of digits, scribbles, shapes and badly binarized pictures are negative examples. A
fraction of all images is corrupted, anew in each epoch. The model is evaluated on the val images at the end; nothing is
chosen by them.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_cli import cores, files
from mnist_cli.config import DATA_DIR, TrainConfig
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.datasets.dataset import Digits
from mnist_cli.models import architectures, checkpoints, pretrained
from mnist_cli.models.architectures import Classifier
from mnist_cli.results import EpochResult, Evaluation, percent
from mnist_cli.training import calibration, loop
from mnist_cli.training.loop import Trainer
from pretraining import examples
from pretraining.corruption import CorruptingAugmenter
from pretraining.examples import Mixture

TRAIN = Mixture(mnist=26_000, drawn=14_000, small=30_000, writing=12_000, non_writing=10_000)
HELD_OUT = Mixture(mnist=3_000, drawn=1_000, small=1_000, writing=700, non_writing=300)
CORRUPTED = 0.2  # fraction of the frames
ACCEPTED = (
    0.98  # fraction of the held-out simulated digits that the rejection threshold accepts; of MNIST's images over 99 %
)
CONFIG = TrainConfig(
    model="cnn",
    hidden=(32, 64, 128, 224),
    dropout=0.1,
    label_smoothing=0.05,
    learning_rate=1e-2,
    weight_decay=0.05,
    augment="elastic",
    epochs=16,
    batch_size=256,
    holdout=5_000,
)


class NotADigitLogit(nn.Module):
    """Appends an eleventh logit, of "not a digit", that is always 0: the logsumexp of the others is the log-odds of a digit."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return (N, 11) for logits (N, 10)."""
        return nn.functional.pad(logits, (0, 1))


def main() -> None:
    """Make the examples, train, calibrate, evaluate, save."""
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=pretrained.CHECKPOINT, help="path of the checkpoint")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 for CPUs that compute it fast"
    )
    parser.add_argument("--frames", type=Path, help="cache file of the frames: read if it exists, else written")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    mnist_files.repair(DATA_DIR)
    config = replace(CONFIG, precision=arguments.precision)
    train, held_out = dataset.select(dataset.load(DATA_DIR, "train"), config)
    assert held_out is not None
    simulated, simulated_held_out = frames(train, held_out, arguments.frames)
    print(f"{len(simulated):,} frames read from simulated pictures", flush=True)
    model = fit(dataset.joined(train, simulated), simulated_held_out, config, torch.device(arguments.device))
    calibration.fit_temperature(model, held_out)
    digits = simulated_held_out[simulated_held_out.labels != examples.NOT_A_DIGIT]
    calibration.fit_rejection_threshold(model, digits, ACCEPTED)
    val = loop.evaluate(model, dataset.load(DATA_DIR, "val"))
    print(f"val accuracy {percent(val.accuracy)}, loss {val.loss:.4f}, temperature {model.temperature.item():.3f}")
    save(model, config, val, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


def frames(train: Digits, held_out: Digits, cache: Path | None) -> list[Digits]:
    """Return the frames of pictures simulated from both sets of digits, from the file `cache` if it exists; else write it."""
    if cache and cache.exists():
        return [Digits(*parts) for parts in torch.load(cache, weights_only=True)]
    processes = cores.available()
    made = [
        examples.make(train, TRAIN, seed=1, processes=processes),
        examples.make(held_out, HELD_OUT, seed=2, processes=processes),
    ]
    if cache:
        with files.replacing(cache) as partial:
            torch.save([(some.images, some.labels) for some in made], partial)
    return made


def fit(train: Digits, held_out: Digits, config: TrainConfig, device: torch.device) -> Classifier:
    """Return a model trained to classify the ten digits, and to separate them from everything else."""
    model = architectures.build_from(config).to(device)
    model.layers.append(NotADigitLogit())
    trainer = Trainer(model, train.to(device), held_out.to(device), config)
    trainer.batches.augment = CorruptingAugmenter(trainer.batches.augment, CORRUPTED)
    for result in trainer.epochs():
        print(
            f"{result.epoch}/{config.epochs}  train loss {result.train_loss:.4f}  on held-out pictures: loss "
            f"{result.val_loss:.4f}, accuracy {percent(result.val_accuracy)}  {result.seconds:.0f} s",
            flush=True,
        )
    del model.layers[-1]
    return model.cpu().eval()


def save(model: Classifier, config: TrainConfig, val: Evaluation, path: Path) -> None:
    """Save the model as a checkpoint without the state of the optimizer, which is twice as large as the weights."""
    metrics = [EpochResult(config.epochs, math.nan, val.loss, val.accuracy, 0.0, 0.0)]
    checkpoints.save(path, model, config, metrics, trainer={})


if __name__ == "__main__":
    main()

"""Make the model that ships: python -m pretraining (or `make model`), in less than an hour.

MNIST's training images, less 5,000 that are held out, are trained on as they are, and many once more as pictures
simulated from them, together with digits drawn by program; letters, halves of digits, scribbles, shapes and badly read
pictures are trained on as what is no digit. A share of all that is spoilt on the way to the model, in another way each
time. The val images are measured at the end and choose nothing.
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
from pretraining.examples import Mixture
from pretraining.spoiling import Spoiler

TRAIN = Mixture(mnist=26_000, drawn=14_000, small=30_000, writing=12_000, things=10_000)
HELD_OUT = Mixture(mnist=3_000, drawn=1_000, small=1_000, writing=700, things=300)
SPOILT = 0.2  # of the frames
KEPT = 0.98  # of the frames of digits in held-out pictures, some of them badly read; it is over 99 % of MNIST's own
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


class AgainstNothing(nn.Module):
    """Sets the ten logits against an eleventh that is always 0, so that their logsumexp is the log-odds of a digit."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return (N, 11) for logits (N, 10)."""
        return nn.functional.pad(logits, (0, 1))


def main() -> None:
    """Make the examples, train, calibrate, measure, save."""
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=pretrained.CHECKPOINT, help="where the checkpoint goes")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 where the CPU is quick at it"
    )
    parser.add_argument("--frames", type=Path, help="keep the frames in this file, or take them from it if it exists")
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
    digits = simulated_held_out[simulated_held_out.labels != examples.NOTHING]
    calibration.fit_least_score(model, digits, KEPT)
    val = loop.evaluate(model, dataset.load(DATA_DIR, "val"))
    print(f"val accuracy {percent(val.accuracy)}, loss {val.loss:.4f}, temperature {model.temperature.item():.3f}")
    save(model, config, val, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


def frames(train: Digits, held_out: Digits, kept: Path | None) -> list[Digits]:
    """Return frames of pictures simulated from both; `kept` is where they are kept, or taken from if they are there."""
    if kept and kept.exists():
        return [Digits(*parts) for parts in torch.load(kept, weights_only=True)]
    processes = cores.available()
    made = [
        examples.make(train, TRAIN, seed=1, processes=processes),
        examples.make(held_out, HELD_OUT, seed=2, processes=processes),
    ]
    if kept:
        with files.replacing(kept) as partial:
            torch.save([(some.images, some.labels) for some in made], partial)
    return made


def fit(train: Digits, held_out: Digits, config: TrainConfig, device: torch.device) -> Classifier:
    """Return a model trained to tell the ten digits, and what is none."""
    model = architectures.build_from(config).to(device)
    model.layers.append(AgainstNothing())
    trainer = Trainer(model, train.to(device), held_out.to(device), config)
    trainer.batches.augment = Spoiler(trainer.batches.augment, SPOILT)
    for result in trainer.epochs():
        print(
            f"{result.epoch}/{config.epochs}  train loss {result.train_loss:.4f}  on held-out pictures: loss "
            f"{result.val_loss:.4f}, accuracy {percent(result.val_accuracy)}  {result.seconds:.0f} s",
            flush=True,
        )
    del model.layers[-1]
    return model.cpu().eval()


def save(model: Classifier, config: TrainConfig, val: Evaluation, path: Path) -> None:
    """Write the model as a checkpoint, without the optimizer's state, which is twice as large as the weights."""
    metrics = [EpochResult(config.epochs, math.nan, val.loss, val.accuracy, 0.0, 0.0)]
    checkpoints.save(path, model, config, metrics, trainer={})


if __name__ == "__main__":
    main()

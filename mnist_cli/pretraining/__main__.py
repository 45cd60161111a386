"""Make the model that ships: python -m mnist_cli.pretraining (or `make model`), in less than an hour.

MNIST's training images, less 5,000 that are held out, are trained on as they are, and once more as pictures simulated
from them, together with digits drawn by program; letters, scribbles, shapes and badly read pictures are trained on as
what is no digit. The val images are measured at the end and choose nothing.
"""

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_cli import checkpoints, data, headers, idx, models, training
from mnist_cli.config import DATA_DIR, TrainConfig
from mnist_cli.data import Digits
from mnist_cli.models import Classifier
from mnist_cli.pretraining import examples
from mnist_cli.pretraining.examples import Mixture
from mnist_cli.results import EpochResult, Evaluation
from mnist_cli.training import Trainer

TRAIN = Mixture(mnist=38_000, drawn=25_000, writing=12_000, things=5_000)
HELD_OUT = Mixture(mnist=3_000, drawn=1_000, writing=700, things=300)
CONFIG = TrainConfig(
    model="cnn",
    hidden=(24, 48, 96, 192),
    dropout=0.2,
    label_smoothing=0.05,
    learning_rate=1e-2,
    weight_decay=0.05,
    augment="elastic",
    epochs=20,
    holdout=5_000,
)


class AgainstNothing(nn.Module):
    """Sets the ten logits against an eleventh that is always 0, so that their logsumexp is the log-odds of a digit."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return (N, 11) for logits (N, 10)."""
        return nn.functional.pad(logits, (0, 1))


def main() -> None:
    """Make the examples, train, calibrate, measure, save."""
    parser = argparse.ArgumentParser(prog="python -m mnist_cli.pretraining", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=headers.BUNDLED, help="where the checkpoint goes")
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 where the CPU is quick at it"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    idx.repair(DATA_DIR)
    config = replace(CONFIG, precision=arguments.precision)
    train, held_out = data.select(data.load(DATA_DIR, "train"), config)
    assert held_out is not None
    processes = os.cpu_count() or 1
    simulated = examples.make(train, TRAIN, seed=1, processes=processes)
    simulated_held_out = examples.make(held_out, HELD_OUT, seed=2, processes=processes)
    print(f"{len(simulated):,} frames read from simulated pictures", flush=True)
    model = fit(joined(train, simulated), simulated_held_out, config, torch.device(arguments.device))
    training.fit_temperature(model, held_out)
    training.fit_least_score(model, held_out)
    val = training.evaluate(model, data.load(DATA_DIR, "val"))
    print(f"val accuracy {100 * val.accuracy:.2f} %, loss {val.loss:.4f}, temperature {model.temperature.item():.3f}")
    save(model, config, val, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


def fit(train: Digits, held_out: Digits, config: TrainConfig, device: torch.device) -> Classifier:
    """Return a model trained to tell the ten digits, and what is none."""
    model = models.build_from(config).to(device)
    model.layers.append(AgainstNothing())
    for result in Trainer(model, train.to(device), held_out.to(device), config).epochs():
        print(
            f"{result.epoch}/{config.epochs}  train loss {result.train_loss:.4f}  on held-out pictures: loss "
            f"{result.val_loss:.4f}, accuracy {100 * result.val_accuracy:.2f} %  {result.seconds:.0f} s",
            flush=True,
        )
    del model.layers[-1]
    return model.cpu().eval()


def joined(*parts: Digits) -> Digits:
    """Return all the digits as one."""
    return Digits(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def save(model: Classifier, config: TrainConfig, val: Evaluation, path: Path) -> None:
    """Write the model as a checkpoint, without the optimizer's state, which is twice as large as the weights."""
    nobody = Digits(torch.empty(0, 1, 28, 28, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    trainer = Trainer(model, nobody, nobody, config)
    trainer.epoch = config.epochs
    trainer.results = [EpochResult(config.epochs, math.nan, val.loss, val.accuracy, 0.0, 0.0)]
    checkpoints.save(path, trainer)


if __name__ == "__main__":
    main()

"""Train the model that ships: python -m pretraining (or `make model`), in less than two hours.

The training set has MNIST's training images twice, without 5,000 that are held out, pictures simulated from many of them,
digits cut out of rows in which they touch or are broken, digits drawn by program in the forms that people write or set in typefaces, and
UCI's pen digits. Letters, halves of digits, several digits, scribbles, shapes, symbols of things and badly binarized pictures
are negative examples. A fraction of all images is corrupted, anew in each epoch. The model is evaluated on the val images at
the end; nothing is chosen by them. What was stopped goes on where it was: simulated pictures and the state after each epoch
are in the folder of the cache.
"""

import argparse
import math
from dataclasses import asdict, replace
from functools import partial
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
from pretraining import examples, pen_digits, typefaces
from pretraining.corruption import CorruptingAugmenter
from pretraining.examples import Mixture

TRAIN = Mixture(
    mnist=20_000,
    drawn=9_000,
    small=36_000,
    small_pen=14_000,
    writing=5_000,
    non_writing=8_000,
    rows=60_000,
    plain_drawn=84_000,
    plain_pen=30_000,
    plain_writing=44_000,
    plain_non_writing=30_000,
)
HELD_OUT = Mixture(
    mnist=1_000,
    drawn=1_000,
    small=1_000,
    small_pen=500,
    writing=500,
    non_writing=300,
    rows=500,
    plain_drawn=1_500,
    plain_pen=1_000,
    plain_writing=1_000,
    plain_non_writing=500,
)
CORRUPTED = 0.2  # fraction of the frames
ACCEPTED = (
    0.97  # fraction of the held-out simulated digits that the rejection threshold accepts; of MNIST's images over 99 %
)
CONFIG = TrainConfig(
    model="cnn",
    hidden=(32, 64, 144, 256),
    dropout=0.1,
    label_smoothing=0.05,
    learning_rate=1e-2,
    weight_decay=0.05,
    augment="elastic",
    epochs=18,
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
    parser.add_argument(
        "--cache", type=Path, default=DATA_DIR / "pretraining", help="folder from which a run that was stopped goes on"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    typefaces.check()
    mnist_files.repair(DATA_DIR)
    train, held_out = dataset.select(dataset.load(DATA_DIR, "train"), CONFIG)
    assert held_out is not None
    pen, processes = pen_digits.load(DATA_DIR), cores.available()
    make_held_out = partial(examples.make, held_out, pen[pen_digits.HELD_OUT], seed=2, processes=processes)
    simulated_held_out = make_held_out(HELD_OUT, cache=arguments.cache)
    # What is cut out of rows has pieces of its neighbours: the threshold is that of digits as people write them.
    digits = make_held_out(replace(HELD_OUT, rows=0), cache=arguments.cache)
    simulated = examples.make(train, pen[pen_digits.TRAIN], TRAIN, 1, processes, arguments.cache)
    print(f"{len(simulated):,} frames read from simulated pictures", flush=True)
    config = replace(CONFIG, precision=arguments.precision)
    model = architectures.build_from(config).to(arguments.device)
    twice = dataset.joined(train, train)
    fit(model, dataset.joined(twice, simulated), simulated_held_out, config, arguments.cache / "training.pt")
    model = model.cpu().eval()
    calibration.fit_temperature(model, held_out)
    calibration.fit_rejection_threshold(model, digits[digits.labels != examples.NOT_A_DIGIT], ACCEPTED)
    val = loop.evaluate(model, dataset.load(DATA_DIR, "val"))
    print(f"val accuracy {percent(val.accuracy)}, loss {val.loss:.4f}, temperature {model.temperature.item():.3f}")
    save(model, config, val, arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


def fit(model: Classifier, train: Digits, held_out: Digits, config: TrainConfig, state: Path) -> None:
    """Train a model to classify the ten digits, and to separate them from everything else.

    The file `state` is written after each epoch; a run with the same configuration and number of digits goes on from it.
    """
    device = model.temperature.device
    model.layers.append(NotADigitLogit())
    trainer = Trainer(model, train.to(device), held_out.to(device), config)
    trainer.batches.augment = CorruptingAugmenter(trainer.batches.augment, CORRUPTED)
    run = f"{config} {len(train)}"
    if state.exists() and (saved := torch.load(state, weights_only=True))["run"] == run:
        model.load_state_dict(saved["weights"])
        trainer.load_state_dict(saved["trainer"], [EpochResult(**result) for result in saved["results"]])
    for result in trainer.epochs():
        print(
            f"{result.epoch}/{config.epochs}  train loss {result.train_loss:.4f}  on held-out pictures: loss "
            f"{result.val_loss:.4f}, accuracy {percent(result.val_accuracy)}  {result.seconds:.0f} s",
            flush=True,
        )
        with files.replacing(state) as file:
            results = [asdict(result) for result in trainer.results]
            content = {"run": run, "weights": model.state_dict(), "trainer": trainer.state_dict(), "results": results}
            torch.save(content, file)
    del model.layers[-1]


def save(model: Classifier, config: TrainConfig, val: Evaluation, path: Path) -> None:
    """Save the model as a checkpoint without the state of the optimizer, which is twice as large as the weights."""
    metrics = [EpochResult(config.epochs, math.nan, val.loss, val.accuracy, 0.0, 0.0)]
    checkpoints.save(path, model, config, metrics, trainer={})


if __name__ == "__main__":
    main()

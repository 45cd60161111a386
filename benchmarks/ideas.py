"""Measure what ideas for the presets give, on images held out of the 60,000: the tables of ideas in docs/benchmarks.md.

    python benchmarks/ideas.py fast|balanced|best [IDEA...] [--seeds N]

An idea is a change to the base, the first row. For each seed the base and all ideas take turns, so that other load on the
machine affects all of them. The ratio of CPU seconds is that of the training alone, without start, evaluation and report, with
one thread; it is the median over the seeds. Accuracies are means over the seeds.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mnist_cli.config import PRESETS, TrainConfig, resolve
from mnist_cli.datasets.dataset import Digits
from mnist_cli.models import architectures
from mnist_cli.models.architectures import Classifier
from mnist_cli.training import training_data
from mnist_cli.training.loop import Trainer, evaluate

HELD_OUT = 10_000  # images
PATCHED = 3_000  # images, whose patches are whitened
AVERAGED = 0.03  # of the run: the time constant of the average of the weights
EVERY = 5  # steps between two terms of the average
FIRST_SEED = 100


@dataclass(frozen=True)
class Idea:
    """A change to the base: other hyperparameters, another network, or the average of the weights at the end."""

    options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Classifier, Digits], object] = lambda model, train: None
    averaged: bool = False


def channels_first(model: Classifier, train: Digits) -> None:
    """Store the images with the channels first, as torch does by default."""
    model.to(memory_format=torch.contiguous_format)


def whiten(model: Classifier, train: Digits) -> None:
    """Begin with a first layer that whitens the patches it sees: their principal components, and the negatives of these."""
    first = model.layers[0]
    pixels = (train.images[:PATCHED].float() - model.pixel_mean) / model.pixel_std
    patches = functional.unfold(pixels, first.kernel_size, stride=first.stride).transpose(1, 2).flatten(0, 1)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    half = first.out_channels // 2
    kernels = (components / (variances + 0.01).sqrt()).T.flip(0)[:half].reshape(half, *first.weight.shape[1:])
    with torch.no_grad():
        first.weight.copy_(torch.cat([kernels, -kernels]))


def crop(model: Classifier, train: Digits) -> None:
    """Leave out the two outermost pixels on each side, so that the layers have 10x10, 5x5 and 2x2 pixels, not 12x12, 6x6 and 3x3."""
    last = model.layers[-1]
    model.layers[-1] = nn.Linear(last.in_features // 9 * 4, last.out_features)
    model.layers.insert(0, nn.ZeroPad2d(-2))


AVERAGE = Idea(averaged=True)
BASES: dict[str, dict[str, Any]] = {
    "fast": {"model": "cnn", "epochs": 1, "batch_size": 64},
    "balanced": PRESETS["balanced"],
    "best": {**PRESETS["best"], "epochs": 8, "train_size": 24_000},  # a whole run takes ten minutes
}
IDEAS = {
    "fast": {
        "channels 8,16,32": Idea({"hidden": (8, 16, 32)}),
        "half of the images": Idea({"train_size": 25_000}),
        "batches of 128": Idea({"batch_size": 128}),
        "no augmentation": Idea({"augment": "none"}),
        "augmentation by shifts": Idea({"augment": "shift"}),
        "label smoothing 0.1": Idea({"label_smoothing": 0.1}),
        "products in bfloat16": Idea({"precision": "bf16"}),
        "channels first": Idea(change=channels_first),
        "whitened patches": Idea(change=whiten),
        "images of 24x24": Idea(change=crop),
        "average of the weights": AVERAGE,
        "the preset": Idea({**PRESETS["fast"], "batch_size": TrainConfig.batch_size}),
    },
    "balanced": {
        "affine augmentation": Idea({"augment": "affine"}),
        "affine, label smoothing 0.1": Idea({"augment": "affine", "label_smoothing": 0.1}),
        "average of the weights": AVERAGE,
    },
    "best": {
        "average of the weights": AVERAGE,
        "channels 32,64,128,256": Idea({"hidden": (32, 64, 128, 256)}),
        "batches of 64": Idea({"batch_size": 64}),
        "affine augmentation": Idea({"augment": "affine"}),
    },
}


def measure(options: Mapping[str, Any], idea: Idea, seed: int) -> tuple[float, float]:
    """Train once; return the CPU seconds, and the accuracy on the held-out images in percent."""
    config = resolve(None, None, {**options, **idea.options, "seed": seed, "holdout": HELD_OUT, "threads": 1})
    data = training_data.load(config, None)
    assert data.held_out
    model = architectures.build_from(config)
    start = time.process_time()
    idea.change(model, data.train)
    trainer = Trainer(model, data.train, data.held_out, config)
    decay = 1 - EVERY / (AVERAGED * config.epochs * trainer.steps_per_epoch)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)

    def update(images: int) -> None:
        if idea.averaged and trainer.finished_steps % EVERY == 0:
            average.update_parameters(model)

    for trainer.epoch in range(config.epochs):
        trainer.batch = 0
        trainer.train_epoch(update)
    seconds = time.process_time() - start
    return seconds, 100 * evaluate(average.module if idea.averaged else model, data.held_out).accuracy


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=IDEAS)
    parser.add_argument("ideas", nargs="*", metavar="IDEA")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = {name: IDEAS[arguments.preset][name] for name in arguments.ideas} or IDEAS[arguments.preset]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ["the base", *chosen]}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for name, results in measured.items():
            results.append(measure(BASES[arguments.preset], chosen.get(name, Idea()), seed))
    print(f"{'idea':28}{'CPU seconds':>12}{'ratio':>8}{'held-out accuracy':>19}{'least':>9}{'most':>9}")
    base = [seconds for seconds, _ in measured["the base"]]
    for name, results in measured.items():
        seconds, accuracies = zip(*results, strict=True)
        ratio = statistics.median(mine / its for mine, its in zip(seconds, base, strict=True))
        mean, least, most = statistics.mean(accuracies), min(accuracies), max(accuracies)
        print(f"{name:28}{statistics.median(seconds):12.2f}{ratio:8.2f}{mean:17.2f} %{least:9.2f}{most:9.2f}")


if __name__ == "__main__":
    main()

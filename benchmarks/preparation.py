"""Measure the accuracy on pages of several digits, and the effect of each constant of preprocessing and segmentation.

    python benchmarks/preparation.py [--count 50] [--val]
    python benchmarks/preparation.py --constants [--count 10]

The pages are simulated by `pretraining.sheets` with the 5,000 training images that were held out for the model that ships,
or with `--val` with val images, by which no constant is chosen. A page is right if all its text is. `--constants` halves and
doubles each constant of the modules that find ink and digits in turn, and prints by how many percentage points that changes
the accuracy on these pages, and on the pictures of one digit that `pretraining.pages` simulates.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Picture
from mnist_cli.config import DATA_DIR, PRETRAINED
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.models import checkpoints
from mnist_cli.models.interface import Model
from mnist_cli.pictures import binarize, cleanup, decode, forms, normalize, segment
from mnist_cli.recognition import classification, detection, separators
from mnist_cli.recognition.result import Result
from pretraining import pages, sheets, strokes
from pretraining.__main__ import CONFIG

# Not varied: they are given by MNIST, affect only the speed, are used in several modules, or are no constant.
FIXED = {"DIGIT_SIDE", "CENTRE", "BATCH", "FRAME", "MIN_CONTRAST", "MIN_HEIGHT", "TYPE_CHECKING"}

Labelled = list[tuple[Picture, str]]  # pictures and the text in each


def write_pages(kind: str, digits: dataset.Digits, count: int, seed: int) -> Iterator[tuple[Picture, str]]:
    """Yield pages of one to three lines of two to six digits of a kind."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    masks, labels = digits.images[:, 0].numpy().astype(np.float32) / 255, digits.labels.numpy()
    condition, drawn = KINDS[kind]
    for _ in range(count):
        lines = int(rng.integers(1, 4)) if condition in {"table", "on a darker table"} else 1
        chosen = [rng.integers(0, len(labels), rng.integers(2, 7)) for _ in range(lines)]
        if drawn:
            same = int(rng.integers(2**32))  # for one typeface, pen and slant
            shown = [[drawn(str(labels[index]), np.random.default_rng(same)) for index in line] for line in chosen]
        else:
            shown = [[masks[index] for index in line] for line in chosen]
        picture = sheets.CONDITIONS[condition](shown, rng)
        yield decode.to_array(picture, longest=None), "\n".join("".join(map(str, labels[line])) for line in chosen)


# What the pages show: the condition, and what draws a digit, handwriting of MNIST if it is None.
KINDS: dict[str, tuple[str, Callable[[str, np.random.Generator], strokes.Mask] | None]] = {
    **{name: (name, None) for name in sheets.CONDITIONS if name != "counter"},
    "counter of a meter": ("counter", strokes.printed),
    "seven segments": ("clean scan", strokes.seven_segments),
    "seven segments, lit": ("tight crop", strokes.seven_segments),
}


def write_digits(digits: dataset.Digits, count: int, seed: int) -> Iterator[tuple[Picture, str]]:
    """Yield `count` pictures of one digit under each condition of `pretraining.pages`."""
    rng = np.random.default_rng(seed)
    masks, labels = digits.images[:, 0].numpy().astype(np.float32) / 255, digits.labels.numpy()
    for condition in pages.CONDITIONS.values():
        for index in rng.integers(0, len(labels), count):
            yield decode.to_array(condition(masks[index], rng)), str(labels[index])


def exact_pages(model: Model, samples: Labelled) -> float:
    """Return the fraction of pages whose text is read exactly."""
    return float(
        np.mean([Result(digits=detection.find_digits(model, picture)).text == text for picture, text in samples])
    )


def answered_with_one(model: Model, samples: Labelled) -> float:
    """Return the fraction of pages that are taken for one digit, as by `mnist predict` without --many."""
    found = classification.classify(model, [picture for picture, _ in samples])
    return float(np.mean([prediction.digit is not None for prediction in found]))


def exact_digits(model: Model, samples: Labelled) -> float:
    """Return the fraction of pictures of one digit that are recognized correctly and not rejected."""
    found = classification.classify(model, [picture for picture, _ in samples])
    return float(np.mean([str(prediction.digit) == text for prediction, (_, text) in zip(found, samples, strict=True)]))


def constants(module: ModuleType) -> dict[str, NDArray[np.float64]]:
    """Return the constants of a module that are numbers or tuples of numbers."""
    named = {name: value for name, value in vars(module).items() if name.isupper() and name not in FIXED}
    return {name: np.array(value) for name, value in named.items() if isinstance(value, int | float | tuple)}


def vary(
    model: Model, samples: Labelled, measure: Callable[[Model, Labelled], float], modules: Sequence[ModuleType]
) -> None:
    """Print by how many percentage points `measure` changes when a constant is halved, and doubled."""
    usual = measure(model, samples)
    print(f"{measure.__name__}, {len(samples)} pictures: {100 * usual:.1f} %\n{'':32}{'halved':>8}{'doubled':>9}")
    for module in modules:
        for name, value in constants(module).items():
            before, changes = getattr(module, name), []
            for factor in (0.5, 2.0):
                scaled = (value * factor).astype(value.dtype)
                setattr(module, name, tuple(scaled.tolist()) if scaled.ndim else scaled.item())
                changes.append(measure(model, samples) - usual)
            setattr(module, name, before)
            label = f"{module.__name__.split('.')[-1]}.{name}"
            print(f"{label:32}" + "".join(f"{100 * change:+8.1f} " for change in changes), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="pictures of each condition")
    parser.add_argument("--condition", action="append", choices=list(KINDS), help="only this one; can be repeated")
    parser.add_argument("--constants", action="store_true", help="vary the constants instead")
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED)
    parser.add_argument("--val", action="store_true", help="use digits of the val images")
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    mnist_files.repair(DATA_DIR)
    model = checkpoints.load(arguments.checkpoint).model
    held_out = dataset.select(dataset.load(DATA_DIR, "train"), CONFIG)[1]
    digits = dataset.load(DATA_DIR, "val") if arguments.val else held_out
    conditions = arguments.condition or list(KINDS)
    samples = {name: list(write_pages(name, digits, arguments.count, arguments.seed)) for name in conditions}
    if arguments.constants:
        mixed = [sample for some in samples.values() for sample in some]
        vary(model, mixed, exact_pages, [binarize, cleanup, forms, segment, normalize, separators, detection])
        singles = list(write_digits(digits, arguments.count, arguments.seed))
        vary(model, singles, exact_digits, [binarize, cleanup, normalize, classification])
        return
    print(f"{'':24}{'exactly':>10}{'answered with one digit':>26}")
    for name, some in samples.items():
        print(
            f"{name:24}{100 * exact_pages(model, some):8.1f} %{100 * answered_with_one(model, some):24.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()

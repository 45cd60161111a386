"""What a run trains on and is measured on, as its configuration says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import data_sources, dataset, labelled_pictures
from mnist_cli.datasets.dataset import Digits
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages
from mnist_cli.errors import DataError
from mnist_cli.training import fine_tuning

EPOCH_IMAGES = 6_000  # an epoch has at least: a smaller data set is repeated, augmented in other ways each time
REPEATS = 10  # of an image in an epoch of fine-tuning, at most: in more steps on a few the model forgets what others look like


@dataclass(frozen=True)
class TrainingData:
    """The images of a run."""

    classes: tuple[str, ...]
    train: Digits
    val: Digits  # on which the model is measured after every epoch
    held_out: Digits | None  # of the training images, for early stopping
    is_known: bool = False  # whether the model that is fine-tuned has the same classes already
    notes: tuple[str, ...] = ()  # what the user should know of the data


def load(config: TrainConfig, data_dir: Path | None, known: Sequence[str] | None = None) -> TrainingData:
    """Return the images for `config`; MNIST is read from `data_dir`. A model that is resumed has the classes `known`.

    Raises DataError when the data cannot be used, ConfigError when there are too few images.
    """
    whole = data_sources.load_all(config.data, data_dir, config.max_unreadable).split()
    started = fine_tuning.header_of(config.from_) if config.from_ else None
    if known is None and started and set(whole.classes) <= set(started.classes):
        known = started.classes
    whole = whole.labelled_as(known or whole.classes)
    if sum((whole.train.labels == label).any() for label in range(len(whole.classes))) < 2 and not started:
        raise DataError(f"{whole.name} has images of one class only; a classifier needs two")
    assert whole.val
    refined = started if started and whole.classes == started.classes else None
    train, held_out = dataset.select(_digits(whole.train), config)
    if config.extra:
        train = dataset.joined(train, dataset.from_arrays(*labelled_pictures.load(Path(config.extra))))
    if config.data != (data_sources.MNIST,) and not config.train_size:
        train = dataset.repeated(train, _least(len(train), config, refined is not None))
    if refined and config.mix:
        train = dataset.joined(train, _originals(refined.config.data, whole, len(train), config, data_dir))
    return TrainingData(whole.classes, train, _digits(whole.val), held_out, refined is not None, whole.notes)


def _least(count: int, config: TrainConfig, refines: bool) -> int:
    """Return how many images an epoch of `count` distinct ones has at least, before original ones are mixed in."""
    return min(REPEATS * count, round(EPOCH_IMAGES * (1 - config.mix))) if refines else EPOCH_IMAGES


def _originals(
    sources: Sequence[str], whole: DataSet, count: int, config: TrainConfig, data_dir: Path | None
) -> Digits:
    """Return images of the data that a checkpoint was trained on, so many that they are the fraction `mix` of an epoch."""
    original = data_sources.load_all(sources, data_dir, config.max_unreadable).split().labelled_as(whole.classes)
    wanted = min(round(count * config.mix / (1 - config.mix)), len(original.train))
    return dataset.split_off(_digits(original.train), wanted, config.seed)[0]


def _digits(part: LabelledImages) -> Digits:
    return dataset.from_arrays(part.images, part.labels)

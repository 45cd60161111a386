"""The configuration of a training run, its presets and TOML files, and the default folders. Standard library only."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, TypedDict

from mnist_cli.errors import ConfigError
from mnist_cli.files import read_regular
from mnist_cli.hyperparameters import MAX_SHOWN_CHARACTERS, declared, did_you_mean, hyperparameter, nearest, option_of

DATA_DIR = Path("data")
CHECKPOINTS_DIR = Path("checkpoints")
RUNS_DIR = Path("runs")
PRETRAINED = Path("pretrained")  # stands for the model that ships with the program wherever a checkpoint is named


Model = Literal["linear", "mlp", "cnn"]
Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh"]
Loss = Literal["cross_entropy", "mse"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "one_cycle"]
Augment = Literal["none", "shift", "mirror", "affine", "elastic"]
Precision = Literal["fp32", "bf16"]
Preset = Literal["original", "default", "fast", "balanced", "small", "best"]

EARLY_STOPPING_HOLDOUT = 5_000  # images


# STEP:FACTOR, with factors of at most 999.999 and as many changes as the file of a configuration has room for.
RATE_CHANGES = r"(\d{1,9}:\d{1,3}(\.\d{1,6})?(,\d{1,9}:\d{1,3}(\.\d{1,6})?){0,499})?"


WITH_LAYERS = {"model": ("mlp", "cnn")}  # linear has no hidden layer
WITH_MOMENTUM = {"optimizer": ("sgd", "rmsprop")}


@dataclass(frozen=True)
class TrainConfig:
    """The hyperparameters of a run; the defaults are those of `mlp` with `adamw`.

    A default that depends on another hyperparameter is the best value found for it. Only AdamW has decoupled weight decay
    (Loshchilov and Hutter 2019): in the other optimizers the same value is an L2 penalty, too strong to train with. The
    learning rates of the optimizers are the best of three after two epochs of `mlp`, on 5,000 held-out training
    images.

    Raises ConfigError, naming the field, for an invalid value.
    """

    model: Model = hyperparameter(
        "Model",
        "The architecture: linear is softmax regression, mlp a fully connected network, cnn a convolutional one.",
        "mlp",
        also=("architecture", "arch", "net", "network"),
    )
    hidden: tuple[int, ...] = hyperparameter(
        "Model",
        "Units (mlp) or channels (cnn) of each hidden layer.",
        defaults={"model": {"mlp": (256, 256), "cnn": (16, 32, 64), "linear": ()}},
        applies_to=WITH_LAYERS,
        low=1,
        below=100_000,
        metavar="256,256",
        also=("layers", "units", "channels", "hidden-size", "width"),
    )
    activation: Activation = hyperparameter(
        "Model", "Activation function after each hidden layer.", "relu", applies_to=WITH_LAYERS, also=("act",)
    )
    dropout: float = hyperparameter(
        "Regularization",
        "Dropout probability: the fraction of activations set to zero in each step, after every hidden layer (mlp) or "
        "before the output layer (cnn).",
        0.0,
        applies_to=WITH_LAYERS,
        below=1,
        also=("drop", "dropout-rate"),
    )
    loss: Loss = hyperparameter(
        "Optimization",
        "Loss function: cross_entropy, or mse, the squared error of the ten probabilities (Brier score).",
        "cross_entropy",
        also=("criterion", "loss-function"),
    )
    label_smoothing: float = hyperparameter(
        "Regularization",
        "Label smoothing: the fraction of the target that is spread over all ten classes.",
        0.0,
        below=1,
        also=("smoothing",),
    )
    teacher: str = hyperparameter(
        "Regularization",
        "Knowledge distillation: learn from the labels and from the probabilities that the model in this checkpoint, "
        "`pretrained` for example, has for the augmented images.",
        "",
        shown="none",
        metavar="CHECKPOINT|RUN",
        also=("distill", "distillation", "distill-from", "kd", "soft-targets", "teacher-model"),
    )
    optimizer: Optimizer = hyperparameter(
        "Optimization", "The optimizer, which updates the weights from the gradients.", "adamw", also=("opt", "optim")
    )
    learning_rate: float = hyperparameter(
        "Optimization",
        "Peak learning rate: the size of the optimizer's steps.",
        defaults={
            "model": {"mlp": 2e-3, "cnn": 1e-2, "linear": 5e-3},
            "optimizer": {"sgd": 0.1, "rmsprop": 5e-4},
        },
        low=1e-12,
        below=1e12,
        also=("lr", "max-lr", "eta"),
    )
    momentum: float = hyperparameter(
        "Optimization",
        "Momentum: the fraction of each step that is added to the next; for sgd and rmsprop.",
        0.9,
        applies_to=WITH_MOMENTUM,
        below=1,
    )
    weight_decay: float = hyperparameter(
        "Regularization",
        "Weight decay, which pulls the weights towards zero; decoupled with adamw, an L2 penalty with other optimizers.",
        defaults={
            "model": {"mlp": 0.1, "cnn": 0.05, "linear": 0.0},
            "optimizer": {"adam": 0.0, "sgd": 0.0, "rmsprop": 0.0},
        },
        below=1e12,
        also=("wd", "l2"),
    )
    schedule: Schedule = hyperparameter(
        "Optimization",
        "Learning rate schedule: constant; step, divided by ten after a half and after three quarters of the run; "
        "cosine, annealed to 0; one_cycle, up to the peak, then down to 0.",
        "one_cycle",
        also=("scheduler", "lr-schedule", "lr-scheduler"),
    )
    warmup: float = hyperparameter(
        "Optimization",
        "Warmup: the fraction of the run in which the learning rate rises to its peak.",
        defaults={"schedule": {"one_cycle": 0.2, "constant": 0.0, "step": 0.0, "cosine": 0.0}},
        below=1,
        also=("warmup-ratio",),
    )
    rate_changes: str = hyperparameter(
        "Optimization",
        "From a step of the run on, counted from 0, multiply the learning rate of the schedule by a factor. The slider of "
        "--watch records its changes here, by which --config repeats the run.",
        "",
        form=RATE_CHANGES,
        shown="none",
        metavar="1200:0.5,3000:1",
        also=("lr-changes",),
    )
    gradient_clip: float = hyperparameter(
        "Optimization",
        "Gradient clipping: the largest allowed norm of the gradient, to which a larger one is scaled down; 0 disables it.",
        0.0,
        below=1e12,
        shown="none",
        also=("grad-clip", "clip", "clip-grad", "max-norm"),
    )
    epochs: int = hyperparameter(
        "Optimization", "Passes over the training images.", 10, low=1, below=1_000_000, also=("num-epochs", "n-epochs")
    )
    batch_size: int = hyperparameter(
        "Optimization", "Images per optimizer step.", 128, low=1, below=60_001, also=("bs", "batch", "bsz")
    )
    augment: Augment = hyperparameter(
        "Regularization",
        "Data augmentation, random for every image in every epoch: shift by up to 2 px; affine, also rotated, scaled "
        "and sheared; elastic, also distorted; mirror, shifted and half of them reflected, for clothes and other things.",
        defaults={"model": {"mlp": "elastic", "cnn": "affine", "linear": "none"}},
        also=("augmentation", "data-augmentation", "aug"),
    )
    from_: str = hyperparameter(
        "Optimization",
        "Fine-tune the model in this checkpoint, `pretrained` for example, with a small learning rate; where the data have "
        "other classes, its last layer is new.",
        "",
        shown="none",
        metavar="CHECKPOINT|RUN",
        also=("finetune", "fine-tune", "init", "transfer"),
    )
    mix: float = hyperparameter(
        "Data",
        "With --from: the fraction of the images of an epoch that are of the data which that checkpoint was trained on, so "
        "that the model does not forget them.",
        0.5,
        below=1,
        also=("replay", "rehearsal"),
    )
    data: tuple[str, ...] = hyperparameter(
        "Data",
        "The data set: mnist, fashion-mnist, kmnist, qmnist, usps, emnist-letters or another name; a folder with a folder of "
        "pictures for each class, or with labels.csv, or with IDX files; an .npz, .csv or .parquet file. Given several "
        "times, all of them.",
        ("mnist",),
        metavar="SOURCE",
        also=("dataset", "dataset-name", "source", "images"),
    )
    max_unreadable: float = hyperparameter(
        "Data",
        "The fraction of the pictures of --data that may be unreadable; they are listed and left out.",
        0.0,
        below=1,
        also=("ignore-errors", "skip-errors"),
    )
    train_size: int = hyperparameter(
        "Data",
        "Train on a stratified subset of this many images, for example to see a model overfit; 0 is all.",
        0,
        below=60_001,
        shown="all",
        also=("subset", "n-train", "limit"),
    )
    extra: str = hyperparameter(
        "Data",
        "Train also on the pictures in this folder: its labels.csv begins with path,digit and has a row such as seven.png,7 "
        "for each, as `mnist serve --collect` and spreadsheets write it (UTF-8; commas, semicolons or tabs).",
        "",
        shown="none",
        metavar="FOLDER",
    )
    holdout: int = hyperparameter(
        "Regularization",
        "Hold out this many training images as a validation set: the epoch with the lowest loss on them is saved as "
        "best.pt, and the probabilities of the model are calibrated on them.",
        0,
        below=50_001,
        also=("val-size", "validation-split", "val-split", "hold-out"),
    )
    patience: int = hyperparameter(
        "Regularization",
        "Early stopping: stop after this many epochs without a lower held-out loss; holds out 5,000 images unless --holdout "
        "sets another number.",
        0,
        below=1_000_000,
        shown="never",
        also=("early-stopping", "early-stop"),
    )
    precision: Precision = hyperparameter(
        "Hardware",
        "Floating-point format of the training; bf16 is faster on recent GPUs, and CPUs with AVX-512 BF16 or AMX.",
        "fp32",
        also=("amp", "dtype", "fp16", "bf16"),
    )
    compile: bool = hyperparameter(
        "Hardware", "Compile the network with torch.compile first, which takes a while.", False
    )
    deterministic: bool = hyperparameter(
        "Hardware", "Use deterministic algorithms only, so that a run can be repeated exactly on a GPU, too.", False
    )
    threads: int = hyperparameter(
        "Hardware",
        "CPU threads that compute the network, in addition to the one that prepares the next batches; 0 is automatic. More "
        "than one gains nothing in the small matrix products of linear and mlp, and is slow on a busy machine.",
        0,
        below=1_025,
        shown="1; cnn all cores",
        also=("num-threads", "n-threads", "cores", "jobs"),
    )
    seed: int = hyperparameter(
        "Run",
        "Random seed; on the CPU the same seed gives the same weights, bit by bit.",
        0,
        below=2**31,
        also=("random-seed", "manual-seed", "random-state"),
    )

    def __post_init__(self) -> None:
        """Check every value."""
        for name, declaration in HYPERPARAMETERS.items():
            declaration.check(getattr(self, name))
        _check_layers(self.hidden)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The sources of all its data, also of those of `extra`."""
        return (*self.data, self.extra) if self.extra else self.data

    @property
    def held_out(self) -> int:
        """The number of training images to hold out, which early stopping needs too."""
        return self.holdout or (EARLY_STOPPING_HOLDOUT if self.patience else 0)


HYPERPARAMETERS = declared(TrainConfig)


class TrainOptions(TypedDict, total=False):
    """The fields of TrainConfig as options of `mnist.train`, for the completion of editors, which does not see those of a dataclass."""

    model: Model
    hidden: Sequence[int]
    activation: Activation
    dropout: float
    loss: Loss
    label_smoothing: float
    teacher: str
    optimizer: Optimizer
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    rate_changes: str
    gradient_clip: float
    epochs: int
    batch_size: int
    augment: Augment
    from_: str
    mix: float
    data: Sequence[str]
    max_unreadable: float
    train_size: int
    extra: str
    holdout: int
    patience: int
    precision: Precision
    compile: bool
    deterministic: bool
    threads: int
    seed: int


MAX_LAYERS = 100
MAX_WEIGHTS = 100_000_000  # between fully connected layers; with optimizer state such a network takes 1.6 GB
MAX_CONFIG_BYTES = 20_000  # that of a network of 100 layers has 2,000
MAX_DOTS = 600  # in a line; each of 500 changes of the learning rate has one, and a path may have some

# Named sets of values. `original` is the recipe of introductory tutorials, without the softmax before the loss function.
PRESETS: dict[str, dict[str, Any]] = {
    "original": {
        "model": "mlp",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
        "batch_size": 64,
        "augment": "none",
    },
    "default": {},
    "fast": {"model": "cnn", "hidden": (8, 16, 48), "epochs": 1, "learning_rate": 0.02},
    "balanced": {"model": "cnn", "epochs": 8, "batch_size": 64, "augment": "elastic"},
    "small": {"model": "cnn", "hidden": (8, 16, 32), "epochs": 40, "augment": "elastic"},  # 8,962 parameters
    "best": {
        "model": "cnn",
        "hidden": (24, 48, 96, 192),
        "epochs": 40,
        "dropout": 0.3,
        "label_smoothing": 0.1,
        "augment": "elastic",
    },
}


def resolve(
    preset: str | None, file: Path | None, options: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Return the configuration: `options` override the file, which overrides the preset, which overrides `base`.

    What none of them has is a default.

    Raises ConfigError for an unknown name, an invalid value, and a value that has no effect with the others.
    """
    if preset is not None and preset not in PRESETS:
        meant = did_you_mean(preset, PRESETS)
        raise ConfigError(f"there is no preset {preset!r}; choose from {', '.join(PRESETS)}{meant}")
    in_file = values_in(file) if file else {}
    given = {**(base or {}), **PRESETS[preset or "default"], **in_file, **options}
    _refuse_unknown(given, file)
    values = _with_defaults(given)
    # TOML stores lists.
    fields: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in values.items()}
    config = TrainConfig(**fields)
    _refuse_without_effect(config, in_file, options, file)
    without_effect = {name: it.default_for(values) for name, it in HYPERPARAMETERS.items() if it.obstacle(values)}
    return replace(config, **without_effect)


def values_in(file: Path) -> dict[str, Any]:
    """Return the values in a TOML file by the names of their hyperparameters; raises ConfigError when it is none."""
    values = {key.replace("-", "_"): value for key, value in read_toml(file).items()}
    return {"from_" if name == "from" else name: value for name, value in values.items()}


def _with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given values with a default, which may depend on them, for every other hyperparameter."""
    values = {name: given.get(name, it.default) for name, it in HYPERPARAMETERS.items()}
    return {name: given.get(name, it.default_for(values)) for name, it in HYPERPARAMETERS.items()}


def _refuse_unknown(given: Iterable[str], file: Path | None) -> None:
    """Raise ConfigError for names that are not hyperparameters."""
    unknown = sorted(set(given) - set(HYPERPARAMETERS))
    if unknown:
        names = shorten(", ".join(unknown), MAX_SHOWN_CHARACTERS)
        wrong = f"{file} sets {names}, which is not a hyperparameter" if file else f"there is no hyperparameter {names}"
        meant = meant_by(unknown[0])
        raise ConfigError(f"{wrong}; " + (f"did you mean {meant}?" if meant else "see `mnist train --help`"))


def meant_by(word: str) -> str | None:
    """Return the hyperparameter of which `word` is another name or a misspelling, or None."""
    spelled = word.lower().replace("_", "-")
    also = (name for name, it in HYPERPARAMETERS.items() if spelled in it.also)
    return next(also, None) or nearest(word, HYPERPARAMETERS)


def _refuse_without_effect(
    config: TrainConfig, in_file: Mapping[str, Any], options: Mapping[str, Any], file: Path | None
) -> None:
    """Raise ConfigError for an option that has no effect, and for such a value in a file.

    The file of a run lists all values: those without an effect are defaults, which pass. So do values that an option, such
    as --model, leaves without an effect.
    """
    values = vars(config)
    for name, it in HYPERPARAMETERS.items():
        other = it.obstacle(values)
        if other is None:
            continue
        chosen, useful = values[other], " and ".join(it.applies_to[other])
        if name in options:
            raise ConfigError(f"{it.option} has no effect with {option_of(other)} {chosen}; it is for {useful}")
        if name in in_file and other not in options and values[name] != it.default_for(values):
            raise ConfigError(f"{file} sets {name}, which has no effect with {other} {chosen}; it is for {useful}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the names and values in a TOML file; raises ConfigError when it is not one."""
    try:
        content = read_regular(path, MAX_CONFIG_BYTES)
        if content is None:
            raise ValueError(f"it has more than {MAX_CONFIG_BYTES:,} bytes")
        # The parser takes time quadratic in the number of dots in a key.
        if any(line.count(b".") > MAX_DOTS for line in content.split(b"\n")):
            raise ValueError(f"it has a line with more than {MAX_DOTS} dots")
        return tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} is not a TOML file such as runs/NAME/config.toml: {why}") from error


def to_toml(config: TrainConfig) -> str:
    """Return `config` as TOML, from which `mnist train --config` repeats the run."""
    # Strings, numbers, booleans and lists of numbers have the same syntax in TOML and in JSON that is not limited to ASCII.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(config).items())


def _check_layers(hidden: tuple[int, ...]) -> None:
    """Raise ConfigError for a network that is too large for the memory."""
    if len(hidden) > MAX_LAYERS:
        raise ConfigError(f"--hidden must have at most {MAX_LAYERS} layers, not {len(hidden):,}")
    weights = sum(inputs * outputs for inputs, outputs in pairwise(hidden))
    if weights > MAX_WEIGHTS:
        raise ConfigError(
            f"--hidden {','.join(map(str, hidden))} makes {weights:,} weights between its layers; "
            f"choose narrower ones, with at most {MAX_WEIGHTS:,}"
        )

"""Common claims about training as experiments: each lesson trains a few networks on MNIST and draws one figure.

    python docs/lessons.py               all of them, into docs/lessons
    python docs/lessons.py overfitting   one

It needs only the installed program and this file; the figures are written to the folder `lessons` beside it. Network and
recipe are those of the PyTorch course notes that this program follows, "the notes" below.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from PIL import Image
from torch import Tensor, nn

from mnist_cli import config
from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import DivergenceError
from mnist_cli.evaluation import metrics
from mnist_cli.labels import DIGITS
from mnist_cli.models import architectures
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.interface import logits_of
from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult
from mnist_cli.training.backpropagation import Backpropagation
from mnist_cli.training.loop import Trainer
from mnist_cli.training.losses import loss_of

FOLDER = Path(__file__).with_suffix("")
NOTES = config.resolve("original", None, {"epochs": 5})  # the notes' network and recipe: Adam at 0.001, batches of 64
SHADES = 128  # colours in a picture, which make it a third as large
FEW: dict[str, Any] = {"train_size": 1_000, "epochs": 60}  # which is overfitted within seconds
TRIALS = 40  # of a search that has nothing to find
SECONDS = 8.0  # of computing on one core, for each batch size
Results = list[EpochResult]


@dataclass(frozen=True)
class Laboratory:
    """The data set, and training on it."""

    train: Digits
    val: Digits

    def prepare(self, settings: TrainConfig = NOTES, network: Classifier | None = None, **changes: Any) -> Trainer:
        """Return a run of the notes' recipe, or another one, with some of its values changed, or another network."""
        settings = replace(settings, **changes)
        some, held_out = dataset.select(self.train, settings)
        return Trainer(network or architectures.build_from(settings), some, self.val, settings, held_out)

    def learn(self, name: str, trainer: Trainer, results: Iterator[EpochResult] | None = None) -> Results:
        """Train to the end, or until the loss diverges, and print the result."""
        with suppress(DivergenceError):
            for _ in results or trainer.epochs():
                pass
        if not trainer.results:
            print(f"  {name}: the loss diverged in the first epoch")
            return []
        last, best = trainer.results[-1], min(trainer.results, key=lambda result: result.val_loss)
        print(
            f"  {name}: after epoch {last.epoch} train loss {last.train_loss:.4f}, val loss {last.val_loss:.4f}, "
            f"val accuracy {100 * last.val_accuracy:.2f} %; lowest val loss {best.val_loss:.4f} after epoch {best.epoch}",
            flush=True,
        )
        return trainer.results

    def compare(self, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Results]:
        """Train several runs, each with some values of the notes' recipe changed."""
        return {name: self.learn(name, self.prepare(**changes)) for name, changes in runs.items()}


def curve(results: Results, value: str) -> figures.Curve:
    """Return a value of each epoch against the epochs."""
    return [result.epoch for result in results], [getattr(result, value) for result in results]


def vanishing_gradients(laboratory: Laboratory) -> Figure:
    """Compare the gradients in eight sigmoid layers with those in eight ReLU layers."""
    runs, norms = {}, {}
    for name in ("sigmoid", "relu"):
        trainer = laboratory.prepare(hidden=(64,) * 8, activation=name)
        some = laboratory.train[:1_000]
        (loss_of(trainer.model(some.images), some.labels, "cross_entropy") / len(some)).backward()
        weights = [parameter for parameter in trainer.model.parameters() if parameter.ndim > 1]
        norms[name] = [parameter.grad.norm().item() for parameter in weights if parameter.grad is not None]
        print(f"  {name}: gradient norms {' '.join(f'{norm:.1e}' for norm in norms[name])}")
        runs[name] = laboratory.learn(name, trainer)
    figure, (left, right) = figures.draw(columns=2, size=(10, 4.4))
    layers = list(range(1, len(norms["relu"]) + 1))
    against_layers = {name: (layers, values) for name, values in norms.items()}
    figures.plot(left, against_layers, "layer, from input to output", "gradient norm, log scale", log=True)
    left.set(xticks=layers, title="Before training")
    losses = {name: curve(results, "val_loss") for name, results in runs.items()}
    figures.plot(right, losses, "epoch", "val loss, log scale", log=True)
    right.set_title("Training")
    figures.share_legend(figure)
    return figure


def overfitting(laboratory: Laboratory) -> Figure:
    """Train on 1,000 images until the val loss rises, then with each remedy."""
    runs = laboratory.compare(
        {
            "nothing": FEW,
            "augmentation": FEW | {"augment": "elastic"},
            "smaller: 16 units": FEW | {"hidden": (16,)},
            "dropout 0.5": FEW | {"dropout": 0.5},
            "weight decay": FEW | {"optimizer": "adamw", "weight_decay": 3.0},
            "early stopping": FEW | {"patience": 3},
        }
    )
    figure, (left, right) = figures.draw(columns=2, size=(10, 4.4))
    nothing = {"train": curve(runs["nothing"], "train_loss"), "val": curve(runs["nothing"], "val_loss")}
    figures.plot(left, nothing, "epoch", "loss, log scale", log=True)
    left.set_title("1,000 images, no regularization")
    figures.plot(
        right,
        {name: curve(results, "val_loss") for name, results in runs.items()},
        "epoch",
        "val loss, log scale",
        log=True,
    )
    right.set_title("Val loss with one regularizer each")
    return figure


def learning_rates(laboratory: Laboratory) -> Figure:
    """Compare learning rates that are too small, right, too large, and one that rises and falls."""
    runs = laboratory.compare(
        {
            "too small: 0.00001": {"learning_rate": 1e-5},
            "the notes': 0.001": {},
            "too large: 0.03": {"learning_rate": 0.03},
            "one-cycle, at most 0.003": {"learning_rate": 3e-3, "schedule": "one_cycle", "warmup": 0.2},
        }
    )
    return figures.comparison(runs, "Learning rates")


def batch_sizes(laboratory: Laboratory) -> Figure:
    """Give each batch size the same time, in which small ones make more steps and large ones more epochs."""
    losses, accuracies = {}, {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that CPU time equals the time on an idle machine
    for size in (16, 128, 1024, 8192):
        name = f"batches of {size:,}"
        trainer = laboratory.prepare(batch_size=size, epochs=1_000)
        clock = Clock()  # which runs from now on
        results = laboratory.learn(name, trainer, clock.until(SECONDS, trainer))
        losses[name] = clock.laps, [result.val_loss for result in results]
        accuracies[name] = clock.laps, [result.val_accuracy for result in results]
    torch.set_num_threads(threads)
    figure, (left, right) = figures.draw(columns=2, size=(10, 4.4))
    figures.plot(left, losses, "seconds of training on one core", "val loss, log scale", log=True)
    figures.plot(right, accuracies, "seconds of training on one core", "val accuracy", percent=True)
    figure.suptitle("Batch sizes, each with the same time", x=0.01, ha="left", fontsize=11)
    figures.share_legend(figure)
    return figure


class Clock:
    """Measures the CPU time of training, without the evaluations."""

    def __init__(self) -> None:
        """Start at 0."""
        self.laps: list[float] = []  # the time at the end of each epoch
        self.seconds, self.before = 0.0, time.process_time()

    def until(self, seconds: float, trainer: Trainer) -> Iterator[EpochResult]:
        """Yield the epochs of a run until they took so long."""
        for result in trainer.epochs(self._tick):
            self.laps.append(self.seconds)
            yield result
            if self.seconds >= seconds:
                return
            self.before = time.process_time()

    def _tick(self, images: int) -> None:
        now = time.process_time()
        self.seconds, self.before = self.seconds + now - self.before, now


def optimizers(laboratory: Laboratory) -> Figure:
    """Compare plain gradient descent with momentum, RMSprop and Adam."""
    runs = laboratory.compare(
        {
            "SGD": {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0},
            "SGD with momentum 0.9": {"optimizer": "sgd", "learning_rate": 0.01},
            "RMSprop": {"optimizer": "rmsprop", "momentum": 0.0},
            "Adam": {},
        }
    )
    return figures.comparison(runs, "Optimizers")


def activations(laboratory: Laboratory) -> Figure:
    """Compare the activations in the notes' network."""
    return figures.comparison(
        laboratory.compare({name: {"activation": name} for name in architectures.ACTIVATIONS}), "Activations"
    )


def softmax_twice(laboratory: Laboratory) -> Figure:
    """Put a softmax in front of the cross-entropy, which has one of its own, as the notes do."""
    network = architectures.build_from(NOTES)
    network.layers.append(nn.Softmax(dim=1))
    once, twice = laboratory.prepare(), laboratory.prepare(network=network)
    runs = {"logits": laboratory.learn("logits", once), "softmax of the logits": laboratory.learn("softmax", twice)}
    logits = torch.from_numpy(logits_of(twice.model, laboratory.val.arrays()[0]))
    print(f"  the second softmax gives at most {100 * logits.softmax(dim=1).max():.1f} %")
    figure = figures.comparison(runs, "The input of cross-entropy")
    floor = float(np.log(np.e + len(DIGITS) - 1) - 1)  # of -log(e / (e + 9)), when the first softmax is sure and right
    figure.axes[0].axhline(floor, color=figures.LINE, linewidth=1)
    figure.axes[0].annotate(f"minimum after a softmax: {floor:.2f}", (1, floor * 0.97), va="top", color=figures.TEXT)
    return figure


def first_layer(laboratory: Laboratory) -> Figure:
    """Draw the weights of first layers as images."""
    notes = laboratory.prepare(optimizer="adamw", weight_decay=0.1)
    linear = laboratory.prepare(config.resolve(None, None, {"model": "linear"}), epochs=3)
    cnn = laboratory.prepare(config.resolve("balanced", None, {"epochs": 1, "augment": "affine"}))
    for name, trainer in {"linear": linear, "mlp": notes, "cnn": cnn}.items():
        laboratory.learn(name, trainer)
    rows = {
        "Softmax regression: one picture for each digit, 0 to 9": _pictures(linear.model, 10),
        "The notes' network: 10 of the 256 units of its first layer": _pictures(notes.model, 10),
        "A convolutional network: 10 of its 16 filters, 5x5 pixels": _pictures(cnn.model, 10),
    }
    figure = Figure(figsize=(10, 4.6), dpi=figures.DPI, layout="constrained")
    for part, (title, pictures) in zip(np.array(figure.subfigures(len(rows), 1)), rows.items(), strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=10, color=figures.TEXT)
        for axes, picture in zip(part.subplots(1, len(pictures)), pictures, strict=True):
            reach = np.abs(picture).max()
            drawn = axes.imshow(picture, cmap="PuOr", vmin=-reach, vmax=reach, interpolation="none")
            axes.set_axis_off()
        bar = part.colorbar(drawn, ax=part.axes, ticks=[-reach, reach], aspect=8)
        bar.ax.set_yticklabels(["ink against", "ink in favour"])
    return figure


def search_on_the_test_set(laboratory: Laboratory) -> Figure:
    """Choose the best of runs that differ in their seed alone by some test images, and measure it on the others."""
    few = Laboratory(laboratory.train[:1_000], laboratory.val)
    right = []  # for each run whether each image was classified correctly
    for seed in range(TRIALS):
        trainer = few.prepare(seed=seed)
        few.learn(f"seed {seed}", trainer)
        right.append(metrics.predict(trainer.model, *few.val.arrays()).right)
    table = np.array(right, dtype=float)
    mean = float(table.mean())
    figure, (left, right_plot) = figures.draw(columns=2, size=(10, 4.4))
    trials = [count for count in (1, 2, 3, 5, 10, 20, 40) if count <= TRIALS]
    _draw_chosen(left, trials, [_chosen(table[:count], len(few.val) // 20) for count in trials], mean, "trials")
    left.set_title(f"Chosen by {len(few.val) // 20:,} images")
    images = [len(few.val) // part for part in (100, 50, 20, 10, 5, 2)]
    chosen = [_chosen(table, count) for count in images]
    _draw_chosen(right_plot, images, chosen, mean, "images that choose, log scale")
    right_plot.set_xscale("log")
    right_plot.xaxis.set_major_formatter("{x:,.0f}")
    right_plot.xaxis.set_minor_formatter(NullFormatter())
    right_plot.set_title(f"The best of {TRIALS} trials")
    for count, (on_these, on_others) in zip(images, chosen, strict=True):
        print(
            f"  best of {TRIALS} by {count:,} images: {100 * on_these:.2f} % on these, {100 * on_others:.2f} % on the others"
        )
    print(f"  mean of all runs {100 * mean:.2f} %")
    figures.share_legend(figure)
    return figure


def _chosen(right: np.ndarray[Any, Any], count: int) -> tuple[float, float]:
    """Return the accuracy of the run that `count` images choose on these and on the others, as a mean over random choices.

    `right` (runs, images) says which images each run classifies correctly.
    """
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        order = generator.permutation(right.shape[1])
        these, others = right[:, order[:count]].mean(axis=1), right[:, order[count:]].mean(axis=1)
        scores.append((these.max(), others[these.argmax()]))
    on_these, on_others = np.mean(scores, axis=0)
    return float(on_these), float(on_others)


def _draw_chosen(axes: Axes, along: list[int], chosen: list[tuple[float, float]], mean: float, x: str) -> None:
    """Draw what a search believes and what is true."""
    curves = {
        "the best run on the images that chose it": (along, [these for these, _ in chosen]),
        "the same run on the other images": (along, [others for _, others in chosen]),
        "mean of all runs": (along, [mean] * len(along)),
    }
    figures.plot(axes, curves, x, "accuracy", percent=True)


def _pictures(model: Classifier, count: int) -> np.ndarray[Any, Any]:
    """Return the first weights of `count` units, (count, side, side)."""
    weights = next(parameter for parameter in model.parameters() if parameter.ndim > 1).detach()[:count]
    side = round((weights.numel() / count) ** 0.5)
    return weights.reshape(count, side, side).numpy()


def backpropagation(laboratory: Laboratory) -> Figure:
    """Check the gradient that is written out by difference quotients and by autograd, then train with it."""
    trainer = laboratory.prepare(activation="tanh", epochs=1)
    model = architectures.build("mlp", seed=0, activation="tanh").double()
    check = GradientCheck(model, laboratory.train[:64])
    print(f"  relative difference from autograd's gradient: {check.from_autograd():.1e}")
    steps = [10.0**-power for power in range(1, 12)]
    errors = {
        "one side: (L(w + h) - L(w)) / h": [check.error(step, 0.0) for step in steps],
        "both sides: (L(w + h) - L(w - h)) / 2h": [check.error(step, -step) for step in steps],
    }
    for name, values in errors.items():
        print(f"  {name}: least relative error {min(values):.1e} at h = {steps[values.index(min(values))]:g}")
    laboratory.learn("trained by the gradient that is written out", trainer)
    figure, (left, right) = figures.draw(columns=2, size=(10, 4.4))
    against_steps = {name: (steps, values) for name, values in errors.items()}
    figures.plot(left, against_steps, "step h, log scale", "relative error, log scale", log=True)
    left.set(xscale="log", xticks=steps[::2], title="Difference quotients of the loss")
    left.xaxis.set_major_formatter("{x:g}")
    quotients = check.quotients(1e-5, -1e-5)
    right.axline((0, 0), slope=1, color=figures.LINE, linewidth=1)
    right.scatter(quotients.numpy(), check.gradient.numpy(), s=12)
    right.set(xlabel="difference quotient, both sides, h = 0.00001", ylabel="backpropagation")
    right.set_title(f"∂L/∂w of {len(quotients)} weights")
    return figure


class GradientCheck:
    """Compares the gradient of the mean loss of a batch with difference quotients, for some parameters of each layer."""

    def __init__(self, model: Classifier, digits: Digits, each: int = 20) -> None:
        """Compute the gradient, and choose `each` of the parameters of every tensor in which it is not 0."""
        self.model, self.digits = model, digits
        self.backpropagate = Backpropagation(model, "cross_entropy", 0.0)
        self.loss()
        self.gradients = [
            parameter.grad.flatten().clone() for parameter in model.parameters() if parameter.grad is not None
        ]
        generator = torch.Generator().manual_seed(0)
        self.chosen: list[tuple[Tensor, int]] = []  # all values of a parameter as a vector, and the position in it
        chosen_gradients = []
        for parameter, gradient in zip(model.parameters(), self.gradients, strict=True):
            there = gradient.nonzero().flatten()
            some = there[torch.randperm(len(there), generator=generator)[:each]]
            self.chosen += [(parameter.detach().view(-1), position) for position in some.tolist()]
            chosen_gradients.append(gradient[some])
        self.gradient = torch.cat(chosen_gradients)  # of the loss with respect to those

    def loss(self) -> float:
        """Return the mean loss of the batch."""
        count = len(self.digits)
        return self.backpropagate(self.digits.images, self.digits.labels, 1 / count)[0].item() / count

    def quotients(self, ahead: float, behind: float) -> Tensor:
        """Return the difference of the losses at w + ahead and w + behind over that of the weights, for each weight w."""
        return torch.tensor(
            [self._quotient(values, at, ahead, behind) for values, at in self.chosen], dtype=torch.float64
        )

    def error(self, ahead: float, behind: float) -> float:
        """Return how far the difference quotients are from the gradient, as a fraction of its norm."""
        return float((self.quotients(ahead, behind) - self.gradient).norm() / self.gradient.norm())

    def from_autograd(self) -> float:
        """Return how far autograd's gradient is from the one that is written out, as a fraction of its norm."""
        model, digits = self.model, self.digits
        pixels = (digits.images.double() - model.pixel_mean) / model.pixel_std
        loss = loss_of(model.layers(pixels), digits.labels, "cross_entropy") / len(digits)
        expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])
        written_out = torch.cat(self.gradients)
        return float((written_out - expected).norm() / expected.norm())

    def _quotient(self, values: Tensor, at: int, ahead: float, behind: float) -> float:
        before = values[at].item()
        losses = []
        for step in (ahead, behind):
            values[at] = before + step
            losses.append(self.loss())
        values[at] = before
        return (losses[0] - losses[1]) / (ahead - behind)


LESSONS: dict[str, Callable[[Laboratory], Figure]] = {
    "vanishing-gradients": vanishing_gradients,
    "overfitting": overfitting,
    "learning-rates": learning_rates,
    "batch-sizes": batch_sizes,
    "optimizers": optimizers,
    "activations": activations,
    "softmax-twice": softmax_twice,
    "first-layer": first_layer,
    "backpropagation": backpropagation,
    "search-on-the-test-set": search_on_the_test_set,
}


def main() -> None:
    """Draw the lessons that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help=f"of {', '.join(LESSONS)}; all by default")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the figures")
    parser.add_argument("--data-dir", type=Path, default=config.DATA_DIR, help="folder of the MNIST files")
    arguments = parser.parse_args()
    if unknown := set(arguments.lessons) - set(LESSONS):
        parser.error(f"there is no lesson {min(unknown)!r}; choose from {', '.join(LESSONS)}")
    mnist_files.repair(arguments.data_dir)
    laboratory = Laboratory(dataset.load(arguments.data_dir, "train"), dataset.load(arguments.data_dir, "val"))
    for name in arguments.lessons or LESSONS:
        print(name, flush=True)
        start = time.perf_counter()
        path = arguments.folder / f"{name}.png"
        draw(LESSONS[name], laboratory, path)
        print(f"  {path}, {time.perf_counter() - start:.0f} s", flush=True)


@figures.styled
def draw(lesson: Callable[[Laboratory], Figure], laboratory: Laboratory, path: Path) -> None:
    """Write the picture of a lesson."""
    figures.save(lesson(laboratory), path)
    Image.open(path).convert("RGB").quantize(SHADES).save(path, optimize=True)


if __name__ == "__main__":
    main()

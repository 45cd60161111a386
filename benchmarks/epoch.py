"""One training epoch of the notes' network (784-256-256-10, batch 64, Adam, fp32), in the ways people do it.

    python benchmarks/epoch.py            needs the extra: pip install "mnist-cli[bench]"

Each way trains one warm-up epoch and then `--repeats` timed ones, taking turns so that a busy machine disturbs all
alike; the table shows the median, as a ratio to ours first.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mnist_cli import data, idx, models, training
from mnist_cli.config import resolve

BATCH = 64


def ours(data_dir: Path) -> Callable[[], object]:
    """Return one epoch of mnist-cli, without the evaluation that follows it."""
    digits = data.load(data_dir, "train")
    config = resolve("original", None, {})
    trainer = training.Trainer(models.build_from(config), digits, digits, config)

    def epoch() -> None:
        trainer.batch = 0  # from the start again
        trainer.train_epoch()

    return epoch


def notes(data_dir: Path) -> Callable[[], object]:
    """Return the notes' loop: torchvision's dataset through a DataLoader, ToTensor, softmax before the loss, Adam."""
    digits = datasets.MNIST(str(data_dir), train=True, transform=transforms.ToTensor())
    loader = DataLoader(digits, batch_size=BATCH, shuffle=True)
    layers = nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    model = nn.Sequential(*layers, nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()

    def epoch() -> None:
        for images, labels in loader:
            optimizer.zero_grad()
            loss_function(model(images), labels).backward()
            optimizer.step()

    return epoch


def scikit_learn(data_dir: Path) -> Callable[[], object]:
    """Return one epoch of MLPClassifier."""
    digits = data.load(data_dir, "train")
    images, labels = (digits.images.flatten(1).float() / 255).numpy(), digits.labels.numpy()
    model = MLPClassifier((256, 256), batch_size=BATCH, max_iter=1, warm_start=True)
    return lambda: model.fit(images, labels)


def matrix_products(data_dir: Path) -> Callable[[], object]:
    """Return the matrix products of an epoch alone: three forward, five backward, 938 times."""
    images, h, logits = torch.rand(BATCH, 784), torch.rand(BATCH, 256), torch.rand(BATCH, 10)
    first, second, third = torch.rand(256, 784), torch.rand(256, 256), torch.rand(10, 256)

    def epoch() -> None:
        for _ in range(938):
            images @ first.T, h @ second.T, h @ third.T
            logits.T @ h, logits @ third, h.T @ h, h @ second, h.T @ images

    return epoch


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # an epoch at a time is meant not to converge
    idx.repair(arguments.data_dir)
    ways = {
        "mnist-cli": ours,
        "the notes' loop": notes,
        "scikit-learn MLPClassifier": scikit_learn,
        "matrix products alone": matrix_products,
    }
    epochs = {name: make(arguments.data_dir) for name, make in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for repeat in range(arguments.repeats + 1):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            epoch()
            if repeat:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["mnist-cli"])
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'one epoch':28}{'ratio':>8}{'seconds':>10}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:28}{median / base:8.2f}{median:10.2f}")


if __name__ == "__main__":
    main()

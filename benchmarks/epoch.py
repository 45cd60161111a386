"""Time one training epoch, and ten, of the same network in this program and in others.

    python benchmarks/epoch.py            needs the extra: pip install ".[bench]"

The network is 784-256-256-10, trained with a batch size of 64 and Adam in fp32, as in the PyTorch course notes that this
program follows ("the notes" in the tables). Each program runs in its own process, because the thread pools of two libraries
in one process slow each other down, and trains one epoch to warm up before the one that is timed. The programs take turns,
so that other load on the machine affects all of them.

The tables have medians of the wall-clock time and of the CPU time of all threads, and the ratio of the wall-clock time to
that of mnist-cli. The first table is for an idle machine, the second for one on which another process keeps one core busy.
The third is the time of ten epochs from the start of the process to its end; mnist-cli also evaluates after each epoch.
"""

import argparse
import inspect
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

BATCH = 64
IMAGES = 60_000

Epoch = Callable[[], object]
Times = tuple[float, float]  # seconds: wall-clock time, and CPU time of all threads


def ours(data_dir: Path, threads: int = 1, **options: Any) -> Epoch:
    """Return an epoch of mnist-cli, with one thread as by default, without the evaluation after it."""
    import torch

    from mnist_cli.config import resolve
    from mnist_cli.datasets import dataset
    from mnist_cli.models import architectures
    from mnist_cli.training import loop

    torch.set_num_threads(threads)
    digits = dataset.load(data_dir, "train")
    config = resolve("original", None, options)
    trainer = loop.Trainer(architectures.build_from(config), digits, digits, config)

    def epoch() -> None:
        trainer.batch = 0  # start the epoch again
        trainer.train_epoch()

    return epoch


def with_all_cores(data_dir: Path) -> Epoch:
    """Return an epoch of mnist-cli with a thread for each core."""
    from mnist_cli import cores

    return ours(data_dir, cores.available())


def in_bf16(data_dir: Path) -> Epoch:
    """Return an epoch of mnist-cli whose matrix products have bfloat16 operands."""
    return ours(data_dir, precision="bf16")


def by_autograd(data_dir: Path) -> Epoch:
    """Return an epoch of mnist-cli with the gradient computed by autograd, not by explicit backpropagation."""
    from mnist_cli.training import steps

    steps.FULLY_CONNECTED.clear()  # affects only this process
    return ours(data_dir)


def with_denormals(data_dir: Path) -> Epoch:
    """Return an epoch of mnist-cli that computes with numbers below 1e-38, which it takes for zero otherwise."""
    from mnist_cli.training import loop

    loop.Trainer.train_epoch = inspect.unwrap(loop.Trainer.train_epoch)  # affects only this process
    return ours(data_dir)


def notes(data_dir: Path) -> Epoch:
    """Return an epoch of the loop in the notes: torchvision's dataset, DataLoader, softmax before the loss, Adam."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

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


def scikit_learn(data_dir: Path) -> Epoch:
    """Return an epoch of scikit-learn's MLPClassifier."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)  # it is raised after every single epoch
    images, labels = _arrays(data_dir, "train")
    model = MLPClassifier((256, 256), batch_size=BATCH, max_iter=1, warm_start=True)
    return lambda: model.fit(images, labels)


def keras_on_jax(data_dir: Path) -> Epoch:
    """Return an epoch of Keras on JAX, its fastest backend on a CPU."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    images, labels = _arrays(data_dir, "train")
    dense = [keras.layers.Dense(256, "relu"), keras.layers.Dense(256, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(dense)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return lambda: model.fit(images, labels, batch_size=BATCH, epochs=1, verbose=0)


def jax_scan(data_dir: Path) -> Epoch:
    """Return an epoch that JAX compiles as a whole (lax.scan), without the incomplete last batch."""
    import jax
    import optax

    images, labels = map(jax.numpy.asarray, _arrays(data_dir, "train"))
    optimizer = optax.adam(1e-3)
    key, *keys = jax.random.split(jax.random.key(0), 4)
    widths = [784, 256, 256, 10]
    shapes = zip(widths, widths[1:], keys, strict=False)
    parameters: Any = [(jax.random.normal(key, (n, m)) * (2 / n) ** 0.5, jax.numpy.zeros(m)) for n, m, key in shapes]

    def loss(parameters: Any, batch: Any) -> Any:
        values = images[batch]
        for weight, bias in parameters[:-1]:
            values = jax.nn.relu(values @ weight + bias)
        logits = values @ parameters[-1][0] + parameters[-1][1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[batch]).mean()

    def step(state: Any, batch: Any) -> Any:
        parameters, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(parameters, batch), moments)
        return (optax.apply_updates(parameters, updates), moments), None

    @jax.jit
    def train(state: Any, key: Any) -> Any:
        order = jax.random.permutation(key, IMAGES)[: IMAGES // BATCH * BATCH].reshape(-1, BATCH)
        return jax.lax.scan(step, state, order)[0]

    state = parameters, optimizer.init(parameters)

    def epoch() -> None:
        nonlocal state, key
        key, this = jax.random.split(key)
        state = jax.block_until_ready(train(state, this))

    return epoch


def matrix_products(data_dir: Path) -> Epoch:
    """Return only the matrix products of an epoch, in one thread: 938 times three forward and five backward."""
    import torch

    torch.set_num_threads(1)
    images, h, logits = torch.rand(BATCH, 784), torch.rand(BATCH, 256), torch.rand(BATCH, 10)
    first, second, third = torch.rand(256, 784), torch.rand(256, 256), torch.rand(10, 256)

    def epoch() -> None:
        for _ in range(938):
            images @ first.T, h @ second.T, h @ third.T
            logits.T @ h, logits @ third, h.T @ h, h @ second, h.T @ images

    return epoch


PROGRAMS: dict[str, Callable[[Path], Epoch]] = {
    "mnist-cli": ours,
    "mnist-cli, all cores": with_all_cores,
    "mnist-cli, bf16": in_bf16,
    "mnist-cli, autograd": by_autograd,
    "mnist-cli, with denormals": with_denormals,
    "the notes' loop": notes,
    "scikit-learn MLPClassifier": scikit_learn,
    "Keras, on JAX": keras_on_jax,
    "JAX, a jitted epoch": jax_scan,
    "matrix products alone": matrix_products,
}


def time_epoch(program: str, data_dir: Path) -> Times:
    """Return the times of an epoch, after another one to warm up."""
    epoch = PROGRAMS[program](data_dir)
    epoch()
    start, cpu_start = time.perf_counter(), time.process_time()
    epoch()
    return time.perf_counter() - start, time.process_time() - cpu_start


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process for the length of a `with` block."""
    process = get_context("spawn").Process(target=spin, args=(os.getpid(),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def spin(parent: int) -> None:
    """Loop until the process that began this one is gone, also where it was killed."""
    while os.getppid() == parent:
        pass


def train_ten_epochs(program: str, data_dir: Path) -> None:
    """Train ten epochs without the evaluation that mnist-cli does in its ten."""
    epoch = PROGRAMS[program](data_dir)
    for _ in range(10):
        epoch()


def in_own_process(function: Callable[..., Any], *arguments: object) -> Any:
    """Return what `function` returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def time_job(program: str, data_dir: Path) -> Times:
    """Return the times of a whole process that trains ten epochs."""
    start, before = time.perf_counter(), os.times()
    if program == "mnist-cli":
        command = [sys.executable, "-m", "mnist_cli", "train", "--preset", "original", "--data-dir", data_dir.resolve()]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
    else:
        in_own_process(train_ten_epochs, program, data_dir)
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - start, cpu


def show(title: str, times: dict[str, list[Times]]) -> None:
    """Print a table of medians."""
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    base = medians["mnist-cli"][0]
    print(f"{title:28}{'ratio':>8}{'seconds':>10}{'CPU seconds':>14}")
    for name, (seconds, cpu) in medians.items():
        print(f"{name:28}{seconds / base:8.2f}{seconds:10.2f}{cpu:14.2f}", flush=True)


def main() -> None:
    """Print the tables."""
    from mnist_cli import cores
    from mnist_cli.datasets import mnist_files

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--programs",
        nargs="+",
        choices=PROGRAMS,
        help="only these, without the third table; mnist-cli must be included",
    )
    arguments = parser.parse_args()
    mnist_files.repair(arguments.data_dir)
    print(f"{platform.processor() or platform.machine()}, {cores.available()} cores")
    programs = arguments.programs or list(PROGRAMS)
    idle: dict[str, list[Times]] = {program: [] for program in programs}
    busy: dict[str, list[Times]] = {program: [] for program in programs if "mnist-cli" in program}
    jobs: dict[str, list[Times]] = {"mnist-cli": [], "JAX, a jitted epoch": []}
    for _ in range(arguments.repeats):
        for program, taken in idle.items():
            taken.append(in_own_process(time_epoch, program, arguments.data_dir))
        with busy_core():
            for program, taken in busy.items():
                taken.append(in_own_process(time_epoch, program, arguments.data_dir))
    show("one epoch", idle)
    show("one epoch, one core busy", busy)
    if arguments.programs:
        return
    for _ in range(arguments.repeats):
        for program, taken in jobs.items():
            taken.append(time_job(program, arguments.data_dir))
    show("ten epochs, start to finish", jobs)


def _arrays(data_dir: Path, split: str) -> tuple[Any, Any]:
    """Return images (N, 784), 0 to 1, and labels (N,)."""
    from mnist_cli.datasets import dataset

    digits = dataset.load(data_dir, split)
    return (digits.images.flatten(1).float() / 255).numpy(), digits.labels.int().numpy()


if __name__ == "__main__":
    main()

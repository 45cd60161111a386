"""A pool that trains nothing, for the tests of searches: its scores follow from the configuration."""

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

from mnist_cli import config
from mnist_cli.results import EpochResult
from mnist_cli.tuning import space
from mnist_cli.tuning.trials import Trained
from mnist_cli.tuning.tuner import Plan

# The options of a small base, for searches that train.
SMALL = (
    "--model",
    "mlp",
    "--hidden",
    "8",
    "--train-size",
    "300",
    "--holdout",
    "200",
    "--epochs",
    "1",
    "--device",
    "cpu",
)


def score(settings, epoch):
    """The accuracy after an epoch: best at a learning rate of 0.01, better after more epochs, a little by luck."""
    return 0.9 - abs(settings.learning_rate - 0.01) - 0.1 / epoch + settings.seed * 1e-4


class Pretending:
    """A pool for one trial at a time."""

    def __init__(self, lose=0, raising=None):
        self.parts, self.lose, self.raising = [], lose, raising

    def capacity(self):
        return 1

    def submit(self, work, part):
        self.parts.append(part)
        future = Future()
        if self.lose:
            self.lose -= 1
            future.set_exception(BrokenProcessPool())
        elif self.raising:
            future.set_exception(self.raising)
        else:
            future.set_result(pretend(part))
        return future

    def stop(self):
        pass


def pretend(part):
    epochs = range(1, part.until + 1)
    results = tuple(EpochResult(one, 0.1, 0.1, score(part.config, one), 1.0, 0.1, 0.1) for one in epochs)
    return Trained(results, b"state", f"weights of {part.config.learning_rate}")


def plan(folder, **more):
    """The plan of a search for a learning rate."""
    options = {"model": "linear", "epochs": more.pop("epochs", 1), "seed": more.pop("seed", 0)}

    def resolve(values):
        return config.resolve("default", None, {**options, **values})

    searched = space.parse(more.pop("search", ["learning_rate=0.001..0.1,log"]), resolve({}))
    return Plan("study", resolve, searched, more.pop("storage", str(folder / "journal.log")), **{"trials": 6, **more})
